"""``make demo``."""

from hemix.pipelines.demo.main import main

main()

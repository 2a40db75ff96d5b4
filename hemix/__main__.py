"""``python -m hemix`` is ``hemix``."""

from hemix.cli.main import main

main()

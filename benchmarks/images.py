"""Size, contents and start of the four images, hardened as a cluster runs them.

    .venv/bin/python -m benchmarks.images [--run DIR] [IMAGE ...]

What is checked, and the options, are those of ``hemix.infra.images.verify``; images that are
refused leave no result.
"""

from __future__ import annotations

import sys

from benchmarks.measuring.results import write_result
from hemix.infra.images.verify import verify


def main() -> int:
    """Verify, and keep the figures; 1 when an image is refused."""
    figures = verify()
    if figures is None:
        return 1
    print(f"images: {write_result('images', figures, 'make images images-check')}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

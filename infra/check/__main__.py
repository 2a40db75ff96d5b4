"""``make cluster-check``: everything that goes into a cluster, rendered and validated.

    .venv/bin/python -m hemix.infra.check

Core types by Kubernetes' published schemas, custom ones by a real API server that holds their
definitions, rules by promtool, pipelines by ``hemix compile --check``; then each of these is given
objects that are broken on purpose and must refuse them. Exit code: 0 all is well, 1 something was
refused or a broken one was not, 2 a tool is missing (the rest is checked all the same).
"""

from __future__ import annotations

import sys

from hemix.infra.check.report import Report
from hemix.infra.check.run import check_all


def main() -> int:
    """Check, print, and end with the counts."""
    report = Report()
    check_all(report)
    print(report.text(), flush=True)
    return report.exit_code


if __name__ == "__main__":
    sys.exit(main())

"""Write the Grafana dashboards.

    .venv/bin/python -m hemix.infra.monitoring.dashboards

Read from top to bottom: first whether users are served well, then why not, then who is served what.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from hemix.infra.monitoring.health_board import model_health
from hemix.infra.monitoring.serving_board import serving

FOLDER = Path(__file__).resolve().parent / "dashboards"


def texts() -> dict[str, str]:
    """File name -> JSON of each dashboard."""
    found = {}
    for dashboard in (serving(), model_health()):
        found[f"{dashboard['uid']}.json"] = json.dumps(dashboard, indent=1) + "\n"
    return found


def main() -> int:
    """Write every dashboard."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in texts().items():
        (FOLDER / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())

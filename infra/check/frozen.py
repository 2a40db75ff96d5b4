"""Writes ``rules/policy/shipped.yaml``: what our objects say as shipped, for whoever changed one.

python -m hemix.infra.check.frozen
"""

from __future__ import annotations

import yaml

from hemix.files import atomic_file
from hemix.infra.check import sources
from hemix.infra.check.objects import OVERLAYS, ROOT, kustomized
from hemix.infra.check.rules.policy.shipped import FILE, frozen

_HEAD = "# Written by python -m hemix.infra.check.frozen from the rendered objects: do not edit.\n"


def text() -> str:
    """The file's text, from every overlay and every kind of deployment settings."""
    sets = [[o.manifest for o in kustomized(ROOT / "infra/kustomize/overlays" / name)] for name in OVERLAYS]  # fmt: skip
    sets += [[o.manifest for o in make()] for make in sources.MADE]
    return _HEAD + yaml.safe_dump(frozen(sets), width=1000, sort_keys=False)


if __name__ == "__main__":
    with atomic_file(FILE) as path:
        path.write_text(text())

"""The release's software bill of materials: CycloneDX JSON of everything that constraints.txt names.

    .venv/bin/python -m hemix.infra.sbom [--output FILE]

``cyclonedx-py`` reads the packages installed here with their licences and dependencies. Packages
that constraints.txt lacks are left out; one that is missing or of another version is an error. Each
package says which images hold it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name
from packaging.version import Version

from hemix import __version__
from hemix.components.steps import IMAGES
from hemix.errors import EnvironmentProblem
from hemix.files import atomic_file
from hemix.infra.images.requirements import FOLDER, ROOT, pinned

IMAGES_PROPERTY = "hemix:images"
Bom = dict[str, Any]


def inventory(*, validate: bool = True) -> Bom:
    """What ``cyclonedx-py`` finds in the environment that runs this.

    Args:
        validate: check it against CycloneDX's own schema, which takes most of the time.

    Raises:
        EnvironmentProblem: cyclonedx-py failed; its own words follow.
    """
    command = [
        *(sys.executable, "-m", "cyclonedx_py", "environment", "--output-reproducible"),
        *("--output-format", "JSON", "--pyproject", str(ROOT / "pyproject.toml")),
        *("--output-file", "-", "--validate" if validate else "--no-validate", sys.executable),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise EnvironmentProblem(f"cyclonedx-py failed: {done.stderr.strip()}")
    bom: Bom = json.loads(done.stdout)
    return bom


def released(bom: Bom, pins: Mapping[str, str], images: Mapping[str, list[str]]) -> Bom:
    """``bom`` held to the pins, with the images of each package.

    Args:
        bom: what cyclonedx found in this environment.
        pins: canonical name -> version.
        images: canonical name -> images that hold it.

    Raises:
        EnvironmentProblem: the environment is not the one that constraints.txt describes.
    """
    kept: list[dict[str, Any]] = []
    wrong: list[str] = []
    for component in bom["components"]:
        name = canonicalize_name(component["name"])
        if name not in pins:
            continue
        if Version(component["version"]).public != Version(pins[name]).public:
            wrong.append(f"{name} {component['version']} instead of {pins[name]}")
        places = ",".join(images.get(name, ()))
        properties = [*component.get("properties", ()), {"name": IMAGES_PROPERTY, "value": places}]
        kept.append({**component, "properties": properties} if places else component)
    found = {canonicalize_name(component["name"]) for component in kept}
    wrong += [
        f"{name} {version} is not installed" for name, version in pins.items() if name not in found
    ]
    if wrong:
        raise EnvironmentProblem(
            f"This environment is not that of constraints.txt: {'; '.join(wrong)}.",
            hint="make environment installs it.",
        )
    references = {component["bom-ref"] for component in kept} | {
        bom["metadata"]["component"]["bom-ref"]
    }
    dependencies = [
        {**entry, "dependsOn": [ref for ref in entry.get("dependsOn", ()) if ref in references]}
        for entry in bom.get("dependencies", ())
        if entry["ref"] in references
    ]
    return {**bom, "components": kept, "dependencies": dependencies}


def holders() -> dict[str, list[str]]:
    """Canonical package name -> images whose list names it."""
    found: dict[str, list[str]] = {}
    for image in IMAGES:
        for line in (FOLDER / f"{image}.txt").read_text().split():
            found.setdefault(line.split("==")[0], []).append(image)
    return found


def main() -> int:
    """Write the bill; 1 when the environment is not the release's."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--output", type=Path, default=ROOT / "dist" / f"hemix-{__version__}.cdx.json"
    )
    path: Path = parser.parse_args().output
    try:
        bom = released(inventory(), pinned(), holders())
    except EnvironmentProblem as error:
        print(f"sbom: {error}", file=sys.stderr)
        return 1
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(bom, indent=1) + "\n")
    print(f"sbom: {path} lists {len(bom['components'])} packages.")
    return 0


if __name__ == "__main__":
    sys.exit(main())

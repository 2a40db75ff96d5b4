"""Write what each image installs: the packages of its extra and of all that they need, pinned.

    .venv/bin/python -m hemix.infra.images.requirements

Walks the metadata of the packages installed here, from the extra's names down, and pins each to
``constraints.txt``. A build installs the list without resolving anything, so an image holds exactly
versions that the tests ran with.
"""

from __future__ import annotations

import sys
import tomllib
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from hemix.components.steps import IMAGES, Image

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(__file__).resolve().parent / "requirements"
# KFP's pods run `python -m kfp.dsl.executor_main`, whatever the step.
EVERY_IMAGE = ("kfp==2.17.0",)
# A base may have any patch release of Python 3.11 (Debian 12 has 3.11.2).
PYTHONS = ("3.11.0", "3.11.99")


def pinned(root: Path = ROOT) -> dict[str, str]:
    """``constraints.txt`` as canonical name -> version."""
    pairs = (line.split("==") for line in (root / "constraints.txt").read_text().split())
    return {canonicalize_name(name): version for name, version in pairs}


def closure(wanted: list[Requirement], pins: dict[str, str]) -> dict[str, str]:
    """Every package that ``wanted`` needs at run time, by canonical name, with its pin.

    Requirements that constraints.txt leaves out stay out: the environment of the tests lacks them
    too (``infra/environment.py`` installs the file without resolving).
    """
    found: dict[str, str] = {}
    todo = list(wanted)
    done: set[tuple[str, frozenset[str]]] = set()
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        key = (name, frozenset(requirement.extras))
        if name not in pins or key in done:
            continue
        done.add(key)
        found[name] = pins[name]
        try:
            needs = requires(name) or []
        except PackageNotFoundError:
            raise SystemExit(f"{name} is not installed here: make environment") from None
        for need in map(Requirement, needs):
            if need.marker is None or any(
                need.marker.evaluate({"extra": extra, "python_full_version": python})
                for extra in requirement.extras or {""}
                for python in PYTHONS
            ):
                todo.append(need)
    return dict(sorted(found.items()))


def of_image(image: Image, root: Path = ROOT) -> str:
    """The text of an image's list: one ``NAME==VERSION`` a line, by name."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    texts = [*project["dependencies"], *project["optional-dependencies"][image], *EVERY_IMAGE]
    packages = closure([Requirement(text) for text in texts], pinned(root))
    return "".join(f"{name}=={version}\n" for name, version in packages.items())


def main() -> int:
    """Write every list."""
    FOLDER.mkdir(exist_ok=True)
    for image in IMAGES:
        text = of_image(image)
        (FOLDER / f"{image}.txt").write_text(text)
        print(f"{image}: {len(text.splitlines())} packages")
    return 0


if __name__ == "__main__":
    sys.exit(main())

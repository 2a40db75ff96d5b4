"""A digest of the code that makes a model version, and the packages beneath it."""

from __future__ import annotations

import hashlib
import platform
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parent
PACKAGES = ("features", "models", "serving", "components")
_SUFFIXES = {".py", ".yaml", ".json", ".html", ".css", ".js"}
_TOLD = (
    "apache-beam",
    "feast",
    "great-expectations",
    "hemix",
    "kfp",
    "kserve",
    "numpy",
    "pandas",
    "pyarrow",
    "scikit-learn",
    "tensorflow",
    "tensorflow-transform",
    "torch",
)


def revision(root: Path = ROOT, length: int = 16) -> str:
    """Hex digest of the names and bytes of all source files that steps are made of."""
    digest = hashlib.sha256()
    inside = (path for package in PACKAGES for path in (root / package).rglob("*"))
    for path in sorted([*root.glob("*"), *inside]):
        if path.suffix in _SUFFIXES and path.is_file():
            content = path.read_bytes()
            digest.update(f"{path.relative_to(root)}\0{len(content)}\0".encode())
            digest.update(content)
    return digest.hexdigest()[:length]


def package_versions() -> dict[str, str]:
    """Installed versions of Python and of the packages that results depend on."""
    found = {"python": platform.python_version()}
    for name in _TOLD:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found

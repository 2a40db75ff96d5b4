"""Build the four images, one after the other.

    .venv/bin/python -m hemix.infra.images.build [IMAGE ...]

pip's own configuration on this machine (index, links, certificate) reaches the build as a secret
file and read-only mounts, so that neither an image nor its history names a host.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from hemix import __version__
from hemix.components.steps import IMAGES
from hemix.infra.environment import pip_settings

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(__file__).resolve().parent
_KEYS = ("index-url", "extra-index-url", "find-links", "trusted-host", "no-index", "cert")


def settings_of_pip() -> dict[str, str]:
    """What pip is configured with here, by pip's own precedence, environment included."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    text = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return {name: value for name, value in pip_settings(text).items() if name in _KEYS}


def pip_conf(settings: Mapping[str, str]) -> str:
    """The text of a pip.conf."""
    return "[global]\n" + "".join(f"{name} = {value}\n" for name, value in settings.items())


def local_paths(settings: Mapping[str, str]) -> Iterator[Path]:
    """Files and folders of this machine that the settings name; a build needs them mounted."""
    for name in ("index-url", "extra-index-url", "find-links", "cert"):
        for value in settings.get(name, "").split():
            url = urlsplit(value)
            if url.scheme in ("", "file") and Path(url.path).exists():
                path = Path(url.path)
                # A simple index points to files beside it.
                yield path.parent if name.endswith("index-url") else path


def tag(image: str) -> str:
    """``hemix/IMAGE:VERSION``, the name an image is built as."""
    return f"hemix/{image}:{__version__}"


def command(
    image: str,
    *,
    engine: str,
    secret: Path,
    settings: Mapping[str, str],
    arguments: Sequence[str],
    revision: str,
    pull: str = "missing",
) -> list[str]:
    """The command that builds an image.

    Args:
        image: which one (the Containerfile's target).
        engine: ``podman`` or ``docker``.
        secret: pip's configuration; the build may read it and no layer keeps it.
        settings: the same by name; local folders that it points to are mounted.
        arguments: build arguments, ``NAME=VALUE``.
        revision: commit, for the image's label.
        pull: when the base image is fetched.
    """
    mounts = [f"--volume={path}:{path}:ro" for path in dict.fromkeys(local_paths(settings))]
    return [
        *(engine, "build", f"--pull={pull}", "--file", str(FOLDER / f"{image}.Containerfile")),
        *("--tag", tag(image), "--secret", f"id=pip,src={secret}", *mounts),
        *("--build-arg", f"VERSION={__version__}", "--build-arg", f"REVISION={revision}"),
        *(word for argument in arguments for word in ("--build-arg", argument)),
        str(ROOT),
    ]


def _revision() -> str:
    head = ["git", "-C", str(ROOT), "rev-parse", "--short=12", "HEAD"]
    found = subprocess.run(head, capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"


def main() -> int:
    """Build; the exit code of the engine that failed, or 0."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("image", nargs="*", choices=[*IMAGES, []], help="which; default: all four")
    parser.add_argument("--engine", default=os.environ.get("HEMIX_ENGINE", "podman"))
    parser.add_argument(
        "--build-arg", action="append", default=[], metavar="NAME=VALUE", help="BASE, TORCH"
    )
    parser.add_argument(
        "--pull",
        default="missing",
        choices=["always", "missing", "never"],
        help="when the base is fetched; never: it must be here",
    )
    options = parser.parse_args()
    settings = settings_of_pip()
    with tempfile.NamedTemporaryFile("w", prefix="pip-", suffix=".conf") as secret:
        secret.write(pip_conf(settings))
        secret.flush()
        for image in options.image or IMAGES:
            words = command(
                image,
                engine=options.engine,
                secret=Path(secret.name),
                settings=settings,
                arguments=options.build_arg,
                revision=_revision(),
                pull=options.pull,
            )
            print(f"images: {tag(image)}", flush=True)
            if code := subprocess.run(words, check=False).returncode:
                print(f"images: {shlex.join(words)} ended with {code}", file=sys.stderr)
                return code
    return 0


if __name__ == "__main__":
    sys.exit(main())

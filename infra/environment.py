"""Install what constraints.txt names into the virtual environment that runs this file.

Only the standard library is used: nothing else is there yet. uv does the work because it is many
times faster than pip; it does not read pip's configuration, so the indexes, links and certificates
that pip is configured with are handed to it here.
"""

import os
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "constraints.txt"
# pip reads its settings in this order; the last one that names a value wins.
ORDER = ("global", "user", "site", "install", ":env:")


def pip_settings(text: str) -> dict[str, str]:
    """``pip config list`` as ``name -> value``, by pip's own precedence."""
    found: dict[tuple[str, str], str] = {}
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        place, _, name = key.strip().rpartition(".")
        if equals and place in ORDER:
            found[place, name] = " ".join(shlex.split(value))
    return {name: found[place, name] for place in ORDER for p, name in found if p == place}


def uv_arguments(settings: dict[str, str]) -> list[str]:
    """pip's indexes and links in uv's words; versions are chosen among all indexes, as pip does."""
    arguments = ["--index-strategy", "unsafe-best-match"]
    for name in ("index-url", "extra-index-url", "find-links"):
        for value in settings.get(name, "").split():
            arguments += [f"--{name}", value]
    for value in settings.get("trusted-host", "").split():
        arguments += ["--allow-insecure-host", value]
    if settings.get("no-index", "").lower() in ("1", "true", "yes", "on"):
        arguments.append("--no-index")
    return arguments


def main() -> int:
    """Install; the exit code of the tool that failed, or 0."""
    pip = [sys.executable, "-m", "pip"]
    listed = subprocess.run([*pip, "config", "list"], capture_output=True, text=True, check=False)
    settings = pip_settings(listed.stdout)
    environment = dict(os.environ)
    if certificate := settings.get("cert"):
        environment.setdefault("SSL_CERT_FILE", certificate)
    install = [sys.executable, "-m", "uv", "pip", "install", "--python", sys.executable]
    compiled = [*install, "--compile-bytecode"]
    for command in (
        [*pip, "install", "--quiet", "--constraint", str(CONSTRAINTS), "uv"],
        # Compiled once here, not in each of the many processes of a run: TensorFlow takes 11 s to
        # import from source and 5 s compiled. Without rfc3987-syntax, which jsonschema can do
        # without: it builds dozens of grammars when imported, 2 s in each process that imports kfp.
        [*compiled, "--no-deps", *uv_arguments(settings), "-r", str(CONSTRAINTS)],
        [*install, "--no-deps", "--no-build-isolation", *uv_arguments(settings), "-e", str(ROOT)],
    ):
        code = subprocess.run(command, env=environment, check=False).returncode
        if code:
            print(f"Failed: {shlex.join(command)}", file=sys.stderr)
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main())

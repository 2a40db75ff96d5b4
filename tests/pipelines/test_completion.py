"""Completion in the shell: candidates alone on stdout, nothing else done."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "expected"), [("hemix mo", {"models"}), ("hemix ch", {"check"}), ("hemix zz", set())]
)
def test_tab_offers_commands_and_does_nothing_else(
    tmp_path: Path, words: str, expected: set[str]
) -> None:
    (tmp_path / "definition.yaml").write_text("name: [broken")
    environment = {name: value for name, value in os.environ.items() if name != "HOME"} | {
        "_HEMIX_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": "1",
        "PYTHONWARNINGS": "default",
    }
    code = (
        "import sys, hemix.cli.main as m\n"
        "try: m.app(prog_name='hemix')\n"
        "finally: sys.exit(bool({'torch', 'tensorflow', 'apache_beam'} & sys.modules.keys()) * 9)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) == expected
    assert done.stderr == ""
    assert [path.name for path in tmp_path.iterdir()] == ["definition.yaml"]

"""The order of the files among worker processes names files that are there, and all it should."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from tests.workers import LONGEST, SHARED_ENDPOINT, know_own_stack

ROOT = Path(__file__).resolve().parents[2]
ASKS = re.compile(r"^(async )?def test_\w+\([^)]*\bendpoint: Endpoint\b", re.MULTILINE)


def test_every_file_named_is_there_once() -> None:
    assert len(set(LONGEST)) == len(LONGEST)
    assert [name for name in LONGEST if not (ROOT / name).is_file()] == []


@pytest.mark.slow
def test_what_inspect_says_of_a_stack_stays_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a function of no module below this one, as a worker's are."""
    scope = {"__name__": "of texts", "inspect": inspect, "know": know_own_stack}
    exec(
        compile("def asked(): return inspect.stack()\ndef told(): know()", "<texts>", "exec"), scope
    )

    monkeypatch.setattr(inspect, "modulesbyfile", {})
    found = []
    for known in (False, True):
        if known:
            scope["told"]()
        assert ("<texts>" in inspect.modulesbyfile) is known
        found.append([tuple(frame)[1:] for frame in scope["asked"]()])
    assert found[0][0] == ("<texts>", 1, "asked", None, None)
    assert len(found[0]) > 10
    assert found[0] == found[1]


def test_whoever_asks_for_the_endpoint_shares_a_worker() -> None:
    asking = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "tests").rglob("test_*.py")
        if ASKS.search(text := path.read_text())
        and not re.search(r"^def endpoint\(", text, re.MULTILINE)
    }
    assert asking == set(SHARED_ENDPOINT)

"""pip's configuration in uv's words."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def environment() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "infra" / "environment.py"))


def test_the_environment_wins_over_files(environment: dict[str, Any]) -> None:
    read: Callable[[str], dict[str, str]] = environment["pip_settings"]
    text = (
        ":env:.find-links='/from/env'\n"
        "global.find-links='/from/file'\n"
        "user.index-url='https://one/simple'\n"
        "global.index-url='https://two/simple'\n"
        "global.extra-index-url='https://a/simple https://b/simple'\n"
        "install.no-index='true'\n"
        "freeze.timeout='10'\n"
    )
    assert read(text) == {
        "find-links": "/from/env",
        "index-url": "https://one/simple",
        "extra-index-url": "https://a/simple https://b/simple",
        "no-index": "true",
    }
    assert read("") == {}


def test_every_index_and_link_is_handed_on(environment: dict[str, Any]) -> None:
    words: Callable[[dict[str, str]], list[str]] = environment["uv_arguments"]
    assert words({}) == ["--index-strategy", "unsafe-best-match"]
    assert words(
        {
            "find-links": "/x /y",
            "extra-index-url": "https://a https://b",
            "trusted-host": "a",
            "no-index": "true",
        }
    )[2:] == [
        *("--extra-index-url", "https://a", "--extra-index-url", "https://b"),
        *("--find-links", "/x", "--find-links", "/y"),
        *("--allow-insecure-host", "a", "--no-index"),
    ]


def test_constraints_hold_every_declared_pin() -> None:
    import tomllib

    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    pinned: dict[str, str] = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        name, equals, version = line.partition("==")
        assert equals, f"constraints.txt: {line!r} is not NAME==VERSION"
        pinned[canonicalize_name(name)] = version
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    for requirement in (Requirement(text) for group in groups for text in group):
        version = pinned.get(canonicalize_name(requirement.name))
        assert version, f"constraints.txt lacks {requirement.name}"
        assert requirement.specifier.contains(version), f"{requirement} is pinned to {version}"


def test_a_checker_of_links_does_not_slow_every_step_down() -> None:
    """kfp, kubernetes and altair bring jsonschema, which brings this where it is installed."""
    names = {line.partition("==")[0] for line in (ROOT / "constraints.txt").read_text().split()}
    assert "jsonschema" in names
    assert "rfc3987-syntax" not in names

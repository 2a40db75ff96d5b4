"""Rules as Prometheus reads them: ``promtool`` checks and runs their unit tests."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from hemix.errors import EnvironmentProblem
from hemix.infra.check.objects import ROOT, Manifest

TESTS = ROOT / "infra" / "monitoring" / "rules-test.yaml"


def rules_file(rules: Iterable[Manifest]) -> str:
    """PrometheusRule objects as the file that Prometheus itself reads."""
    groups = [group for rule in rules for group in rule["spec"]["groups"]]
    return yaml.safe_dump({"groups": groups}, sort_keys=False)


def problems(rules: Iterable[Manifest], tests: Path | None = None) -> list[str]:
    """What promtool finds wrong with the rules, or with how they answer ``tests``.

    Raises:
        EnvironmentProblem: there is no promtool.
    """
    if shutil.which("promtool") is None:
        raise EnvironmentProblem(
            "promtool is not on PATH.", hint="Debian's package prometheus has it."
        )
    with tempfile.TemporaryDirectory(prefix="hemix-rules-") as name:
        folder = Path(name)
        (folder / "rules.yaml").write_text(rules_file(rules))
        found = _run(folder, "check", "rules", "--lint=all", "--lint-fatal", "rules.yaml")
        if tests is not None and not found:
            shutil.copy(tests, folder / "tests.yaml")
            found = _run(folder, "test", "rules", "tests.yaml")
    return found


def expressions(dashboard: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """``(panel, query)`` of every target of a dashboard, its variables filled in."""
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"].replace("$namespace", "hemix")


def dashboard_problems(dashboard: dict[str, Any]) -> list[str]:
    """Queries of a dashboard that Prometheus cannot parse."""
    rules = [
        {"record": f"panel:{number}", "expr": expr}
        for number, (_, expr) in enumerate(expressions(dashboard))
    ]
    group = {"name": dashboard["uid"], "rules": rules}
    return problems([{"spec": {"groups": [group]}}])


def _run(folder: Path, *arguments: str) -> list[str]:
    try:
        done = subprocess.run(
            ["promtool", *arguments],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
    except subprocess.TimeoutExpired:
        return [f"promtool {' '.join(arguments)}: no answer within 120 s"]
    return [] if not done.returncode else [_sentence(arguments, done.stderr + done.stdout)]


def _sentence(arguments: tuple[str, ...], told: str) -> str:
    """What promtool printed, as one sentence."""
    missed = re.search(
        r"alertname: (\w+), time: (\S+?),?\s+exp:(.*?)\s+got:(.*?)(?:\n\s*\n|\Z)", told, re.S
    )
    if missed:
        name, time, wanted, got = (" ".join(part.split()) for part in missed.groups())
        return f"the alert {name} at {time} gives {got[:200]} and must give {wanted[:200]}: a rule no longer does what infra/monitoring/rules-test.yaml asks of it"
    sample = re.search(
        r"expr: (.+?), time: (\S+?),?\s+exp:(.*?)\s+got:(.*?)(?:\n\s*\n|\Z)", told, re.S
    )
    if sample:
        name, time, wanted, got = (" ".join(part.split()) for part in sample.groups())
        return f"{name} at {time} is {got[:200]} and must be {wanted[:200]}: a rule no longer does what infra/monitoring/rules-test.yaml asks of it"
    line = re.search(
        r'.*(?:error|FAILED:|err=).*?(group "[^"]+".*|could not .*|\d+:\d+:.*|.*parse error.*)',
        told,
    )
    said = line[1] if line else told
    return f"promtool {' '.join(arguments[:2])}: {' '.join(said.split())[:400]}"

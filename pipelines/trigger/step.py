"""Start a pipeline because a verdict failed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hemix.files import write_json
from hemix.pipelines.kfp_client.runs import submit
from hemix.progress import say
from hemix.verdict import Verdict

if TYPE_CHECKING:
    from hemix.pipelines.kfp_client.connection import Connection


def start(
    *,
    pipeline: str,
    parameters: Mapping[str, Any],
    verdict: Path,
    out_run: Path,
    service_account: str,
    root: str,
    connection: Connection | None = None,
) -> None:
    """Start ``pipeline``; when a run of it has not ended, that one is named and none is started.

    Args:
        pipeline: a pipeline that was uploaded before.
        parameters: its parameters.
        service_account: of the run that is started; one that deploys needs ``hemix-deployer``.
        root: its pipeline root, ``s3://...``; empty: the server's own.
        verdict: why; one that passed starts nothing.
        out_run: JSON: run id, page, whether it was started, and the failed checks.
        connection: the API server; the one of the pod's own cluster when None.

    Raises:
        HemixError: the server does not answer, refuses, or does not know the pipeline.
    """
    found = Verdict.read(verdict)
    why = [check.sentence() for check in found.failures]
    if found.passed:
        write_json(out_run, {"run_id": None, "page": None, "started": False, "why": []})
        say(f"trigger: {found.gate} passed, nothing to start")
        return
    run = submit(
        pipeline,
        _whole(parameters),
        connection=connection,
        root=root,
        service_account=service_account,
        unless_active=True,
    )
    write_json(
        out_run, {"run_id": run.run_id, "page": run.page, "started": run.started, "why": why}
    )
    say(f"trigger: {pipeline} {'started' if run.started else 'already active'}: {run.page}")


def _whole(value: Any) -> Any:
    """Whole numbers as integers: in a mapping, kfp hands every number on as a float."""
    if isinstance(value, Mapping):
        return {key: _whole(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_whole(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value

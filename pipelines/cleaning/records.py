"""Runs as the pipelines' server records them: which ended, which may still read what others made."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from hemix.errors import HemixError
from hemix.pipelines.kfp_client.api import NotFound, PipelinesApi
from hemix.pipelines.kfp_client.following import ENDED
from hemix.pipelines.kfp_client.lost import is_lost, last_sign
from hemix.pipelines.kfp_client.runs import spec_of_run

READ_NOTHING = ("monitoring", "experiment", "cleaning")
"""Pipelines whose runs take nothing from another run: no step of theirs is cached."""


@dataclass(frozen=True)
class RunEnd:
    """A run that ended: its id and when."""

    run_id: str
    ended: datetime


@dataclass(frozen=True)
class Recorded:
    """Runs that ended, and for people those that have not and may read others' artifacts."""

    ended: tuple[RunEnd, ...]
    active: tuple[str, ...]
    lost: tuple[str, ...]


def recorded(api: PipelinesApi) -> Recorded:
    """Every run of the namespace.

    Raises:
        HemixError: the server refuses or does not answer.
    """
    namespace = {"namespace": api.namespace} if api.namespace else {}
    listing = api.pipelines.pipeline_service_list_pipelines
    quiet = {
        pipeline.pipeline_id
        for pipeline in api.all_of(listing, "pipelines", **namespace)
        if (pipeline.name or pipeline.display_name) in READ_NOTHING
    }
    ended, active, lost = [], [], []
    for run in api.all_of(api.runs.run_service_list_runs, "runs", **namespace):
        if run.state in ENDED:
            ended.append(RunEnd(run.run_id, run.finished_at or last_sign(run)))
        elif is_lost(run, spec_of_run(api, run.run_id), api.now):
            lost.append(f"{run.display_name} ({run.run_id})")
        elif _pipeline_of(run) not in quiet:
            active.append(f"{run.display_name} ({run.run_id})")
    return Recorded(tuple(ended), tuple(active), tuple(lost))


def older(runs: Iterable[RunEnd], days: int, now: datetime) -> list[RunEnd]:
    """Those that ended more than ``days`` ago."""
    return [run for run in runs if now - run.ended > timedelta(days=days)]


def forget(api: PipelinesApi, run_id: str) -> str:
    """Remove a run's record, and with it what the cache has of its steps; why not, when it stays."""
    try:
        api.write(api.runs.run_service_delete_run, run_id=run_id)
    except NotFound:
        return ""
    except HemixError as error:
        return error.message
    return ""


def _pipeline_of(run: Any) -> str:
    reference = run.pipeline_version_reference
    return str(reference.pipeline_id) if reference else ""

"""pytest's worker processes: who takes which file when, and what would slow each of them down."""

from __future__ import annotations

import inspect
import os
import sys

import pytest
from xdist.scheduler import LoadFileScheduling

SHARED_ENDPOINT = (
    "tests/pipelines/replay/test_replay.py",  # counts exposures: before others that make some
    "tests/serving/protocol/test_endpoint.py",
    "tests/serving/protocol/test_fuzz.py",
    "tests/serving/protocol/test_clients.py",
    "tests/serving/two_roles/test_roles.py",
    "tests/serving/events/test_events.py",
    "tests/serving/registry/test_commands.py",
    "tests/benchmarks/test_serving.py",
)
"""Files whose tests ask for the session's endpoint: one worker starts it, no other has to."""

LONGEST = (
    "tests/pipelines/test_s3_job.py",
    "tests/pipelines/test_main_job.py",
    "tests/features/test_runners.py",
    *SHARED_ENDPOINT,
    "tests/infra/test_cluster_check.py",
    "tests/components/test_train_processes.py",
    "tests/serving/admission/test_overload.py",
    "tests/packaging/test_wheel.py",
    "tests/serving/launch/test_changes.py",
    "tests/docs/test_how_to.py",
    "tests/models/training/test_steps.py",
    "tests/models/training/test_train.py",
    "tests/components/test_register_features.py",
    "tests/components/test_evaluate.py",
    "tests/serving/ranking/test_id_types.py",
    "tests/serving/ranking/test_own_values.py",
    "tests/serving/ranking/test_interaction_rankers.py",
    "tests/pipelines/test_odd_logs.py",
    "tests/pipelines/test_experiment_cluster.py",
    "tests/features/transform/test_graph.py",
)
"""Files that take longest, in the order they start: none is left running alone at the end."""


def longest_first(items: list[pytest.Item]) -> None:
    """Sort tests in place by :data:`LONGEST`; all others stay where they are, behind."""
    places = {file: place for place, file in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.nodeid.split("::", 1)[0], len(places)))


class ByFile(LoadFileScheduling):
    """A file stays with one worker, and so do all files that ask for the session's endpoint."""

    def _split_scope(self, nodeid: str) -> str:
        file = str(super()._split_scope(nodeid))
        return SHARED_ENDPOINT[0] if file in SHARED_ENDPOINT else file


def know_own_stack() -> None:
    """Note for :mod:`inspect` that the lowest frames of a worker are of no module.

    A worker is started from texts, so ``inspect.stack()`` looks for these frames' file in every
    module that is loaded, each time anew. kfp calls it for each setting of each task: to compile a
    pipeline took a worker many times as long. What ``inspect`` answers stays the same.
    """
    frame = sys._getframe()
    while frame is not None:
        name = frame.f_code.co_filename
        module = sys.modules.get(frame.f_globals["__name__"])
        if getattr(module, "__file__", None) != name:
            for written in (name, os.path.abspath(name)):
                inspect.modulesbyfile.setdefault(written, "of no module")
        frame = frame.f_back

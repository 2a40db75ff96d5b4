"""How much a user's live state bends a metric within a user: a finished run's model scored again.

``python -m benchmarks.accuracy.within_user --run runs/demo`` needs no training. Of the run's test rows
and each task it gives

- ``running_rate``: GAUC of nothing but the user's own positive rate before each row, counted in these
  rows; ``shuffled`` with the labels shuffled inside each user and the rate counted again, where a fair
  metric says .5; ``feature`` of the log's own counter of it, where the definition has one; ``first`` of
  it as of the user's first row, which is .5 whatever the labels;
- ``model`` and ``boosting``: AUC and GAUC of the stored version ``as_logged``, each row with the state
  of its own time, and with ``one_state`` a user; and the difference to the rule, paired by user;
- ``rule``: what stands beside every model (:mod:`hemix.components.evaluate.rule`).

The last line is JSON.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy.data import RunData
from benchmarks.accuracy.repeated import published
from hemix.components.evaluate.boosting import boosting_scores
from hemix.components.evaluate.rule import rule_scores
from hemix.components.evaluate.scoring import OWN, candidate_scores, served_rows
from hemix.components.evaluate.shared import BY_USER
from hemix.components.evaluate.tables import read_split
from hemix.errors import DataError
from hemix.models.metrics import pointwise as metrics
from hemix.models.metrics.bootstrap import UserBootstrap
from hemix.models.metrics.per_request import ordered
from hemix.models.metrics.within_user import GAUC, within_user
from hemix.pipelines.local.record import RunRecord

Labels = NDArray[np.int8]
Codes = NDArray[np.int64]
REPLICATES = 300
SEED = 20220501


def running_rate(labels: Labels, users: Codes, times: Codes, prior: float) -> NDArray[np.float64]:
    """The user's positive rate ``[B]`` among earlier rows, smoothed by one row of ``prior``.

    Args:
        labels: 0 or 1 ``[B]``.
        users: codes ``[B]``.
        times: ``[B]``; rows of one user and time do not see each other.
        prior: the rate of a user without earlier rows.
    """
    order = np.lexsort((times, users))
    user, time, label = users[order], times[order], labels[order].astype(np.float64)
    place = np.arange(len(order))
    new_user = np.append(True, user[1:] != user[:-1])
    new_time = new_user | np.append(True, time[1:] != time[:-1])
    first = np.maximum.accumulate(np.where(new_user, place, 0))
    upto = np.maximum.accumulate(np.where(new_time, place, 0))
    total = np.concatenate(([0.0], np.cumsum(label)))
    found = np.empty(len(order))
    found[order] = (total[upto] - total[first] + prior) / (upto - first + 1)
    return found


def shuffled_inside(labels: Labels, users: Codes, seed: int) -> Labels:
    """The labels ``[B]``, shuffled among the rows of each user."""
    random = np.random.default_rng(seed).random(len(labels))
    found = np.empty_like(labels)
    found[np.lexsort((np.arange(len(labels)), users))] = labels[np.lexsort((random, users))]
    return found


def measure(run: Path) -> dict[str, Any]:
    """The figures of the module's text.

    Raises:
        DataError: the run ended before its model was trained.
    """
    record = RunRecord.read(run / "run.json")
    data, model = RunData.recorded(record), record.artifact("train", "model")
    if model is None:
        raise DataError(f"{record.version}: the run has no trained model.")
    tasks = [task.name for task in data.spec.tasks]
    labels_of = [task.column for task in data.spec.tasks]
    test = read_split(data.transformed, "test", ["user_id", "event_time", *labels_of])
    users = np.unique(test["user_id"].to_numpy(zero_copy_only=False), return_inverse=True)[1]
    times = test["event_time"].cast("int64").to_numpy()
    views = {} if data.one_state is None else {BY_USER: data.one_state}
    served_as = record.parameters["definition"]
    fixed = {
        field["name"]: field["serve_as"]
        for kind in ("categorical", "numeric")
        for field in served_as[kind]
        if field.get("serve_as") is not None
    }
    found = {
        "model": candidate_scores(model, data.transformed, views),
        "boosting": boosting_scores(
            transformed=data.transformed,
            spec=data.spec,
            seed=SEED,
            served=served_rows(model),
            views=views,
        ),
    }
    rules = rule_scores(transformed=data.transformed, spec=data.spec, served_as=fixed)
    draws = UserBootstrap.draw(users, replicates=REPLICATES, seed=SEED)
    figures: dict[str, Any] = {}
    for task, column in zip(tasks, labels_of, strict=True):
        labels = test[column].to_numpy()
        shuffled = shuffled_inside(labels, users, SEED)
        prior = float(labels.mean())

        def gauc(scores: NDArray[Any], labels: Labels = labels) -> float:
            return round(within_user(GAUC, labels, scores, users), 4)

        rate = running_rate(labels, users, times, prior)
        row: dict[str, Any] = {
            "users": int(users.max()) + 1,
            "ordered_users": ordered(labels, users),
            "running_rate": {
                "as_logged": gauc(rate),
                "shuffled": gauc(running_rate(shuffled, users, times, prior), shuffled),
            },
            "rule": {
                "fields": list(rules[task].fields),
                "auc": round(metrics.auc(labels, rules[task].scores), 4),
                "gauc": gauc(rules[task].scores),
            },
        }
        counted = f"user_{task}_rate_ever_scaled"
        if counted in {number.name for number in data.spec.numeric}:
            rows = read_split(data.transformed, "test", [counted])
            row["running_rate"]["feature"] = gauc(rows[counted].to_numpy())
            if data.one_state is not None:
                row["running_rate"]["first"] = gauc(data.one_state(rows, 0)[counted].to_numpy())
        rule = draws.metric(GAUC, labels, rules[task].scores)
        for name, scored in found.items():
            own, shared = scored[OWN][task], scored.get(BY_USER, scored[OWN])[task]
            gap = draws.difference(draws.metric(GAUC, labels, shared), rule)
            row[name] = {
                "auc": round(metrics.auc(labels, own), 4),
                "as_logged": gauc(own),
                "one_state": gauc(shared),
                "minus_rule": [round(x, 4) for x in (gap.value, gap.low, gap.high)],
            }
        figures[task] = row
    return {
        "dataset": record.parameters["definition"]["name"],
        "split": record.parameters["definition"]["split"],
        "rows": test.num_rows,
        "tasks": figures,
    }


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, prog="python -m benchmarks.accuracy.within_user"
    )
    parser.add_argument("--run", type=Path, default=Path("runs/demo"), help="a finished hemix run")
    parser.add_argument("--no-write", action="store_true", help="write no result file")
    arguments = parser.parse_args()
    figures = measure(arguments.run)
    name = f"within_user-{figures['dataset']}"
    return published("accuracy.within_user", figures, arguments, name=name)


if __name__ == "__main__":
    sys.exit(main())

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import ndcg_score, roc_auc_score

from hemix.errors import DefinitionError
from hemix.serving.experiments.joining import attribute
from hemix.serving.experiments.logs import read_exposures, read_outcomes
from hemix.serving.experiments.policy import Metric
from hemix.serving.experiments.statistics.measures import (
    Table,
    calibration_of,
    errors_of,
    table_of,
    values_of,
)
from hemix.serving.messages.answer import RankingAnswer
from tests.serving.experiments.logged import START_MS, exposure, write_exposures, write_outcomes

ITEMS = 12
REQUESTS = 60


def traffic(root: Path) -> tuple[Table, list[RankingAnswer], list[np.ndarray]]:
    """Requests with ties, two tasks and several final orders; labels of every item."""
    rng = np.random.default_rng(0)
    answers, labels, entries, rows = [], [], [], []
    for number in range(REQUESTS):
        scores = {
            task: (rng.integers(0, 5, ITEMS) / 4).astype(np.float32) for task in ("click", "long")
        }
        order = [None, {"click": 1.0, "long": 0.5}, {"long": 1.0}][number % 3]
        answer = RankingAnswer(
            request_id=f"r{number:03}",
            user_id=number % 7,
            version="v1",
            variant="champion",
            item_ids=list(range(ITEMS)),
            scores=scores,
            flags=(),
            unknown_items=[],
            order=order,
        )
        clicked = (rng.random(ITEMS) < 0.3).astype(float)
        answers.append(answer)
        labels.append(clicked)
        time_ms = START_MS + number
        entries.append(
            exposure(
                answer.request_id,
                number % 7,
                time_ms=time_ms,
                item_ids=answer.item_ids,
                order=order,
                flags=("features_unavailable",) if number == 4 else (),
            )
        )
        entries[-1] = _with_scores(entries[-1], scores)
        rows += [
            (answer.request_id, item, "click", value, time_ms) for item, value in enumerate(clicked)
        ]
    failed = exposure("failed", 3, time_ms=START_MS + REQUESTS, error="ModelVersionError")
    entries.append(_with_scores(failed, {}))
    write_exposures(root / "exposures", entries)
    write_outcomes(root / "outcomes.jsonl", rows)
    found = read_exposures(str(root / "exposures"), layer="model")
    kept, _ = attribute(
        found.rows, read_outcomes(str(root / "outcomes.jsonl")).rows, window_ms=1_000
    )
    return table_of(found.rows, kept, found.tasks), answers, labels


def _with_scores(entry, scores):  # type: ignore[no-untyped-def]
    from dataclasses import replace

    return replace(entry, scores=scores)


def metric(kind: str, **more: object) -> Metric:
    return Metric.model_validate({"name": "m", "kind": kind, "task": "click", **more})


def test_the_served_order_is_the_answers_own(tmp_path: Path) -> None:
    table, answers, _ = traffic(tmp_path)
    for number, answer in enumerate(answers):
        rows = table.shown.filter(pl.col("request") == number).sort("place")
        assert rows["place"].to_list() == list(range(ITEMS))
        # Outcomes come in the order of the request's items, which are 0 to 11 here.
        order = table.shown.filter(pl.col("request") == number)["place"].arg_sort().to_list()
        assert order == answer.ranked_item_ids


@pytest.mark.parametrize("kind", ["auc", "ndcg"])
def test_ordering_metrics_are_sklearns(tmp_path: Path, kind: str) -> None:
    table, answers, labels = traffic(tmp_path)
    found = values_of(metric(kind, top=5), table)
    for number, (answer, clicked) in enumerate(zip(answers, labels, strict=True)):
        if not 0 < clicked.sum() < ITEMS:
            assert (found.numbers[number], found.sizes[number]) == (0.0, 0.0)
            continue
        place = np.argsort(answer.ranked_item_ids)
        expected = (
            roc_auc_score(clicked, -place)
            if kind == "auc"
            else ndcg_score(clicked[None], -place[None].astype(float), k=5)
        )
        assert found.numbers[number] == pytest.approx(expected)
        assert found.sizes[number] == 1.0


def test_sums_of_values_over_outcomes_requests_and_users(tmp_path: Path) -> None:
    table, _, labels = traffic(tmp_path)
    clicks = sum(c.sum() for c in labels)
    for kind, size in (("rate", REQUESTS * ITEMS), ("per_request", REQUESTS + 1), ("per_user", 7)):
        found = values_of(metric(kind), table)
        assert found.numbers.sum() == clicks
        assert found.sizes.sum() == size


def test_failed_and_degraded_requests_are_errors(tmp_path: Path) -> None:
    table, _, _ = traffic(tmp_path)
    assert np.flatnonzero(errors_of(table).numbers).tolist() == [4, REQUESTS]


def test_calibration_sums_what_was_predicted_for_the_items_with_outcomes(tmp_path: Path) -> None:
    table, answers, labels = traffic(tmp_path)
    found = calibration_of("click", table)
    assert found.numbers.sum() == pytest.approx(sum(a.scores["click"].sum() for a in answers))
    assert found.sizes.sum() == sum(c.sum() for c in labels)


def test_a_task_without_outcomes_is_named(tmp_path: Path) -> None:
    table, _, _ = traffic(tmp_path)
    with pytest.raises(DefinitionError, match="metric m: no outcome has the task 'buy'"):
        values_of(metric("rate", task="buy"), table)

"""Outcomes and exposures as other programs write them: read exactly, or lost with the reason said."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from hemix.errors import DataError
from hemix.serving.experiments.analysis import analyse
from hemix.serving.experiments.assignment import assign, epoch_of, variants_of
from hemix.serving.experiments.decision import decide
from hemix.serving.experiments.design import Design
from hemix.serving.experiments.joining import join
from hemix.serving.experiments.logs import read_exposures, read_outcomes
from hemix.serving.experiments.policy import ExperimentPolicy
from hemix.serving.experiments.results import Analysis, Decision
from tests.serving.experiments.logged import START_MS, registry_state

ARMS = variants_of(registry_state())
DESIGN = Design(layer="model", epoch=epoch_of(ARMS, "salt"), arms=ARMS)
POLICY = ExperimentPolicy.parse("{secondary: [], guardrails: {}, minimum_users: 50}")
HOUR_MS = 3_600_000
Lines = list[dict[str, Any]]


def exposures() -> Lines:
    lines = []
    for user in range(200):
        arm = assign(ARMS, salt="salt", user_id=user)
        for visit in range(2):
            ms = START_MS + user * 1_000 + visit * 7 * HOUR_MS
            lines.append(
                {
                    "request_id": f"q{user}.{visit}", "user_id": user, "request_ms": ms,
                    "time_ms": ms, "latency_ms": 4.0, "variant": arm.name, "version": arm.version,
                    "layers": {"model": arm.name}, "epochs": {"model": DESIGN.epoch},
                    "item_ids": [11, 12], "scores": {"click": [0.4, 0.3]}, "order": None,
                    "flags": [], "error": "",
                }
            )  # fmt: skip
    return lines


def outcomes(lines: Lines) -> Lines:
    random = np.random.default_rng(5)
    return [
        {
            "request_id": line["request_id"], "item_id": item, "task": "click",
            "value": float(random.random() < 0.4), "time_ms": line["request_ms"] + 1_500,
        }
        for line in lines
        for item in (11, 12)
    ]  # fmt: skip


def write(root: Path, lines: Lines, rows: Lines | pl.DataFrame) -> None:
    (root / "exposures").mkdir(parents=True, exist_ok=True)
    (root / "outcomes").mkdir(exist_ok=True)
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (root / "exposures" / "exposures-2022-05-01T00.jsonl").write_text(text)
    if isinstance(rows, pl.DataFrame):
        rows.write_parquet(root / "outcomes" / "part.parquet")
    else:
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (root / "outcomes" / "part.jsonl").write_text(text)


def judged(root: Path, policy: ExperimentPolicy = POLICY) -> tuple[Analysis, Decision]:
    followed = read_outcomes(str(root / "outcomes"))
    joined = join(
        read_exposures(str(root / "exposures"), layer="model"), followed, epoch=DESIGN.epoch,
        window_ms=policy.attribution_ms, arms={arm.name: arm.version for arm in ARMS},
    )  # fmt: skip
    analysis = analyse(DESIGN, joined, followed, policy)
    return analysis, decide(DESIGN, analysis, policy)


def moments(unit: str, zone: str | None) -> Callable[[pl.DataFrame], pl.DataFrame]:
    time = pl.from_epoch("time_ms", "ms").cast(pl.Datetime(unit))  # type: ignore[arg-type]
    if zone:
        time = time.dt.replace_time_zone("UTC").dt.convert_time_zone(zone)
    return lambda table: table.with_columns(time)


def texts(template: str) -> Callable[[pl.DataFrame], pl.DataFrame]:
    text = pl.from_epoch("time_ms", "ms").dt.to_string(template)
    return lambda table: table.with_columns(time_ms=text)


def cast(**kinds: Any) -> Callable[[pl.DataFrame], pl.DataFrame]:
    return lambda table: table.with_columns(pl.col(name).cast(kind) for name, kind in kinds.items())


SAME: dict[str, Callable[[pl.DataFrame], pl.DataFrame]] = {
    **{f"timestamps in {unit}, zone {zone}": moments(unit, zone)
       for unit in ("ms", "us", "ns") for zone in (None, "Asia/Shanghai")},
    "iso": texts("%Y-%m-%dT%H:%M:%S%.3f"),
    "iso Z": texts("%Y-%m-%dT%H:%M:%S%.3fZ"),
    "iso offset": texts("%Y-%m-%d %H:%M:%S%.3f+00:00"),
    "times as floats": cast(time_ms=pl.Float64),
    "times as text": cast(time_ms=pl.String),
    "times as decimals": cast(time_ms=pl.Decimal(18, 0)),
    "items as floats": cast(item_id=pl.Float64),
    "items as text": cast(item_id=pl.String),
    "items as decimals": cast(item_id=pl.Decimal(12, 2)),
    "items as categories": cast(item_id=pl.String, task=pl.Categorical),
    "values as flags": cast(value=pl.Boolean),
    "values as text": lambda t: t.with_columns(pl.col("value").cast(pl.Boolean).cast(pl.String)),
    "values as decimals": cast(value=pl.Decimal(3, 1)),
    "values as small numbers": cast(value=pl.Int8),
}  # fmt: skip


@pytest.mark.parametrize("name", SAME)
def test_whatever_types_a_writer_chose_the_outcomes_are_the_same(name: str, tmp_path: Path) -> None:
    lines = exposures()[:20]
    rows = pl.DataFrame(outcomes(lines))
    for folder, table in (("plain", rows), ("other", SAME[name](rows))):
        write(tmp_path / folder, lines, table)
    plain, other = (read_outcomes(str(tmp_path / f / "outcomes")) for f in ("plain", "other"))
    assert other.unreadable == 0
    assert other.rows.equals(plain.rows)


def test_ids_are_exact_whatever_wrote_them(tmp_path: Path) -> None:
    large = 2**62 + 1
    lines = [{**line, "item_ids": [large, 12.0], "user_id": "u"} for line in exposures()[:2]]
    rows = [
        {"request_id": lines[0]["request_id"], "item_id": item, "task": "click", "value": True,
         "time_ms": START_MS + 5}
        for item in (large, str(large), "12", 12.0)
    ]  # fmt: skip
    write(tmp_path, lines, rows)
    table = pl.DataFrame({**rows[0], "item_id": [Decimal(large)]})
    table.write_parquet(tmp_path / "outcomes" / "decimal.parquet")
    table.with_columns(item_id=pl.lit(float(large))).write_parquet(
        tmp_path / "outcomes" / "float.parquet"
    )
    analysis, _ = judged(tmp_path)
    assert (analysis.counts["joined"], analysis.counts["duplicates"]) == (2, 3)
    assert analysis.counts["outcomes_unreadable"] == 1
    assert "has lost digits" in read_outcomes(str(tmp_path / "outcomes")).example


def each(**changes: Callable[[dict[str, Any]], Any]) -> Callable[[Lines], Lines]:
    return lambda rows: [{**row, **{k: f(row) for k, f in changes.items()}} for row in rows]


def scaled(factor: float) -> Callable[[Lines], Lines]:
    return each(time_ms=lambda row: round(row["time_ms"] * factor))


OUTCOMES: dict[str, tuple[Callable[[Lines], Lines], str]] = {
    "seconds": (scaled(1e-3), "looks like seconds, and must be milliseconds: multiply by 1,000"),
    "fractional seconds": (each(time_ms=lambda r: r["time_ms"] / 1e3), "looks like seconds"),
    "microseconds": (scaled(1e3), "looks like microseconds"),
    "nanoseconds": (scaled(1e6), "looks like nanoseconds"),
    "a day": (each(time_ms=lambda _: "2022-05-01"), "is a day, and must be a time"),
    "nonsense times": (each(time_ms=lambda _: "soon"), "'soon' is not a time"),
    "no value": (each(value=lambda _: None), "value is missing"),
    "NaN": (each(value=lambda _: float("nan")), "line 1: not JSON"),
    "words": (each(value=lambda _: "often"), "'often' is not a number"),
    "hours early": (each(time_ms=lambda r: r["time_ms"] - 2 * HOUR_MS),
                    "before their request: are times in another time zone"),
    "days late": (each(time_ms=lambda r: r["time_ms"] + 48 * HOUR_MS), "later than attribution_hours"),
    "other items": (each(item_id=lambda r: f"item-{r['item_id']}"), "not in their request"),
    "other ids": (each(request_id=lambda r: r["request_id"].upper()), "no exposure has"),
    "a constant id": (each(request_id=lambda _: "trace"), "no exposure has"),
    "an empty id": (each(request_id=lambda _: ""), "request_id: '' is not an id"),
    "a fifth": (lambda rows: [{**r, "time_ms": 9} if i % 5 == 0 else r for i, r in enumerate(rows)],
                "before their request"),
    "nothing": (lambda rows: [], "None of 0 outcomes belongs to the 400 requests"),
    "last year's": (each(request_id=lambda r: "old" + r["request_id"],
                         time_ms=lambda r: r["time_ms"] - 10**10), "came before the first exposure"),
}  # fmt: skip


@pytest.mark.parametrize("name", OUTCOMES)
def test_lost_outcomes_are_a_verdict_with_the_reason(name: str, tmp_path: Path) -> None:
    change, said = OUTCOMES[name]
    lines = exposures()
    write(tmp_path, lines, change(outcomes(lines)))
    analysis, decision = judged(tmp_path)
    assert decision.verdict == "unusable"
    assert said in " ".join(decision.reasons)
    assert not analysis.comparisons


def nth(number: int, **values: Any) -> Callable[[Lines], Lines]:
    return lambda lines: [
        {**line, **values} if i % number == 0 else line for i, line in enumerate(lines)
    ]


EXPOSURES: dict[str, tuple[Callable[[Lines], Lines], str]] = {
    "a constant id": (each(request_id=lambda _: "same"), "request ids of more than one request"),
    "an id a user": (each(request_id=lambda r: f"u{r['user_id']}"), "request ids of more than one"),
    "an id a visit": (each(request_id=lambda r: r["request_id"][-1]), "request ids of more than one"),
    "no id": (each(request_id=lambda _: None), "request_id: None is not an id"),
    "no user": (nth(3, user_id=None), "user_id: None is not an id"),
    "seconds": (each(request_ms=lambda r: r["request_ms"] // 1000), "looks like seconds"),
    "another version": (nth(4, version="v9"), "versions that are not in the experiment"),
    "another variant": (nth(4, layers={"model": "third"}), "variants or versions that are not"),
    "cut lists": (nth(4, scores={"click": [0.5]}), "scores: not as many as item_ids"),
}  # fmt: skip


@pytest.mark.parametrize("name", EXPOSURES)
def test_lost_exposures_are_a_verdict_with_the_reason(name: str, tmp_path: Path) -> None:
    change, said = EXPOSURES[name]
    lines = exposures()
    write(tmp_path, change(lines), outcomes(lines))
    _, decision = judged(tmp_path)
    assert decision.verdict == "unusable"
    assert said in " ".join(decision.reasons)


def test_what_is_not_lost_and_what_a_policy_allows_goes_on(tmp_path: Path) -> None:
    lines = exposures()
    rows = outcomes(lines)
    few = [{**row, "time_ms": 9} if i % 20 == 0 else row for i, row in enumerate(rows)]
    write(tmp_path / "few", [*lines, *lines[:9]], [*few, *rows[:50]])
    analysis, decision = judged(tmp_path / "few")
    assert decision.verdict == "continue"
    assert [(loss.reason, loss.count) for loss in analysis.losses] == [("early", 40)]
    assert (analysis.counts["repeated"], analysis.counts["reused"]) == (9, 0)
    write(tmp_path / "half", lines, rows[::2] + each(item_id=lambda _: 99)(rows[1::2]))
    assert judged(tmp_path / "half")[1].verdict == "unusable"
    allowed = POLICY.model_copy(update={"most_lost": 0.6})
    assert judged(tmp_path / "half", allowed)[1].verdict == "continue"


def test_what_looks_wrong_is_noted(tmp_path: Path) -> None:
    lines = exposures()
    later = each(time_ms=lambda r: r["time_ms"] + 8 * HOUR_MS, value=lambda _: 1)(outcomes(lines))
    write(tmp_path, lines, [*later, *each(task=lambda _: "share")(later)])
    _, decision = judged(tmp_path)
    text = " ".join(decision.reasons)
    assert "8.0 hours or more after their request" in text
    assert "Every outcome of click is 1" in text
    assert "800 of 1,600 outcomes are of tasks that the policy does not ask for: 'share'" in text


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (pl.Series("time_ms", ["2022-05-01"]).str.to_date(), "time_ms holds a day, not a time"),
        (pl.Series("item_id", [[1]]), r"item_id holds List\(Int64\)"),
        (pl.Series("value", [{"a": 1}]), "value holds Struct"),
    ],
)
def test_a_column_that_cannot_hold_it_is_refused(
    column: pl.Series, said: str, tmp_path: Path
) -> None:
    rows = pl.DataFrame(outcomes(exposures())[:1]).with_columns(column)
    write(tmp_path, [], rows)
    with pytest.raises(DataError, match=rf"part\.parquet: the column {said}"):
        read_outcomes(str(tmp_path / "outcomes"))


def test_other_files_are_refused_when_they_hold_rows_and_marks_are_not(tmp_path: Path) -> None:
    lines = exposures()[:2]
    write(tmp_path, lines, outcomes(lines))
    folder = tmp_path / "outcomes"
    for name in ("_SUCCESS", ".part.crc", "README.txt", "exposures-1.jsonl"):
        (folder / name).write_text("x")
    (folder / "_temporary").mkdir()
    (folder / "_temporary" / "a.jsonl").write_text("x")
    (folder / "MORE.JSONL").write_text(json.dumps(outcomes(lines)[0]))
    assert (read_outcomes(str(folder)).rows.height, read_outcomes(str(folder)).unreadable) == (5, 0)
    (folder / "more.jsonl.gz").write_bytes(b"x")
    with pytest.raises(DataError, match=r"more\.jsonl\.gz: this kind of file is not read"):
        read_outcomes(str(folder))

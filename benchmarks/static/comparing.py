"""The rows of the table: settings found or kept, one training a seed, compared with the base."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.accuracy import search, table
from benchmarks.accuracy.data import RunData, Scores
from benchmarks.accuracy.repeated import Train, over_seeds
from benchmarks.accuracy.training import Look, train
from benchmarks.static import looks, settings
from benchmarks.static.entries import Entry
from benchmarks.static.frappe import TASK
from hemix.models.metrics import pointwise


@dataclass(frozen=True, kw_only=True)
class Row:
    """``base``: compared with; ``like``: whose settings it keeps (itself: a search of its own)."""

    base: str
    like: str
    train: Train


@dataclass(frozen=True, kw_only=True)
class Ours:
    """Our rankers' trainings. Weights are not kept: a base is looked at when it is trained, once."""

    asked: Mapping[str, Entry]
    data: RunData
    folder: Path

    def rows(self) -> dict[str, Row]:
        """A row an entry."""
        return {
            name: Row(base=e.base, like=e.like, train=functools.partial(self.train, name))
            for name, e in self.asked.items()
        }

    def train(
        self, name: str, seed: int, setting: Mapping[str, str]
    ) -> tuple[dict[str, Any], Scores]:
        """One training; widths chosen from the base are those of its first seed with ``setting``."""
        entry = self.asked[name]
        overrides = {**settings.fixed(entry.recipe), **setting, **entry.overrides}
        if entry.ratio is not None:
            trained, _ = self.train(entry.base, 0, setting)
            overrides["model.embedding.widths"] = str(trained[looks.fdo(entry.ratio)])
        return train(
            recipe=entry.recipe, seed=seed, overrides=overrides, data=self.data,
            folder=self.folder, also=self._also(name, seed),
        )  # fmt: skip

    def _also(self, name: str, seed: int) -> dict[str, Look]:
        entry = self.asked[name]
        counted = {"zero_rows": looks.zero_rows(self.data)}
        if entry.by_group_ftrl:
            return counted
        if name != entry.base or seed:
            return {}
        on_top = [e for e in self.asked.values() if e.base == name]
        also = counted if any(e.by_group_ftrl for e in on_top) else {}
        ratios = [e.ratio for e in on_top if e.ratio is not None]
        return also | {looks.fdo(ratio): looks.widths(self.data, ratio) for ratio in ratios}


def compare(
    rows: Mapping[str, Row], data: RunData, *, trials: int, seeds: int
) -> dict[str, dict[str, Any]]:
    """The table's figures by row; a base stands before what is put on top of it."""
    found: dict[str, dict[str, Any]] = {}
    scores: dict[str, list[Scores]] = {}
    chosen: dict[str, dict[str, Any]] = {}
    for number, (name, row) in enumerate(rows.items()):
        if name == row.like:
            tried = settings.tried(trials)
            if name != row.base:
                tried = settings.rates(chosen[row.base]["setting"], trials)
            setting, searched = search.best(tried, functools.partial(_first, row))
            chosen[name] = {"setting": setting, "trials": [round(s, 5) for s in searched]}
        own = functools.partial(row.train, setting=chosen[row.like]["setting"])
        said = f"{number + 1}/{len(rows)} {name}"
        found[name], scores[name] = over_seeds(said, own, seeds=seeds, data=data)
        found[name] |= {"base": row.base, **chosen[row.like]}
    for base in {row.base for row in rows.values()}:
        family = {name: scores[name] for name, row in rows.items() if row.base == base}
        if len(family) > 1:
            for name, gap in table.differences(family, base, data.test).items():
                found[name]["difference"] = gap
                found[name]["paired"] = _paired(data, family[name], family[base])
    return found


def _first(row: Row, setting: Mapping[str, str]) -> dict[str, Any]:
    return row.train(seed=0, setting=setting)[0]


def _paired(data: RunData, ours: list[Scores], base: list[Scores]) -> dict[str, float]:
    """Test AUC minus the base's, seed by seed: mean and deviation."""
    labels = data.test.labels[TASK]

    def auc(scores: Scores) -> float:
        return float(pointwise.auc(labels, scores[TASK].astype(np.float64)))

    return table.spread([auc(a) - auc(b) for a, b in zip(ours, base, strict=True)])

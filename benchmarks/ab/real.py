"""The shipped KuaiRand log as a population: what each user did before, and did look by look."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from benchmarks.ab.studies import Columns
from hemix.features.definition import EXAMPLES, DatasetDefinition
from hemix.serving.experiments.statistics.effects import Floats, Moments, compare
from hemix.serving.experiments.statistics.moments import Codes, looks
from hemix.serving.experiments.statistics.preperiod import covariates


@dataclass(frozen=True, kw_only=True)
class RealLog:
    """Impressions of the test window in order of time, and the pre-period of their users.

    ``user`` and ``click`` are ``[impressions]``, ``cuts`` the number of impressions at each look,
    ``before`` the covariates ``[U, C]``, ``known`` how many users have a pre-period.
    """

    user: Codes
    click: Floats
    cuts: Codes
    before: Floats
    known: int

    @property
    def users(self) -> int:
        return len(self.before)

    @property
    def impressions(self) -> int:
        return len(self.user)

    def columns(self, lift: float) -> Iterator[Columns]:
        """Each look's columns; under treatment some skips are clicks, so that the rate is ``lift``
        higher (relative). The same skips for every experiment, drawn once."""
        draws = np.random.default_rng(20220501).random(self.impressions)
        rate = self.click.mean()
        turned = np.where(draws < lift * rate / (1 - rate), 1.0, self.click)
        sums = [np.zeros((self.users, 2)) for _ in range(2)]
        begin = 0
        for cut in self.cuts:
            part = slice(begin, int(cut))
            for table, click in zip(sums, (self.click, turned), strict=True):
                table[:, 0] += np.bincount(self.user[part], click[part], self.users)
                table[:, 1] += np.bincount(self.user[part], minlength=self.users)
            begin = int(cut)
            control, control_requests = self._rows(sums[0])
            treatment, treatment_requests = control, control_requests
            if lift:
                treatment, treatment_requests = self._rows(sums[1])
            yield Columns(
                control=control,
                treatment=treatment,
                control_requests=control_requests,
                treatment_requests=treatment_requests,
            )

    def _rows(self, sums: Floats) -> tuple[Floats, Floats]:
        clicks, shown = sums.T
        came = (shown > 0).astype(np.float64)
        rows = np.concatenate([np.stack([came, clicks, shown], axis=1), self.before], axis=1)
        # An impression is a request: n is the click, d is 1.
        flat = np.stack(
            [shown, clicks, shown, clicks, clicks, clicks, shown, clicks, shown], axis=1
        )
        return rows, flat

    def variance_kept(self) -> float:
        """Share of the variance of the click rate by user that CUPED leaves, all data, one arm's
        worth of noise: the mean over 50 random halves."""
        *_, last = self.columns(0.0)
        rng = np.random.default_rng(1)
        kept = []
        for _ in range(50):
            half = rng.random(self.users) < 0.5
            arms = [
                Moments(
                    users=last.control[mask].T @ last.control[mask],
                    requests=last.control_requests[mask].sum(0).reshape(3, 3),
                )
                for mask in (~half, half)
            ]
            found = compare(
                *arms, scale="relative", alpha=0.05, horizon=self.impressions, adjust=True
            )
            kept.append(float(found.variance_kept))
        return float(np.mean(kept))


def read_log(*, looks: int, users: int | None = None) -> RealLog:
    """The shipped log: 1 to 8 May as the experiment, 25 to 30 April as what came before."""
    definition = DatasetDefinition.load("kuairand")
    window = definition.split.test
    log = pl.read_parquet(EXAMPLES / "kuairand" / "data" / "interactions.parquet").unique(
        ["user_id", "video_id", "time_ms"], keep="first", maintain_order=True
    )
    start, end = (round(t.timestamp() * 1000) for t in (window.start, window.end))
    during = log.filter(pl.col("time_ms").is_between(start, end, closed="left"))
    ids = during["user_id"].unique().sort()
    if users is not None:
        ids = ids.sample(users, seed=0).sort()
        during = during.filter(pl.col("user_id").is_in(ids.implode()))
    during = during.sort("time_ms", "user_id", "video_id")
    past = (
        log.filter(pl.col("time_ms") < start)
        .group_by("user_id")
        .agg(clicks=pl.col("is_click").sum(), shown=pl.len())
    )
    before = (
        pl.DataFrame({"user_id": ids})
        .join(past, on="user_id", how="left", maintain_order="left")
        .fill_null(0)
    )
    codes = np.searchsorted(ids.to_numpy(), during["user_id"].to_numpy()).astype(np.int64)
    return RealLog(
        user=codes,
        click=during["is_click"].to_numpy().astype(np.float64),
        cuts=_cuts(len(codes), looks),
        before=covariates(before["clicks"].to_numpy(), before["shown"].to_numpy()),
        known=int((before["shown"] > 0).sum()),
    )


def _cuts(rows: int, count: int) -> Codes:
    return looks(rows, count)

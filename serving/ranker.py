"""Ranking: request -> variant -> features -> transform -> scores -> answer, each stage timed.

Knows no protocol. The user side of features, transform and model is worked out once a request.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hemix.errors import FeatureStoreError
from serving.answer import FEATURES_UNAVAILABLE, UNKNOWN_ITEMS, UNKNOWN_USER, Floats, RankingAnswer
from serving.assignment import Variant
from serving.exposures import ExposureLog
from serving.metrics import (
    CANDIDATES,
    REQUESTS,
    STAGE_SECONDS,
    STORE_ERRORS,
    UNKNOWN_USERS,
    timed,
)
from serving.metrics import (
    UNKNOWN_ITEMS as UNKNOWN_ITEMS_SEEN,
)
from serving.pool import VersionPool
from serving.request import RankingRequest
from serving.version import LoadedVersion

if TYPE_CHECKING:
    from features.store.rows import OnlineRows
    from serving.version import Columns

logger = logging.getLogger("hemix.serving")


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A request with its variant and its transformed columns, ready to be scored."""

    request: RankingRequest
    variant: Variant
    version: LoadedVersion
    user: Columns
    items: Columns
    flags: tuple[str, ...]
    unknown_items: list[int] | list[str]
    started: float


class Ranker:
    """The endpoint's work, for any protocol."""

    def __init__(self, pool: VersionPool, exposures: ExposureLog | None) -> None:
        self.pool = pool
        self._exposures = exposures

    def validate(self, body: object) -> list[RankingRequest]:
        """Check a V1 body; RequestError names the field."""
        with timed("validate"):
            return self.pool.live.contract.parse_body(body)

    def validate_one(self, instance: object) -> RankingRequest:
        """Check one request; RequestError names the field."""
        with timed("validate"):
            return self.pool.live.contract.parse(instance)

    def prepare(self, request: RankingRequest) -> Prepared:
        """Assign the variant, look the features up, assemble and transform them."""
        started = time.perf_counter()
        variant, version = self.pool.live.of(request.user_id)
        with timed("features"):
            user_rows, item_rows, available = self._read(version, request)
        with timed("assemble"):
            time_ms = request.timestamp_ms or round(time.time() * 1000)
            raw = version.assemble(user_rows, item_rows, request.context, time_ms)
        with timed("transform"):
            user, items = version.transform(raw)
        flags: tuple[str, ...] = (FEATURES_UNAVAILABLE,)
        unknown: list[int] | list[str] = []
        if available:
            unknown = [request.item_ids[at] for at in np.flatnonzero(~item_rows.known)]  # type: ignore[assignment]
            flags = _flags(known_user=bool(user_rows.known[0]), unknown=len(unknown))
        return Prepared(
            request=request,
            variant=variant,
            version=version,
            user=user,
            items=items,
            flags=flags,
            unknown_items=unknown,
            started=started,
        )

    @staticmethod
    def _read(
        version: LoadedVersion, request: RankingRequest
    ) -> tuple[OnlineRows, OnlineRows, bool]:
        try:
            return (*version.read(request), True)
        except FeatureStoreError as error:
            STORE_ERRORS.inc()
            logger.warning("Served from defaults: %s", error)
            return (*version.defaults(request), False)

    def score(self, prepared: Prepared) -> dict[str, Floats]:
        """Probabilities of each task, float32 [N]."""
        with timed("score"):
            return prepared.version.score(prepared.user, prepared.items)

    def finish(self, prepared: Prepared, scores: dict[str, Floats]) -> RankingAnswer:
        """The answer; counts the request and queues its exposure."""
        with timed("post"):
            request, variant = prepared.request, prepared.variant
            answer = RankingAnswer(
                request_id=request.request_id,
                user_id=request.user_id,
                version=variant.version,
                variant=variant.name,
                item_ids=request.item_ids,
                scores=scores,
                flags=prepared.flags,
                unknown_items=prepared.unknown_items,
            )
            if self._exposures is not None:
                self._exposures.append(answer)
            REQUESTS.labels(variant.name, variant.version, "200").inc()
            CANDIDATES.observe(len(request.item_ids))
        STAGE_SECONDS.labels("total").observe(time.perf_counter() - prepared.started)
        return answer


def _flags(*, known_user: bool, unknown: int) -> tuple[str, ...]:
    flags = []
    if not known_user:
        flags.append(UNKNOWN_USER)
        UNKNOWN_USERS.inc()
    if unknown:
        flags.append(UNKNOWN_ITEMS)
        UNKNOWN_ITEMS_SEEN.inc(unknown)
    return tuple(flags)

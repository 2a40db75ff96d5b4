"""Ranking: request -> variant -> features -> encode -> scores -> answer, each stage timed.

Knows no protocol, and not where the model is: :class:`RankingService` does all but the scoring,
:class:`LocalRanker` scores in this process, :class:`hemix.serving.two_roles.remote_ranker.RemoteRanker` asks a predictor.
The user side of features, transform and model is worked out once per request.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from hemix.errors import FeatureStoreError, HemixError, ModelVersionError, RequestError
from hemix.serving.experiments.assignment import Assigned, Variant
from hemix.serving.experiments.live import LiveExperiments
from hemix.serving.exposures.log import Exposure, ExposureLog
from hemix.serving.messages.answer import (
    DEFAULT,
    FEATURES_UNAVAILABLE,
    ORDER_UNAVAILABLE,
    UNKNOWN_ITEMS,
    UNKNOWN_USER,
    VERSION_UNAVAILABLE,
    Floats,
    RankingAnswer,
)
from hemix.serving.messages.request import RankingRequest
from hemix.serving.messages.soundness import UnsoundScores, require_sound
from hemix.serving.messages.times import time_flags
from hemix.serving.metrics import (
    CANDIDATE_DEFAULTS,
    CANDIDATES,
    REQUESTS,
    STAGE_SECONDS,
    STORE_ERRORS,
    UNKNOWN_USERS,
    VERSION_FAILURES,
    timed,
)
from hemix.serving.metrics import UNKNOWN_ITEMS as UNKNOWN_ITEMS_SEEN
from hemix.serving.monitoring.monitor import Monitor
from hemix.serving.ranking.conduct import MOST, WINDOW, Conduct
from hemix.serving.ranking.loaded_version import LoadedVersion, Version
from hemix.serving.ranking.pool import VersionPool
from hemix.serving.rarely import Rarely

if TYPE_CHECKING:
    from hemix.features.store.rows import OnlineRows

logger = logging.getLogger("hemix.serving")
_store_warnings = Rarely(logger)

V = TypeVar("V", bound=Version)


@dataclass(frozen=True, kw_only=True)
class Prepared(Generic[V]):
    """A request with its variants and its version's encoding of its columns, ready to be scored.

    ``assigned`` is the user's variant in every layer, the model layer's first.
    """

    request: RankingRequest
    variant: Variant
    assigned: tuple[Assigned, ...]
    time_ms: int
    version: V
    encoded: Any
    flags: tuple[str, ...]
    unknown_items: list[int] | list[str]
    started: float


class RankingService(Generic[V]):
    """The endpoint's work but for the scoring, for any protocol."""

    def __init__(
        self,
        pool: VersionPool[V],
        exposures: ExposureLog | None,
        experiments: LiveExperiments | None = None,
        monitor: Monitor | None = None,
    ) -> None:
        self.pool = pool
        self._exposures = exposures
        self._experiments = experiments or LiveExperiments(None)
        self._monitor = monitor
        self._conduct = Conduct()

    def validate(self, body: object) -> list[RankingRequest]:
        """Check a V1 body; RequestError names the field."""
        with timed("validate"):
            return self.pool.live.contract.parse_body(body)

    def validate_one(self, instance: object) -> RankingRequest:
        """Check one request; RequestError names the field."""
        with timed("validate"):
            return self.pool.live.contract.parse(instance)

    def prepare(self, request: RankingRequest) -> Prepared[V]:
        """Assign the variants, look the features up, assemble and encode them.

        Where the variant's version does not serve, or fails in this, the champion answers: the
        variant stays, and :data:`VERSION_UNAVAILABLE` is among the flags.
        """
        started = time.perf_counter()
        live = self.pool.live
        variant, version = live.route(request.user_id)
        assigned = (live.assigned(variant), *self._experiments.assign(request.user_id))
        time_ms = request.timestamp_ms or round(time.time() * 1000)
        own = version.name == variant.version
        try:
            encoded, flags, unknown = self._encoded(version, request, time_ms)
        except RequestError:
            raise
        except Exception as error:
            failed, version = version, self.instead_of(version, error)
            encoded, flags, unknown = self._encoded(version, request, time_ms)
            self.blame(failed, error)
            own = False
        if not own:
            flags = (*flags, VERSION_UNAVAILABLE)
        return Prepared(
            request=request,
            variant=variant,
            assigned=assigned,
            time_ms=time_ms,
            version=version,
            encoded=encoded,
            flags=flags,
            unknown_items=unknown,
            started=started,
        )

    def prepare_again(self, prepared: Prepared[V], version: V, flag: str) -> Prepared[V]:
        """Re-encode a prepared request for a fallback version; flagged with the reason."""
        encoded, flags, unknown = self._encoded(version, prepared.request, prepared.time_ms)
        return replace(
            prepared,
            version=version,
            encoded=encoded,
            flags=(*flags, flag),
            unknown_items=unknown,
        )

    def instead_of(self, version: V, error: Exception) -> V:
        """The champion, to answer a request that ``version`` failed; counts and logs the failure.

        Raises:
            Exception: ``error``, when it is the champion that failed.
        """
        unsound = isinstance(error, UnsoundScores)
        VERSION_FAILURES.labels(version.name, "scores" if unsound else "error").inc()
        if self._conduct.worth_a_line(version.name):
            known = isinstance(error, HemixError)
            logger.error("A request failed: %s", error, exc_info=None if known else error)
        champion = self.pool.live.champion
        if champion is version:
            raise error
        return champion

    def blame(self, version: V, error: Exception) -> None:
        """Hold a failure against a challenger, once the champion has answered the same request."""
        if self._conduct.failed(version.name):
            text = f"{MOST} of its last {WINDOW} requests or fewer failed, the last one: {error}"
            self.pool.take_out(version.name, ModelVersionError(text))

    def _encoded(
        self, version: V, request: RankingRequest, time_ms: int
    ) -> tuple[Any, tuple[str, ...], list[int] | list[str]]:
        """What the version's model takes, flags, unknown items."""
        with timed("features"):
            user_rows, item_rows, available = self._read(version, request)
        with timed("assemble"):
            raw = version.assemble(user_rows, item_rows, request, time_ms)
        with timed("live"):
            raw, of_events = version.with_live(raw, request, time_ms)
        with timed(version.encoding):
            encoded = version.encode(raw)
        flags: tuple[str, ...] = (FEATURES_UNAVAILABLE,)
        unknown: list[int] | list[str] = []
        if available:
            unknown = [request.item_ids[at] for at in np.flatnonzero(~item_rows.known)]  # type: ignore[assignment]
            flags = _flags(known_user=bool(user_rows.known[0]), unknown=len(unknown))
        flags += _defaults(version, request)
        if request.timestamp_ms is not None:
            flags += time_flags(time_ms, list(version.online.newest.values()))
        return encoded, (*flags, *of_events), unknown

    @staticmethod
    def _read(version: V, request: RankingRequest) -> tuple[OnlineRows, OnlineRows, bool]:
        try:
            return (*version.read(request), True)
        except FeatureStoreError as error:
            STORE_ERRORS.inc()
            _store_warnings.warn("Served from defaults: %s", error)
            return (*version.defaults(request), False)

    def finish(self, prepared: Prepared[V], scores: dict[str, Floats]) -> RankingAnswer:
        """The answer; counts the request and queues its exposure."""
        with timed("post"):
            request, variant, version = prepared.request, prepared.variant, prepared.version.name
            order, flags = _order(prepared, scores)
            answer = RankingAnswer(
                request_id=request.request_id,
                user_id=request.user_id,
                version=version,
                variant=variant.name,
                item_ids=request.item_ids,
                scores=scores,
                flags=flags,
                unknown_items=prepared.unknown_items,
                order=order,
            )
            self._expose(prepared, answer=answer)
            if self._monitor is not None:
                self._monitor.answered(answer)
            REQUESTS.labels(variant.name, version, "200").inc()
            CANDIDATES.observe(len(request.item_ids))
        STAGE_SECONDS.labels("total").observe(time.perf_counter() - prepared.started)
        return answer

    def failed(self, prepared: Prepared[V], error: Exception) -> None:
        """Log that a request failed after its variant was known."""
        self._expose(prepared, error=type(error).__name__)

    def _expose(
        self, prepared: Prepared[V], *, answer: RankingAnswer | None = None, error: str = ""
    ) -> None:
        if self._exposures is None:
            return
        self._exposures.append(
            Exposure(
                request_id=prepared.request.request_id,
                user_id=prepared.request.user_id,
                request_ms=prepared.time_ms,
                latency_ms=(time.perf_counter() - prepared.started) * 1000,
                variant=prepared.variant.name,
                version=prepared.version.name,
                assigned=prepared.assigned,
                item_ids=prepared.request.item_ids,
                scores=answer.scores if answer else {},
                order=answer.order if answer else None,
                flags=answer.flags if answer else prepared.flags,
                error=error,
                context=prepared.request.context,
                candidates=prepared.request.candidates,
            )
        )


class LocalRanker(RankingService[LoadedVersion]):
    """All of the work in one process."""

    def score(
        self, prepared: Prepared[LoadedVersion]
    ) -> tuple[Prepared[LoadedVersion], dict[str, Floats]]:
        """Probabilities of each task, float32 [N], of the request's version.

        The champion's when its own fails; the request then is another, which says so.
        """
        version = prepared.version
        try:
            try:
                return prepared, self._scores(prepared)
            except Exception as error:
                champion = self.instead_of(version, error)
                again = self.prepare_again(prepared, champion, VERSION_UNAVAILABLE)
                scores = self._scores(again)
                self.blame(version, error)
                return again, scores
        except Exception as error:
            self.failed(prepared, error)
            raise

    def _scores(self, prepared: Prepared[LoadedVersion]) -> dict[str, Floats]:
        version = prepared.version
        with timed("score"):
            scores = version.score(prepared.encoded)
        require_sound(version.name, scores, len(prepared.request.item_ids))
        self._conduct.answered(version.name)
        if self._monitor is not None and self._monitor.wants():
            user, items = prepared.encoded
            self._monitor.sample(version.name, version.bins, {**user, **items})
        return scores


def _order(
    prepared: Prepared[V], scores: Mapping[str, Floats]
) -> tuple[Mapping[str, float] | None, tuple[str, ...]]:
    """The task weights of the user's variant; a version that lacks a task ranks by its first."""
    order = next((a.order for a in prepared.assigned if a.order is not None), None)
    if order is not None and not order.keys() <= scores.keys():
        return None, (*prepared.flags, ORDER_UNAVAILABLE)
    return order, prepared.flags


def _defaults(version: Version, request: RankingRequest) -> tuple[str, ...]:
    """A flag for each column of the candidates that the model takes and the request lacks."""
    absent = [name for name in version.asked_of_candidates if name not in request.candidates]
    for name in absent:
        CANDIDATE_DEFAULTS.labels(name).inc()
    return tuple(f"{DEFAULT}{name}" for name in absent)


def _flags(*, known_user: bool, unknown: int) -> tuple[str, ...]:
    flags = []
    if not known_user:
        flags.append(UNKNOWN_USER)
        UNKNOWN_USERS.inc()
    if unknown:
        flags.append(UNKNOWN_ITEMS)
        UNKNOWN_ITEMS_SEEN.inc(unknown)
    return tuple(flags)

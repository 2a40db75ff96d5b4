"""Versions whose model is elsewhere: the transformer's half of the endpoint."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from hemix.serving.admission.room import CALL
from hemix.serving.call import Expired, HungUp
from hemix.serving.events.desk import EventDesk
from hemix.serving.experiments.live import LiveExperiments
from hemix.serving.exposures.log import ExposureLog
from hemix.serving.messages.answer import PREDICTOR_UNAVAILABLE, VERSION_UNAVAILABLE, Floats
from hemix.serving.messages.soundness import UnsoundScores, require_sound
from hemix.serving.metrics import PREDICTOR_FALLBACKS, Stage, timed
from hemix.serving.monitoring.monitor import Monitor
from hemix.serving.protocol.ranking_tensors import SCORE
from hemix.serving.protocol.v2_binary import pack
from hemix.serving.protocol.v2_tensors import Tensors
from hemix.serving.ranking.loaded_version import Version, open_features
from hemix.serving.ranking.loading import PredictorFaulty, PredictorUnavailable
from hemix.serving.ranking.pool import VersionPool
from hemix.serving.ranking.service import Prepared, RankingService
from hemix.serving.rarely import Rarely
from hemix.serving.two_roles.contract import OFFSETS, Contract, RawInput, fetch_contract
from hemix.serving.two_roles.predictor_client import Message, PredictorCalls
from hemix.serving.two_roles.routing_table import PredictorsFile

if TYPE_CHECKING:
    from hemix.features.store.assemble import RequestColumns
    from hemix.features.transform.columns import Column

    Columns = dict[str, Column]
    Worker = Callable[..., Coroutine[Any, Any, Any]]

_fallback_warnings = Rarely(logging.getLogger("hemix.serving"))


@dataclass(frozen=True, kw_only=True)
class RemoteVersion(Version):
    """A version whose predictor is asked; ``url`` says where it is now."""

    encoding: ClassVar[Stage] = "encode"
    contract: Contract
    url: Callable[[], str]
    wants: Callable[[], bool]

    def encode(self, raw: RequestColumns) -> Message:
        """The body for the predictor; when ``wants()``, one that asks for watched features too."""
        return encode(self.contract, raw, sampled=self.wants())


def encode(contract: Contract, raw: RequestColumns, *, sampled: bool = False) -> Message:
    """The raw columns that a version takes as a V2 body.

    A list column goes as its values and as ``<name>.offsets``.
    """
    outputs: tuple[str, ...] = ()
    if sampled:
        watched = contract.bins.columns.values()
        outputs = (*(f"{SCORE}{task}" for task in contract.tasks), *watched)
    tensors: Tensors = {}
    for columns, wanted in ((raw.user, contract.users), (raw.items, contract.items)):
        for column in wanted:
            tensors |= _tensors(column, columns[column.name])
    body, length = pack(tensors, request_id="", outputs=outputs)
    return Message(body=body, json_length=length, sampled=sampled)


def _tensors(column: RawInput, value: Column) -> Tensors:
    if isinstance(value, tuple):
        return {
            column.name: value[0].astype(column.dtype, copy=False),
            column.name + OFFSETS: value[1],
        }
    return {column.name: value.astype(column.dtype, copy=False)}


class RemoteRanker(RankingService[RemoteVersion]):
    """All but the scoring; scores come from the versions' predictors.

    Args:
        pool: the versions.
        exposures: log of answers; None: none is kept.
        experiments: layers that change the final order.
        monitor: counts what is served.
        calls: the way to the predictors.
    """

    def __init__(
        self,
        pool: VersionPool[RemoteVersion],
        exposures: ExposureLog | None,
        experiments: LiveExperiments | None = None,
        monitor: Monitor | None = None,
        *,
        calls: PredictorCalls,
    ) -> None:
        super().__init__(pool, exposures, experiments, monitor)
        self._calls = calls

    async def score(
        self, prepared: Prepared[RemoteVersion], work: Worker
    ) -> tuple[Prepared[RemoteVersion], dict[str, Floats]]:
        """Scores of the request's version; of the champion when its own does not answer.

        The request keeps its variant, so that an analysis compares those who were assigned; its
        version is the one that answered, and :data:`PREDICTOR_UNAVAILABLE` is among its flags, or
        :data:`VERSION_UNAVAILABLE` when the predictor answered but could not score.

        Raises:
            PredictorUnavailable: the champion's predictor does not answer either; names it.
        """
        try:
            return await self._or_champion(prepared, work)
        except (Expired, HungUp):  # nobody was shown anything, and nothing went wrong
            raise
        except Exception as error:
            self.failed(prepared, error)
            raise

    async def _or_champion(
        self, prepared: Prepared[RemoteVersion], work: Worker
    ) -> tuple[Prepared[RemoteVersion], dict[str, Floats]]:
        version = prepared.version
        try:
            return prepared, await self._ask(prepared)
        except PredictorFaulty as error:
            champion, failure, flag = self.instead_of(version, error), error, VERSION_UNAVAILABLE
        except PredictorUnavailable as error:
            champion, failure, flag = self.pool.live.champion, None, PREDICTOR_UNAVAILABLE
            if champion.name == version.name:
                raise
            _fallback_warnings.warn("Answered by the champion: %s", error)
        PREDICTOR_FALLBACKS.labels(version.name).inc()
        again: Prepared[RemoteVersion] = await work(
            0.0, self.prepare_again, prepared, champion, flag
        )
        scores = await self._ask(again)
        if failure is not None:
            self.blame(version, failure)
        return again, scores

    async def _ask(self, prepared: Prepared[RemoteVersion]) -> dict[str, Floats]:
        version = prepared.version
        with timed("predict"):
            call = CALL.get()
            left_s = None if call is None else call.left_s
            _, outputs = await self._calls.infer(
                version.url(), version.name, prepared.encoded, left_s=left_s
            )
        if prepared.encoded.sampled and self._monitor is not None:
            self._monitor.sample(version.name, version.bins, outputs)
        scores = scores_of(version, outputs, len(prepared.request.item_ids))
        self._conduct.answered(version.name)
        return scores


def scores_of(version: RemoteVersion, outputs: Tensors, candidates: int) -> dict[str, Floats]:
    """Probabilities of each task, float32 ``[N]``.

    Raises:
        PredictorFaulty: a task's scores are missing, not one a candidate, or no probabilities.
    """
    scores: dict[str, Floats] = {}
    for task in version.contract.tasks:
        found = outputs.get(f"{SCORE}{task}")
        if found is None or found.dtype != np.float32 or len(found) != candidates:
            raise PredictorFaulty(
                f"Predictor {version.name}: {SCORE}{task} is not FP32 [{candidates}].",
                hint="Predictor and transformer must be of the same release.",
            )
        scores[task] = found
    try:
        require_sound(version.name, scores, candidates)
    except UnsoundScores as error:
        raise PredictorFaulty(str(error)) from error
    return scores


def load_remote(
    name: str,
    *,
    file: PredictorsFile,
    store: str,
    timeout_s: float,
    item_cache_s: float,
    wants: Callable[[], bool] = lambda: False,
    events: EventDesk | None = None,
    contract_timeout_s: float = 5.0,
) -> RemoteVersion:
    """Learn a version's contract from its predictor and open its features.

    Args:
        name: of the version.
        file: where its predictor is.
        store: location of the live feature store.
        timeout_s: of a read of features.
        item_cache_s: seconds that items' features are kept.
        wants: whether this request is one whose watched features are wanted.
        events: keeps sequences and counters up to now; None: they are those of the publication.
        contract_timeout_s: of the contract.

    Raises:
        PredictorUnavailable: the predictor does not answer or is not of this version.
        FeatureStoreError: the store does not hold the version's feature service.
    """
    contract = fetch_contract(file.url(name), name, timeout_s=contract_timeout_s)
    return RemoteVersion(
        name=name,
        definition=contract.dataset,
        types=contract.column_types,
        online=open_features(
            store, contract.feature_service, timeout_s=timeout_s, item_cache_s=item_cache_s
        ),
        bins=contract.bins,
        live=None if events is None else events.follow(contract.dataset, contract.column_types),
        contract=contract,
        wants=wants,
        url=lambda: file.url(name),
    )

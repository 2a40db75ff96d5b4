"""The KServe model ``ranker``: our transformer (pre- and postprocess) around a predictor.

:class:`RankerModel` scores in this process; the transformer, which asks the versions' predictors,
is :mod:`hemix.serving.two_roles.transformer_model`. It needs kserve at import.
"""

from __future__ import annotations

import abc
import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from hemix.features.live.stores.base import EventsUnavailable
from hemix.serving.admission.room import Gate, units_of
from hemix.serving.admission.threaded_model import ThreadedModel
from hemix.serving.call import Call
from hemix.serving.events.contract import EventContract
from hemix.serving.events.desk import EventDesk, Results
from hemix.serving.messages.answer import Floats, RankingAnswer
from hemix.serving.messages.request import RankingRequest
from hemix.serving.protocol.ranking_tensors import instance_of, output_names, outputs_of
from hemix.serving.protocol.v2_tensors import TensorRequest, TensorResponse, require_outputs
from hemix.serving.ranking.loaded_version import LoadedVersion, Version
from hemix.serving.ranking.service import LocalRanker, Prepared, RankingService

MODEL_NAME = "ranker"

V = TypeVar("V", bound=Version)
Scored = tuple[Prepared[V], dict[str, Floats]]


@dataclass(frozen=True, kw_only=True)
class Batch:
    """The checked requests of one call; ``tensors``: the V2 request, when it was one."""

    requests: list[RankingRequest]
    tensors: TensorRequest | None


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What ``predict`` hands to ``postprocess``."""

    answers: list[RankingAnswer]
    tensors: TensorRequest | None


class RankingModel(ThreadedModel, abc.ABC, Generic[V]):
    """KServe hooks: preprocess checks, predict looks up, encodes and scores, postprocess answers.

    A body's requests are worked off one by one, so that others have their turns between them, and
    become answers (counted, exposed) together at the end: of a body whose client has left, or whose
    deadline has passed, none does.
    """

    _ranker: RankingService[V]

    def __init__(self, *, workers: int, gate: Gate, desk: EventDesk | None = None) -> None:
        super().__init__(MODEL_NAME, workers=workers, gate=gate)
        self._desk = desk
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="events")
        self._contract: tuple[str, EventContract] | None = None

    async def take_events(self, values: Sequence[object]) -> Results:
        """Check, keep and acknowledge live events, beside the workers that rank.

        Raises:
            EventsUnavailable: the endpoint was started without a store of events, or the champion
                does not follow one.
            HemixError: nothing of the batch is acknowledged; it may be sent again.
        """
        self.require_ready()
        champion = self._ranker.pool.live.champion
        if self._desk is None or champion.live is None:
            raise EventsUnavailable(
                f"events: {champion.name} does not follow live events.",
                hint="Start the endpoint with --events; the version must be published by this release.",
            )
        if self._contract is None or self._contract[0] != champion.name:
            contract = EventContract.of(champion.definition, champion.types)
            self._contract = (champion.name, contract)
        call = self.call
        call.size = 0  # what events weigh says nothing of what candidates do
        self.gate.costs(call, 0, len(values))
        work = asyncio.get_running_loop().run_in_executor(
            self._writer, self._desk.take, self._contract[1], values, "http"
        )
        results = await call.wait(work)
        self.gate.done(call, len(values), 0.0)
        return results

    def close(self) -> None:
        """Let the threads end; events that are being written are written first."""
        self._writer.shutdown()
        super().close()

    async def preprocess(self, payload: object, headers: dict[str, str] | None = None) -> Batch:
        tensors = payload if isinstance(payload, TensorRequest) else None
        requests = self._requests(payload)
        candidates = sum(len(request.item_ids) for request in requests)
        self.gate.costs(self.call, len(requests), candidates)
        return Batch(requests=requests, tensors=tensors)

    @abc.abstractmethod
    async def predict(self, payload: Batch, headers: dict[str, str] | None = None) -> Answers:
        """Answer every request."""

    async def postprocess(
        self,
        result: Answers,
        headers: dict[str, str] | None = None,
        response_headers: dict[str, str] | None = None,
    ) -> Any:
        if result.tensors is not None:
            answer = result.answers[0]
            return TensorResponse(
                request=result.tensors,
                request_id=answer.request_id,
                model_name=self.name,
                model_version=answer.version,
                outputs=outputs_of(answer),
            )
        return {"predictions": [answer.to_json() for answer in result.answers]}

    def get_input_types(self) -> list[dict[str, Any]]:
        """For ``GET /v2/models/ranker``."""
        self.require_ready()
        contract = self._ranker.pool.live.contract
        names = {"int": "INT64", "text": "BYTES", "number": "FP64"}
        return [
            {"name": "user_id", "datatype": names[contract.user_id], "shape": [1]},
            {"name": "item_ids", "datatype": names[contract.item_id], "shape": [-1]},
            {"name": "timestamp_ms", "datatype": "INT64", "shape": [1]},
            *(
                {"name": f"context_{name}", "datatype": names[kind], "shape": [1]}
                for name, kind in contract.context.items()
            ),
            *(
                {"name": f"candidate_{name}", "datatype": names[kind], "shape": [-1]}
                for name, kind in contract.candidates.items()
            ),
        ]

    def get_output_types(self) -> list[dict[str, Any]]:
        """For ``GET /v2/models/ranker``."""
        live = self._ranker.pool.live
        names = {"int": "INT64", "text": "BYTES", "number": "FP64"}
        item = names[live.contract.item_id]
        tasks = live.versions[live.variants[0].version].definition.tasks
        return [
            {"name": "user_id", "datatype": names[live.contract.user_id], "shape": [1]},
            {"name": "item_ids", "datatype": item, "shape": [-1]},
            {"name": "ranked_item_ids", "datatype": item, "shape": [-1]},
            *({"name": f"score_{task}", "datatype": "FP32", "shape": [-1]} for task in tasks),
            {"name": "version", "datatype": "BYTES", "shape": [1]},
            {"name": "variant", "datatype": "BYTES", "shape": [1]},
            {"name": "flags", "datatype": "BYTES", "shape": [-1]},
            {"name": "unknown_items", "datatype": item, "shape": [-1]},
        ]

    @property
    def answers_by_version(self) -> bool:
        """The user's variant says which version answers."""
        return False

    def live_versions(self) -> list[str]:
        """The champion first."""
        self.require_ready()
        return list(self._ranker.pool.live.serving())

    def _requests(self, payload: object) -> list[RankingRequest]:
        if not isinstance(payload, TensorRequest):
            return self._ranker.validate(payload)
        if payload.wanted:
            live = self._ranker.pool.live.versions.values()
            tasks = dict.fromkeys(task for version in live for task in version.definition.tasks)
            names = output_names(tasks)
            require_outputs(payload.wanted, names, names)
        return [self._ranker.validate_one(instance_of(payload))]


class RankerModel(RankingModel[LoadedVersion]):
    """All in one process."""

    _ranker: LocalRanker

    def __init__(
        self, ranker: LocalRanker, *, workers: int, gate: Gate, desk: EventDesk | None = None
    ) -> None:
        super().__init__(workers=workers, gate=gate, desk=desk)
        self._ranker = ranker
        self.ready = True

    async def predict(self, payload: Batch, headers: dict[str, str] | None = None) -> Answers:
        *others, last = payload.requests
        scored = [await self.work(request_units(r), self._score, self.call, r) for r in others]
        answers = await self.work(request_units(last), self._finish, self.call, scored, last)
        return Answers(answers=answers, tensors=payload.tensors)

    def _score(self, call: Call, request: RankingRequest) -> Scored[LoadedVersion]:
        prepared = self._ranker.prepare(request)
        call.check()
        prepared, scores = self._ranker.score(prepared)
        return replace(prepared, encoded=None), scores

    def _finish(
        self, call: Call, scored: list[Scored[LoadedVersion]], last: RankingRequest
    ) -> list[RankingAnswer]:
        scored = [*scored, self._score(call, last)]
        call.check()
        return [self._ranker.finish(*one) for one in scored]


def request_units(request: RankingRequest) -> float:
    """What a request costs, in the gate's units."""
    return units_of(1, len(request.item_ids))

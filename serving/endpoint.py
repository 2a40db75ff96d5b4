"""The KServe model ``ranker``: our transformer (pre- and postprocess) around a predictor.

:class:`RankerModel` scores in this process, :class:`TransformerModel` asks the versions'
predictors. Imported by :mod:`serving.serve` only: it needs kserve at import.
"""

from __future__ import annotations

import abc
import asyncio
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from kserve import InferRequest

from hemix.errors import RequestError
from serving.answer import RankingAnswer
from serving.ranker import LocalRanker, Prepared, Ranker
from serving.remote import RemoteRanker, RemoteVersion
from serving.request import RankingRequest
from serving.tensors import instance_of, response_of
from serving.version import LoadedVersion, Version
from serving.working import WorkingModel

MODEL_NAME = "ranker"

V = TypeVar("V", bound=Version)


@dataclass(frozen=True, kw_only=True)
class Batch(Generic[V]):
    """The prepared requests of one call and the protocol they came by."""

    prepared: list[Prepared[V]]
    tensors: bool


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What ``predict`` hands to ``postprocess``."""

    answers: list[RankingAnswer]
    tensors: bool


class _RankingModel(WorkingModel, abc.ABC, Generic[V]):
    """KServe hooks: preprocess checks, looks up and encodes; predict scores; postprocess answers."""

    _ranker: Ranker[V]

    def __init__(self, *, workers: int, max_waiting: int) -> None:
        super().__init__(MODEL_NAME, workers=workers, max_waiting=max_waiting)

    async def preprocess(
        self, payload: dict[str, Any] | InferRequest, headers: dict[str, str] | None = None
    ) -> Batch[V]:
        tensors = isinstance(payload, InferRequest)
        requests = self._requests(payload)
        prepared = [await self.work(self._ranker.prepare, request) for request in requests]
        return Batch(prepared=prepared, tensors=tensors)

    @abc.abstractmethod
    async def predict(self, payload: Batch[V], headers: dict[str, str] | None = None) -> Answers:
        """Score every prepared request."""

    async def postprocess(
        self,
        result: Answers,
        headers: dict[str, str] | None = None,
        response_headers: dict[str, str] | None = None,
    ) -> Any:
        if result.tensors:
            return response_of(result.answers[0], self.name)
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

    def _requests(self, payload: object) -> list[RankingRequest]:
        if isinstance(payload, InferRequest):
            return [self._ranker.validate_one(instance_of(payload))]
        if isinstance(payload, bytes):
            raise RequestError('Send JSON with "Content-Type: application/json".')
        return self._ranker.validate(payload)


class RankerModel(_RankingModel[LoadedVersion]):
    """All in one process."""

    _ranker: LocalRanker

    def __init__(self, ranker: LocalRanker, *, workers: int, max_waiting: int) -> None:
        super().__init__(workers=workers, max_waiting=max_waiting)
        self._ranker = ranker
        self.ready = True

    async def predict(
        self, payload: Batch[LoadedVersion], headers: dict[str, str] | None = None
    ) -> Answers:
        answers = [await self.work(self._answer, prepared) for prepared in payload.prepared]
        return Answers(answers=answers, tensors=payload.tensors)

    def _answer(self, prepared: Prepared[LoadedVersion]) -> RankingAnswer:
        return self._ranker.finish(prepared, self._ranker.score(prepared))


class TransformerModel(_RankingModel[RemoteVersion]):
    """The transformer alone; ready once :meth:`begin` was called with a warm ranker."""

    _ranker: RemoteRanker

    def begin(self, ranker: RemoteRanker) -> None:
        """Answer requests from now on."""
        self._ranker = ranker
        self.ready = True

    async def predict(
        self, payload: Batch[RemoteVersion], headers: dict[str, str] | None = None
    ) -> Answers:
        answers = await asyncio.gather(*(self._answer(p) for p in payload.prepared))
        return Answers(answers=answers, tensors=payload.tensors)

    async def _answer(self, prepared: Prepared[RemoteVersion]) -> RankingAnswer:
        prepared, scores = await self._ranker.score(prepared, self.work)
        return await self.work(self._ranker.finish, prepared, scores)

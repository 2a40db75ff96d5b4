"""The KServe model ``ranker``: our transformer (pre- and postprocess) around a predictor.

:class:`RankerModel` scores in this process, :class:`TransformerModel` asks the versions'
predictors. Imported by :mod:`serving.serve` only: it needs kserve at import.
"""

from __future__ import annotations

import abc
import asyncio
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from serving.answer import RankingAnswer
from serving.ranker import LocalRanker, Prepared, Ranker
from serving.ranking_tensors import instance_of, output_names, outputs_of
from serving.remote import RemoteRanker, RemoteVersion
from serving.request import RankingRequest
from serving.tensors import TensorRequest, TensorResponse, require_outputs
from serving.version import LoadedVersion, Version
from serving.working import WorkingModel

MODEL_NAME = "ranker"

V = TypeVar("V", bound=Version)


@dataclass(frozen=True, kw_only=True)
class Batch(Generic[V]):
    """The prepared requests of one call; ``tensors``: the V2 request, when it was one."""

    prepared: list[Prepared[V]]
    tensors: TensorRequest | None


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What ``predict`` hands to ``postprocess``."""

    answers: list[RankingAnswer]
    tensors: TensorRequest | None


class _RankingModel(WorkingModel, abc.ABC, Generic[V]):
    """KServe hooks: preprocess checks, looks up and encodes; predict scores; postprocess answers."""

    _ranker: Ranker[V]

    def __init__(self, *, workers: int, max_waiting: int) -> None:
        super().__init__(MODEL_NAME, workers=workers, max_waiting=max_waiting)

    async def preprocess(self, payload: object, headers: dict[str, str] | None = None) -> Batch[V]:
        tensors = payload if isinstance(payload, TensorRequest) else None
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
        return self._ranker.finish(*self._ranker.score(prepared))


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

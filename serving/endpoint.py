"""The KServe model ``ranker``: our transformer (pre- and postprocess) around our predictor.

Imported by :mod:`serving.server` only: it needs kserve at import.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from kserve import InferRequest, Model

from hemix.errors import HemixError, RequestError
from serving.answer import RankingAnswer
from serving.metrics import REQUESTS
from serving.ranker import Prepared, Ranker
from serving.request import RankingRequest
from serving.tensors import instance_of, response_of

logger = logging.getLogger("hemix.serving")

MODEL_NAME = "ranker"


class Overloaded(HemixError):
    """More requests wait than the endpoint can answer in time."""

    exit_code = 10
    http_status = 503


@dataclass(frozen=True, kw_only=True)
class Batch:
    """The prepared requests of one call and the protocol they came by."""

    prepared: list[Prepared]
    tensors: bool


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What :meth:`RankerModel.predict` hands to :meth:`RankerModel.postprocess`."""

    answers: list[RankingAnswer]
    tensors: bool


class RankerModel(Model):
    """KServe hooks: preprocess checks, looks up and transforms; predict scores; postprocess answers.

    The work runs on a few threads beside the event loop, so that health checks and metrics answer
    under load. At most ``max_waiting`` requests wait; more get 503 at once.
    """

    def __init__(self, ranker: Ranker, *, workers: int, max_waiting: int) -> None:
        super().__init__(MODEL_NAME)
        self._ranker = ranker
        self._workers = ThreadPoolExecutor(workers, thread_name_prefix="rank")
        self._max_waiting = max_waiting
        self._waiting = 0
        self.ready = True

    def validate(self, payload: Any) -> Any:
        """Ours is checked in preprocess, field by field."""
        return payload

    async def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._waiting >= self._max_waiting:
            REQUESTS.labels("", "", "503").inc()
            raise Overloaded(
                f"{self._waiting} requests are waiting.", hint="Try again in a second."
            )
        self._waiting += 1
        try:
            return await super().__call__(*args, **kwargs)
        except HemixError as error:
            REQUESTS.labels("", "", str(error.http_status)).inc()
            raise
        except Exception:
            REQUESTS.labels("", "", "500").inc()
            logger.exception("A request failed.")
            raise
        finally:
            self._waiting -= 1

    async def preprocess(
        self, payload: dict[str, Any] | InferRequest, headers: dict[str, str] | None = None
    ) -> Batch:
        tensors = isinstance(payload, InferRequest)
        requests = self._requests(payload)
        loop = asyncio.get_running_loop()
        prepared = [
            await loop.run_in_executor(self._workers, self._ranker.prepare, request)
            for request in requests
        ]
        return Batch(prepared=prepared, tensors=tensors)

    async def predict(self, payload: Batch, headers: dict[str, str] | None = None) -> Answers:
        loop = asyncio.get_running_loop()
        answers = [
            await loop.run_in_executor(self._workers, self._answer, prepared)
            for prepared in payload.prepared
        ]
        return Answers(answers=answers, tensors=payload.tensors)

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

    def close(self) -> None:
        """Let the threads end."""
        self._workers.shutdown(wait=True, cancel_futures=True)

    def _requests(self, payload: object) -> list[RankingRequest]:
        if isinstance(payload, InferRequest):
            return [self._ranker.validate_one(instance_of(payload))]
        if isinstance(payload, bytes):
            raise RequestError('Send JSON with "Content-Type: application/json".')
        return self._ranker.validate(payload)

    def _answer(self, prepared: Prepared) -> RankingAnswer:
        return self._ranker.finish(prepared, self._ranker.score(prepared))

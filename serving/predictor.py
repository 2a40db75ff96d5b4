"""The KServe model of one version: raw columns in, probabilities out. The predictor's half.

Input tensors are the raw columns that the version's :class:`Contract` names: user and context
columns of one row, item columns of N rows; a list column has a second tensor ``<name>.offsets``
``[rows + 1]``. Output: ``score_<task>`` FP32 [N]. A request may ask by V2's ``outputs`` for
transformed columns too (``user_id_index``, ``tab_index``...): what drift is measured on.
Imported by :mod:`serving.serve_predictor` only: it needs kserve at import.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from kserve import InferOutput, InferRequest, InferResponse

from hemix.errors import RequestError
from serving.contract import OFFSETS, Contract, RawInput
from serving.metrics import REQUESTS, timed
from serving.request import MAX_CANDIDATES
from serving.tensors import SCORE
from serving.version import LoadedModel
from serving.wire import Tensors, array_of, datatype_of, objects, pack
from serving.working import WorkingModel

if TYPE_CHECKING:
    from serving.version import Columns, Encoded


@dataclass(frozen=True, kw_only=True)
class TensorRequest:
    """A V2 request with binary tensors, decoded."""

    head: Mapping[str, Any]
    tensors: Tensors


@dataclass(frozen=True, kw_only=True)
class Packed:
    """A V2 response with binary tensors; ``json_length`` is where they begin."""

    body: bytes
    json_length: int


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """One request on its way: what to score, what else to answer, and how."""

    request_id: str
    user: Columns
    items: Columns
    extra: tuple[str, ...]
    binary: bool


class PredictorModel(WorkingModel):
    """One version behind KServe V2 (REST and gRPC), named after it."""

    def __init__(
        self, model: LoadedModel, contract: Contract, *, workers: int, max_waiting: int
    ) -> None:
        super().__init__(model.name, workers=workers, max_waiting=max_waiting)
        self._model = model
        self.contract = contract
        self._transformed = frozenset(model.graph.outputs())
        self.ready = True

    async def preprocess(self, payload: Any, headers: dict[str, str] | None = None) -> Scoring:
        with timed("validate"):
            if isinstance(payload, TensorRequest):
                wanted = [output.get("name") for output in payload.head.get("outputs", ())]
                return self._scoring(payload.tensors, payload.head.get("id"), wanted, binary=True)
            if isinstance(payload, InferRequest):
                wanted = [output.name for output in payload.request_outputs or ()]
                return self._scoring(_tensors(payload), payload.id, wanted, binary=False)
        raise RequestError("A predictor speaks KServe V2: POST /v2/models/NAME/infer.")

    async def predict(
        self, payload: Scoring, headers: dict[str, str] | None = None
    ) -> tuple[Scoring, Tensors]:
        return payload, await self.work(self._score, payload)

    async def postprocess(
        self,
        result: tuple[Scoring, Tensors],
        headers: dict[str, str] | None = None,
        response_headers: dict[str, str] | None = None,
    ) -> InferResponse | Packed:
        scoring, outputs = result
        REQUESTS.labels("", self.name, "200").inc()
        if scoring.binary:
            body, length = pack(
                outputs, request_id=scoring.request_id, side="outputs", model_name=self.name
            )
            return Packed(body=body, json_length=length)
        return InferResponse(
            response_id=scoring.request_id,
            model_name=self.name,
            infer_outputs=[
                InferOutput(
                    name=name,
                    shape=list(values.shape),
                    datatype=datatype_of(values),
                    data=values.tolist(),
                )
                for name, values in outputs.items()
            ],
        )

    def get_input_types(self) -> list[dict[str, Any]]:
        """For ``GET /v2/models/<version>``; -1 is a column of any length."""
        tensors = []
        for column in self.contract.inputs:
            size = 1 if column.side != "item" and not column.ragged else -1
            tensors.append({"name": column.name, "datatype": column.datatype, "shape": [size]})
            if column.ragged:
                name = column.name + OFFSETS
                tensors.append({"name": name, "datatype": "INT64", "shape": [-1]})
        return tensors

    def get_output_types(self) -> list[dict[str, Any]]:
        """For ``GET /v2/models/<version>``."""
        return [
            {"name": f"{SCORE}{task}", "datatype": "FP32", "shape": [-1]}
            for task in self.contract.tasks
        ]

    def _scoring(
        self, tensors: Tensors, request_id: str | None, wanted: list[Any], *, binary: bool
    ) -> Scoring:
        scores = {f"{SCORE}{task}" for task in self.contract.tasks}
        extra = tuple(name for name in wanted if name not in scores)
        for name in extra:
            if name not in self._transformed:
                raise RequestError(f"{str(name)[:40]}: there is no such output.")
        user, items = columns_of(self.contract, tensors)
        return Scoring(
            request_id=request_id or uuid.uuid4().hex,
            user=user,
            items=items,
            extra=extra,
            binary=binary,
        )

    def _score(self, scoring: Scoring) -> Tensors:
        from features.store.assemble import RequestColumns

        with timed("transform"):
            encoded = self._model.transform(RequestColumns(user=scoring.user, items=scoring.items))
        with timed("score"):
            scores = self._model.score(encoded)
        return {
            **{f"{SCORE}{task}": values for task, values in scores.items()},
            **_flat(encoded, scoring.extra),
        }


def columns_of(contract: Contract, tensors: Tensors) -> tuple[Columns, Columns]:
    """The raw columns of a request: one row of the user and context, N rows of the items.

    Raises:
        RequestError: a tensor is missing, unknown, or not of its type or length; names it.
    """
    known = {column.name for column in contract.inputs}
    known |= {column.name + OFFSETS for column in contract.inputs if column.ragged}
    for name in tensors:
        if name not in known:
            raise RequestError(f"{name[:40]}: version {contract.version} has no such column.")
    user = {column.name: _column(column, tensors, 1) for column in contract.users}
    rows = _rows(contract, tensors)
    return user, {column.name: _column(column, tensors, rows) for column in contract.items}


def _rows(contract: Contract, tensors: Tensors) -> int:
    flat = next(column for column in contract.items if not column.ragged)
    rows = len(_of_type(flat, tensors))
    if not 1 <= rows <= MAX_CANDIDATES:
        raise RequestError(f"{flat.name}: {rows} candidates; give 1 to {MAX_CANDIDATES}.")
    return rows


def _column(column: RawInput, tensors: Tensors, rows: int) -> Any:
    values = _of_type(column, tensors)
    if not column.ragged:
        if len(values) != rows:
            raise RequestError(f"{column.name}: {len(values)} values; give {rows}.")
        return values
    name = column.name + OFFSETS
    offsets = tensors.get(name)
    if offsets is None or offsets.dtype != np.int64:
        raise RequestError(f"{name}: give INT64 offsets.")
    good = (
        len(offsets) == rows + 1
        and offsets[0] == 0
        and offsets[-1] == len(values)
        and bool(np.all(np.diff(offsets) >= 0))
    )
    if not good:
        raise RequestError(f"{name}: give {rows + 1} rising offsets, from 0 to {len(values)}.")
    return values, offsets


def _of_type(column: RawInput, tensors: Tensors) -> np.ndarray:
    values = tensors.get(column.name)
    if values is None:
        raise RequestError(f"{column.name}: is missing.")
    if values.dtype != np.dtype(column.dtype):
        raise RequestError(
            f"{column.name}: datatype {datatype_of(values)}; give {column.datatype}."
        )
    return values


def _tensors(request: InferRequest) -> Tensors:
    """The tensors of a JSON or gRPC request, as one-dimensional arrays."""
    tensors: Tensors = {}
    for tensor in request.inputs:
        if tensor.name in tensors:
            raise RequestError(f"{tensor.name}: the tensor stands twice.")
        if tensor._raw_data is not None:
            values = array_of(tensor.name, tensor.datatype, tensor._raw_data)
        else:
            values = _listed(tensor.name, tensor.datatype, list(tensor.data or ()))
        if list(tensor.shape) != [len(values)]:
            raise RequestError(
                f"{tensor.name}: shape {list(tensor.shape)} does not hold {len(values)} values;"
                " give one dimension."
            )
        tensors[tensor.name] = values
    return tensors


def _listed(name: str, datatype: str, data: list[Any]) -> np.ndarray:
    empty = array_of(name, datatype, b"")
    try:
        if empty.dtype == object:
            return objects([v.decode() if isinstance(v, bytes) else str(v) for v in data])
        if empty.dtype.kind == "i" and any(type(value) is not int for value in data):
            raise ValueError("not whole numbers")
        return np.array(data, dtype=empty.dtype)
    except (TypeError, ValueError, OverflowError, UnicodeDecodeError) as error:
        raise RequestError(f"{name}: its data are not {datatype} ({error}).") from error


def _flat(encoded: Encoded, names: tuple[str, ...]) -> Tensors:
    found: Tensors = {}
    for name in names:
        value = encoded[0].get(name, encoded[1].get(name))
        assert value is not None
        if isinstance(value, tuple):
            found[name], found[name + OFFSETS] = value
        else:
            found[name] = value
    return found

"""The KServe model of one version: raw columns in, probabilities out. The predictor's half.

Input tensors are the raw columns that the version's :class:`Contract` names: user and context
columns of one row, item columns of N rows; a list column has a second tensor ``<name>.offsets``
``[rows + 1]``. Output: ``score_<task>`` FP32 [N]. A request may ask by V2's ``outputs`` for
transformed columns too (``user_id_index``, ``tab_index``...): what drift is measured on.
Imported by :mod:`hemix.serving.launch.serve_predictor` only: it needs kserve at import.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hemix.errors import RequestError
from hemix.features.store.assemble import RequestColumns
from hemix.serving.admission.room import Gate, units_of
from hemix.serving.admission.threaded_model import ThreadedModel
from hemix.serving.call import Call
from hemix.serving.messages.echo import short
from hemix.serving.messages.request import MAX_CANDIDATES
from hemix.serving.messages.soundness import require_sound
from hemix.serving.metrics import REQUESTS, timed
from hemix.serving.protocol.ranking_tensors import SCORE
from hemix.serving.protocol.v2_tensors import (
    TensorRequest,
    TensorResponse,
    Tensors,
    Wanted,
    datatype_of,
    require_outputs,
)
from hemix.serving.ranking.loaded_version import LoadedModel
from hemix.serving.two_roles.contract import OFFSETS, Contract, RawInput

if TYPE_CHECKING:
    from hemix.serving.ranking.loaded_version import Columns, Encoded


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """One request on its way: what to score, and what else to answer."""

    request: TensorRequest
    user: Columns
    items: Columns
    extra: tuple[str, ...]

    @property
    def candidates(self) -> int:
        """N: the rows of the items."""
        return max((len(c) for c in self.items.values() if not isinstance(c, tuple)), default=0)


class PredictorModel(ThreadedModel):
    """One version behind KServe V2 (REST and gRPC), named after it."""

    def __init__(self, model: LoadedModel, contract: Contract, *, workers: int, gate: Gate) -> None:
        super().__init__(model.name, workers=workers, gate=gate)
        self._model = model
        self.contract = contract
        self.documents = {"contract": contract.model_dump_json().encode()}
        self._transformed = frozenset(model.graph.outputs())
        self.ready = True

    async def preprocess(self, payload: object, headers: dict[str, str] | None = None) -> Scoring:
        if not isinstance(payload, TensorRequest):
            raise RequestError("path: a predictor speaks KServe V2: POST /v2/models/NAME/infer.")
        with timed("validate"):
            return self._scoring(payload)

    async def predict(
        self, payload: Scoring, headers: dict[str, str] | None = None
    ) -> tuple[Scoring, Tensors]:
        candidates = payload.candidates
        self.gate.costs(self.call, 1, candidates)
        return payload, await self.work(units_of(1, candidates), self._score, self.call, payload)

    async def postprocess(
        self,
        result: tuple[Scoring, Tensors],
        headers: dict[str, str] | None = None,
        response_headers: dict[str, str] | None = None,
    ) -> TensorResponse:
        scoring, outputs = result
        REQUESTS.labels("", self.name, "200").inc()
        return TensorResponse(
            request=replace(scoring.request, wanted=_with_offsets(scoring.request.wanted, outputs)),
            request_id=scoring.request.request_id or uuid.uuid4().hex,
            model_name=self.name,
            model_version=self.name,
            outputs=outputs,
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

    def _scoring(self, request: TensorRequest) -> Scoring:
        scores = [f"{SCORE}{task}" for task in self.contract.tasks]
        require_outputs(request.wanted, {*scores, *self._transformed}, scores)
        for name, shape in request.shapes.items():
            if len(shape) != 1:
                raise RequestError(
                    f"{short(name)}: shape {short(list(shape))} must have one dimension."
                )
        user, items = columns_of(self.contract, request.tensors)
        extra = tuple(w.name for w in request.wanted if w.name not in scores)
        return Scoring(request=request, user=user, items=items, extra=extra)

    def _score(self, call: Call, scoring: Scoring) -> Tensors:
        with timed("transform"):
            encoded = self._model.transform(RequestColumns(user=scoring.user, items=scoring.items))
        call.check()
        with timed("score"):
            scores = self._model.score(encoded)
        require_sound(self.name, scores, _count(scoring.items))
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
            raise RequestError(f"{short(name)}: version {contract.version} has no such column.")
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
        and bool(np.all(offsets[1:] >= offsets[:-1]))  # a difference could overflow
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


def _count(columns: Columns) -> int:
    value = next(iter(columns.values()))
    return len(value[1]) - 1 if isinstance(value, tuple) else len(value)


def _with_offsets(wanted: tuple[Wanted, ...], outputs: Tensors) -> tuple[Wanted, ...]:
    """A list column that is asked for comes with its offsets."""
    found: list[Wanted] = []
    for output in wanted:
        found.append(output)
        if output.name + OFFSETS in outputs:
            found.append(Wanted(name=output.name + OFFSETS, binary=output.binary))
    return tuple(found)

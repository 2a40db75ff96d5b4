"""Every type that Arrow has, in every role a column can have: read right, or refused with a mend."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, get_args

import pyarrow as pa
import pytest

from hemix.errors import DataError
from hemix.features.sources.arrow_types import Role, decoded, element, elements, plain, refusal
from hemix.features.sources.conversions import Kind, kind_of, to_category, to_flag, to_number
from hemix.features.sources.moments import to_time
from hemix.features.sources.place import Place

PLACE = Place(key="interactions[0].columns.ours", column="theirs", url="file:///log.parquet")
MOMENT = datetime(2024, 5, 31, 12, 0, 1, tzinfo=UTC)
MS = 1_717_156_801_000
MIDNIGHT = MS - MS % 86_400_000
KEY = uuid.UUID("00112233-4455-6677-8899-aabbccddeeff")

INTEGERS = [getattr(pa, f"{sign}int{bits}")() for sign in ("", "u") for bits in (8, 16, 32, 64)]
FLOATS = [pa.float16(), pa.float32(), pa.float64()]
DECIMALS = [
    pa.decimal32(9, 2),
    pa.decimal64(18, 0),
    pa.decimal128(38, 4),
    pa.decimal128(5, -1),
    pa.decimal256(76, 9),
]
TEXTS = [pa.string(), pa.large_string(), pa.string_view()]
BYTES = [pa.binary(), pa.large_binary(), pa.binary_view(), pa.binary(2)]
UNITS = ("s", "ms", "us", "ns")
ZONES = (None, "UTC", "Asia/Tokyo", "+05:30", "-08:00")
STAMPS = [pa.timestamp(unit, zone) for unit in UNITS for zone in ZONES]
DATES = [pa.date32(), pa.date64()]
CLOCKS = [pa.time32("s"), pa.time32("ms"), pa.time64("us"), pa.time64("ns")]
SPANS = [*(pa.duration(unit) for unit in UNITS), pa.month_day_nano_interval()]


def _array(values: list[Any], kind: pa.DataType) -> pa.Array:
    """``pa.array`` for extension types, too."""
    if isinstance(kind, pa.BaseExtensionType):
        storage = pa.array(values, kind.storage_type)
        return pa.ExtensionArray.from_storage(kind, storage)
    return pa.array(values, kind)


# Type and its two values; what they are as ids, numbers, times and labels (None: refused).
SCALARS: list[tuple[pa.DataType, list[Any], Any, Any, Any, Any]] = [
    *((kind, [1, 0], [1, 0], [1.0, 0.0], [1000, 0], [1, 0]) for kind in INTEGERS),
    *((kind, [1.0, 0.0], [1, 0], [1.0, 0.0], [1000, 0], [1, 0]) for kind in FLOATS),
    *(
        (kind, [Decimal(10), Decimal(0)], [10, 0], [10.0, 0.0], [10_000, 0], None)
        for kind in DECIMALS
    ),
    *((kind, ["1", "0"], ["1", "0"], [1.0, 0.0], [1000, 0], [1, 0]) for kind in TEXTS),
    *((kind, [b"11", b"10"], ["11", "10"], [11.0, 10.0], [11_000, 10_000], None) for kind in BYTES),
    *((kind, [MOMENT] * 2, ["2024-05-31 12:00:01"] * 2, None, [MS] * 2, None) for kind in STAMPS),
    *(
        (kind, [date(2024, 5, 31)] * 2, ["2024-05-31"] * 2, None, [MIDNIGHT] * 2, None)
        for kind in DATES
    ),
    *((kind, [time(12), time(13)], None, None, None, None) for kind in CLOCKS),
    *((kind, [timedelta(days=1)] * 2, None, None, None, None) for kind in SPANS[:-1]),
    (SPANS[-1], [(1, 2, 3)] * 2, None, None, None, None),
    (pa.bool_(), [True, False], [1, 0], [1.0, 0.0], None, [1, 0]),
    (pa.bool8(), [1, 0], [1, 0], [1.0, 0.0], None, [1, 0]),
    (pa.uuid(), [KEY.bytes] * 2, [str(KEY)] * 2, None, None, None),
    (pa.json_(), ["1", "0"], ["1", "0"], [1.0, 0.0], [1000, 0], [1, 0]),
    (pa.opaque(pa.int64(), "box", "maker"), [1, 0], None, None, None, None),
    (pa.fixed_shape_tensor(pa.int8(), [1]), [[1], [0]], None, None, None, None),
    (pa.list_(pa.int64()), [[1], [0]], None, None, None, None),
    (pa.large_list(pa.string()), [["1"], ["0"]], None, None, None, None),
    (pa.list_(pa.int64(), 1), [[1], [0]], None, None, None, None),
    (pa.list_view(pa.int64()), [[1], [0]], None, None, None, None),
    (pa.large_list_view(pa.int64()), [[1], [0]], None, None, None, None),
    (pa.struct([("a", pa.int64())]), [{"a": 1}, {"a": 0}], None, None, None, None),
    (pa.map_(pa.string(), pa.int64()), [[("a", 1)], [("a", 0)]], None, None, None, None),
]


def _unions() -> list[pa.Array]:
    children = [pa.array([1, 2]), pa.array(["a", "b"])]
    sparse = pa.UnionArray.from_sparse(pa.array([0, 1], pa.int8()), children)
    offsets = pa.array([0, 0], pa.int32())
    return [sparse, pa.UnionArray.from_dense(pa.array([0, 1], pa.int8()), offsets, children)]


def _dressed(array: pa.Array) -> list[pa.Array]:
    """The array itself, and as a dictionary, a dictionary of a dictionary and run-end encoded."""
    codes = pa.array([0, 1], pa.int8())
    forms = [array, pa.DictionaryArray.from_arrays(codes, array)]
    forms.append(pa.DictionaryArray.from_arrays(pa.array([0, 1], pa.uint32()), forms[1]))
    runs = pa.array([1, 2], pa.int32())
    return [*forms, pa.RunEndEncodedArray.from_arrays(runs, array)]


def _ids(array: pa.Array) -> list[Any]:
    values = plain(array, PLACE)
    kind: Kind | None = kind_of(values, PLACE, is_csv=False)
    assert kind
    return to_category(values, kind, PLACE).to_list()


READ: dict[Role, Callable[[pa.Array], list[Any]]] = {
    "id": _ids,
    "category": _ids,
    "number": lambda array: to_number(plain(array, PLACE), PLACE).to_list(),
    "time": lambda array: to_time(plain(array, PLACE), "s", PLACE, attribute=True).to_list(),
    "label": lambda array: to_flag(plain(array, PLACE), PLACE).to_list(),
}


@pytest.mark.parametrize("case", SCALARS, ids=lambda case: str(case[0]))
def test_every_type_is_read_right_or_refused(case: tuple[Any, ...]) -> None:
    kind, values, as_id, as_number, as_time, as_label = case
    expected = {"id": as_id, "category": as_id, "number": as_number, "time": as_time}
    for array in _dressed(_array(values, kind)):
        for role in get_args(Role):
            found = refusal(array.type, role)
            wanted = as_label if role == "label" else expected[role]
            if wanted is not None:
                assert found is None
                assert READ[role](array) == wanted, role
            elif found is None:  # of a type that is read; these values are no labels
                with pytest.raises(DataError, match="not a 0/1 label"):
                    READ[role](array)
            else:
                assert str(array.type) in found[0]
                assert found[1]


@pytest.mark.parametrize("role", get_args(Role))
def test_nulls_and_unions(role: Role) -> None:
    assert refusal(pa.null(), role) is None
    for union in _unions():
        found = refusal(union.type, role)
        assert found
        assert "member" in found[1]


@pytest.mark.parametrize(
    "kind",
    [pa.list_, pa.large_list, pa.list_view, pa.large_list_view, lambda kind: pa.list_(kind, 2)],
)
def test_lists_of_every_kind_give_their_elements(kind: Callable[[pa.DataType], Any]) -> None:
    for inner, values in ((pa.int64(), [1, 2]), (pa.string(), ["a", "b"]), (pa.null(), [None] * 2)):
        column = pa.array([values, None, values], kind(inner))
        assert element(column.type) == inner
        found, lengths = elements(column)
        assert found.to_pylist() == values * 2
        assert lengths.to_pylist() == [2, 0, 2]
    assert elements(pa.nulls(2))[1].to_pylist() == [0, 0]
    assert element(pa.map_(pa.string(), pa.int8())) is None


def test_a_type_knows_missing_values() -> None:
    for kind, values, as_id, *_ in SCALARS:
        if as_id is None or pa.types.is_boolean(kind):
            continue
        array = pa.concat_arrays([_array(values, kind), pa.nulls(1, kind)])
        for form in (array, pa.chunked_array([array]), array.slice(1)):
            assert plain(form, PLACE).null_count() == 1
        assert decoded(array).null_count == 1


@pytest.mark.parametrize(
    "kind", [pa.decimal32(9), pa.decimal64(18), pa.decimal128(38), pa.decimal256(76)]
)
def test_decimal_ids_are_exact_whatever_their_size(kind: pa.DataType) -> None:
    largest = 10**kind.precision - 1
    numbers = [largest, largest - 1, 2**20 + 1, -largest]
    found = _ids(pa.array([Decimal(n) for n in numbers], kind))
    assert [int(value) for value in found] == numbers
    assert all(isinstance(value, int) for value in found) == (kind.precision <= 18)
    with pytest.raises(DataError, match=r"row 2, holds .*12\.5.*not a whole number"):
        _ids(pa.array([Decimal(1), Decimal("12.5")], pa.decimal128(20, 3)))


@pytest.mark.parametrize(
    ("kind", "limit"), [(pa.float16(), 2**11), (pa.float32(), 2**24), (pa.float64(), 2**53)]
)
def test_float_ids_are_exact_or_refused(kind: pa.DataType, limit: int) -> None:
    exact = [limit - 1, 0, 1 - limit]
    assert _ids(pa.array([float(n) for n in exact], pa.float64()).cast(kind)) == exact
    for beyond in (limit, -limit):
        column = pa.array([1.0, None, float(beyond)], pa.float64()).cast(kind)
        with pytest.raises(DataError, match=r"row 3, holds .* digits may be lost") as refused:
            _ids(column)
        assert refused.value.hint


def test_unsigned_hashes_are_their_digits() -> None:
    hashes = [2**64 - 1, 2**63, 5]
    assert _ids(pa.array(hashes, pa.uint64())) == [str(n) for n in hashes]


def test_bytes_that_are_no_text_are_named_by_row() -> None:
    for kind in (pa.binary(), pa.binary(2), pa.large_binary()):
        with pytest.raises(DataError, match=r"row 2, holds b'\\xff\\xfe', bytes that are no UTF-8"):
            plain(pa.array([b"ab", b"\xff\xfe"], kind), PLACE)
    disguised = pa.array([b"ok", b"\xc3("], pa.binary()).view(pa.string())
    with pytest.raises(DataError, match=r"row 2, holds b'\\xc3\('"):
        plain(disguised, PLACE)


def test_seconds_that_no_year_holds_are_refused() -> None:
    column = pa.array([0, 2**62], pa.int64()).cast(pa.timestamp("s"))
    with pytest.raises(DataError, match=r"row 2, holds 4611686018427387904, which is not a time"):
        plain(column, PLACE)

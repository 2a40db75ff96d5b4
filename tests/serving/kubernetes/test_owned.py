"""Reading our part back from ``managedFields``; on a real server in ``test_render.py``."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hemix.serving.kubernetes.owned import is_ours, owned

leaves = st.one_of(st.integers(), st.text(max_size=3), st.booleans())
names = st.text("abc/.", min_size=1, max_size=3)
ours = st.recursive(
    st.dictionaries(names, leaves, min_size=1, max_size=3),
    lambda inner: st.dictionaries(names, st.one_of(inner, leaves), min_size=1, max_size=3),
    max_leaves=8,
)


def _fields(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        return {}
    return {f"f:{key}": _fields(below) for key, below in value.items()}


def _live(spec: dict[str, Any], fields: dict[str, Any], manager: str = "hemix") -> dict[str, Any]:
    entry = {"manager": manager, "operation": "Apply", "fieldsV1": {"f:spec": fields}}
    return {
        "apiVersion": "v1",
        "kind": "Thing",
        "metadata": {"name": "x", "uid": "u", "managedFields": [entry]},
        "spec": spec,
    }


@pytest.mark.slow
@given(ours, st.dictionaries(st.text("xyz", min_size=1, max_size=3), leaves, max_size=3))
def test_ours_and_nothing_else(spec: dict[str, Any], theirs: dict[str, Any]) -> None:
    found = owned(_live({**spec, **theirs}, _fields(spec)))
    assert found == {"apiVersion": "v1", "kind": "Thing", "metadata": {"name": "x"}, "spec": spec}


def test_items_of_lists_by_their_keys_members_of_sets_and_empty_things() -> None:
    spec = {
        "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2", "theirs": 1}],
        "finalizers": ["mine", "theirs"],
        "volume": {},
        "args": ["whole", "list"],
    }
    fields = {
        "f:env": {'k:{"name":"B"}': {".": {}, "f:name": {}, "f:value": {}}},
        "f:finalizers": {'v:"mine"': {}},
        "f:volume": {".": {}},
        "f:args": {},
    }
    assert owned(_live(spec, fields))["spec"] == {
        "env": [{"name": "B", "value": "2"}],
        "finalizers": ["mine"],
        "volume": {},
        "args": ["whole", "list"],
    }


def test_another_managers_is_not_ours() -> None:
    assert not is_ours(_live({"a": 1}, {"f:a": {}}, manager="argocd"))
    assert not is_ours({"apiVersion": "v1", "kind": "Thing", "metadata": {"name": "x"}})

"""A graph that does more than look-ups and arithmetic is refused before TensorFlow sees it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hemix.errors import ModelVersionError
from hemix.features.transform import TransformGraph
from hemix.features.transform.allowed import require_allowed
from hemix.features.transform.pruned import restore
from tests.features.transform.conftest import Fitted

GRAPH = "transform_fn/transform_fn"
Change = Callable[[Any, Any], None]


def _function(meta: Any, part: str) -> Any:
    return next(f for f in meta.graph_def.library.function if part in f.signature.name)


def _node(function: Any, op: str, **attributes: bytes) -> Any:
    node = function.node_def.add(name="added", op=op)
    for name, value in attributes.items():
        node.attr[name].s = value
    return node


def _write(meta: Any, place: Path) -> None:
    function = _function(meta, "pruned")
    for name, value in (("where", str(place).encode()), ("what", b"x")):
        node = function.node_def.add(name=name, op="Const")
        node.attr["dtype"].type = 7
        node.attr["value"].tensor.dtype = 7
        node.attr["value"].tensor.string_val.append(value)
        node.attr["value"].tensor.tensor_shape.SetInParent()
    node = _node(function, "WriteFile")
    node.input.extend(["where:output:0", "what:output:0"])
    function.control_ret["added"] = "added"
    function.signature.control_output.append("added")
    function.signature.is_stateful = True


def _read(meta: Any, place: Path) -> None:
    _node(_function(meta, "initializer"), "ReadFile")


def _python(meta: Any, place: Path) -> None:
    _node(_function(meta, "pruned"), "EagerPyFunc")


def _custom(meta: Any, place: Path) -> None:
    _node(_function(meta, "signature_wrapper"), "HomeMadeOp")


def _nested(meta: Any, place: Path) -> None:
    """Not in the function itself: in one that one calls which it calls."""
    library = meta.graph_def.library
    for name, op in (("inner", "MatchingFiles"), ("outer", "PartitionedCall")):
        made = library.function.add()
        made.signature.name = f"__inference_{name}_900"
        node = _node(made, op)
        if name == "outer":
            node.attr["f"].func.name = "__inference_inner_900"
    call = _node(_function(meta, "pruned"), "StatefulPartitionedCall")
    call.attr["f"].func.name = "__inference_outer_900"


def _saver_called(meta: Any, place: Path) -> None:
    """The saver that is in every saved model writes files too, when something calls it."""
    call = _node(_function(meta, "pruned"), "StatefulPartitionedCall")
    call.attr["f"].func.name = _function(meta, "traced_save").signature.name


def _named_like_an_operation(meta: Any, place: Path) -> None:
    meta.graph_def.library.function.add().signature.name = "WriteFile"
    _node(_function(meta, "pruned"), "WriteFile")


def _asset_outside(meta: Any, place: Path) -> None:
    meta.asset_file_def[0].filename = "../../../../../../etc/hostname"


def _asset_missing(meta: Any, place: Path) -> None:
    meta.asset_file_def[0].filename = "nothing"


def _table_from_a_name(meta: Any, place: Path) -> None:
    function = _function(meta, "initializer")
    node = function.node_def.add(name="place", op="Const")
    node.attr["dtype"].type = 7
    fill = next(n for n in function.node_def if n.op == "InitializeTableFromTextFileV2")
    fill.input[1] = "place:output:0"


def _class(meta: Any, place: Path) -> None:
    user = next(n for n in meta.object_graph_def.nodes if n.WhichOneof("kind") == "user_object")
    user.user_object.identifier = "_tf_keras_layer"


def _without_objects(meta: Any, place: Path) -> None:
    meta.ClearField("object_graph_def")


@pytest.fixture
def changed(fitted: Fitted, tmp_path: Path) -> Callable[[Change], Path]:
    def change(how: Change) -> Path:
        from tensorflow.core.protobuf import saved_model_pb2

        shutil.copytree(fitted.transform, tmp_path / "transform")
        file = tmp_path / "transform" / GRAPH / "saved_model.pb"
        saved = saved_model_pb2.SavedModel()
        saved.ParseFromString(file.read_bytes())
        how(saved.meta_graphs[0], tmp_path / "written")
        file.write_bytes(saved.SerializeToString())
        return tmp_path / "transform"

    return change


@pytest.mark.parametrize(
    ("how", "named"),
    [
        (_write, "WriteFile"),
        (_read, "ReadFile"),
        (_python, "EagerPyFunc"),
        (_custom, "HomeMadeOp"),
        (_nested, "MatchingFiles"),
        (_saver_called, "SaveV2|MergeV2Checkpoints|ShardedFilename"),
        (_named_like_an_operation, "'WriteFile'"),
        (_asset_outside, "leads out of the folder"),
        (_asset_missing, "no file of the version"),
        (_table_from_a_name, "fills a table"),
        (_class, "_tf_keras_layer"),
        (_without_objects, "not one graph"),
    ],
)
def test_refused(
    changed: Callable[[Change], Path], tmp_path: Path, how: Change, named: str
) -> None:
    folder = changed(how)
    with pytest.raises(ModelVersionError, match=named):
        TransformGraph.load(folder, warm=[{"user", "item", "context"}])
    assert not (tmp_path / "written").exists()


def test_another_form_of_the_graph_beside_it_is_refused(fitted: Fitted, tmp_path: Path) -> None:
    """TensorFlow takes ``saved_model.cpb`` before ``saved_model.pb``."""
    folder = shutil.copytree(fitted.transform / GRAPH, tmp_path / "graph")
    (folder / "saved_model.cpb").write_bytes(b"")
    with pytest.raises(ModelVersionError, match=r"saved_model\.cpb"):
        restore(folder)
    (folder / "saved_model.cpb").unlink()
    (folder / "saved_model.pb").write_bytes(b"no message")
    with pytest.raises(ModelVersionError, match="not a saved model"):
        restore(folder)


def test_what_is_fitted_is_allowed(fitted: Fitted) -> None:
    require_allowed(fitted.transform / GRAPH)

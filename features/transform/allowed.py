"""What a transform graph may hold: checked before TensorFlow sees it, for a graph is a program.

A saved model can read and write any file with the rights of whoever loads it. The graphs that
:mod:`hemix.features.transform.preprocessing` makes are look-ups and arithmetic; nothing else is taken, in any
function, whoever made the graph and whatever its digests say.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hemix.errors import ModelVersionError
from hemix.features.transform.engine import tensorflow

LOOKUPS = "HashTableV2 InitializeTableFromTextFileV2 LookupTableFindV2 LookupTableSizeV2"
CALLS = "NoOp PartitionedCall StatefulPartitionedCall"
NUMBERS = """
    Abs Add AddN AddV2 All Any ArgMax ArgMin AssignVariableOp Cast Ceil ClipByValue Const Cumsum Div
    DivNoNan Equal Exp Expm1 Floor FloorDiv FloorMod Greater GreaterEqual IsFinite IsInf IsNan Less
    LessEqual Log Log1p LogicalAnd LogicalNot LogicalOr LowerBound Max Maximum Mean Min Minimum Mod Mul
    MulNoNan Neg NotEqual Placeholder PlaceholderWithDefault Pow Prod RealDiv ReadVariableOp Round Rsqrt
    Select SelectV2 Sign Sqrt Square SquaredDifference Sub Sum UpperBound VarHandleOp VarIsInitializedOp
    Xdivy
"""
SHAPES = """
    BroadcastTo ConcatV2 ExpandDims Fill GatherNd GatherV2 Identity IdentityN OneHot OnesLike Pack Pad
    PadV2 Range Rank Reshape ReverseV2 Shape Size Slice Split SplitV Squeeze StridedSlice Tile Transpose
    Unique UniqueV2 UniqueWithCounts UniqueWithCountsV2 Unpack Where ZerosLike
"""
TEXTS = """
    AsString StaticRegexFullMatch StringJoin StringLength StringLower StringStrip StringToHashBucketFast
    StringToNumber StringUpper
"""
ALLOWED = frozenset(f"{LOOKUPS} {CALLS} {NUMBERS} {SHAPES} {TEXTS}".split())
"""Operations of functions that something can call."""
SAVERS = frozenset(["MergeV2Checkpoints", "RestoreV2", "SaveV2", "ShardedFilename"])
"""Of two functions that TensorFlow writes into every saved model, and that nothing calls."""
KINDS = frozenset(
    [
        "asset",
        "bare_concrete_function",
        "captured_tensor",
        "constant",
        "function",
        "resource",
        "user_object",
        "variable",
    ]
)
CLASSES = frozenset(
    ["_generic_user_object", "signature_map", "trackable_dict_wrapper", "trackable_list_wrapper"]
)
REGISTERED = frozenset(["", "tf.StaticHashTable", "tf.TrackableConstant"])
_HINT = (
    "Do not load this version: no transform of hemix makes such a graph. A version from elsewhere is "
    "a program; take it only from people you trust (SECURITY.md)."
)


def require_allowed(saved_model: Path) -> None:
    """Check a saved transform's operations, assets and objects; reads bytes, runs nothing.

    Raises:
        ModelVersionError: it holds anything that a transform does not; the message names it.
    """
    file = saved_model / "saved_model.pb"
    for other in sorted(saved_model.glob("saved_model*")):  # TensorFlow may prefer one of them
        if other != file:
            raise ModelVersionError(f"{other}: a transform graph is saved_model.pb.", hint=_HINT)
    for reason in _reasons(_read(file), saved_model):
        raise ModelVersionError(f"{file}: {reason}.", hint=_HINT)


def _read(file: Path) -> Any:
    from google.protobuf.message import DecodeError

    tensorflow()
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel()
    try:
        saved.ParseFromString(file.read_bytes())
    except OSError as error:
        raise ModelVersionError(f"{file}: cannot read ({error.strerror}).") from error
    except DecodeError as error:
        raise ModelVersionError(f"{file}: not a saved model ({error}).", hint=_HINT) from error
    return saved


def _reasons(saved: Any, folder: Path) -> Iterator[str]:
    """Why the graph is not taken, first things first."""
    if len(saved.meta_graphs) != 1 or not saved.meta_graphs[0].object_graph_def.nodes:
        yield "it is not one graph with its objects"  # TensorFlow would run another part of it
        return
    meta = saved.meta_graphs[0]
    yield from _objects(meta.object_graph_def)
    functions = {f.signature.name: f for f in meta.graph_def.library.function}
    if len(functions) != len(meta.graph_def.library.function):
        yield "two functions have one name"
    if strange := [name for name in functions if not name.startswith("__inference_")]:
        yield f"it holds a function called {strange[0]!r}"  # which may be an operation's name
    if missing := sorted(set(meta.object_graph_def.concrete_functions) - set(functions)):
        yield f"the function {missing[0]!r} is missing"
        return
    called = _reachable(functions, meta)
    for name, function in functions.items():
        yield from _operations(
            function.node_def, functions, ALLOWED if name in called else ALLOWED | SAVERS, name
        )
    yield from _operations(meta.graph_def.node, functions, ALLOWED | SAVERS, "the graph")
    yield from _tables(meta, functions)
    for asset in meta.asset_file_def:
        if Path(asset.filename).name != asset.filename or asset.filename in ("", ".", ".."):
            yield f"the asset {asset.filename!r} leads out of the folder"
        elif (place := folder / "assets" / asset.filename).is_symlink() or not place.is_file():
            yield f"the asset {asset.filename!r} is no file of the version"


def _objects(objects: Any) -> Iterator[str]:
    for node in objects.nodes:
        kind = node.WhichOneof("kind")
        if kind not in KINDS:
            yield f"it holds an object of the kind {kind}"
        if kind == "user_object" and node.user_object.identifier not in CLASSES:
            yield f"it holds an object of the class {node.user_object.identifier!r}"
        if node.registered_name not in REGISTERED or node.registered_saver:
            yield f"it holds an object of the class {node.registered_name or node.registered_saver!r}"


def _operations(
    nodes: Any, functions: dict[str, Any], allowed: frozenset[str], where: str
) -> Iterator[str]:
    for node in nodes:
        if node.op not in allowed and node.op not in functions:
            yield f"{where} holds the operation {node.op}"


def _named(node: Any) -> Iterator[str]:
    """Functions that a node calls."""
    yield node.op
    for value in node.attr.values():
        yield value.func.name
        yield from (func.name for func in value.list.func)


def _reachable(functions: dict[str, Any], meta: Any) -> set[str]:
    """The functions that objects of the graph offer, and those that these call."""
    todo = [*meta.object_graph_def.concrete_functions]
    for gradient in meta.graph_def.library.gradient:
        todo += [gradient.function_name, gradient.gradient_func]
    found: set[str] = set()
    while todo:
        name = todo.pop()
        if name in functions and name not in found:
            found.add(name)
            todo += [called for node in functions[name].node_def for called in _named(node)]
    return found


def _tables(meta: Any, functions: dict[str, Any]) -> Iterator[str]:
    """A table is filled from an asset, not from a file whose name stands in the graph."""
    offered = meta.object_graph_def.concrete_functions
    nodes = meta.object_graph_def.nodes
    for name, function in functions.items():
        fills = [n for n in function.node_def if n.op == "InitializeTableFromTextFileV2"]
        if not fills:
            continue
        arguments = [argument.name for argument in function.signature.input_arg]
        bound = [*offered[name].bound_inputs] if name in offered else []
        sources = dict(zip(arguments, bound, strict=False)) if len(arguments) == len(bound) else {}
        for node in fills:
            source = sources.get(node.input[1]) if len(node.input) > 1 else None
            if (
                source is None
                or not 0 <= source < len(nodes)
                or nodes[source].WhichOneof("kind") != "asset"
            ):
                yield f"{name} fills a table from what is no file of the version"

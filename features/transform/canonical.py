"""The saved graph in one form: the same data gives the same bytes, wherever and whenever it is fitted.

TensorFlow writes into a saved model what changes from process to process and decides no result: the
scratch folder of the analysis (in the names of look-up tables), running numbers in the names of
functions, nodes in the order of a Python set, map entries in any order, and a random number in
``fingerprint.pb``. Here tables are named by what they hold, functions are counted from 0, nodes stand
in order of their names, maps are sorted, and the fingerprint, of bytes that are no more, is left out.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hemix.features.transform.engine import tensorflow
from hemix.files import sha256_file

_NUMBERED = re.compile(r"^(__\w+_)(\d+)$")
_TABLE = re.compile(rb"tf\.Tensor\(b(['\"])(?P<path>.*?)\1, shape=\(\), dtype=string\)", re.DOTALL)
_SPECIFIED = "_user_specified_name"
MODEL, FINGERPRINT, ASSETS = "saved_model.pb", "fingerprint.pb", "assets"


def canonical(folder: Path) -> None:
    """Rewrite ``saved_model.pb`` of a saved model in its one form, and remove ``fingerprint.pb``."""
    tensorflow()
    from tensorflow.core.protobuf import saved_model_pb2

    file = folder / MODEL
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString(file.read_bytes())
    names = _function_names(saved)

    def renamed(text: str | bytes) -> str | bytes:
        if isinstance(text, str):
            return names.get(text, text)
        return _TABLE.sub(lambda found: _content(folder, found["path"]), text)

    _rewrite(saved, renamed)
    for meta in saved.meta_graphs:
        _sort(meta.graph_def.node, lambda node: str(node.name))
        _sort(meta.graph_def.library.function, lambda function: str(function.signature.name))
        for function in meta.graph_def.library.function:
            _unnumber(function)
            _sort(function.node_def, lambda node: str(node.name))
    file.write_bytes(saved.SerializeToString(deterministic=True))
    (folder / FINGERPRINT).unlink(missing_ok=True)


def _function_names(saved: Any) -> dict[str, str]:
    """New names of functions, numbered by kind in the order in which they were made."""
    kinds: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for meta in saved.meta_graphs:
        for function in meta.graph_def.library.function:
            if found := _NUMBERED.match(function.signature.name):
                kinds[found[1]].append((int(found[2]), found[0]))
    return {
        name: f"{kind}{place}"
        for kind, made in kinds.items()
        for place, (_, name) in enumerate(sorted(made))
    }


def _unnumber(function: Any) -> None:
    """Arguments that TensorFlow called by a running number go without a name."""
    for argument in function.arg_attr.values():
        if argument.attr[_SPECIFIED].s.isdigit() or not argument.attr[_SPECIFIED].s:
            del argument.attr[_SPECIFIED]


def _content(folder: Path, path: bytes) -> bytes:
    """A table's file by its name and content: tables of other content never share a name."""
    name = path.rsplit(b"/", 1)[-1].decode()
    return f"{name}:{sha256_file(folder / ASSETS / name)}".encode()


def _sort(repeated: Any, key: Callable[[Any], str]) -> None:
    ordered = sorted(repeated, key=key)
    copies = [type(part).FromString(part.SerializeToString(deterministic=True)) for part in ordered]
    del repeated[:]
    repeated.extend(copies)


def _rewrite(message: Any, renamed: Callable[[str | bytes], str | bytes]) -> None:
    """Replace every text and every run of bytes in a message, also in keys of maps."""
    for field, value in message.ListFields():
        texts = field.type in (field.TYPE_STRING, field.TYPE_BYTES)
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            _rewrite_map(field.message_type.fields_by_name, value, renamed)
        elif field.is_repeated:
            for place, part in enumerate(value):
                if texts and (new := renamed(part)) != part:
                    value[place] = new
                elif field.message_type is not None:
                    _rewrite(part, renamed)
        elif texts:
            if (new := renamed(value)) != value:
                setattr(message, field.name, new)
        elif field.message_type is not None:
            _rewrite(value, renamed)


def _rewrite_map(fields: Any, value: Any, renamed: Callable[[str | bytes], str | bytes]) -> None:
    inner = fields["value"].message_type is not None
    if fields["key"].type == fields["key"].TYPE_STRING:
        for key in [key for key in value if renamed(key) != key]:
            if inner:
                value[renamed(key)].CopyFrom(value[key])
            else:
                value[renamed(key)] = value[key]
            del value[key]
    for key in list(value):
        if inner:
            _rewrite(value[key], renamed)
        elif isinstance(value[key], str | bytes):
            value[key] = renamed(value[key])

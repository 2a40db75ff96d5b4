"""Compiled pipelines for the tests: each is compiled once a session and read as plain data."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import yaml

from hemix.pipelines.compiler.compiler import compiled

Document = dict[str, Any]


@cache
def text_of(name: str) -> str:
    """The IR YAML of a pipeline with the shipped settings."""
    return compiled(name)


def documents(name: str) -> tuple[Document, Document]:
    """Pipeline spec and platform spec; fresh, so that a test may change them."""
    return copy.deepcopy(_parsed(name))


@cache
def _parsed(name: str) -> tuple[Document, Document]:
    spec, platform = yaml.safe_load_all(text_of(name))
    return spec, platform


def text(spec: Document, platform: Document) -> str:
    """Both documents as YAML (JSON is YAML, and quickly written)."""
    return f"{json.dumps(spec)}\n---\n{json.dumps(platform)}\n"


def tasks_of(spec: Document) -> Iterator[tuple[str, Document]]:
    """Every task of every DAG that has an executor: its component's name and itself."""
    for holder in (spec["root"], *spec["components"].values()):
        for task in holder.get("dag", {}).get("tasks", {}).values():
            name = task["componentRef"]["name"]
            if "executorLabel" in spec["components"][name]:
                yield name, task

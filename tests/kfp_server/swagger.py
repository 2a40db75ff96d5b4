"""The published interface: which requests there are and what they and their answers hold."""

from __future__ import annotations

import copy
import json
import re
import urllib.parse
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import jsonschema
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT4

_ROOT = "urn:kfp"
_JSON_TYPES = {"integer": r"-?\d+", "boolean": "true|false", "string": ".*"}


class Refused(Exception):
    """A request that the server does not take; ``status`` is the HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass(frozen=True)
class Operation:
    """One path and method of the interface."""

    name: str
    pattern: re.Pattern[str]
    parameters: tuple[dict[str, Any], ...]
    responses: dict[str, Any]

    def named(self, place: str) -> dict[str, dict[str, Any]]:
        return {p["name"]: p for p in self.parameters if p["in"] == place}


class Swagger:
    """Requests and answers are checked against the definitions, and unknown fields are refused."""

    def __init__(self, path: Path) -> None:
        document = json.loads(path.read_text())
        strict = _strict({"definitions": document["definitions"]})
        resource = Resource.from_contents(strict, default_specification=DRAFT4)
        self._registry: Any = Registry().with_resource(_ROOT, resource)
        self._formats = jsonschema.FormatChecker()
        self._formats.checks("date-time", ValueError)(_date_time)
        self._formats.checks("int64", ValueError)(
            lambda text: not isinstance(text, str) or int(text) is not None
        )
        self.operations: dict[str, list[Operation]] = {}
        for template, methods in document["paths"].items():
            for method, operation in methods.items():
                self.operations.setdefault(method.upper(), []).append(
                    Operation(
                        name=operation["operationId"],
                        pattern=_pattern(template),
                        parameters=tuple(operation.get("parameters", ())),
                        responses=operation["responses"],
                    )
                )
        for operations in self.operations.values():  # literal segments win over placeholders
            operations.sort(key=lambda operation: operation.pattern.pattern.count("(?P"))

    def find(self, method: str, path: str) -> tuple[Operation, dict[str, str]]:
        """The operation and its path parameters.

        Raises:
            Refused: there is no such path (404), or not with this method (405).
        """
        for operation in self.operations.get(method, ()):
            if match := operation.pattern.fullmatch(path):
                return operation, {
                    name.replace("__", "."): urllib.parse.unquote(value)
                    for name, value in match.groupdict().items()
                }
        for other in self.operations.values():
            if any(operation.pattern.fullmatch(path) for operation in other):
                raise Refused(405, f"Method Not Allowed: {method} {path}")
        raise Refused(404, f"Not Found: {path}")

    def check_query(self, operation: Operation, query: dict[str, str]) -> None:
        known = operation.named("query")
        for name, value in query.items():
            if name not in known:
                raise Refused(400, f"{operation.name} has no query parameter {name!r}")
            if not re.fullmatch(_JSON_TYPES[known[name]["type"]], value, re.DOTALL):
                raise Refused(400, f"query parameter {name}={value!r} is no {known[name]['type']}")
            if name == "filter" and value:
                self.check(json.loads(value), "#/definitions/v2beta1Filter", "filter")
        for name, parameter in known.items():
            if parameter.get("required") and name not in query:
                raise Refused(400, f"{operation.name} needs query parameter {name!r}")

    def check_body(self, operation: Operation, body: Any) -> None:
        wanted = next(iter(operation.named("body").values()), None)
        if wanted is None:
            if body is not None:
                raise Refused(400, f"{operation.name} takes no body")
            return
        if body is None:
            raise Refused(400, f"{operation.name} needs a body")
        self.check(body, wanted["schema"]["$ref"], "request")
        _refuse_read_only(body, self._definition(wanted["schema"]["$ref"]))

    def check_answer(self, operation: Operation, status: int, body: Any) -> None:
        """An answer that breaks the interface is a mistake of this server: AssertionError."""
        response = operation.responses["200" if status == 200 else "default"]
        schema = response.get("schema", {})
        if "$ref" not in schema:
            return
        try:
            self.check(body, schema["$ref"], "answer")
        except Refused as error:
            raise AssertionError(f"{operation.name} answered {body}: {error.message}") from error

    def check(self, value: Any, reference: str, what: str) -> None:
        validator = jsonschema.Draft4Validator(
            {"$ref": _ROOT + reference}, registry=self._registry, format_checker=self._formats
        )
        for error in sorted(validator.iter_errors(value), key=lambda e: list(e.absolute_path)):
            where = ".".join(map(str, error.absolute_path)) or "body"
            raise Refused(400, f"{what}: {where}: {error.message}")

    def _definition(self, reference: str) -> dict[str, Any]:
        found: dict[str, Any] = self._registry[_ROOT].contents["definitions"]
        definition: dict[str, Any] = found[reference.rsplit("/", 1)[-1]]
        return definition


def _pattern(template: str) -> re.Pattern[str]:
    """``/runs/{run_id}:retry`` as a pattern; a dot in a placeholder's name becomes ``__``."""
    parts = re.split(r"\{([\w.]+)\}", template)
    for i in range(1, len(parts), 2):
        parts[i] = f"(?P<{parts[i].replace('.', '__')}>[^/:]+)"
    for i in range(0, len(parts), 2):
        parts[i] = re.escape(parts[i])
    return re.compile("".join(parts))


def _strict(node: Any) -> Any:
    """The same definitions, in which an object holds only the properties it names."""
    node = copy.deepcopy(node)

    def visit(value: Any) -> None:
        if isinstance(value, dict):
            if "$ref" in value and isinstance(value["$ref"], str):
                reference = value["$ref"]
                value.clear()
                value["$ref"] = reference
                return
            if isinstance(value.get("properties"), dict):
                value.setdefault("additionalProperties", False)
            for inner in value.values():
                visit(inner)
        elif isinstance(value, list):
            for inner in value:
                visit(inner)

    visit(node)
    return node


def _refuse_read_only(body: Any, definition: dict[str, Any]) -> None:
    for name, field in definition.get("properties", {}).items():
        if field.get("readOnly") and name in body:
            raise Refused(400, f"request: {name} is written by the server only")


def _date_time(text: object) -> bool:
    if isinstance(text, str):
        parsed = datetime.fromisoformat(text.replace("Z", "+00:00"))
        if parsed.tzinfo is None:
            raise ValueError(f"{text!r} has no time zone")
    return True

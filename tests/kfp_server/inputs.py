"""The check of a run's parameters that the API server makes (template/v2_template.go)."""

from __future__ import annotations

from typing import Any

from tests.kfp_server.swagger import Refused

_TYPES: dict[str, tuple[tuple[type, ...], str]] = {
    "NUMBER_DOUBLE": ((int, float), "double or integer"),
    "NUMBER_INTEGER": ((int, float), "double or integer"),
    "STRING": ((str,), "string"),
    "BOOLEAN": ((bool,), "bool"),
    "LIST": ((list,), "list"),
    "STRUCT": ((dict,), "struct"),
}


def check_inputs(spec: dict[str, Any], parameters: dict[str, Any]) -> None:
    """Refused with the server's words: missing, of a wrong type, or not asked for."""
    inputs = spec["root"].get("inputDefinitions", {}).get("parameters", {})
    for name, definition in inputs.items():
        if name not in parameters:
            if not definition.get("isOptional") and "defaultValue" not in definition:
                raise Refused(
                    400,
                    f"Invalid input error: parameter {name} is not optional, yet has neither default "
                    "value nor user provided value",
                )
            continue
        types, words = _TYPES[definition["parameterType"]]
        value = parameters[name]
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            raise Refused(400, f"Invalid input error: input parameter {name} requires type {words}")
    if extra := sorted(set(parameters) - set(inputs)):
        raise Refused(
            400,
            f"Invalid input error: parameter(s) provided are not required by pipeline: {extra}",
        )

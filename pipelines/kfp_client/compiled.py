"""A pipeline of hemix made ready for a server: compiled, with its parameters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hemix import storage
from hemix.errors import DefinitionError
from hemix.pipelines.compiler.cluster_settings import ClusterSettings
from hemix.pipelines.compiler.compiler import PIPELINES, compiled
from hemix.pipelines.kfp_client.agreeing import agreed, kept_long_enough
from hemix.pipelines.kfp_client.arguments import Wanted, arguments_of, parse_parameters
from hemix.pipelines.kfp_client.spec import check_parameters, inputs_of, spec_of

PIPELINE_ROOT = "pipeline"
STARTER = "monitoring"
"""The pipeline that starts another."""
CLEANER = "cleaning"
"""The pipeline that removes what others left behind."""


@dataclass(frozen=True, kw_only=True)
class Ready:
    """IR YAML, the spec in it, parameters, and the pipeline root.

    ``started``: pipelines that it starts by itself -> their IR YAML, which the server must hold.
    """

    pipeline: str
    text: str
    spec: dict[str, Any]
    parameters: dict[str, Any]
    root: str
    started: Mapping[str, str] = field(default_factory=dict)


def ready(
    pipeline: str,
    wanted: Wanted,
    settings: Path | None = None,
    pairs: Iterable[str] = (),
    filled: Iterable[str] = (),
) -> Ready:
    """Compile ``pipeline`` and work out its parameters; no server is asked.

    Args:
        pipeline: one of hemix's pipelines.
        wanted: what was said by name.
        settings: cluster settings.
        pairs: ``KEY=VALUE`` texts of ``--param``.
        filled: parameters that somebody else fills in later.

    Raises:
        DefinitionError: no such pipeline, or a value that cannot be used.
        DataError: the log's files are not there.
    """
    chosen = ClusterSettings.load(settings)
    text = compiled(pipeline, chosen)
    spec = spec_of(text)
    inputs = inputs_of(spec)
    given = parse_parameters(pairs, inputs, pipeline)
    parameters = agreed(arguments_of(pipeline, inputs, wanted, given), chosen)
    started: dict[str, str] = {}
    if pipeline == CLEANER:
        kept_long_enough(str(parameters.get("policy") or ""), chosen)
    if pipeline == STARTER:
        parameters, started = _with_started(parameters, wanted, chosen)
    check_parameters(spec, {**dict.fromkeys(set(filled) & set(inputs), ""), **parameters})
    return Ready(
        pipeline=pipeline,
        text=text,
        spec=spec,
        parameters=parameters,
        root=storage.join(wanted.root, PIPELINE_ROOT) if wanted.root else "",
        started=started,
    )


def _with_started(
    parameters: dict[str, Any], wanted: Wanted, settings: ClusterSettings
) -> tuple[dict[str, Any], dict[str, str]]:
    """The parameters of the pipeline that a monitor starts, worked out and checked now.

    What is wrong is said to who makes the schedule, not to a step in a night. A pipeline that is not
    one of ours is left as it is.
    """
    inner = str(parameters.get("pipeline") or "retraining")
    if inner not in PIPELINES:
        return parameters, {}
    text = compiled(inner, settings)
    spec = spec_of(text)
    inputs = inputs_of(spec)
    try:
        known = arguments_of(inner, inputs, wanted, dict(parameters.get("parameters") or {}))
        made = agreed(known, settings)
        check_parameters(spec, made)
    except DefinitionError as error:
        raise DefinitionError(
            f"What {STARTER} would start, {inner}: {error.message}", hint=error.hint
        ) from error
    return {**parameters, "parameters": made}, {inner: text}

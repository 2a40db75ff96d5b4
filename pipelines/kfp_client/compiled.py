"""A pipeline of hemix made ready for a server: compiled, with its parameters."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hemix import storage
from hemix.pipelines.compiler.cluster_settings import ClusterSettings
from hemix.pipelines.compiler.compiler import compiled
from hemix.pipelines.kfp_client.arguments import Wanted, arguments_of, parse_parameters
from hemix.pipelines.kfp_client.spec import check_parameters, inputs_of, spec_of

PIPELINE_ROOT = "pipeline"


@dataclass(frozen=True, kw_only=True)
class Ready:
    """IR YAML, the spec in it, parameters, and the pipeline root."""

    pipeline: str
    text: str
    spec: dict[str, Any]
    parameters: dict[str, Any]
    root: str


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
    text = compiled(pipeline, ClusterSettings.load(settings))
    spec = spec_of(text)
    inputs = inputs_of(spec)
    given = parse_parameters(pairs, inputs, pipeline)
    parameters = arguments_of(pipeline, inputs, wanted, given)
    check_parameters(spec, {**dict.fromkeys(set(filled) & set(inputs), ""), **parameters})
    return Ready(
        pipeline=pipeline,
        text=text,
        spec=spec,
        parameters=parameters,
        root=storage.join(wanted.root, PIPELINE_ROOT) if wanted.root else "",
    )

"""Pipeline versions, named by what is in them: the same content is uploaded once."""

from __future__ import annotations

import hashlib
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hemix.errors import HemixError
from hemix.pipelines.kfp_client.api import AlreadyExists, NotFound, PipelinesApi
from hemix.pipelines.kfp_client.errors import PipelineApiError

_DIGEST = 16


@dataclass(frozen=True, kw_only=True)
class PipelineVersion:
    """A version on the server; ``uploaded`` says whether this call brought it there."""

    pipeline: str
    pipeline_id: str
    name: str
    version_id: str
    uploaded: bool = False


def version_name(pipeline: str, text: str) -> str:
    """``pipeline`` and a hash of its compiled text: ``training-0123456789abcdef``."""
    return f"{pipeline}-{hashlib.sha256(text.encode()).hexdigest()[:_DIGEST]}"


def upload(api: PipelinesApi, pipeline: str, text: str) -> PipelineVersion:
    """Make sure that the server holds this content as a version of ``pipeline``.

    A pipeline that this call made and could not fill is taken away again.

    Args:
        api: the server.
        pipeline: name of the pipeline; made when absent.
        text: compiled IR YAML.

    Raises:
        HemixError: the server refuses or does not answer.
    """
    name = version_name(pipeline, text)
    found = find_pipeline(api, pipeline)
    if found is None:
        pipeline_id = _create_pipeline(api, pipeline)
        try:
            return _upload(api, pipeline, pipeline_id, name, text)
        except HemixError as error:
            _take_back(api, pipeline, pipeline_id, error)
            raise
    existing = _version_called(api, found.pipeline_id, name)
    if existing is not None:
        return PipelineVersion(
            pipeline=pipeline,
            pipeline_id=found.pipeline_id,
            name=name,
            version_id=existing.pipeline_version_id,
        )
    return _upload(api, pipeline, found.pipeline_id, name, text)


def latest(api: PipelinesApi, pipeline: str) -> PipelineVersion:
    """The version of ``pipeline`` that was uploaded last.

    Raises:
        PipelineApiError: the server has no such pipeline, or no version of it.
    """
    found = find_pipeline(api, pipeline)
    if found is not None:
        versions = api.read(
            api.pipelines.pipeline_service_list_pipeline_versions,
            found.pipeline_id,
            page_size=1,
            sort_by="created_at desc",
        ).pipeline_versions
        if versions:
            return PipelineVersion(
                pipeline=pipeline,
                pipeline_id=found.pipeline_id,
                name=versions[0].name or versions[0].display_name,
                version_id=versions[0].pipeline_version_id,
            )
    raise PipelineApiError(
        f"{api.connection.host} has no pipeline {pipeline!r}.",
        hint=f"Upload it: hemix submit {pipeline}.",
    )


def find_pipeline(api: PipelinesApi, pipeline: str) -> Any | None:
    """The server's pipeline of this name, or None."""
    try:
        return api.read(
            api.pipelines.pipeline_service_get_pipeline_by_name,
            pipeline,
            **_in(api.namespace),
        )
    except NotFound:
        return None


def _create_pipeline(api: PipelinesApi, pipeline: str) -> str:
    import kfp_server_api

    body = kfp_server_api.V2beta1Pipeline(
        name=pipeline, display_name=pipeline, **_in(api.namespace)
    )
    try:
        made = api.write(api.pipelines.pipeline_service_create_pipeline, body)
    except AlreadyExists:  # somebody else was faster
        made = find_pipeline(api, pipeline)
        if made is None:
            raise
    return str(made.pipeline_id)


def _take_back(api: PipelinesApi, pipeline: str, pipeline_id: str, why: HemixError) -> None:
    try:
        api.write(api.pipelines.pipeline_service_delete_pipeline, pipeline_id=pipeline_id)
    except HemixError as error:
        raise PipelineApiError(
            f"{why.message} Pipeline {pipeline!r} was made and stays empty ({error.message})",
            hint=why.hint or "The next hemix submit fills it.",
        ) from why


def _upload(
    api: PipelinesApi, pipeline: str, pipeline_id: str, name: str, text: str
) -> PipelineVersion:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pipeline.yaml"
        path.write_text(text)
        try:
            made = api.write(
                api.uploads.upload_pipeline_version,
                str(path),
                name=name,
                display_name=name,
                pipelineid=pipeline_id,
            )
        except AlreadyExists:
            made = _version_called(api, pipeline_id, name)
            if made is None:
                raise
    return PipelineVersion(
        pipeline=pipeline,
        pipeline_id=pipeline_id,
        name=name,
        version_id=made.pipeline_version_id,
        uploaded=True,
    )


def _version_called(api: PipelinesApi, pipeline_id: str, name: str) -> Any | None:
    versions = api.all_of(
        lambda **page: api.pipelines.pipeline_service_list_pipeline_versions(pipeline_id, **page),
        "pipeline_versions",
        filter=named(name),
    )
    return next((v for v in versions if name in (v.name, v.display_name)), None)


def named(name: str) -> str:
    """A list filter: things whose display name is ``name``."""
    predicate = {"operation": "EQUALS", "key": "display_name", "string_value": name}
    return json.dumps({"predicates": [predicate]})


def _in(namespace: str | None) -> dict[str, str]:
    return {"namespace": namespace} if namespace else {}

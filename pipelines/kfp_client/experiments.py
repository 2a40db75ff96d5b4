"""KFP experiments: the folders that runs stand in."""

from __future__ import annotations

from typing import Any

from hemix.pipelines.kfp_client.api import PipelinesApi
from hemix.pipelines.kfp_client.errors import PipelineApiError
from hemix.pipelines.kfp_client.versions import named

_ARCHIVED = "ARCHIVED"


def find(api: PipelinesApi, name: str) -> Any | None:
    """The experiment called ``name``, or None.

    Raises:
        PipelineApiError: it is archived, so that nothing can run in it.
    """
    where = {"namespace": api.namespace} if api.namespace else {}
    listed = api.all_of(
        api.experiments.experiment_service_list_experiments,
        "experiments",
        filter=named(name),
        **where,
    )
    found = [experiment for experiment in listed if experiment.display_name == name]
    usable = [experiment for experiment in found if experiment.storage_state != _ARCHIVED]
    if found and not usable:
        raise PipelineApiError(
            f"Experiment {name!r} is archived on {api.connection.host}.",
            hint="Restore it in the Kubeflow dashboard, or choose another with --experiment.",
        )
    return usable[0] if usable else None


def require(api: PipelinesApi, name: str) -> str:
    """The id of the experiment called ``name``.

    Raises:
        PipelineApiError: there is none.
    """
    found = find(api, name)
    if found is None:
        raise PipelineApiError(
            f"{api.connection.host} has no experiment {name!r}"
            f"{f' in namespace {api.namespace}' if api.namespace else ''}.",
            hint="Name one that is there with --experiment, or let it be made: --create-experiment.",
        )
    return str(found.experiment_id)


def find_or_create(api: PipelinesApi, name: str) -> str:
    """The id of the experiment called ``name``, made when absent."""
    import kfp_server_api

    found = find(api, name)
    if found is None:
        found = api.write(
            api.experiments.experiment_service_create_experiment,
            kfp_server_api.V2beta1Experiment(display_name=name, namespace=api.namespace),
        )
    return str(found.experiment_id)

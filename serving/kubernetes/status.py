"""What serves in the cluster and how it does, beside what the registry says."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from hemix.serving.kubernetes.api import Cluster
from hemix.serving.kubernetes.manifests.names import selector, service_name
from hemix.serving.kubernetes.manifests.ranker import FILE, predictors_file
from hemix.serving.kubernetes.manifests.settings import DeploymentSettings
from hemix.serving.kubernetes.ready import service_look
from hemix.serving.registry.transitions import RegistryState
from hemix.serving.tables import plain
from hemix.serving.two_roles.routing_table import parse_predictors


def status_table(cluster: Cluster, state: RegistryState, settings: DeploymentSettings) -> Table:
    """One row an InferenceService of ours: the registry's share, the cluster's, readiness."""
    table = Table(title=plain(f"{settings.name} in {cluster.namespace}"), title_justify="left")
    for name in ("service", "version", "registry", "cluster", "ready"):
        table.add_column(name, overflow="fold")
    served = served_shares(cluster, settings, state)
    names = {service_name(settings, version): version for version in state.versions}
    found = cluster.list(
        "serving.kserve.io/v1beta1", "InferenceService", selector=selector(settings)
    )
    for live in sorted(found, key=lambda item: str(item["metadata"]["name"])):
        name = live["metadata"]["name"]
        version = live["metadata"].get("annotations", {}).get("hemix/model-version", "")
        look = service_look(live)
        table.add_row(
            plain(name),
            plain(version),
            _share(state.shares.get(names.get(name, ""))),
            _share(served.get(version)),
            Text("yes", "green") if look.ready else plain(look.why, "red"),
        )
    return table


def served_shares(
    cluster: Cluster, settings: DeploymentSettings, state: RegistryState
) -> dict[str, float]:
    """``version -> share`` as the cluster's predictors file has it; empty without one."""
    if state.champion is None:
        return {}
    live = cluster.get(predictors_file(settings, state))
    if live is None:
        return {}
    where = f"ConfigMap {live['metadata']['name']}"
    file = parse_predictors(live["data"][FILE], where=where)
    return {predictor.version: predictor.share for predictor in file.predictors}


def _share(share: float | None) -> str:
    return "" if share is None else f"{share:.0%}"

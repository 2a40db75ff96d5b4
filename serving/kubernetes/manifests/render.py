"""The manifests of a registry's state. A pure function: no cluster, no clock, no files."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime

import yaml

from hemix.errors import DefinitionError, RegistryError
from hemix.serving.kubernetes.manifests.names import Manifest, service_name
from hemix.serving.kubernetes.manifests.predictor import predictor
from hemix.serving.kubernetes.manifests.ranker import (
    DATA,
    inner_route,
    predictors_file,
    ranker,
    route,
)
from hemix.serving.kubernetes.manifests.rules import check
from hemix.serving.kubernetes.manifests.settings import DeploymentSettings
from hemix.serving.registry.transitions import RegistryState
from hemix.storage import is_remote, join, parent


@dataclass(frozen=True)
class Rendered:
    """Manifests by the order in which they are applied.

    ``capacity`` serves no one yet: versions' predictors. ``traffic`` sends users to them, once they
    are ready. Applying the first never moves a request.
    """

    capacity: tuple[Manifest, ...]
    traffic: tuple[Manifest, ...]

    @property
    def manifests(self) -> tuple[Manifest, ...]:
        return (*self.capacity, *self.traffic)

    def to_yaml(self) -> str:
        """All of them, for ``kubectl apply --server-side -f -``; equal input gives equal text."""
        return "---\n".join(yaml.dump(m, Dumper=Plain, sort_keys=False) for m in self.manifests)


def render(
    state: RegistryState,
    settings: DeploymentSettings,
    *,
    registry: str,
    now: datetime | None = None,
) -> Rendered:
    """What must be in the cluster so that it serves what ``state`` says.

    Args:
        state: of the registry.
        settings: of the deployment.
        registry: the registry's location, where pods find models unless
            ``settings.storage.models`` says otherwise.
        now: for how long ago the champion became one; None: as of the registry's last move.

    Raises:
        RegistryError: there is no champion.
        DefinitionError: pods cannot reach the registry, or KServe would refuse a manifest.
    """
    if state.champion is None:
        raise RegistryError(
            f"{registry} holds no champion: there is nothing to serve.",
            hint="Deploy a version first (hemix run, or the pipeline's deploy step).",
        )
    models = settings.storage.models or registry
    if not is_remote(models):
        raise DefinitionError(
            f"Pods cannot read models from {models}, a folder of this machine.",
            hint="Set storage.models to s3://BUCKET/PREFIX or pvc://CLAIM/PATH, or use a registry there.",
        )
    features = settings.storage.features or join(parent(registry), "feature_store")
    if not is_remote(features) and not (settings.storage.claim and features.startswith(DATA)):
        raise DefinitionError(
            f"Pods cannot read features from {features}.",
            hint=f"Set storage.features to s3://BUCKET/PREFIX, or to a path below {DATA} "
            "with storage.claim.",
        )
    exposures = settings.storage.exposures or join(parent(registry), "exposures")
    if not is_remote(exposures) and not (settings.storage.claim and exposures.startswith(DATA)):
        raise DefinitionError(
            f"Exposures at {exposures} would end with the pod that wrote them.",
            hint="Set storage.exposures to s3://BUCKET/PREFIX, or to a path below "
            f"{DATA} with storage.claim.",
        )
    capacity: dict[tuple[str, str], Manifest] = {}
    for version in live_versions(state, settings, now):
        for manifest in (*predictor(settings, version, models), inner_route(settings, version)):
            if manifest is not None:  # a runtime is shared by versions
                capacity.setdefault((manifest["kind"], manifest["metadata"]["name"]), manifest)
    # The file first: the ranker's pods mount it. The route last: it lets users in.
    traffic = [predictors_file(settings, state), *ranker(settings, features, exposures)]
    traffic.append(route(settings))
    rendered = Rendered(capacity=tuple(capacity.values()), traffic=tuple(traffic))
    for manifest in rendered.manifests:
        check(manifest)
    return rendered


def live_versions(
    state: RegistryState, settings: DeploymentSettings, now: datetime | None = None
) -> tuple[str, ...]:
    """Versions that have pods: all with users, and for a while the champion before, for a fast way back.

    Raises:
        DefinitionError: two versions would have one name in the cluster.
    """
    found = [*state.shares]
    if len(state.champions) > 1 and _reigns(state, now) < settings.champion_before_hours * 3600:
        before = state.champions[-2]
        if before not in found:
            found.append(before)
    names = {service_name(settings, version): version for version in found}
    if len(names) < len(found) or settings.name in names:
        raise DefinitionError(f"Versions {', '.join(found)} share a name in the cluster.")
    return tuple(found)


def _reigns(state: RegistryState, now: datetime | None) -> float:
    """Seconds since the champion became one."""
    crowned = [e.when for e in state.history if e.version == state.champion and e.what == "promote"]
    if not crowned:
        return math.inf
    return ((now or state.history[-1].when) - crowned[-1]).total_seconds()


class Plain(yaml.SafeDumper):
    """For people: repeated parts are written out, texts of several lines as they are."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


Plain.add_representer(str, _text)

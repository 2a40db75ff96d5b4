"""The ranker: the InferenceService whose pods are the transformer, its predictors file, its route.

KServe demands a predictor of every InferenceService, and its ``spec.canary`` knows predictors only.
So the transformer is the (custom) predictor of ``ranker``: it looks features up, assigns the variant
and asks the predictor of the user's version, which is an InferenceService of its own.
"""

from __future__ import annotations

from typing import Any

import yaml

from hemix.serving.kubernetes.manifests import pods
from hemix.serving.kubernetes.manifests.names import Manifest, labels, service_name, url_of
from hemix.serving.kubernetes.manifests.predictor import INNER_ONLY, MODE, OUTSIDE_MESH
from hemix.serving.kubernetes.manifests.scaling import (
    autoscaler_class,
    disruption_budget,
    replica_fields,
    scaled_object,
)
from hemix.serving.kubernetes.manifests.settings import DeploymentSettings, Parent
from hemix.serving.registry.transitions import RegistryState
from hemix.serving.two_roles.routing_table import Predictors

COMPONENT = "ranker"
MODEL_NAME = "ranker"
"""Of the KServe model that users ask; equals ``hemix.serving.protocol.endpoint.MODEL_NAME``."""
FILE = "predictors.yaml"
LAYERS = "experiments.yaml"
_MOUNT = "/etc/hemix/predictors"
DATA = "/var/lib/hemix"
"""Where a pod sees ``storage.claim``, or a volume that ends with it."""


def predictors_file(settings: DeploymentSettings, state: RegistryState) -> Manifest:
    """The ConfigMap that says which version serves whom. To move traffic is to change it."""
    urls = {version: url_of(settings, version) for version in state.shares}
    data = {FILE: Predictors.of(state, urls).to_yaml()}
    if settings.experiments.layers:
        layers = settings.experiments.model_dump(mode="json", exclude_none=True)
        data[LAYERS] = yaml.safe_dump(layers, sort_keys=False)
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": f"{settings.name}-predictors",
            "namespace": settings.namespace,
            "labels": labels(settings, COMPONENT),
        },
        "data": data,
    }


def ranker(settings: DeploymentSettings, features: str, exposures: str) -> list[Manifest]:
    """InferenceService, scaling and disruption budget of the transformer.

    ``features``: location of its store; ``exposures``: where it writes what users were shown.
    """
    role = settings.ranker
    alone = bool(settings.storage.claim) and settings.storage.claim_mode == "ReadWriteOnce"
    predictor: dict[str, Any] = {
        **_pods(settings, settings.image, features, exposures),
        **replica_fields(role.scaling, alone=alone),
        "timeout": max(1, round(settings.timeouts.request)),
    }
    spec: dict[str, Any] = {"predictor": predictor}
    rollout = settings.rollout
    if rollout is not None and rollout.role == COMPONENT:
        spec["canary"] = [
            {
                "trafficPercent": rollout.percent,
                "predictor": {
                    **_pods(settings, rollout.image, features, exposures),
                    "name": rollout.name,
                    "minReplicas": rollout.replicas,
                },
            }
        ]
    service = {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {
            "name": settings.name,
            "namespace": settings.namespace,
            "labels": {**labels(settings, COMPONENT), **INNER_ONLY, **OUTSIDE_MESH},
            "annotations": {**MODE, **autoscaler_class(role.scaling)},
        },
        "spec": spec,
    }
    return [
        service,
        *scaled_object(settings, role.scaling, settings.name, COMPONENT, ""),
        disruption_budget(settings, settings.name, COMPONENT, ""),
    ]


def _pods(
    settings: DeploymentSettings, image: str, features: str, exposures: str
) -> dict[str, Any]:
    role = settings.ranker
    scratch, tmp = pods.scratch()
    config = {"name": "predictors", "configMap": {"name": f"{settings.name}-predictors"}}
    volumes: list[dict[str, Any]] = [scratch, config]
    mounts = [tmp, {"name": "predictors", "mountPath": _MOUNT, "readOnly": True}]
    if settings.storage.claim:
        claim = {"claimName": settings.storage.claim}
        volumes.append({"name": "data", "persistentVolumeClaim": claim})
    else:
        volumes.append({"name": "data", "emptyDir": {}})
    mounts.append({"name": "data", "mountPath": DATA})
    args = [
        *("serve", "--role", "transformer"),
        *("--predictors", f"{_MOUNT}/{FILE}"),
        *("--experiments", f"{_MOUNT}/{LAYERS}"),  # without layers there is no such file
        *("--deadline", f"{settings.timeouts.predictor:g}"),
        *("--features", features),
        *("--exposures", exposures),
        *(("--outcomes", settings.storage.outcomes) if settings.storage.outcomes else ()),
        *_events(settings),
        *pods.listening(role, settings.timeouts.request),
    ]
    return {
        **pods.pod_fields(settings, role, settings.name),
        "containers": [
            {
                "name": pods.CONTAINER,
                "image": image,
                "command": ["hemix"],
                "args": args,
                "env": pods.environment(settings, role, "storage", "redis"),
                "ports": pods.ports(),
                "resources": pods.resources(role.resources),
                "securityContext": pods.container_security(),
                "lifecycle": pods.lifecycle(),
                "volumeMounts": mounts,
                **pods.probes(MODEL_NAME),
            }
        ],
        "volumes": volumes,
    }


def _events(settings: DeploymentSettings) -> tuple[str, ...]:
    """Options of a transformer that takes live events; none where it takes none."""
    storage = settings.storage
    if not storage.events:
        return ()
    letters = storage.dead_letters or f"{DATA}/dead_letters"
    return ("--events", storage.events, "--dead-letters", letters)


def route(settings: DeploymentSettings) -> Manifest:
    """The way in: only the ranker's own paths, never ``/metrics``."""
    rollout = settings.rollout if settings.rollout and settings.rollout.role == COMPONENT else None
    paths = [  # a prefix ends at a slash, so that V1's verb needs a match of its own
        {"path": {"type": "Exact", "value": f"/v1/models/{MODEL_NAME}:predict"}},
        {"path": {"type": "PathPrefix", "value": f"/v1/models/{MODEL_NAME}"}},
        {"path": {"type": "PathPrefix", "value": f"/v2/models/{MODEL_NAME}"}},
    ]
    if settings.storage.events:
        paths.append({"path": {"type": "Exact", "value": "/v1/events"}})
    rule: dict[str, Any] = {
        "matches": paths,
        "timeouts": {"request": _duration(settings.timeouts.request)},
        "backendRefs": _backends(
            settings, settings.name, (rollout.name, rollout.percent) if rollout else None
        ),
    }
    return _http_route(settings, settings.name, COMPONENT, settings.gateway, [rule])


def inner_route(settings: DeploymentSettings, version: str) -> Manifest | None:
    """The transformer's way to a version, where a gateway inside the cluster splits requests."""
    if settings.inner_gateway is None:
        return None
    name = service_name(settings, version)
    rollout = settings.rollout
    trial = (rollout.name, rollout.percent) if rollout and rollout.role == "predictor" else None
    rule: dict[str, Any] = {
        "matches": [{"path": {"type": "PathPrefix", "value": f"/{name}"}}],
        "filters": [
            {
                "type": "URLRewrite",
                "urlRewrite": {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}},
            }
        ],
        "backendRefs": _backends(settings, name, trial),
    }
    return _http_route(settings, name, "predictor", settings.inner_gateway, [rule], version)


def _backends(
    settings: DeploymentSettings, service: str, trial: tuple[str, int] | None
) -> list[dict[str, Any]]:
    percent = trial[1] if trial else 0
    found = [_backend(settings, f"{service}-predictor", 100 - percent)]
    if trial:
        found.append(_backend(settings, f"{service}-{trial[0]}-predictor", percent))
    return found


def _backend(settings: DeploymentSettings, name: str, weight: int) -> dict[str, Any]:
    return {
        "group": "",
        "kind": "Service",
        "name": name,
        "port": settings.service_port,
        "weight": weight,
    }


def _http_route(
    settings: DeploymentSettings,
    name: str,
    component: str,
    parent: Parent,
    rules: list[dict[str, Any]],
    version: str = "",
) -> Manifest:
    reference: dict[str, Any] = {
        "group": "gateway.networking.k8s.io",
        "kind": "Gateway",
        "name": parent.name,
        "namespace": parent.namespace or settings.namespace,
    }
    if parent.listener:
        reference["sectionName"] = parent.listener
    spec: dict[str, Any] = {"parentRefs": [reference], "rules": rules}
    if hostnames := getattr(parent, "hostnames", ()):
        spec["hostnames"] = list(hostnames)
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {
            "name": name,
            "namespace": settings.namespace,
            "labels": labels(settings, component, version),
        },
        "spec": spec,
    }


def _duration(seconds: float) -> str:
    """Gateway API's duration: whole milliseconds."""
    return f"{max(1, round(seconds * 1000))}ms"

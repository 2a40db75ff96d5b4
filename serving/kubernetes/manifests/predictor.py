"""One model version: its ServingRuntime and its predictor InferenceService."""

from __future__ import annotations

from typing import Any

from hemix.files import digest_of
from hemix.serving.kubernetes.manifests import pods
from hemix.serving.kubernetes.manifests.names import Manifest, labels, service_name
from hemix.serving.kubernetes.manifests.scaling import (
    autoscaler_class,
    disruption_budget,
    replica_fields,
    scaled_object,
)
from hemix.serving.kubernetes.manifests.settings import DeploymentSettings
from hemix.storage import join

COMPONENT = "predictor"
MODE = {"serving.kserve.io/deploymentMode": "Standard"}
"""KServe's default is Knative, where half of what is written here would be ignored."""
INNER_ONLY = {"networking.kserve.io/visibility": "cluster-local"}
"""KServe makes no route of its own: users come through our HTTPRoute only."""
OUTSIDE_MESH = {"sidecar.istio.io/inject": "false"}
"""Istio's sidecar stays out of our pods: it needs rights that Pod Security refuses, and NetworkPolicies
say already who may talk to whom (docs/operator/cluster.md)."""
_FORMAT = {"name": "hemix", "version": "1"}


def runtime(settings: DeploymentSettings, image: str) -> Manifest:
    """How any version is served by ``image``.

    Its name holds a digest of its content: another image is another runtime, so that applying one
    changes nothing that serves, and one that serves never changes. It lies in the namespace, where
    KServe looks first, so that no tenant needs a right to another's.
    """
    role = settings.predictor
    scratch, mount = pods.scratch()
    args = [
        "serve",
        "--role",
        "predictor",
        "--model",
        "/mnt/models",
        *pods.listening(role, settings.timeouts.predictor),
    ]
    spec: dict[str, Any] = {
        "annotations": {"prometheus.io/path": "/metrics", "prometheus.io/port": "8080"},
        "supportedModelFormats": [{**_FORMAT, "autoSelect": False}],
        "protocolVersions": ["v2"],
        "containers": [
            {
                "name": pods.CONTAINER,
                "image": image,
                "command": ["hemix"],
                "args": args,
                "env": pods.environment(settings, role, "signing"),
                "ports": pods.ports(),
                "securityContext": pods.container_security(),
                "lifecycle": pods.lifecycle(),
                "volumeMounts": [mount],
                "resources": pods.resources(role.resources),
            }
        ],
        "volumes": [scratch],
    }
    return {
        "apiVersion": "serving.kserve.io/v1alpha1",
        "kind": "ServingRuntime",
        "metadata": {
            "name": f"hemix-{digest_of(spec)[:10]}",
            "namespace": settings.namespace,
            "labels": labels(settings, COMPONENT),
        },
        "spec": spec,
    }


def predictor(settings: DeploymentSettings, version: str, models: str) -> list[Manifest]:
    """Everything of one version: runtimes, InferenceService, scaling, disruption budget.

    Args:
        settings: of the deployment.
        version: its name.
        models: the registry as the storage initializer sees it; versions lie below ``versions/``.
    """
    name = service_name(settings, version)
    role = settings.predictor
    stable = runtime(settings, settings.image)
    uri = join(models, "versions", version)
    spec: dict[str, Any] = {
        "predictor": {
            **pods.pod_fields(settings, role, name),
            **replica_fields(role.scaling),
            **_storage_container(settings),
            "model": _model(settings, version, stable, uri),
        }
    }
    runtimes = [stable]
    rollout = settings.rollout
    if rollout is not None and rollout.role == COMPONENT:
        trial = runtime(settings, rollout.image)
        runtimes.append(trial)
        spec["canary"] = [
            {
                "trafficPercent": rollout.percent,
                "predictor": {
                    **pods.pod_fields(settings, role, name),
                    "name": rollout.name,
                    "minReplicas": rollout.replicas,
                    **_storage_container(settings),
                    # The CRD demands the name here; in the stable predictor the webhook forbids it.
                    "model": {**_model(settings, version, trial, uri), "name": pods.CONTAINER},
                },
            }
        ]
    service = {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {
            "name": name,
            "namespace": settings.namespace,
            "labels": {**labels(settings, COMPONENT, version), **INNER_ONLY, **OUTSIDE_MESH},
            "annotations": {
                **MODE,
                **autoscaler_class(role.scaling),
                "hemix/model-version": version,
            },
        },
        "spec": spec,
    }
    return [
        *runtimes,
        service,
        *scaled_object(settings, role.scaling, name, COMPONENT, version),
        disruption_budget(settings, name, COMPONENT, version),
    ]


def _storage_container(settings: DeploymentSettings) -> dict[str, str]:
    """KServe's own initializer says nothing of its security, which `restricted` refuses."""
    name = settings.storage.container
    return {"storageContainerName": name} if name else {}


def _model(
    settings: DeploymentSettings, version: str, runtime: Manifest, uri: str
) -> dict[str, Any]:
    return {
        "modelFormat": dict(_FORMAT),
        "runtime": runtime["metadata"]["name"],
        "protocolVersion": "v2",
        "storageUri": uri,
        "resources": pods.resources(settings.predictor.resources),
        **pods.probes(version),
    }

"""How many pods: annotations and fields for KServe's HPA, a KEDA ScaledObject, a disruption budget."""

from __future__ import annotations

from typing import Any

from hemix.serving.kubernetes.manifests.names import Manifest, labels
from hemix.serving.kubernetes.manifests.settings import DeploymentSettings, Scaling

_CLASS = "serving.kserve.io/autoscalerClass"


def autoscaler_class(scaling: Scaling) -> dict[str, str]:
    """Annotation that says who scales: KServe's HPA, or someone else (KEDA), or no one."""
    return {_CLASS: {"hpa": "hpa", "keda": "external", "none": "none"}[scaling.by]}


def replica_fields(scaling: Scaling, *, alone: bool = False) -> dict[str, Any]:
    """Fields of a KServe component: numbers of pods and how they are exchanged.

    Args:
        scaling: how many.
        alone: an old pod must be gone before a new one starts: a volume that one pod can mount.
    """
    fields: dict[str, Any] = {
        "minReplicas": scaling.min_replicas,
        "maxReplicas": scaling.max_replicas if scaling.by != "none" else scaling.min_replicas,
        # A new pod is ready before an old one goes.
        "deploymentStrategy": {"type": "Recreate"}
        if alone
        else {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
    }
    if scaling.by == "hpa":
        fields |= {"scaleMetric": "cpu", "scaleTarget": scaling.cpu_percent}
    return fields


def scaled_object(
    settings: DeploymentSettings, scaling: Scaling, service: str, component: str, version: str
) -> list[Manifest]:
    """The KEDA ScaledObject of an InferenceService's Deployment; none when KEDA does not scale it.

    Args:
        settings: of the deployment.
        scaling: how many pods.
        service: name of the InferenceService.
        component: value of the label ``app.kubernetes.io/component``.
        version: for the labels.
    """
    if scaling.by != "keda":
        return []
    spec: dict[str, Any] = {
        "scaleTargetRef": {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "name": f"{service}-predictor",
        },
        "minReplicaCount": scaling.min_replicas,
        "maxReplicaCount": scaling.max_replicas,
        "pollingInterval": 15,
        "cooldownPeriod": 300,
        "triggers": [_trigger(settings, scaling, version)],
    }
    if scaling.prometheus:
        # Prometheus away: as many pods as there are, not fewer.
        spec["fallback"] = {
            "failureThreshold": 3,
            "replicas": scaling.min_replicas,
            "behavior": "currentReplicasIfHigher",
        }
    return [
        {
            "apiVersion": "keda.sh/v1alpha1",
            "kind": "ScaledObject",
            "metadata": {
                "name": service,
                "namespace": settings.namespace,
                "labels": labels(settings, component, version),
            },
            "spec": spec,
        }
    ]


def _trigger(settings: DeploymentSettings, scaling: Scaling, version: str) -> dict[str, Any]:
    if not scaling.prometheus:
        return {
            "type": "cpu",
            "metricType": "Utilization",
            "metadata": {"value": str(scaling.cpu_percent)},
        }
    # Counted by the ranker, for itself and for each version.
    which = f'namespace="{settings.namespace}"' + (f',version="{version}"' if version else "")
    return {
        "type": "prometheus",
        "metricType": "AverageValue",
        "metadata": {
            "serverAddress": scaling.prometheus,
            "query": f"sum(rate(hemix_requests_total{{{which}}}[1m]))",
            "threshold": f"{scaling.requests_per_second:g}",
        },
    }


def disruption_budget(
    settings: DeploymentSettings, service: str, component: str, version: str
) -> Manifest:
    """At most one pod at a time may be drained; a budget on a single pod still lets nodes go."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {
            "name": service,
            "namespace": settings.namespace,
            "labels": labels(settings, component, version),
        },
        "spec": {
            "maxUnavailable": 1,
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": {"matchLabels": {"serving.kserve.io/inferenceservice": service}},
        },
    }

"""Parts of a pod that both roles have: security, probes, resources, environment, volumes."""

from __future__ import annotations

from typing import Any

from hemix.serving.kubernetes.manifests.settings import DeploymentSettings, Resources, Role

HTTP_PORT = 8080
GRPC_PORT = 8081
CONTAINER = "kserve-container"
"""The name that KServe demands of the container that answers."""


def pod_fields(settings: DeploymentSettings, role: Role, service: str) -> dict[str, Any]:
    """Fields of a pod's spec, for Pod Security ``restricted``; ``service`` is the InferenceService."""
    fields: dict[str, Any] = {
        "serviceAccountName": settings.service_account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": settings.run_as_user,
            "runAsGroup": settings.run_as_user,
            "fsGroup": settings.run_as_user,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        # Longer than the endpoint's own grace (10 s) and the pause before it.
        "terminationGracePeriodSeconds": 45,
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": {"serving.kserve.io/inferenceservice": service}},
            }
        ],
    }
    if role.node_selector:
        fields["nodeSelector"] = dict(role.node_selector)
    if settings.secrets.pull:
        fields["imagePullSecrets"] = [{"name": name} for name in settings.secrets.pull]
    if role.resources.gpu:
        fields["tolerations"] = [
            {"key": role.resources.gpu_resource, "operator": "Exists", "effect": "NoSchedule"}
        ]
    return fields


def container_security() -> dict[str, Any]:
    """Of every container: no privileges, a root file system that cannot be written."""
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def resources(size: Resources) -> dict[str, Any]:
    """Requests and limits."""
    requests: dict[str, str] = {"cpu": size.cpu, "memory": size.memory}
    limits: dict[str, str] = {"memory": size.memory}
    if size.cpu_limit:
        limits["cpu"] = size.cpu_limit
    if size.gpu:
        requests[size.gpu_resource] = limits[size.gpu_resource] = str(size.gpu)
    return {"requests": requests, "limits": limits}


def probes(model: str) -> dict[str, Any]:
    """KServe V2 paths: alive, and ready to answer for ``model``.

    Importing TensorFlow and torch and warming a version up takes a while: until the first success
    only the startup probe counts, at most five minutes.
    """
    return {
        "startupProbe": _probe("/v2/health/live", period=5, failures=60),
        "livenessProbe": _probe("/v2/health/live", period=10, failures=3),
        "readinessProbe": _probe(f"/v2/models/{model}/ready", period=5, failures=2),
    }


def _probe(path: str, *, period: int, failures: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": path, "port": HTTP_PORT, "scheme": "HTTP"},
        "periodSeconds": period,
        "failureThreshold": failures,
        "timeoutSeconds": 3,
    }


def lifecycle() -> dict[str, Any]:
    """A pause before a pod is told to stop, so that no one sends to it any more."""
    return {"preStop": {"sleep": {"seconds": 10}}}


def ports() -> list[dict[str, Any]]:
    """HTTP first: KServe's Service maps port 80 to the first one."""
    return [
        {"name": "http", "containerPort": HTTP_PORT, "protocol": "TCP"},
        {"name": "h2c", "containerPort": GRPC_PORT, "protocol": "TCP"},
    ]


def listening(role: Role, timeout_s: float) -> list[str]:
    """Arguments of ``hemix serve`` that both roles have; ``timeout_s``: how long their caller waits."""
    return [
        *("--host", "0.0.0.0"),
        *("--port", str(HTTP_PORT)),
        *("--grpc-port", str(GRPC_PORT)),
        *("--workers", str(role.workers)),
        *("--timeout", f"{timeout_s:g}"),
    ]


def environment(settings: DeploymentSettings, role: Role, *secrets: str) -> list[dict[str, Any]]:
    """Environment of a container: where it may write, the keys of ``secrets``, the role's own."""
    values = {"HOME": "/tmp", "TMPDIR": "/tmp", "HEMIX_CACHE": "/tmp/hemix", **role.env}
    found: list[dict[str, Any]] = [{"name": name, "value": value} for name, value in values.items()]
    if "storage" in secrets and settings.secrets.storage:
        keys = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL")
        found += [_from_secret(key, settings.secrets.storage, key) for key in keys]
    if "redis" in secrets and settings.secrets.redis:
        found.append(_from_secret("HEMIX_REDIS_PASSWORD", settings.secrets.redis, "password"))
    if "signing" in secrets and settings.secrets.signing:  # the public key only, never the other
        found.append(_from_secret("HEMIX_VERIFY_KEY", settings.secrets.signing, "public.pem"))
    return found + [_from_secret(n, at.secret, at.key) for n, at in role.secret_env.items()]


def _from_secret(name: str, secret: str, key: str) -> dict[str, Any]:
    reference: dict[str, Any] = {"name": secret, "key": key}
    if key == "AWS_ENDPOINT_URL":  # the cloud's own storage needs none
        reference["optional"] = True
    return {"name": name, "valueFrom": {"secretKeyRef": reference}}


def scratch() -> tuple[dict[str, Any], dict[str, Any]]:
    """A volume for ``/tmp`` and its mount."""
    volume = {"name": "tmp", "emptyDir": {"sizeLimit": "2Gi"}}
    return volume, {"name": "tmp", "mountPath": "/tmp"}

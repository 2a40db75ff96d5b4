"""Names and labels: how a version is called in a cluster, and which objects are ours."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from hemix.serving.kubernetes.manifests.settings import DeploymentSettings

Manifest = dict[str, Any]

MANAGER = "hemix"
"""Our field manager, and the value of ``app.kubernetes.io/managed-by``."""
DEPLOYMENT = "hemix/deployment"
VERSION = "hemix/version"

# KServe appends "-<canary name>-predictor" and Deployment and pod add 17: 63 is the limit.
_LONGEST = 40


def service_name(settings: DeploymentSettings, version: str) -> str:
    """Name of a version's InferenceService: the deployment's name and the version's.

    What a Kubernetes name cannot hold is replaced, and then a digest keeps two versions apart.
    """
    text = f"{settings.name}-{version}"
    slug = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    if slug == text and len(slug) <= _LONGEST:
        return slug
    digest = hashlib.sha256(version.encode()).hexdigest()[:8]
    return f"{slug[: _LONGEST - 9].rstrip('-')}-{digest}"


def url_of(settings: DeploymentSettings, version: str) -> str:
    """Where the transformer reaches a version's predictor."""
    name = service_name(settings, version)
    if settings.inner_gateway is not None:
        return f"{settings.inner_gateway.url}/{name}"
    port = "" if settings.service_port == 80 else f":{settings.service_port}"
    return f"http://{name}-predictor.{settings.namespace}{port}"


def labels(settings: DeploymentSettings, component: str, version: str = "") -> dict[str, str]:
    """Labels of an object of ours; KServe passes those of an InferenceService on to its pods."""
    found = {
        "app.kubernetes.io/name": "hemix",
        "app.kubernetes.io/part-of": "hemix",
        "app.kubernetes.io/component": component,
        "app.kubernetes.io/managed-by": MANAGER,
        DEPLOYMENT: settings.name,
    }
    return {**found, VERSION: service_name(settings, version)} if version else found


def selector(settings: DeploymentSettings) -> str:
    """Label selector of everything in the namespace that belongs to this deployment."""
    return f"app.kubernetes.io/managed-by={MANAGER},{DEPLOYMENT}={settings.name}"


def key_of(manifest: Manifest) -> tuple[str, str, str]:
    """``(apiVersion, kind, name)``: which object a manifest means."""
    return manifest["apiVersion"], manifest["kind"], manifest["metadata"]["name"]


def title(manifest: Manifest) -> str:
    """``Kind name``, for people."""
    return f"{manifest['kind']} {manifest['metadata']['name']}"

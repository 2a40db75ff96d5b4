"""PodDefaults: what Kubeflow's webhook would make of a step's pod, held to Kubernetes' schema of pods.

PodDefault's own definition asks little: lists of objects. So its parts are put into a pod of each step
whose labels it selects, as the webhook does, and the pod is checked as every other one is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hemix.infra.check import core
from hemix.infra.check.objects import Manifest
from hemix.pipelines.compiler.cluster_settings import ClusterSettings, Step
from hemix.pipelines.kfp_client.connection import AUDIENCE, POD_TOKEN, TOKEN_FILE

KIND = "PodDefault"
_POD = ("volumes",)
_CONTAINER = ("env", "volumeMounts")
_KEYS = {"desc", "selector", *_POD, *_CONTAINER}
"""Of its definition those that are used here."""


def problems(manifest: Manifest, settings: ClusterSettings | None = None) -> list[str]:
    """Why it would not do what it is for; empty when it would.

    ``settings``: of the steps whose pods it selects; None: the shipped ones.
    """
    found = list(core.everywhere(manifest))
    spec = manifest.get("spec")
    if manifest.get("apiVersion") != "kubeflow.org/v1alpha1" or not isinstance(spec, dict):
        return [*found, "no PodDefault of kubeflow.org/v1alpha1"]
    found += [f"spec.{key}: is none of {', '.join(sorted(_KEYS))}" for key in set(spec) - _KEYS]
    wanted = (spec.get("selector") or {}).get("matchLabels") or {}
    pods = dict(_selected(wanted, settings or ClusterSettings.load()))
    if not pods:
        found.append("spec.selector: no step's pod carries these labels")
    for step, pod in pods.items():
        found += [f"the pod of {step}: {problem}" for problem in _merged(spec, pod)]
    return [*found, *_token(spec)]


def pod_of(step: str, settings: ClusterSettings) -> Manifest:
    """The pod of a step as far as settings say it, with what KFP's backend adds for security."""
    known = settings.steps[step]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": step.replace("_", "-"),
            "labels": {"pipelines.kubeflow.org/v2_component": "true", **known.labels},
        },
        "spec": {
            "restartPolicy": "Never",
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": settings.security.run_as_user,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "main",
                    "image": settings.image(step),
                    "env": [*_variables(known, settings)],
                    "resources": {
                        "requests": {"cpu": known.cpu[0], "memory": known.memory[0]},
                        "limits": {"cpu": known.cpu[1], "memory": known.memory[1]},
                    },
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                    "volumeMounts": [{"name": "scratch", "mountPath": "/tmp"}],
                }
            ],
            "volumes": [{"name": "scratch", "emptyDir": {}}],
        },
    }


def _variables(known: Step, settings: ClusterSettings) -> Iterator[Manifest]:
    for name, value in {**settings.env, **known.env}.items():
        yield {"name": name, "value": value}
    for name in known.secrets:
        secret = settings.secrets[name]
        for key, variable in secret.env.items():
            reference = {"name": secret.name, "key": key, "optional": secret.optional}
            yield {"name": variable, "valueFrom": {"secretKeyRef": reference}}


def injected(spec: Mapping[str, Any], pod: Manifest) -> Manifest:
    """``pod`` with the parts of a PodDefault, as the webhook adds them to its lists."""
    own = pod["spec"]
    containers = [
        {**c, **{key: [*c.get(key, ()), *spec.get(key, ())] for key in _CONTAINER}}
        for c in own["containers"]
    ]
    lists = {key: [*own.get(key, ()), *spec.get(key, ())] for key in _POD}
    return {**pod, "spec": {**own, "containers": containers, **lists}}


def _selected(
    labels: Mapping[str, str], settings: ClusterSettings
) -> Iterator[tuple[str, Manifest]]:
    for step in settings.steps:
        pod = pod_of(step, settings)
        if labels and labels.items() <= pod["metadata"]["labels"].items():
            yield step, pod


def _merged(spec: Mapping[str, Any], pod: Manifest) -> Iterator[str]:
    whole = injected(spec, pod)
    yield from core.problems(whole)
    (container,) = whole["spec"]["containers"]
    volumes = [volume.get("name") for volume in whole["spec"]["volumes"]]
    mounts = [mount.get("mountPath") for mount in container["volumeMounts"]]
    for name in {v for v in volumes if volumes.count(v) > 1}:
        yield f"two volumes are called {name}"
    for path in {m for m in mounts if mounts.count(m) > 1}:
        yield f"two volumes are mounted at {path}"
    for mount in container["volumeMounts"]:
        if mount.get("name") not in volumes:
            yield f"there is no volume {mount.get('name')}"


def _token(spec: Mapping[str, Any]) -> Iterator[str]:
    """A token for KFP must be where the client looks, and made for KFP's API."""
    places = {m.get("name"): m.get("mountPath") for m in spec.get("volumeMounts") or ()}
    told = {v.get("name"): v.get("value") for v in spec.get("env") or ()}
    for volume in spec.get("volumes") or ():
        for source in (volume.get("projected") or {}).get("sources") or ():
            token = source.get("serviceAccountToken") or {}
            path = f"{places.get(volume.get('name'))}/{token.get('path')}"
            if token and token.get("audience") != AUDIENCE:
                yield f"the token is made for {token.get('audience')}, not for {AUDIENCE}"
            if token and path != str(POD_TOKEN):
                yield f"the token is at {path}, not at {POD_TOKEN}"
            for name in set(TOKEN_FILE) & set(told):
                if token and told[name] != path:
                    yield f"{name} says {told[name]}, and the token is at {path}"

"""Kubeflow Trainer: rules of its webhooks, and the pods that it makes of a TrainJob and its runtime.

Sources: trainer v2.2 ``pkg/webhooks``, ``pkg/runtime/framework/plugins/{torch,jobset}``.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Sequence
from typing import Any

from hemix.infra.check.rules.podspec import Template
from hemix.infra.check.rules.values import SUBDOMAIN, doubles

Manifest = dict[str, Any]
GROUP = "trainer.kubeflow.org"
RUNTIMES = ("TrainingRuntime", "ClusterTrainingRuntime")
NODE = "node"
ANCESTOR = "trainer.kubeflow.org/trainjob-ancestor-step"
FRAMEWORK = "trainer.kubeflow.org/framework"
_ANCESTORS = ("dataset-initializer", "model-initializer", "trainer")
_RESERVED = (
    "PET_NNODES", "PET_NPROC_PER_NODE", "PET_NODE_RANK", "PET_MASTER_ADDR", "PET_MASTER_PORT",
)  # fmt: skip
_PATH = re.compile(r"^[^/]+/[A-Za-z0-9/\-._~%!$&'()*+,;=:]+$")


def problems(manifest: Manifest) -> Iterator[str]:
    """What holds for one object of Trainer by itself."""
    spec = manifest.get("spec") or {}
    if manifest.get("kind") == "TrainJob":
        yield from _job(manifest, spec)
    elif manifest.get("kind") in RUNTIMES:
        yield from _runtime(manifest, spec)


def _job(manifest: Manifest, spec: Manifest) -> Iterator[str]:
    name = str(manifest["metadata"].get("name", ""))
    if not re.match(r"^[a-z]([-a-z0-9]*[a-z0-9])?$", name):
        yield f"metadata.name: {name!r} does not begin with a letter"
    if len(name) > 63 - 22:
        yield f"metadata.name: {name} is too long for the names of its pods"
    reference = spec.get("runtimeRef") or {}
    if reference.get("apiGroup", GROUP) != GROUP or reference.get("kind") not in RUNTIMES:
        yield f"spec.runtimeRef: {reference} is no runtime of {GROUP}"
    trainer = spec.get("trainer") or {}
    for variable in trainer.get("env") or ():
        if variable.get("name") in _RESERVED:
            yield f"spec.trainer.env: {variable['name']} is Trainer's own"
    processes = trainer.get("numProcPerNode")
    if isinstance(processes, str) and processes not in ("auto", "cpu", "gpu"):
        yield f"spec.trainer.numProcPerNode: {processes!r} is not auto, cpu, gpu or a number"
    if isinstance(processes, int) and processes < 1:
        yield f"spec.trainer.numProcPerNode: {processes} is below 1"
    if trainer.get("numNodes", 1) < 1:
        yield f"spec.trainer.numNodes: {trainer['numNodes']} is below 1"
    if spec.get("managedBy") not in (None, f"{GROUP}/trainjob-controller"):
        yield f"spec.managedBy: no controller {spec['managedBy']!r} is installed here: the job would never start"
    patches = spec.get("runtimePatches") or ()
    yield from doubles("spec.runtimePatches", "manager", [p.get("manager") for p in patches])
    for number, patch in enumerate(patches):
        at = f"spec.runtimePatches[{number}]"
        manager = str(patch.get("manager", ""))
        if not _PATH.match(manager) or not SUBDOMAIN.match(manager.partition("/")[0]):
            yield f"{at}.manager: {manager!r} is no domain/path, such as hemix.io/train"
        for job, pod in patched(patch):
            for container in (*(pod.get("containers") or ()), *(pod.get("initContainers") or ())):
                if container.get("name") == NODE and container.get("env"):
                    yield f"{at}: {job}: env of container {NODE} belongs to spec.trainer.env"
                if container.get("image") or container.get("command") or container.get("args"):
                    yield f"{at}: {job}: image and command belong to spec.trainer"


def patched(patch: Manifest) -> Iterator[tuple[str, Manifest]]:
    """``(replicated job, pod's part)`` of a runtime patch."""
    spec = ((patch.get("trainingRuntimeSpec") or {}).get("template") or {}).get("spec") or {}
    for job in spec.get("replicatedJobs") or ():
        inner = ((job.get("template") or {}).get("spec") or {}).get("template") or {}
        yield str(job.get("name")), inner.get("spec") or {}


def replicated(runtime: Manifest) -> Iterator[tuple[Manifest, Manifest]]:
    """``(replicated job, pod template)`` of a runtime."""
    spec = ((runtime.get("spec") or {}).get("template") or {}).get("spec") or {}
    for job in spec.get("replicatedJobs") or ():
        yield job, (((job.get("template") or {}).get("spec") or {}).get("template") or {})


def _runtime(manifest: Manifest, spec: Manifest) -> Iterator[str]:
    if not (manifest["metadata"].get("labels") or {}).get(FRAMEWORK):
        yield f"metadata.labels: {FRAMEWORK} is missing: no one knows what it runs"
    jobs = list(replicated(manifest))
    yield from doubles("spec.template.spec.replicatedJobs", "job", [j.get("name") for j, _ in jobs])
    steps = []
    for job, _ in jobs:
        labels = ((job.get("template") or {}).get("metadata") or {}).get("labels") or {}
        step = labels.get(ANCESTOR)
        steps.append(step)
        if step is not None and step not in _ANCESTORS:
            yield f"replicatedJobs {job.get('name')}: {ANCESTOR}={step} is none of {_ANCESTORS}"
        if job.get("replicas", 1) != 1:
            yield f"replicatedJobs {job.get('name')}: Trainer wants one replica"
    if "trainer" not in steps:
        yield f"spec.template: no replicated job is the trainer ({ANCESTOR}): numNodes and PET_* are not set"
    policy = spec.get("mlPolicy") or {}
    if policy.get("numNodes", 1) < 1:
        yield f"spec.mlPolicy.numNodes: {policy['numNodes']} is below 1"
    if "torch" not in policy:
        yield "spec.mlPolicy: without torch no PET_* is set"
    for job, template in jobs:
        context = (template.get("spec") or {}).get("securityContext") or {}
        if context.get("runAsUser") is None:
            yield f"replicatedJobs {job.get('name')}: says no runAsUser"
        for container in (template.get("spec") or {}).get("containers") or ():
            for variable in container.get("env") or ():
                if variable.get("name") in _RESERVED:
                    yield f"replicatedJobs {job.get('name')}: {variable['name']} is Trainer's own"


def partial(manifest: Manifest) -> Iterator[Template]:
    """Parts of pods that stand in one object alone."""
    if manifest.get("kind") == "TrainJob":
        for number, patch in enumerate((manifest.get("spec") or {}).get("runtimePatches") or ()):
            for name, pod in patched(patch):
                yield Template(f"spec.runtimePatches[{number}] {name}", pod, {}, whole=False)
        trainer = (manifest.get("spec") or {}).get("trainer") or {}
        container = {
            "name": NODE,
            "env": trainer.get("env") or [],
            "resources": trainer.get("resourcesPerNode") or {},
        }
        part = {"containers": [container]}
        yield Template("spec.trainer", part, {}, whole=False, secured=False)
    elif manifest.get("kind") in RUNTIMES:
        for job, template in replicated(manifest):
            labels = (template.get("metadata") or {}).get("labels") or {}
            yield Template(
                f"replicatedJobs {job.get('name')}",
                template.get("spec") or {},
                labels,
                (template.get("metadata") or {}).get("annotations") or {},
                restarts=("OnFailure", "Never"),
            )


def runtime_of(manifest: Manifest, manifests: Sequence[Manifest]) -> Manifest | None:
    """The runtime that a TrainJob names; a namespaced one lies in the job's namespace."""
    reference = (manifest.get("spec") or {}).get("runtimeRef") or {}
    return next(
        (
            m
            for m in manifests
            if m["kind"] == reference.get("kind") and m["metadata"]["name"] == reference.get("name")
        ),
        None,
    )


def together(manifest: Manifest, manifests: Sequence[Manifest]) -> Iterator[str]:
    """What a TrainJob names: its runtime, that runtime's jobs and containers."""
    reference = manifest["spec"].get("runtimeRef") or {}
    runtime = runtime_of(manifest, manifests)
    if runtime is None:
        yield f"spec.runtimeRef: there is no {reference.get('kind')} {reference.get('name')}"
        return
    jobs = {job.get("name"): template for job, template in replicated(runtime)}
    for patch in manifest["spec"].get("runtimePatches") or ():
        for name, pod in patched(patch):
            if name not in jobs:
                yield f"runtimePatches: the runtime has no replicated job {name}"
                continue
            known = {c.get("name") for c in (jobs[name].get("spec") or {}).get("containers") or ()}
            for container in pod.get("containers") or ():
                if container.get("name") not in known:
                    yield f"runtimePatches {name}: the runtime has no container {container.get('name')}"


def pods_of(manifest: Manifest, manifests: Sequence[Manifest]) -> Iterator[Template]:
    """The pods of a TrainJob: the runtime's, patched, with the trainer's image, size and variables."""
    runtime = runtime_of(manifest, manifests)
    if runtime is None:
        return
    spec = manifest["spec"]
    trainer = spec.get("trainer") or {}
    for job, template in replicated(runtime):
        pod = copy.deepcopy(template.get("spec") or {})
        for patch in spec.get("runtimePatches") or ():
            for name, part in patched(patch):
                if name == job.get("name"):
                    pod = _merged(pod, part)
        for container in pod.get("containers") or ():
            if container.get("name") == NODE:
                container["image"] = trainer.get("image", container.get("image"))
                container["resources"] = trainer.get("resourcesPerNode") or container.get(
                    "resources"
                )
                container["env"] = [*(container.get("env") or ()), *(trainer.get("env") or ())]
                container.update({k: trainer[k] for k in ("command", "args") if trainer.get(k)})
        metadata = template.get("metadata") or {}
        labels = {
            **(metadata.get("labels") or {}),
            "jobset.sigs.k8s.io/jobset-name": manifest["metadata"]["name"],
            "jobset.sigs.k8s.io/replicatedjob-name": str(job.get("name")),
        }
        yield Template(
            f"the pods of {job.get('name')}",
            pod,
            labels,
            metadata.get("annotations") or {},
            restarts=("OnFailure", "Never"),
        )


def _merged(pod: Manifest, part: Manifest) -> Manifest:
    """A strategic merge as far as pods need it: lists of named things by their names."""
    found = dict(pod)
    for key, value in part.items():
        if key in ("containers", "initContainers", "volumes"):
            named = {c.get("name"): c for c in found.get(key) or ()}
            for item in value or ():
                before = named.get(item.get("name"), {})
                mounts = {m.get("mountPath"): m for m in before.get("volumeMounts") or ()}
                mounts.update({m.get("mountPath"): m for m in item.get("volumeMounts") or ()})
                named[item.get("name")] = {**before, **copy.deepcopy(item)}
                if mounts:
                    named[item.get("name")]["volumeMounts"] = list(mounts.values())
            found[key] = list(named.values())
        elif isinstance(value, dict):
            found[key] = {**(found.get(key) or {}), **copy.deepcopy(value)}
        else:
            found[key] = copy.deepcopy(value)
    return found

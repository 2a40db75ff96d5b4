"""The TrainJob of Kubeflow Trainer v2 that trains on several nodes: rendering only.

Trainer starts a pod a node and sets PET_NNODES, PET_NPROC_PER_NODE, PET_MASTER_ADDR and
PET_MASTER_PORT in it, which torchrun reads. The nodes meet by torchrun's own rendezvous (c10d): when
a process dies on one of them, all start theirs again, together.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from hemix.components.train.cluster_settings import TrainCluster
from hemix.components.train.torchrun import OWN_STORE
from hemix.components.train.worker import Work
from hemix.files import digest_of

if TYPE_CHECKING:
    from hemix.models.training.recipes import TrainingConfig

Manifest = dict[str, Any]

API_VERSION = "trainer.kubeflow.org/v1alpha1"
WORK = "hemix/work"
"""Annotation: digest of everything that the job does."""
ATTEMPT = "hemix/attempt"
"""Annotation: the attempt whose error and progress files the job writes."""
NODE = "node"
"""Name that Trainer demands of the training's replicated job and container."""
USER = 65532
MANAGER = "hemix.io/train"
"""Who patches the runtime: Trainer's webhook takes only names of the form ``domain/path``."""
STORAGE_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL")


def render(work: Work, training: TrainingConfig, settings: TrainCluster, version: str) -> Manifest:
    """The TrainJob of ``work``; its name depends on ``version`` only, so that it exists once."""
    spec = _spec(work, training, settings)
    same = _spec(work.model_copy(update={"attempt": ""}), training, settings)
    return {
        "apiVersion": API_VERSION,
        "kind": "TrainJob",
        "metadata": {
            "name": job_name(version),
            "labels": {
                "app.kubernetes.io/name": "hemix-train",
                "app.kubernetes.io/part-of": "hemix",
                "app.kubernetes.io/managed-by": "hemix",
            },
            "annotations": {WORK: digest_of(same), ATTEMPT: work.attempt},
        },
        "spec": spec,
    }


def job_name(version: str) -> str:
    """``hemix-train-<version>``: pods' names are longer by up to 22 characters, 63 is the limit."""
    slug = re.sub(r"[^a-z0-9]+", "-", version.lower()).strip("-")
    if slug != version or len(slug) > 28:
        slug = f"{slug[:19].strip('-')}-{digest_of(version, 8)}"
    return f"hemix-train-{slug}"


def _spec(work: Work, training: TrainingConfig, settings: TrainCluster) -> Manifest:
    return {
        "activeDeadlineSeconds": settings.timeout_s,
        "runtimeRef": {
            "apiGroup": API_VERSION.partition("/")[0],
            "kind": settings.runtime_kind,
            "name": settings.runtime,
        },
        "trainer": {
            "image": settings.image,
            "command": ["python", "-m", "torch.distributed.run"],
            "args": [
                "--rdzv-backend=c10d",
                "--rdzv-endpoint=$(PET_MASTER_ADDR):$(PET_MASTER_PORT)",
                f"--rdzv-id={work.attempt}",
                "--local-addr=$(POD_IP)",
                f"--rdzv-conf=join_timeout={settings.start_timeout_s}",
                f"--max-restarts={settings.restarts}",
                "--module",
                "hemix.components.train.worker",
                work.model_dump_json(),
            ],
            "numNodes": training.nodes,
            "numProcPerNode": training.processes,
            "resourcesPerNode": {
                "requests": dict(settings.resources),
                "limits": dict(settings.resources),
            },
            "env": _environment(settings),
        },
        "runtimePatches": [
            {
                "manager": MANAGER,
                "trainingRuntimeSpec": {
                    "template": {"spec": {"replicatedJobs": [_node(_pod(settings))]}}
                },
            }
        ],
    }


def _node(pod: Manifest) -> Manifest:
    return {"name": NODE, "template": {"spec": {"template": {"spec": pod}}}}


def _environment(settings: TrainCluster) -> list[Manifest]:
    values = {"HOME": "/tmp", "HEMIX_CACHE": "/tmp/hemix", **OWN_STORE, **settings.environment}
    found: list[Manifest] = [{"name": name, "value": value} for name, value in values.items()]
    field = {"apiVersion": "v1", "fieldPath": "status.podIP"}
    found.append({"name": "POD_IP", "valueFrom": {"fieldRef": field}})
    for key in STORAGE_KEYS if settings.storage_secret else ():
        reference = {"name": settings.storage_secret, "key": key, "optional": True}
        found.append({"name": key, "valueFrom": {"secretKeyRef": reference}})
    return found


def _pod(settings: TrainCluster) -> Manifest:
    volumes: list[Manifest] = [
        {"name": "tmp", "emptyDir": {}},
        {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": settings.shared_memory}},
    ]
    mounts = [{"name": "tmp", "mountPath": "/tmp"}, {"name": "shm", "mountPath": "/dev/shm"}]
    if settings.volume:
        volumes.append(
            {"name": "training", "persistentVolumeClaim": {"claimName": settings.volume}}
        )
        mounts.append({"name": "training", "mountPath": settings.mount_path})
    pod: Manifest = {
        "serviceAccountName": settings.service_account,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": NODE,
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
                "volumeMounts": mounts,
            }
        ],
        "volumes": volumes,
    }
    if settings.node_selector:
        pod["nodeSelector"] = dict(settings.node_selector)
    if settings.tolerations:
        pod["tolerations"] = [dict(toleration) for toleration in settings.tolerations]
    if settings.image_pull_secrets:
        pod["imagePullSecrets"] = [{"name": name} for name in settings.image_pull_secrets]
    return pod

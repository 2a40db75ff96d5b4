"""Where a training on several nodes runs: the settings of its Kubeflow Trainer TrainJob."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from hemix.components.steps import default_image
from hemix.texts.documents import checked, parse
from hemix.texts.frozen import Frozen

LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"


class TrainCluster(Frozen):
    """Settings of the cluster for the train step; every key has a default that fits ``infra/``."""

    namespace: str = Field(default="", pattern=rf"{LABEL}|^$", max_length=63)
    """Namespace of the TrainJob; empty: that of the step's own pod, or the kubeconfig's."""
    runtime: str = "hemix-torch"
    """Training runtime that the job refers to (infra/training)."""
    runtime_kind: Literal["TrainingRuntime", "ClusterTrainingRuntime"] = "TrainingRuntime"
    """Whether that runtime is the namespace's or the whole cluster's."""
    image: str = default_image("train")
    """Image of the nodes."""
    image_pull_secrets: tuple[str, ...] = ()
    """Secrets to pull it with."""
    service_account: str = "hemix-pipeline"
    """ServiceAccount of the nodes."""
    resources: dict[str, str] = Field(default={"cpu": "4", "memory": "16Gi"})
    """Resources of a node, requested and limited alike."""
    shared_memory: str = "1Gi"
    """Size of /dev/shm."""
    storage_secret: str = "hemix-storage"
    """Secret whose keys AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_ENDPOINT_URL become
    variables; empty: none."""
    volume: str = ""
    """A ReadWriteMany claim for every node, needed when checkpoints lie in a folder and not on S3;
    empty: none."""
    mount_path: str = "/mnt/training"
    """Where the volume is mounted."""
    environment: dict[str, str] = Field(default={})
    """Environment variables of the nodes."""
    node_selector: dict[str, str] = Field(default={})
    """Labels of the machines that may be nodes."""
    tolerations: tuple[dict[str, Any], ...] = ()
    """Taints that the nodes tolerate, as Kubernetes writes them."""
    restarts: int = Field(default=3, ge=0)
    """How often a node starts its processes again after one of them died."""
    timeout_s: int = Field(default=86_400, ge=1)
    """Seconds that the whole job may take."""
    start_timeout_s: int = Field(default=1_800, ge=1)
    """Seconds that the nodes may take to start."""
    poll_s: float = Field(default=5.0, gt=0)
    """Seconds between two looks at the job."""
    keep: Literal["never", "failed", "always"] = "failed"
    """When the TrainJob object is kept after it is done."""

    @staticmethod
    def parse(text: str) -> TrainCluster:
        """From YAML or JSON text.

        Raises:
            DefinitionError: not a mapping, an unknown key or a value that does not fit.
        """
        document = parse(text, "a file of cluster settings", where="the cluster settings")
        return checked(TrainCluster, document)

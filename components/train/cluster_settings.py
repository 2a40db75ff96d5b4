"""Where a training on several nodes runs: the settings of its Kubeflow Trainer TrainJob."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from hemix.components.steps import default_image
from hemix.texts.documents import checked, parse
from hemix.texts.frozen import Frozen

LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"


class TrainCluster(Frozen):
    """Settings of the cluster for the train step; all have a default that fits ``infra/``.

    ``namespace``: empty for the namespace of the step's own pod, or the kubeconfig's.
    ``runtime``: the training runtime that the job refers to (infra/training). ``resources``: of a
    node, requested and limited alike. ``storage_secret``: its keys AWS_ACCESS_KEY_ID,
    AWS_SECRET_ACCESS_KEY and AWS_ENDPOINT_URL become variables. ``volume``: a ReadWriteMany claim
    mounted at ``mount_path`` on every node, needed when the checkpoints lie in a folder rather than
    on S3. ``start_timeout_s``: how long the nodes may take to start, ``timeout_s``: the whole job.
    ``restarts``: how often a node starts its processes again after one of them died.
    ``keep``: whether the TrainJob object stays when it is done.
    """

    namespace: str = Field(default="", pattern=rf"{LABEL}|^$", max_length=63)
    runtime: str = "hemix-torch"
    runtime_kind: Literal["TrainingRuntime", "ClusterTrainingRuntime"] = "TrainingRuntime"
    image: str = default_image("train")
    image_pull_secrets: tuple[str, ...] = ()
    service_account: str = "hemix-pipeline"
    resources: dict[str, str] = Field(default={"cpu": "4", "memory": "16Gi"})
    shared_memory: str = "1Gi"
    storage_secret: str = "hemix-storage"
    volume: str = ""
    mount_path: str = "/mnt/training"
    environment: dict[str, str] = Field(default={})
    node_selector: dict[str, str] = Field(default={})
    tolerations: tuple[dict[str, Any], ...] = ()
    restarts: int = Field(default=3, ge=0)
    timeout_s: int = Field(default=86_400, ge=1)
    start_timeout_s: int = Field(default=1_800, ge=1)
    poll_s: float = Field(default=5.0, gt=0)
    keep: Literal["never", "failed", "always"] = "failed"

    @staticmethod
    def parse(text: str) -> TrainCluster:
        """From YAML or JSON text.

        Raises:
            DefinitionError: not a mapping, an unknown key or a value that does not fit.
        """
        document = parse(text, "a file of cluster settings", where="the cluster settings")
        return checked(TrainCluster, document)

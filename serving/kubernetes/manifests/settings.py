"""What a deployment looks like: the settings file of ``hemix deploy``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from hemix import __version__
from hemix.serving.experiments.layers import Experiments
from hemix.texts.documents import checked, parse, text_of

HINT = "docs/operator/deploying.md lists the keys."

Cpu = Annotated[str, BeforeValidator(str), Field(pattern=r"^([0-9]+m|[0-9]+(\.[0-9]+)?)$")]
Memory = Annotated[str, Field(pattern=r"^[0-9]+(Ki|Mi|Gi)$")]
Name = Annotated[str, Field(pattern=r"^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$")]
Seconds = Annotated[float, Field(gt=0)]

_IMAGE = re.compile(
    r"^[a-z0-9][a-zA-Z0-9._:/-]*(:(?P<tag>[A-Za-z0-9_][\w.-]{0,127})|@sha256:[0-9a-f]{64})$"
)


def _pinned(image: str) -> str:
    match = _IMAGE.match(image)
    if match is None or match["tag"] == "latest":
        raise ValueError(f"image {image!r} must be pinned by a tag that is not latest, or a digest")
    return image


ImageRef = Annotated[str, Field(min_length=1), BeforeValidator(_pinned)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Resources(_Part):
    """What a pod asks for. Memory is request and limit at once; without ``cpu_limit`` CPU may burst."""

    cpu: Cpu = "1"
    cpu_limit: Cpu | None = None
    memory: Memory = "3Gi"
    gpu: int = Field(default=0, ge=0)
    gpu_resource: str = "nvidia.com/gpu"


class Scaling(_Part):
    """How many pods.

    Args:
        by: ``hpa`` lets KServe make a HorizontalPodAutoscaler on CPU; ``keda`` makes a KEDA
            ScaledObject, on requests a second when ``prometheus`` is given, else on CPU; ``none``
            keeps ``min_replicas``.
        cpu_percent: of the CPU request that pods should use on average.
        prometheus: address of the Prometheus that KEDA asks.
        requests_per_second: how many one pod should take; KEDA with Prometheus only.
    """

    by: Literal["hpa", "keda", "none"] = "hpa"
    min_replicas: int = Field(default=2, ge=1)
    max_replicas: int = Field(default=10, ge=1)
    cpu_percent: int = Field(default=70, ge=1, le=100)
    prometheus: str = ""
    requests_per_second: float = Field(default=50.0, gt=0)

    @model_validator(mode="after")
    def _ordered(self) -> Scaling:
        if self.min_replicas > self.max_replicas:
            raise ValueError(
                f"min_replicas {self.min_replicas} is above max_replicas {self.max_replicas}"
            )
        return self


class SecretKey(_Part):
    """A key of a Secret of the namespace."""

    secret: Name
    key: str = Field(pattern=r"^[-._a-zA-Z0-9]+$")


class Role(_Part):
    """Pods of one kind: size, number, requests at a time; ``secret_env`` takes values from Secrets."""

    resources: Resources = Resources()
    scaling: Scaling = Scaling()
    node_selector: dict[str, str] = {}
    workers: int = Field(default=2, ge=1)
    env: dict[str, str] = {}
    secret_env: dict[str, SecretKey] = {}


class Parent(_Part):
    """A Gateway that an HTTPRoute attaches to."""

    name: Name
    namespace: Name | None = None
    listener: str | None = None


class Gateway(Parent):
    """The Gateway that users come through, and the host names of the ranker there."""

    hostnames: tuple[str, ...] = ()


class InnerGateway(Parent):
    """A Gateway that only pods can reach, and its address (``http://HOST``) in the cluster."""

    url: str = Field(pattern=r"^https?://[^/]+$")


class Storage(_Part):
    """Where pods find things.

    Args:
        models: the registry as KServe's storage initializer sees it (``s3://``, ``gs://``,
            ``pvc://CLAIM/PATH``); empty: the registry's own location.
        features: live feature store of the transformer: a location, or a path on ``claim``; empty:
            ``feature_store`` beside the registry.
        exposures: where exposures go: a location, or a path on ``claim``.
        outcomes: where outcomes arrive, for calibration: a location, or a path on ``claim``; empty:
            calibration is not measured by the pods.
        claim: a PersistentVolumeClaim that the transformer mounts at ``/var/lib/hemix``.
    """

    models: str = Field(default="", pattern=r"^((s3|gs|pvc|https)://.+)?$")
    features: str = ""
    exposures: str = "/var/lib/hemix/exposures"
    outcomes: str = ""
    claim: str = ""


class Secrets(_Part):
    """Secrets of the namespace; empty: none.

    Args:
        storage: keys ``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY``, ``AWS_ENDPOINT_URL``.
        redis: key ``password``.
        signing: key ``public.pem``, one public key or several; predictors then serve only what the
            owner of one signed, and the deploy step refuses what it cannot sign.
        pull: of the registry that images come from.
    """

    storage: str = "hemix-storage"
    redis: str = ""
    signing: str = ""
    pull: tuple[str, ...] = ()


class Timeouts(_Part):
    """Seconds.

    Args:
        api: of a request to the API server.
        ready: until new pods must be ready; holds the model's download.
        settled: how long Ready must last before it is believed.
        drain: from the change of traffic to the end of what it left; longer than kubelet takes to
            bring a ConfigMap's change to the pods (about a minute) and a request takes.
        poll: between two looks.
        request: of a ranking request at the gateway.
        predictor: of a predictor's answer to the transformer, a retry included.
    """

    api: Seconds = 30.0
    ready: Seconds = 900.0
    settled: float = Field(default=10.0, ge=0)
    drain: float = Field(default=120.0, ge=0)
    poll: Seconds = 2.0
    request: Seconds = 5.0
    predictor: Seconds = 1.0


class Rollout(_Part):
    """Try another image on the same models, by KServe's ``spec.canary``.

    Args:
        image: the image on trial.
        percent: of requests that it gets.
        role: which pods. ``predictor`` needs ``inner_gateway``, which splits the requests.
        name: part of the names of the trial's Deployment and Service.
        replicas: pods of the trial.
    """

    image: ImageRef
    percent: int = Field(ge=0, le=100)
    role: Literal["ranker", "predictor"] = "ranker"
    name: Name = "next"
    replicas: int = Field(default=1, ge=1)


class DeploymentSettings(_Part):
    """All of the settings file; every key has a default.

    Args:
        name: of the ranker, and the beginning of its versions' names.
        service_port: of KServe's Services: 80, or 8080 where KServe makes them headless
            (``serviceClusterIPNone``).
        inner_gateway: what the transformer asks versions through; None: their Services.
        canary_steps: percentages of users that ``--canary`` goes through.
        keep_champion_before: keeps the pods of the champion before, for a fast way back.
        rollout: another image on trial.
        experiments: layers beside the model layer (``hemix.serving.experiments.layers``).
    """

    name: Name = "ranker"
    namespace: Name = "hemix"
    image: ImageRef = f"hemix/serve:{__version__}"
    service_account: str = "hemix-serving"
    run_as_user: int = Field(default=65532, ge=1)
    service_port: Literal[80, 8080] = 80
    ranker: Role = Role()
    predictor: Role = Role()
    gateway: Gateway = Gateway(name="hemix-gateway")
    inner_gateway: InnerGateway | None = None
    storage: Storage = Storage()
    secrets: Secrets = Secrets()
    timeouts: Timeouts = Timeouts()
    canary_steps: tuple[int, ...] = (5, 25, 50, 100)
    keep_champion_before: bool = False
    rollout: Rollout | None = None
    experiments: Experiments = Experiments()

    @model_validator(mode="after")
    def _whole(self) -> DeploymentSettings:
        steps = self.canary_steps
        if not steps or steps[-1] != 100 or list(steps) != sorted({*steps}) or steps[0] < 1:
            raise ValueError(f"canary_steps {list(steps)} must rise from at least 1 and end in 100")
        rollout = self.rollout
        if rollout is not None and rollout.role == "predictor" and self.inner_gateway is None:
            raise ValueError(
                "rollout.role predictor needs inner_gateway: without it no request reaches the trial"
            )
        return self

    @staticmethod
    def parse(text: str, *, where: str = "the deployment settings") -> DeploymentSettings:
        """Settings of YAML or JSON text.

        Raises:
            DefinitionError: not YAML, an unknown key or a value that does not fit; names the key.
        """
        document = parse(text, "a settings file", where=where, hint=HINT)
        return checked(DeploymentSettings, document, hint=HINT)

    @staticmethod
    def load(path: Path) -> DeploymentSettings:
        """Settings of a file; errors as in :meth:`parse`, and DefinitionError when unreadable."""
        return DeploymentSettings.parse(text_of(path, hint=HINT), where=str(path))

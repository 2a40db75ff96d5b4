"""What a deployment looks like: the settings file of ``hemix deploy``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from hemix import __version__
from hemix.serving.experiments.layers import Experiments
from hemix.texts.documents import checked, parse, text_of
from hemix.texts.frozen import Frozen

HINT = "docs/operator/deploying.md lists the keys."

Cpu = Annotated[str, BeforeValidator(str), Field(pattern=r"^([0-9]+m|[0-9]+(\.[0-9]+)?)$")]
Memory = Annotated[str, Field(pattern=r"^[0-9]+(Ki|Mi|Gi)$")]
Name = Annotated[str, Field(pattern=r"^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$")]
Seconds = Annotated[float, Field(gt=0)]

_IMAGE = re.compile(
    r"^[a-z0-9][a-zA-Z0-9._:/-]*(:(?P<tag>[A-Za-z0-9_][\w.-]{0,127})|@sha256:[0-9a-f]{64})$"
)

_REDIS = re.compile(r"^rediss?://[^/@:\s]+(:[0-9]+)?(/[0-9]+)?$")


def _pinned(image: str) -> str:
    match = _IMAGE.match(image)
    if match is None or match["tag"] == "latest":
        raise ValueError(f"image {image!r} must be pinned by a tag that is not latest, or a digest")
    return image


def _shared_by_pods(events: str) -> str:
    if events and not _REDIS.match(events):
        raise ValueError(
            f"{events!r} is not redis://HOST:PORT/DB: pods share no file, and the password is "
            "that of secrets.redis"
        )
    return events


ImageRef = Annotated[str, Field(min_length=1), BeforeValidator(_pinned)]


class Resources(Frozen):
    """What a pod requests."""

    cpu: Cpu = "1"
    """CPU requested, such as 2 or 500m."""
    cpu_limit: Cpu | None = None
    """CPU limit; null: CPU may burst."""
    memory: Memory = "3Gi"
    """Memory, request and limit at once."""
    gpu: int = Field(default=0, ge=0)
    """GPUs per pod."""
    gpu_resource: str = "nvidia.com/gpu"
    """Kubernetes' name of the GPU resource."""


class Scaling(Frozen):
    """How many pods."""

    by: Literal["hpa", "keda", "none"] = "hpa"
    """hpa: KServe makes a HorizontalPodAutoscaler on CPU; keda: a KEDA ScaledObject, on requests
    per second when `prometheus` is given, else on CPU; none: always `min_replicas`."""
    min_replicas: int = Field(default=2, ge=1)
    """Fewest pods."""
    max_replicas: int = Field(default=10, ge=1)
    """Most pods."""
    cpu_percent: int = Field(default=70, ge=1, le=100)
    """Share of the requested CPU that pods should use on average, in percent."""
    prometheus: str = ""
    """Address of the Prometheus that KEDA queries."""
    requests_per_second: float = Field(default=50.0, gt=0)
    """Requests per second that one pod should take; keda with Prometheus only."""

    @model_validator(mode="after")
    def _ordered(self) -> Scaling:
        if self.min_replicas > self.max_replicas:
            raise ValueError(
                f"min_replicas {self.min_replicas} is above max_replicas {self.max_replicas}"
            )
        return self


class SecretKey(Frozen):
    """A key of a Secret of the namespace."""

    secret: Name
    """Name of the Secret."""
    key: str = Field(pattern=r"^[-._a-zA-Z0-9]+$")
    """Key within it."""


class Role(Frozen):
    """Pods of one kind."""

    resources: Resources = Resources()
    """What each pod requests."""
    scaling: Scaling = Scaling()
    """How many pods."""
    node_selector: dict[str, str] = Field(default={})
    """Labels of the nodes that may hold the pods."""
    workers: int = Field(default=2, ge=1)
    """Requests that a pod scores at the same time."""
    env: dict[str, str] = Field(default={})
    """Environment variables."""
    secret_env: dict[str, SecretKey] = Field(default={})
    """Environment variables whose values are keys of Secrets."""


class Parent(Frozen):
    """A Gateway that an HTTPRoute attaches to."""

    name: Name
    """Name of the Gateway."""
    namespace: Name | None = None
    """Its namespace; null: the deployment's."""
    listener: str | None = None
    """The listener's name; null: any."""


class Gateway(Parent):
    """The Gateway that users come through."""

    hostnames: tuple[str, ...] = ()
    """Host names of the ranker there; empty: any."""


class InnerGateway(Parent):
    """A Gateway that only pods can reach."""

    url: str = Field(pattern=r"^https?://[^/]+$")
    """Its address in the cluster, http://HOST."""


class Storage(Frozen):
    """Where pods find things."""

    models: str = Field(default="", pattern=r"^((s3|gs|pvc|https)://.+)?$")
    """The registry as KServe's storage initializer sees it (s3://, gs://, pvc://CLAIM/PATH); empty:
    the registry's own location."""
    features: str = ""
    """Live feature store of the transformer: a location, or a path on `claim`; empty:
    `feature_store` beside the registry."""
    exposures: str = ""
    """Where exposures go: a location, or a path on `claim`; empty: `exposures` beside the registry.
    A place that ends with its pod is refused: experiments read it later."""
    outcomes: str = ""
    """Where outcomes arrive, for calibration: a location, or a path on `claim`; empty: the pods do
    not measure calibration."""
    events: Annotated[str, AfterValidator(_shared_by_pods)] = ""
    """Where live events are kept, a redis that all pods of the transformer share:
    redis://HOST:PORT/DB, its password in `secrets.redis`; empty: the ranker takes none."""
    dead_letters: str = ""
    """Folder of refused events, a path on `claim`; empty: a folder on `claim`, or, without one, of
    the pod, which ends with it."""
    claim: str = ""
    """A PersistentVolumeClaim that the transformer mounts at /var/lib/hemix."""
    claim_mode: Literal["ReadWriteMany", "ReadWriteOnce"] = "ReadWriteMany"
    """How the claim may be mounted; ReadWriteOnce allows one pod, which ends before the next one
    starts."""
    container: str = "hemix"
    """The ClusterStorageContainer that brings models (infra/kserve); empty: the one that KServe finds
    for the address, which Pod Security `restricted` refuses unless it was patched."""


class Secrets(Frozen):
    """Secrets of the namespace; empty: none."""

    storage: str = "hemix-storage"
    """Secret with the keys AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_ENDPOINT_URL."""
    redis: str = ""
    """Secret with the key password."""
    signing: str = ""
    """Secret with the key public.pem, one public key or several: predictors then serve only what
    the owner of one signed, and the deploy step refuses what it cannot sign."""
    pull: tuple[str, ...] = ()
    """Secrets to pull images with."""


class Timeouts(Frozen):
    """Time limits, in seconds."""

    api: Seconds = 30.0
    """A request to the API server."""
    ready: Seconds = 900.0
    """Until new pods must be ready, the model's download included."""
    settled: float = Field(default=10.0, ge=0)
    """How long Ready must last before it is believed."""
    drain: float = Field(default=120.0, ge=0)
    """From the change of traffic to the end of what it left; longer than kubelet takes to bring a
    ConfigMap's change to the pods (about a minute) and a request takes."""
    poll: Seconds = 2.0
    """Between two looks at a resource."""
    request: Seconds = 5.0
    """A ranking request at the gateway."""
    predictor: Seconds = 1.0
    """A predictor's answer to the transformer, a retry included."""


class Rollout(Frozen):
    """Another image on trial with the same models, by KServe's ``spec.canary``."""

    image: ImageRef
    """The image on trial."""
    percent: int = Field(ge=0, le=100)
    """Share of requests that it gets, in percent."""
    role: Literal["ranker", "predictor"] = "ranker"
    """Which pods; predictor needs `inner_gateway`, which splits the requests."""
    name: Name = "next"
    """Part of the names of the trial's Deployment and Service."""
    replicas: int = Field(default=1, ge=1)
    """Pods of the trial."""


class DeploymentSettings(Frozen):
    """All of the settings file; every key has a default."""

    name: Name = "ranker"
    """Name of the ranker, with which its versions' names begin."""
    namespace: Name = "hemix"
    """Namespace of everything that is deployed."""
    image: ImageRef = f"localhost/hemix/serve:{__version__}"
    """Image of the pods, pinned by a tag or a digest."""
    service_account: str = "hemix-serving"
    """ServiceAccount of the pods."""
    run_as_user: int = Field(default=65532, ge=1)
    """User id of the pods' processes."""
    service_port: Literal[80, 8080] = 80
    """Port of KServe's Services: 80, or 8080 where KServe makes them headless
    (serviceClusterIPNone)."""
    ranker: Role = Role()
    """Transformer pods, which take requests."""
    predictor: Role = Role()
    """Predictor pods, which score; one kind per version."""
    gateway: Gateway = Gateway(name="hemix-gateway")
    """The Gateway that users come through."""
    inner_gateway: InnerGateway | None = None
    """The Gateway through which the transformer reaches versions; null: their Services."""
    storage: Storage = Storage()
    """Where pods find things."""
    secrets: Secrets = Secrets()
    """Secrets that pods use."""
    timeouts: Timeouts = Timeouts()
    """Time limits."""
    canary_steps: tuple[int, ...] = (5, 25, 50, 100)
    """Percentages of users that `--canary` goes through."""
    champion_before_hours: float = Field(default=24.0, ge=0)
    """How long the previous champion keeps its pods after it was followed, so that a roll back needs
    no start-up; the first `hemix deploy` after that removes them."""
    rollout: Rollout | None = None
    """Another image on trial."""
    experiments: Experiments = Experiments()
    """Layers beside the model layer."""

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
        scaling = self.ranker.scaling
        most = scaling.min_replicas if scaling.by == "none" else scaling.max_replicas
        if self.storage.claim and self.storage.claim_mode == "ReadWriteOnce":
            if most > 1:
                raise ValueError(
                    f"storage.claim_mode ReadWriteOnce lets one pod mount {self.storage.claim}, and "
                    f"the ranker may have {most}: set ranker.scaling to {{by: none, min_replicas: 1}}, "
                    "or use a ReadWriteMany claim or S3"
                )
            if rollout is not None and rollout.role == "ranker":
                raise ValueError(
                    f"storage.claim_mode ReadWriteOnce lets one pod mount {self.storage.claim}: an "
                    "image on trial would be a second one"
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

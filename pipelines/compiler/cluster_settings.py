"""What a cluster must know about each step: image, resources, retries, caching, secrets, security.

``pipelines/cluster.yaml`` is the shipped file with every value; a user's file holds only what
differs, and is laid over it key by key. Unknown keys and unknown steps are refused.
"""

from __future__ import annotations

import copy
import functools
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from hemix import __version__
from hemix.components.steps import BY_NAME, PREFIX, Image
from hemix.features.declared_sources import Seconds
from hemix.texts.documents import Document, checked, read
from hemix.texts.frozen import Frozen

SHIPPED = Path(__file__).with_name("cluster.yaml")
_WHAT = "a file of cluster settings"
_TAG = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$")
_PREFIX = re.compile(r"^([a-z0-9-]+(\.[a-z0-9-]+)+|localhost|[a-z0-9.-]+:[0-9]+)(/[a-z0-9._/-]+)?$")

Cpu = Annotated[str, BeforeValidator(str), Field(pattern=r"^([0-9]+m|[0-9]+(\.[0-9]+)?)$")]
Memory = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?(Ki|Mi|Gi|Ti|K|M|G|T)$")]
Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
Name = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")]
LabelName = Annotated[
    str,
    Field(
        pattern=r"^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"
    ),
]
LabelValue = Annotated[str, Field(pattern=r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$")]
EnvName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class Images(Frozen):
    """Where images are pulled from: ``prefix/<image>:tag``, or ``prefix/<image>@digest``."""

    prefix: str = PREFIX
    """Registry and folder of the images."""
    tag: str = __version__
    """Their tag; never latest."""
    digests: dict[Image, Digest] = Field(default={})
    """Image -> digest, which wins over the tag."""
    pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    """When a node pulls an image."""
    pull_secrets: tuple[Name, ...] = ()
    """Secrets to pull with."""

    @model_validator(mode="after")
    def _pinned(self) -> Images:
        if self.tag == "latest" or not _TAG.match(self.tag):
            raise ValueError(f"tag {self.tag!r}: write a fixed tag, never latest")
        if not _PREFIX.match(self.prefix) or self.prefix.endswith("/"):
            raise ValueError(
                f"prefix {self.prefix!r}: write HOST/FOLDER, the host with a dot or a port, without a last slash"
            )
        return self

    def reference(self, image: Image) -> str:
        """The text a pod pulls ``image`` by; a digest wins over the tag."""
        digest = self.digests.get(image)
        name = f"{self.prefix}/{image}"
        return f"{name}@{digest}" if digest else f"{name}:{self.tag}"


class Retries(Frozen):
    """How often, and with which pauses, a pod that failed is started again."""

    count: int = Field(ge=0, le=10)
    """How many times."""
    first_pause: Seconds = 60
    """Pause before the first new start."""
    factor: int = Field(default=2, ge=1, le=10)
    """How many times as long each further pause is; a whole number, as Argo takes no other."""
    waiting: Seconds = 3600
    """How long an attempt may wait for a node. Argo counts one window from the start of the first
    attempt, in which all attempts must fit."""

    def window_s(self, timeout_s: int) -> int:
        """Seconds from the first start to the last end: attempts of ``timeout_s``, waits and pauses."""
        attempts = (self.count + 1) * (timeout_s + self.waiting)
        return attempts + sum(self.first_pause * self.factor**n for n in range(self.count))


class Caching(Frozen):
    """Whether the cluster may take a step from an earlier run."""

    enabled: bool
    """Whether it may."""
    reason: str = Field(min_length=1)
    """Why, for people."""


class Gpu(Frozen):
    """Accelerators of a step and the nodes that have them."""

    count: int = Field(default=0, ge=0, le=16)
    """GPUs per pod; 0: none."""
    resource: str = "nvidia.com/gpu"
    """Kubernetes' name of the resource."""
    node_selector: dict[str, str] = Field(default={})
    """Labels of the nodes that have them."""
    taint: str = "nvidia.com/gpu"
    """Taint of these nodes, which the pod tolerates."""


class Volume(Frozen):
    """A volume of a step."""

    claim: Name
    """An existing PersistentVolumeClaim."""
    path: str = Field(pattern=r"^/[^:]*$")
    """Where the step sees it."""


class Step(Frozen):
    """One step's pod."""

    cpu: tuple[Cpu, Cpu]
    """CPU requested and its limit, such as [1, 4]."""
    memory: tuple[Memory, Memory]
    """Memory requested and its limit, such as [2Gi, 4Gi]."""
    gpu: Gpu = Gpu()
    """Accelerators."""
    scratch: Memory = "2Gi"
    """Size of /tmp."""
    shared_memory: Memory | None = None
    """Size of /dev/shm, part of the memory; null: the node's default."""
    timeout: Annotated[Seconds, Field(gt=0)]
    """How long the step may take."""
    retries: Retries
    """New starts after a failure."""
    caching: Caching
    """Use of earlier runs."""
    secrets: tuple[str, ...] = ()
    """Names under `secrets` whose variables the pod gets."""
    volumes: tuple[Volume, ...] = ()
    """Volumes of the pod."""
    env: dict[EnvName, str] = Field(default={})
    """Environment variables of the pod."""
    labels: dict[LabelName, LabelValue] = Field(default={})
    """Labels of the pod, for what the cluster itself adds to pods (a PodDefault, a policy)."""


class Secret(Frozen):
    """A Secret of the run's namespace as environment variables."""

    name: Name
    """Name of the Secret."""
    env: dict[str, EnvName] = Field(min_length=1)
    """Its key -> the variable's name."""
    optional: bool = False
    """Whether the pod may start without it."""


class Security(Frozen):
    """Who a step runs as. What kfp-kubernetes cannot say is in docs/operator/pipelines.md."""

    run_as_user: int = Field(default=65532, ge=1)
    """User id of the step's process."""
    run_as_group: int = Field(default=65532, ge=1)
    """Group id of the step's process."""


class ClusterSettings(Frozen):
    """All of ``cluster.yaml``: what all steps share, and each step's pod."""

    images: Images = Images()
    """Where images are pulled from."""
    security: Security = Security()
    """Who steps run as."""
    secrets: dict[str, Secret] = Field(default={})
    """Secrets by the name that steps use."""
    env: dict[EnvName, str] = Field(default={})
    """Environment variables of every pod."""
    node_selector: dict[str, str] = Field(default={})
    """Labels of the nodes that may hold the pods."""
    default: Step
    """The pod of a step that `steps` says nothing about."""
    steps: dict[str, Step]
    """Step -> its pod."""

    @model_validator(mode="before")
    @classmethod
    def _all_steps(cls, value: Any) -> Any:
        """A step without a block has the default one."""
        if isinstance(value, dict) and isinstance(steps := value.get("steps"), dict):
            missing = {name: value.get("default") for name in BY_NAME if name not in steps}
            return value | {"steps": steps | missing}
        return value

    @model_validator(mode="after")
    def _whole(self) -> ClusterSettings:
        if unknown := sorted(set(self.steps) - set(BY_NAME)):
            raise ValueError(f"steps: there is no step {', '.join(unknown)}")
        for name, step in self.steps.items():
            if lost := sorted(set(step.secrets) - set(self.secrets)):
                raise ValueError(f"steps.{name}.secrets: {', '.join(lost)} not under secrets")
            _check_order(f"steps.{name}.cpu", _cores, step.cpu)
            _check_order(f"steps.{name}.memory", bytes_of, step.memory)
            if step.shared_memory and bytes_of(step.shared_memory) >= bytes_of(step.memory[1]):
                raise ValueError(
                    f"steps.{name}.shared_memory: {step.shared_memory} is part of the pod's memory, "
                    f"whose limit is {step.memory[1]}"
                )
        return self

    def image(self, step: str) -> str:
        """The image reference of a step."""
        return self.images.reference(BY_NAME[step].image)

    @staticmethod
    def load(path: Path | None = None) -> ClusterSettings:
        """The shipped settings, with those of ``path`` laid over them.

        Raises:
            DefinitionError: no such file, not YAML, an unknown key or a value that does not fit.
        """
        shipped = _shipped()
        document = shipped if path is None else read(path, _WHAT)
        hint = "docs/operator/pipelines.md lists the keys of the cluster settings."
        over = copy.deepcopy(_laid_over(shipped.value, document.value))
        return checked(ClusterSettings, document, over=over, hint=hint)


@functools.cache
def _shipped() -> Document:
    return read(SHIPPED, _WHAT)


def bytes_of(quantity: str) -> float:
    """A Kubernetes memory quantity in bytes: ``512Mi``, ``2G``."""
    match = re.fullmatch(r"([0-9.]+)([KMGT])(i?)", quantity)
    assert match, quantity
    number, unit, binary = match.groups()
    return float(number) * (1024 if binary else 1000) ** ("KMGT".index(unit) + 1)


def _cores(quantity: str) -> float:
    return float(quantity[:-1]) / 1000 if quantity.endswith("m") else float(quantity)


def _check_order(where: str, size: Any, pair: tuple[str, str]) -> None:
    if size(pair[0]) > size(pair[1]):
        raise ValueError(f"{where}: the request {pair[0]} is above the limit {pair[1]}")


def _laid_over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """``above`` wins; mappings merge key by key, everything else is replaced whole."""
    merged = dict(below)
    for key, value in above.items():
        known = below.get(key)
        both = isinstance(known, dict) and isinstance(value, dict)
        merged[key] = _laid_over(known, value) if both else value  # type: ignore[arg-type]
    return merged

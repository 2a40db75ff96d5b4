"""Where Beam pipelines run: a small configuration, and the Beam flags that it comes to.

The text of ``--runner-options`` is either Beam flags, which pass as they are, or such a
configuration as YAML (or the name of a file that holds it)::

    runner: flink
    parallelism: 8
    shared: /mnt/hemix

Workers on other machines must see inputs and outputs under the same paths. ``shared`` names a
folder that all of them and the step mount: inputs are copied there, outputs from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from hemix import __version__
from hemix.errors import DefinitionError
from hemix.texts.documents import Document, checked, parse, text_of
from hemix.texts.frozen import Frozen

Address = Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]+:[0-9]{1,5}$")]
SHARED = "--hemix_shared"
"""Our own flag beside Beam's: the folder that workers share with the step."""
DASK = "apache_beam.runners.dask.dask_runner.DaskRunner"
"""The name under which Beam takes its Dask runner; it knows no short one."""


class _Runner(Frozen):
    shared: str = ""
    """Folder that all workers and the step mount: inputs are copied there, outputs from there;
    empty: they see the same paths."""
    flags: tuple[Annotated[str, Field(pattern=r"^--[a-z]")], ...] = ()
    """Further Beam flags."""

    def beam_flags(self) -> tuple[str, ...]:
        """All Beam flags of the configuration, and :data:`SHARED`."""
        own = [f"--{name}={value}" for name, value in self._own().items() if value != ""]
        return (*own, *self.flags, *([f"{SHARED}={self.shared}"] if self.shared else []))

    def _own(self) -> dict[str, Any]:
        raise NotImplementedError


class Direct(_Runner):
    """This machine."""

    runner: Literal["direct"] = "direct"
    """Which runner."""
    processes: int = Field(default=1, ge=1)
    """Processes that share the work."""

    def _own(self) -> dict[str, Any]:
        if self.processes == 1:
            return {}
        return {
            "direct_running_mode": "multi_processing",
            "direct_num_workers": self.processes,
        }


class Portable(_Runner):
    """A job service, and workers in an environment of its runner."""

    runner: Literal["portable"] = "portable"
    """Which runner."""
    job_endpoint: Address
    """HOST:PORT of the job service."""
    artifact_endpoint: Address | Literal[""] = ""
    """HOST:PORT of its artifact service; empty: as the job service says."""
    environment: Literal["EXTERNAL", "DOCKER"] = "EXTERNAL"
    """EXTERNAL: a pool of workers at `environment_config`, as seen from the runner; DOCKER: the
    image `environment_config`."""
    environment_config: str = "localhost:50000"
    """Address of the pool, or name of the image."""
    parallelism: int = Field(default=1, ge=1)
    """Bundles that are worked on at the same time; with Flink, the task slots that a job takes."""
    timeout_s: int = Field(default=86_400, ge=1)
    """Seconds that the whole job may take; Beam's own default is five minutes."""

    def _own(self) -> dict[str, Any]:
        return {
            "runner": "PortableRunner",
            "job_endpoint": self.job_endpoint,
            "artifact_endpoint": self.artifact_endpoint,
            "environment_type": self.environment,
            "environment_config": self.environment_config,
            "parallelism": self.parallelism,
            "job_server_timeout": self.timeout_s,
        }


class Flink(Portable):
    """Flink by Beam's job server, both as in infra/kustomize/components/flink."""

    runner: Literal["flink"] = "flink"  # type: ignore[assignment]
    """Which runner."""
    job_endpoint: Address = "hemix-flink-jobserver:8099"
    """HOST:PORT of Beam's job server."""
    artifact_endpoint: Address | Literal[""] = "hemix-flink-jobserver:8098"
    """HOST:PORT of its artifact service."""


class Spark(Portable):
    """Spark by Beam's Spark job server at ``job_endpoint``."""

    runner: Literal["spark"] = "spark"  # type: ignore[assignment]
    """Which runner."""

    def _own(self) -> dict[str, Any]:
        return {name: value for name, value in super()._own().items() if name != "parallelism"}


class Dataflow(_Runner):
    """Google Cloud Dataflow."""

    runner: Literal["dataflow"] = "dataflow"
    """Which runner."""
    project: str = Field(min_length=1)
    """Google Cloud project."""
    region: str = Field(min_length=1)
    """Region of the job."""
    temp_location: str = Field(pattern=r"^gs://.+")
    """gs:// prefix for temporary files."""
    image: str = f"localhost/hemix/features:{__version__}"
    """Image that workers start from; it holds this project."""
    machine_type: str = ""
    """Machines of the workers; empty: Dataflow's choice."""
    workers: int = Field(default=1, ge=1)
    """Workers at the start."""
    max_workers: int = Field(default=10, ge=1)
    """Most workers."""
    service_account: str = ""
    """Service account of the workers; empty: the project's default."""

    def _own(self) -> dict[str, Any]:
        return {
            "runner": "DataflowRunner",
            "project": self.project,
            "region": self.region,
            "temp_location": self.temp_location,
            "sdk_container_image": self.image,
            "sdk_location": "container",
            "machine_type": self.machine_type,
            "num_workers": self.workers,
            "max_num_workers": self.max_workers,
            "service_account_email": self.service_account,
        }


class Dask(_Runner):
    """A Dask scheduler and its workers: an engine for tests, and for build_examples alone.

    Beam's runner computes only what the last transform of a pipeline needs. build_examples writes from
    its one last transform; tf.Transform has others beside it, which would stay undone without a word.
    """

    runner: Literal["dask"] = "dask"
    """Which runner."""
    scheduler: Address
    """Address of the scheduler, ``HOST:PORT``."""

    def _own(self) -> dict[str, Any]:
        return {"runner": DASK, "dask_client_address": f"tcp://{self.scheduler}"}


Runner = Annotated[
    Direct | Portable | Flink | Spark | Dataflow | Dask, Field(discriminator="runner")
]
_RUNNER: TypeAdapter[Runner] = TypeAdapter(Runner)
_HINT = 'Give Beam flags, a YAML file, or YAML such as "runner: flink".'
_KNOWN = "Known runners: direct, portable, flink, spark, dataflow, dask (docs/operator/scaling.md)."
_NOT_USABLE = {"DaskRunner": "Beam knows no such name"}


def runner_flags(text: str) -> tuple[str, ...]:
    """The flags that steps are given for a text of ``--runner-options``.

    Raises:
        DefinitionError: neither flags nor a configuration that fits; the message names the key.
    """
    text = text.strip()
    if not text or text.startswith("--"):
        flags = tuple(text.split())
        refuse(flags)
        return flags
    runner: Runner = checked(_RUNNER, _read(text), hint=_KNOWN)
    flags = runner.beam_flags()
    refuse(flags)
    return flags


def expanded(options: Sequence[str]) -> tuple[str, ...]:
    """Beam flags of a step's runner options: flags stay, a configuration becomes its flags.

    Raises:
        DefinitionError: as :func:`runner_flags`.
    """
    flags: list[str] = []
    for option in options:
        flags += [option] if option.startswith("--") else runner_flags(option)
    refuse(tuple(flags))
    return tuple(flags)


def refuse(flags: tuple[str, ...]) -> None:
    """DefinitionError for what is not a flag, and for runners that lose data."""
    for flag in flags:
        if not flag.startswith("--"):
            raise DefinitionError(
                f"--runner-options: {flag!r} is not a Beam flag.",
                hint="Write --NAME=VALUE, without spaces inside.",
            )
        name, _, value = flag.partition("=")
        if name == "--runner" and value in _NOT_USABLE:
            raise DefinitionError(
                f"--runner-options: {value} cannot be used: {_NOT_USABLE[value]}.",
                hint='Write "runner: dask, scheduler: HOST:PORT"; it does for build_examples alone.',
            )


def _read(text: str) -> Document:
    where = what = "--runner-options"
    looks_like_a_file = not any(mark in text for mark in "\n:{")
    if looks_like_a_file or Path(text).is_file():
        text, where = text_of(Path(text), hint=_HINT), f"{what} {text}"
    return parse(text, "a configuration", where=where, may_be_empty=False, hint=_HINT)

"""``hemix replay``: send the held-out traffic, join what was logged, write the experiment's page."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from hemix.components.experiment.page import Notes
from hemix.components.experiment.step import run as examine
from hemix.errors import DataError, HemixError
from hemix.features.definition import DatasetDefinition
from hemix.files import atomic_file
from hemix.pipelines.demo.endpoint import running_endpoint
from hemix.pipelines.demo.replay.experiment import design_at, own_registry, paragraphs, policy_text
from hemix.pipelines.demo.replay.sending import Sent, send
from hemix.pipelines.demo.replay.traffic import Traffic, read_traffic
from hemix.pipelines.local.folder import RunFolder
from hemix.pipelines.local.record import RunRecord
from hemix.progress import say
from hemix.serving.experiments.design import Design
from hemix.serving.experiments.logs import read_exposures
from hemix.serving.experiments.policy import ExperimentPolicy
from hemix.serving.experiments.results import Decision
from hemix.storage import join

if TYPE_CHECKING:
    import polars as pl

WRITTEN_S = 40.0
"""Longest wait for an endpoint to write what it answered: 30 s where exposures are objects."""
EVERY = 2_000
"""Requests between two lines of progress where there is no terminal."""


@dataclass(frozen=True, kw_only=True)
class ReplayOptions:
    """What was asked for; see ``hemix replay --help``."""

    folder: RunFolder
    share: float
    layer: str
    users: int | None
    clients: int
    url: str | None
    exposures: str | None
    policy: Path | None


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """Where the results are, and the decision (never applied)."""

    page: Path
    decision: Decision
    sent: Sent


def replay(options: ReplayOptions, console: Console) -> Replayed:
    """Run the replay, or the rest of one that was stopped.

    Raises:
        RegistryError: there is no challenger.
        DataError: the run's events or the test window are empty.
        EnvironmentProblem: the endpoint does not start or no longer answers.
    """
    record = RunRecord.read(options.folder.record)
    definition = DatasetDefinition.parse(record.parameters["definition"])
    home = options.folder.root / "replay"
    experiments = options.folder.root / "experiments.yaml"
    if options.url is None:
        registry = str(own_registry(options.folder, home / "registry", share=options.share))
        # A folder of its own: exposures of another replay would be in this one's analysis.
        exposures = str(home / f"exposures-{options.layer}-{options.users or 'all'}")
    else:
        registry = options.folder.registry
        exposures = options.exposures or join(options.folder.location, "exposures")
    design = design_at(registry, options.layer, experiments)
    traffic = _traffic(options, record, definition, design)
    policy = _policy(options, definition, traffic, home)
    rest = _unanswered(traffic, exposures, design)
    sent = Sent()
    if rest.requests.height:
        with _endpoint(options, registry, exposures, experiments, console) as url:
            sent = _send(rest, url, options.clients, console)
            _await_exposures(traffic, exposures, design, missing=sent.refused + sent.lost)
    if sent.refused or sent.lost:
        say(f"replay: {sent.refused} refused, {sent.lost} lost; the first: {sent.first_problem}")
    traffic.outcomes.write_parquet(home / "outcomes.parquet")
    traffic.known.write_parquet(home / "known.parquet")
    page = home / f"experiment-{options.layer}.html"
    decision = examine(
        exposures=exposures,
        outcomes=str(home / "outcomes.parquet"),
        registry=registry,
        policy=policy,
        apply=False,
        out_decision=home / f"experiment-{options.layer}.json",
        out_page=page,
        layer=options.layer,
        experiments=experiments,
        known=home / "known.parquet",
        notes=Notes(
            source=f"replay of {definition.name}, {definition.split.test.start:%-d %B} to "
            f"{definition.split.test.end:%-d %B %Y}",
            paragraphs=paragraphs(options.layer),
        ),
    )
    return Replayed(page=page, decision=decision, sent=sent)


def _traffic(
    options: ReplayOptions, record: RunRecord, definition: DatasetDefinition, design: Design
) -> Traffic:
    if not design.running:
        raise HemixError(f"No experiment runs in the layer {design.layer}: one arm has all users.")
    events = record.artifact("ingest", "events")
    if events is None or not events.is_dir():
        raise DataError(
            f"{options.folder.location} holds no events.", hint="Run the pipeline first: hemix run."
        )
    return read_traffic(definition, events, prefix=f"replay-{design.epoch}", users=options.users)


def _policy(
    options: ReplayOptions, definition: DatasetDefinition, traffic: Traffic, home: Path
) -> Path:
    if options.policy is not None:
        ExperimentPolicy.load(options.policy)
        return options.policy
    path = home / "policy.yaml"
    with atomic_file(path) as temporary:
        temporary.write_text(policy_text(definition, traffic.requests.height))
    return path


def _await_exposures(traffic: Traffic, exposures: str, design: Design, *, missing: int) -> None:
    """Wait until all answers but ``missing`` are written: an endpoint writes a second or, on S3, half
    a minute after it answered, and outcomes of unwritten ones would count as lost."""
    deadline = time.monotonic() + WRITTEN_S
    while _left(traffic, exposures, design).height > missing and time.monotonic() < deadline:
        time.sleep(0.25)


def _left(traffic: Traffic, exposures: str, design: Design) -> pl.DataFrame:
    """The requests that no exposure tells of."""
    import polars as pl

    try:
        seen = read_exposures(exposures, layer=design.layer).rows
    except DataError:  # nothing was sent yet
        return traffic.requests
    answered = seen.filter((pl.col("epoch") == design.epoch) & (pl.col("error") == ""))
    return traffic.requests.join(
        answered.select("request_id"), on="request_id", how="anti", maintain_order="left"
    )


def _unanswered(traffic: Traffic, exposures: str, design: Design) -> Traffic:
    """The requests that no exposure tells of: what a replay that goes on still has to send."""
    left = _left(traffic, exposures, design)
    if left.height < traffic.requests.height:
        say(f"replay: {traffic.requests.height - left.height:,} requests were answered before")
    return replace(traffic, requests=left)


@contextlib.contextmanager
def _endpoint(
    options: ReplayOptions,
    registry: str,
    exposures: str,
    experiments: Path,
    console: Console,
) -> Iterator[str]:
    if options.url is not None:
        yield options.url.rstrip("/")
        return
    serve = [
        *("--models", registry, "--features", options.folder.feature_store),
        *("--exposures", exposures, "--experiments", str(experiments)),
    ]
    with running_endpoint(options.folder, console, serve) as endpoint:
        yield endpoint.http


def _send(traffic: Traffic, url: str, clients: int, console: Console) -> Sent:
    total = traffic.requests.height
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("requests", total=total)

        def told(sent: Sent) -> None:
            done = sent.answered + sent.refused + sent.lost
            bar.update(task, completed=done)
            if not console.is_terminal and (done % EVERY == 0 or done == total):
                say(f"replay: {done:,} of {total:,} requests")

        return send(traffic, url=url, clients=clients, told=told)

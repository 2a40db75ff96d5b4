"""``hemix backfill``: the examples of a range of days, on the cluster or here."""

from __future__ import annotations

import inspect
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from hemix import storage
from hemix.cli import options as o
from hemix.cli.submit import tell, watch_run
from hemix.components.backfill.days import days_between
from hemix.files import read_json
from hemix.pipelines.local.execution import LocalRun

if TYPE_CHECKING:
    from hemix.pipelines.kfp_client.arguments import Wanted
    from hemix.pipelines.local.execution import StepResult

DAY = "backfill"  # the task that writes one day


def backfill_command(
    first: Annotated[str, typer.Option("--from", metavar="DAY", help="First UTC day, 2022-04-25.")],
    last: Annotated[str, typer.Option("--to", metavar="DAY", help="Last UTC day, included.")],
    local: Annotated[bool, typer.Option("--local", help="Run it on this machine.")] = False,
    destination: Annotated[
        str,
        typer.Option(
            metavar="PLACE",
            help="Folder or s3:// prefix of the partitions. [dim]Default: ROOT/examples[/dim]",
            show_default=False,
        ),
    ] = "",
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="With --local: folder of artifacts and cache. [dim]Default: runs/backfill[/dim]",
            show_default=False,
        ),
    ] = None,
    dataset: o.DatasetOption = "kuairand",
    definition: o.DefinitionOption = None,
    set_: o.SetOption = None,
    root: o.RootOption = "",
    settings: o.SettingsOption = None,
    runner_options: o.RunnerOption = "",
    paths_in_pods: o.PathsInPodsOption = False,
    follow: Annotated[
        bool, typer.Option("--follow/--no-follow", help="Watch the run, or return.")
    ] = True,
    poll: Annotated[float, typer.Option(help="Seconds between looks.", min=0)] = 5.0,
    experiment: o.ExperimentOption = "hemix",
    create_experiment: o.CreateExperimentOption = True,
    service_account: o.ServiceAccountOption = "hemix-pipeline",
    host: o.HostOption = "",
    namespace: o.NamespaceOption = "",
    token: o.TokenOption = "",
    token_file: o.TokenFileOption = None,
    ca_cert: o.CaCertOption = None,
) -> None:
    """Write the examples of each day of a range as a partition; what is there and equal stays.

    [bold]Examples[/bold]

      hemix backfill --from 2022-04-25 --to 2022-04-27 --local

      hemix backfill --from 2022-04-01 --to 2022-04-30 --root s3://ranker/hemix --set root=s3://logs/kuairand
    """
    from hemix.features.beam.runner_config import runner_flags
    from hemix.pipelines.kfp_client.arguments import Wanted
    from hemix.pipelines.overrides import parse_overrides

    console = Console(file=sys.stdout)
    days = days_between(first, last)
    wanted = Wanted(
        dataset=definition or dataset,
        overrides=parse_overrides(set_ or ()),
        root=root,
        runner_options=runner_flags(runner_options),
        first=first,
        last=last,
        destination=destination,
        paths_in_pods=paths_in_pods or local,
    )
    if local:
        _here(console, wanted, output or Path("runs") / "backfill", days)
        return
    from hemix.pipelines.kfp_client.compiled import ready
    from hemix.pipelines.kfp_client.runs import submit
    from hemix.pipelines.kfp_client.spec import tasks_of

    connection = o.connect(host, namespace, token, token_file, ca_cert)
    made = ready("backfill", wanted, settings)
    submitted = submit(
        "backfill",
        made.parameters,
        connection=connection,
        compiled=made.text,
        experiment=experiment,
        create_experiment=create_experiment,
        name=f"backfill-{first}-{last}",
        root=made.root,
        service_account=service_account,
    )
    tell(console, submitted)
    if follow:
        tasks = tasks_of(made.spec)
        watch_run(console, connection, submitted.run_id, tasks=tasks, every_s=poll)


def _here(console: Console, wanted: Wanted, output: Path, days: list[str]) -> None:
    """Run the pipeline through kfp.local; say of each day what became of its partition."""
    from hemix.pipelines.definitions import backfill as module
    from hemix.pipelines.kfp_client.arguments import arguments_of
    from hemix.pipelines.local.folder import RunFolder

    folder = RunFolder(output.resolve())
    if not wanted.destination:
        place = wanted.root or str(folder.root)
        wanted = replace(wanted, destination=storage.join(place, "examples"))
    inputs: dict[str, dict[str, str]] = {
        name: {} for name in inspect.signature(module.backfill.function).parameters
    }
    arguments = arguments_of("backfill", inputs, wanted, {})
    told = _Told(console, len(days))
    local = LocalRun(
        root=folder.root,
        logs=folder.root / "logs" / "backfill",
        observer=told,
    )
    several = module.PARALLELISM
    module.PARALLELISM = 1  # kfp.local replaces builtins.print while a task runs
    try:
        with folder.locked():
            local.run(module.backfill, arguments)
    finally:
        module.PARALLELISM = several
    assert told.days == len(days), f"{told.days} of {len(days)} days were written"
    _print(console, f"{len(days)} partitions are in {arguments['destination']}.")


class _Told:
    """Tells of each task that ended, and of each day what became of its partition."""

    def __init__(self, console: Console, days: int) -> None:
        self._console = console
        self._all = days
        self.days = 0

    def started(self, step: str) -> None:
        if not _is_day(step):
            _print(self._console, f"{step} ...")

    def said(self, step: str, line: str) -> None:
        if not _is_day(step):
            _print(self._console, f"    {line}")

    def finished(self, result: StepResult) -> None:
        if not result.succeeded:
            _print(self._console, f"{result.name} FAILED")
        elif _is_day(result.name):
            self.days += 1
            made = read_json(Path(result.artifacts["partition"]))
            cached = " (from the cache)" if result.cached else ""
            place = f"[{self.days}/{self._all}]"
            line = f"{place} {made['day']}: {made['rows']} rows, {made['outcome']}{cached}"
            _print(self._console, line)


def _is_day(step: str) -> bool:
    """A task in a loop has the loop's numbers behind its name."""
    return step.rstrip("_0123456789") == DAY


def _print(console: Console, line: str) -> None:
    console.print(Text(line), soft_wrap=True)

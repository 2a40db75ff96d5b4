"""The ``hemix`` command. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from hemix import __version__
from hemix.cli import compile as compile_commands
from hemix.cli import deploy as deploy_commands
from hemix.cli import experiment as experiment_commands
from hemix.cli import rank as rank_commands
from hemix.cli import start as start_commands
from hemix.cli import tune as tune_commands
from hemix.cli.backfill import backfill_command
from hemix.cli.inputs.keys import keys_command
from hemix.cli.outputs.clean import clean_command
from hemix.cli.outputs.compare import compare_command
from hemix.cli.outputs.dimensions import dimensions_command
from hemix.cli.outputs.explain import explain_command
from hemix.cli.schedule import schedule_app
from hemix.cli.submit import submit_command
from hemix.errors import GateFailed
from hemix.pipelines.local.display import display
from hemix.pipelines.local.record import RunRecord
from hemix.pipelines.local.telling import DEBUG, tell
from hemix.storage import write_bytes

app = typer.Typer(
    name="hemix",
    help="Raw behaviour logs to an A/B-tested ranking endpoint.\n\n"
    "Start with [bold]hemix run[/bold]: it trains on the shipped KuaiRand log, validates, deploys "
    "and writes a report. Then [bold]hemix serve[/bold] answers ranking requests.",
    rich_markup_mode="rich",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"hemix {__version__}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Options of every command; they stand before it: ``hemix --debug run``."""
    if debug:
        os.environ[DEBUG] = "1"


@app.command("run")
def run_command(
    dataset: Annotated[
        str, typer.Option(help="A shipped data set: kuairand, ebnerd.", rich_help_panel="Data")
    ] = "kuairand",
    definition: Annotated[
        Path | None,
        typer.Option(
            help="Your own data set definition (YAML); see docs/user-guide.md.",
            rich_help_panel="Data",
        ),
    ] = None,
    recipe: Annotated[
        str,
        typer.Option(
            help="Which ranker in which shape, and how it is trained: compact, tiny, base, "
            "unirank_like, dcnv2, din, ... (docs/model-zoo.md), or a YAML file of a recipe."
        ),
    ] = "compact",
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Set one value; repeat for more. A key whose first part is a key of the "
            "definition (split.train.end, sequences.global_length, root) changes the definition; "
            "any other (training.seed) is a field of the recipe. [bold]hemix keys[/bold] lists them.",
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            metavar="PLACE",
            help="Root of everything that is made: a folder, or s3://BUCKET/PREFIX. Runs in one "
            "root share their cache and registry: the first version becomes champion, the next its "
            "challenger. "
            "[dim]Default: runs/NAME, after the definition's name[/dim]",
            show_default=False,
        ),
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Forget cached steps and checkpoints; run every step.")
    ] = False,
    policy: Annotated[
        Path | None,
        typer.Option(
            help="What a model must meet to be deployed (YAML).", rich_help_panel="Deployment"
        ),
    ] = None,
    share: Annotated[
        float,
        typer.Option(help="Share of users of a challenger, below 1.", rich_help_panel="Deployment"),
    ] = 0.1,
    online_store: Annotated[
        str,
        typer.Option(
            help="Where features are served from: sqlite, or redis://HOST:PORT.",
            rich_help_panel="Deployment",
        ),
    ] = "sqlite",
    runner_options: Annotated[
        str,
        typer.Option(
            metavar="OPTIONS",
            help='Where Beam runs: flags, a YAML file, or YAML such as "{runner: direct, '
            'processes: 4}"; see docs/operator/scaling.md.',
            rich_help_panel="Data",
        ),
    ] = "",
) -> None:
    """Run the training pipeline on this machine: eleven steps from the log to a deployed version.

    Steps whose input did not change are taken from the cache; an interrupted run goes on where it stopped when it is started again. Ends with DIR/run.json and DIR/report.html. When a gate fails nothing is deployed and the exit code is 4.

    [bold]Examples[/bold]

      hemix run

      hemix run --definition my_log.yaml --output runs/mine

      hemix run --set split.train.end=2022-04-29 --set split.test.start=2022-04-29

      hemix run --recipe din --set training.seed=7 --fresh
    """
    from hemix.features.beam.runner_config import runner_flags
    from hemix.features.definition import DatasetDefinition
    from hemix.pipelines.local.folder import RunFolder
    from hemix.pipelines.local.request import RunRequest
    from hemix.pipelines.local.run import run
    from hemix.pipelines.local.summary import print_summary
    from hemix.pipelines.overrides import parse_overrides

    console = Console(file=sys.stdout)
    overrides = parse_overrides(set_ or ())
    name = DatasetDefinition.load(definition or dataset, overrides.definition).name
    folder = RunFolder.at(f"runs/{name}" if output is None else output)
    request = RunRequest(
        dataset=definition or dataset,
        recipe=recipe,
        overrides=overrides,
        folder=folder,
        fresh=fresh,
        policy=policy,
        share=share,
        online_store=online_store,
        runner_options=runner_flags(runner_options),
    )
    try:
        with display(console) as observer:
            record = run(request, observer)
    except GateFailed:
        console.print(Text(f"Report: {folder.report}"), soft_wrap=True)
        raise
    print_summary(console, record, folder)


@app.command("report")
def report_command(
    folder: Annotated[str, typer.Argument(metavar="PLACE", help="Output root of hemix run.")],
    version: Annotated[
        str,
        typer.Option(help="Model version. [dim]Default: the latest run[/dim]", show_default=False),
    ] = "",
) -> None:
    """Make the report of a run anew from its artifacts.

    [bold]Example[/bold]

      hemix report runs/kuairand
    """
    from hemix.features.definition import DatasetDefinition
    from hemix.pipelines.local.folder import RunFolder
    from hemix.pipelines.local.report import render

    runs = RunFolder.at(folder)
    record = RunRecord.read(runs.record_of(version) if version else runs.record)
    definition = DatasetDefinition.parse(record.parameters["definition"])
    places = [runs.report_of(record.version), *([] if version else [runs.report])]
    page = render(definition, record, runs)
    for place in places:
        write_bytes(place, page)
    typer.echo(f"Wrote {places[-1]}.")


for commands in (
    start_commands,
    rank_commands,
    compile_commands,
    tune_commands,
    deploy_commands,
    experiment_commands,
):
    commands.register(app)
app.command("clean")(clean_command)
app.command("compare")(compare_command)
app.command("dimensions")(dimensions_command)
app.command("explain")(explain_command)
app.command("keys")(keys_command)
app.command("submit")(submit_command)
app.add_typer(schedule_app)
app.command("backfill")(backfill_command)


def main() -> None:
    """Run the command; an error becomes one line, a hint and its exit code, never a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of files need not be UTF-8
    try:
        try:
            app()
        finally:
            sys.stdout.flush()  # a full disk behind it is told as one
    except Exception as error:
        if os.environ.get(DEBUG):
            raise
        sys.exit(tell(error))


if __name__ == "__main__":
    main()

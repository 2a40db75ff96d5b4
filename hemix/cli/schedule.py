"""``hemix schedule``: recurring runs."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hemix.cli import options as o
from hemix.pipelines.kfp_client import triggers
from hemix.pipelines.kfp_client.api import PipelinesApi
from hemix.texts.shown import shown

schedule_app = typer.Typer(
    name="schedule",
    help="Runs that start by themselves, by default retraining on a rolling window.\n\n"
    "Times are UTC. A schedule has a name; the same command again changes nothing, another command "
    "with this name replaces it.\n\n"
    "[bold]Examples[/bold]\n\n"
    '  hemix schedule create nightly --cron "0 3 * * *" --root s3://ranker/hemix '
    "--set root=s3://logs/kuairand\n\n"
    "  hemix schedule list\n\n"
    "  hemix schedule pause nightly",
    no_args_is_help=True,
)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The schedule's name.")]


@schedule_app.command("create")
def create_command(
    name: NameArgument,
    cron: Annotated[
        str,
        typer.Option(
            metavar="'M H DOM MON DOW'",
            help="Cron expression: five fields, or six with seconds first.",
            show_default=False,
        ),
    ] = "",
    every: Annotated[
        str, typer.Option(metavar="LENGTH", help="Interval: 30m, 6h, 1d.", show_default=False)
    ] = "",
    pipeline: Annotated[str, typer.Option(help="What runs.")] = "retraining",
    catch_up: Annotated[
        bool,
        typer.Option(
            "--catch-up/--no-catch-up",
            help="After a pause or an outage run every missed time, one after another; otherwise "
            "the latest only.",
        ),
    ] = False,
    max_concurrency: Annotated[
        int, typer.Option(help="Runs at the same time, 1 to 10; a further one waits.")
    ] = 1,
    start: Annotated[
        str, typer.Option(help="Not before this time (ISO 8601, UTC).", show_default=False)
    ] = "",
    end: Annotated[
        str, typer.Option(help="Not after this time (ISO 8601, UTC).", show_default=False)
    ] = "",
    follow_latest: Annotated[
        bool,
        typer.Option(
            "--follow-latest",
            help="Each run takes the newest uploaded version, not the one of now.",
        ),
    ] = False,
    dataset: o.DatasetOption = "kuairand",
    definition: o.DefinitionOption = None,
    recipe: o.RecipeOption = "",
    set_: o.SetOption = None,
    root: o.RootOption = "",
    settings: o.SettingsOption = None,
    param: o.ParamOption = None,
    policy: o.PolicyOption = None,
    share: o.ShareOption = None,
    online_store: o.OnlineStoreOption = "",
    runner_options: o.RunnerOption = "",
    paths_in_pods: o.PathsInPodsOption = False,
    experiment: o.ExperimentOption = "hemix",
    create_experiment: o.CreateExperimentOption = True,
    service_account: o.ServiceAccountOption = "hemix-pipeline",
    host: o.HostOption = "",
    namespace: o.NamespaceOption = "",
    token: o.TokenOption = "",
    token_file: o.TokenFileOption = None,
    ca_cert: o.CaCertOption = None,
) -> None:
    """Make a schedule, or make the one of this name as said; the same again changes nothing.

    A replaced schedule stays paused if it was, and runs nothing twice. A failed run does not stop a schedule.

    [bold]Examples[/bold]

      hemix schedule create nightly --cron "0 3 * * *" --root s3://ranker/hemix --set root=s3://logs/kuairand

      hemix schedule create weekly --every 7d --start 2026-01-05T03:00 --catch-up --root s3://ranker/hemix --definition my_log.yaml
    """
    from hemix.features.beam.runner_config import runner_flags
    from hemix.pipelines.kfp_client.arguments import Wanted
    from hemix.pipelines.kfp_client.compiled import ready
    from hemix.pipelines.kfp_client.schedules import SCHEDULED_TIME, ScheduleRequest, create
    from hemix.pipelines.overrides import parse_overrides

    trigger = triggers.Trigger(
        cron=triggers.cron(cron) if cron else "",
        interval_s=triggers.seconds(every, "--every") if every else 0,
        start=triggers.moment(start, "--start") if start else None,
        end=triggers.moment(end, "--end") if end else None,
    )
    wanted = Wanted(
        dataset=definition or dataset,
        recipe=recipe,
        overrides=parse_overrides(set_ or ()),
        root=root,
        policy=policy,
        share=share,
        online_store=online_store,
        runner_options=runner_flags(runner_options),
        paths_in_pods=paths_in_pods,
        publishes_every_s=trigger.longest_gap_s if pipeline == "retraining" else 0,
    )
    connection = o.connect(host, namespace, token, token_file, ca_cert)
    made = ready(pipeline, wanted, settings, param or (), filled=(SCHEDULED_TIME,))
    request = ScheduleRequest(
        name=name,
        pipeline=pipeline,
        trigger=trigger,
        compiled=made.text,
        parameters=made.parameters,
        catch_up=catch_up,
        max_concurrency=max_concurrency,
        follow_latest=follow_latest,
        started=made.started,
        experiment=experiment,
        create_experiment=create_experiment,
        root=made.root,
        service_account=service_account,
    )
    created = create(PipelinesApi(connection), request)
    version = "the newest version" if follow_latest else created.version.name
    paused = "" if created.enabled else " It is paused: hemix schedule resume."
    _print(f"Schedule {name} {created.outcome}: {version}, {trigger.told()} (UTC).{paused}")


@schedule_app.command("list")
def list_command(
    experiment: o.ExperimentOption = "hemix",
    host: o.HostOption = "",
    namespace: o.NamespaceOption = "",
    token: o.TokenOption = "",
    token_file: o.TokenFileOption = None,
    ca_cert: o.CaCertOption = None,
) -> None:
    """List the schedules of an experiment: when, what, how overlap is met, and the last run.

    [bold]Example[/bold]

      hemix schedule list --experiment hemix
    """
    from hemix.pipelines.kfp_client.schedules import Schedule, listed, pipeline_names

    api = PipelinesApi(o.connect(host, namespace, token, token_file, ca_cert))
    schedules = listed(api, experiment)
    if not schedules:
        _print(f"Experiment {experiment} has no schedule.")
        return
    pipelines = pipeline_names(api, schedules)
    table = Table()
    for column in (
        "name",
        "pipeline",
        "when (UTC)",
        "state",
        "missed times",
        "at once",
        "last run",
    ):
        table.add_column(column)

    def last(schedule: Schedule) -> str:
        if schedule.last_scheduled is None:
            return "none"
        return f"{schedule.last_state.lower()}, {schedule.last_scheduled:%Y-%m-%d %H:%M}"

    for schedule in schedules:
        table.add_row(
            Text(shown(schedule.name)),
            Text(shown(pipelines[schedule.pipeline_id]))
            + Text("" if schedule.version_id else " (newest)"),
            schedule.trigger.told(),
            "on" if schedule.enabled else "paused",
            "all" if schedule.catch_up else "latest",
            str(schedule.max_concurrency),
            last(schedule),
        )
    Console(file=sys.stdout).print(table)


@schedule_app.command("pause")
def pause_command(
    name: NameArgument,
    experiment: o.ExperimentOption = "hemix",
    host: o.HostOption = "",
    namespace: o.NamespaceOption = "",
    token: o.TokenOption = "",
    token_file: o.TokenFileOption = None,
    ca_cert: o.CaCertOption = None,
) -> None:
    """Start no further runs; those that go are not touched.

    [bold]Example[/bold]

      hemix schedule pause nightly
    """
    from hemix.pipelines.kfp_client.schedules import pause

    pause(PipelinesApi(o.connect(host, namespace, token, token_file, ca_cert)), name, experiment)
    _print(f"Schedule {name} is paused.")


@schedule_app.command("resume")
def resume_command(
    name: NameArgument,
    experiment: o.ExperimentOption = "hemix",
    host: o.HostOption = "",
    namespace: o.NamespaceOption = "",
    token: o.TokenOption = "",
    token_file: o.TokenFileOption = None,
    ca_cert: o.CaCertOption = None,
) -> None:
    """Let a paused schedule start runs again.

    [bold]Example[/bold]

      hemix schedule resume nightly
    """
    from hemix.pipelines.kfp_client.schedules import resume

    api = PipelinesApi(o.connect(host, namespace, token, token_file, ca_cert))
    schedule = resume(api, name, experiment)
    missed = "Every missed time runs now, one after another." if schedule.catch_up else ""
    missed = missed or "If a time was missed, the latest runs now."
    _print(f"Schedule {name} is on. {missed}")


@schedule_app.command("delete")
def delete_command(
    name: NameArgument,
    experiment: o.ExperimentOption = "hemix",
    host: o.HostOption = "",
    namespace: o.NamespaceOption = "",
    token: o.TokenOption = "",
    token_file: o.TokenFileOption = None,
    ca_cert: o.CaCertOption = None,
) -> None:
    """Remove a schedule; the runs it started stay.

    [bold]Example[/bold]

      hemix schedule delete nightly
    """
    from hemix.pipelines.kfp_client.schedules import delete

    delete(PipelinesApi(o.connect(host, namespace, token, token_file, ca_cert)), name, experiment)
    _print(f"Schedule {name} is deleted; its runs stay.")


def _print(line: str) -> None:
    Console(file=sys.stdout).print(Text(line), soft_wrap=True)

"""``hemix submit``: a run on the cluster, followed to its end."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from hemix.cli import options as o
from hemix.pipelines.kfp_client.api import PipelinesApi
from hemix.pipelines.kfp_client.display import watching
from hemix.pipelines.kfp_client.following import follow, require_success
from hemix.pipelines.kfp_client.triggers import seconds

if TYPE_CHECKING:
    from hemix.pipelines.kfp_client.connection import Connection
    from hemix.pipelines.kfp_client.runs import Submitted


def submit_command(
    pipeline: Annotated[
        str,
        typer.Argument(help="training, retraining, backfill, experiment, monitoring, cleaning."),
    ] = "training",
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
    name: Annotated[
        str,
        typer.Option(
            help="The run's name. [dim]Default: pipeline and time[/dim]", show_default=False
        ),
    ] = "",
    follow: Annotated[
        bool,
        typer.Option(
            "--follow/--no-follow", help="Watch the run and exit with its outcome, or return."
        ),
    ] = True,
    timeout: Annotated[
        str,
        typer.Option(
            help="Stop watching after this time (6h); the run continues.", show_default=False
        ),
    ] = "",
    poll: Annotated[float, typer.Option(help="Seconds between looks.", min=0)] = 5.0,
    attach: Annotated[
        str,
        typer.Option(
            metavar="RUN_ID", help="Watch this run instead of starting one.", show_default=False
        ),
    ] = "",
    unless_active: Annotated[
        bool,
        typer.Option("--unless-active", help="Watch this pipeline's active run, if there is one."),
    ] = False,
    experiment: o.ExperimentOption = "hemix",
    create_experiment: o.CreateExperimentOption = True,
    service_account: o.ServiceAccountOption = "hemix-pipeline",
    host: o.HostOption = "",
    namespace: o.NamespaceOption = "",
    token: o.TokenOption = "",
    token_file: o.TokenFileOption = None,
    ca_cert: o.CaCertOption = None,
) -> None:
    """Run a pipeline on Kubeflow Pipelines, follow it, and exit with its outcome.

    The pipeline is compiled with your cluster settings and uploaded as a version named after its content; what the server holds already is not uploaded again. Exit code 0: succeeded; 4: a gate stopped it and nothing was deployed; 1: a task failed; 13: somebody canceled it; 14: still running after --timeout; 10 to 12: the server could not be asked.

    [bold]Examples[/bold]

      hemix submit retraining --root s3://ranker/hemix --set root=s3://logs/kuairand

      hemix submit training --settings cluster.yaml --root s3://ranker/hemix --definition my_log.yaml --no-follow

      hemix submit --attach 0f4e5c6a-1b7d-4f43-9f0c-2f1c1f0f8a11
    """
    from hemix.features.beam.runner_config import runner_flags
    from hemix.pipelines.kfp_client.arguments import Wanted
    from hemix.pipelines.kfp_client.compiled import ready
    from hemix.pipelines.kfp_client.runs import submit
    from hemix.pipelines.kfp_client.spec import gates_of, tasks_of
    from hemix.pipelines.overrides import parse_overrides

    console = Console(file=sys.stdout)
    patience_s = float(seconds(timeout, "--timeout")) if timeout else None
    connection = o.connect(host, namespace, token, token_file, ca_cert)
    if attach:
        watch_run(console, connection, attach, patience_s=patience_s, every_s=poll)
        return
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
    )
    made = ready(pipeline, wanted, settings, param or ())
    submitted = submit(
        pipeline,
        made.parameters,
        connection=connection,
        compiled=made.text,
        started=made.started,
        experiment=experiment,
        create_experiment=create_experiment,
        name=name,
        root=made.root,
        service_account=service_account,
        unless_active=unless_active,
    )
    tell(console, submitted)
    if follow:
        watch_run(
            console,
            connection,
            submitted.run_id,
            tasks=tasks_of(made.spec),
            gates=gates_of(made.spec),
            patience_s=patience_s,
            every_s=poll,
        )


def tell(console: Console, submitted: Submitted) -> None:
    """Say what was uploaded and started."""
    version = submitted.version
    there = "uploaded" if version.uploaded else "already on the server"
    console.print(Text(f"Version {version.name}: {there}."), soft_wrap=True)
    begun = "started" if submitted.started else "already active"
    console.print(Text(f"Run {submitted.run_id} {begun}: {submitted.page}"), soft_wrap=True)


def watch_run(
    console: Console,
    connection: Connection,
    run_id: str,
    *,
    tasks: list[str] | None = None,
    gates: dict[str, str] | None = None,
    patience_s: float | None = None,
    every_s: float = 5.0,
) -> None:
    """Follow a run to its end; the outcome is the exit code.

    Args:
        console: where to show it.
        connection: where the run is.
        run_id: which.
        tasks: names of its tasks; read from the server when None.
        gates: as :func:`hemix.pipelines.kfp_client.following.require_success` has them.
        patience_s: seconds to wait at most.
        every_s: seconds between looks.

    Raises:
        HemixError: the run did not succeed, or cannot be followed.
    """
    from hemix.pipelines.kfp_client.runs import spec_of_run
    from hemix.pipelines.kfp_client.spec import gates_of, tasks_of

    api = PipelinesApi(connection)
    if tasks is None:
        spec = spec_of_run(api, run_id)
        tasks, gates = tasks_of(spec), gates_of(spec)
    try:
        with watching(console) as watcher:
            ended = follow(api, run_id, tasks, watcher, patience_s=patience_s, every_s=every_s)
    except KeyboardInterrupt:
        console.print(Text(f"Run {run_id} goes on. Follow it: hemix submit --attach {run_id}"))
        raise typer.Exit(130) from None
    require_success(ended, connection.page_of(run_id), gates)
    console.print(Text(f"Run {run_id} succeeded."))

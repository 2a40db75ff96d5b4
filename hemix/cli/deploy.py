"""``hemix deploy``: a registry's state, or a move of it, brought to a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hemix.cli.models import MODELS, WhyOption
from hemix.errors import DefinitionError
from hemix.progress import say
from hemix.serving.registry.opening import find_registry

_MOVES = "Moves (at most one)"
_LOOKS = "Look only"
_CLUSTER = "Cluster"


def deploy(
    registry: Annotated[
        str,
        typer.Option(
            "--registry",
            "--models",
            metavar="PLACE",
            help="The registry, or the run's output that holds it: a folder or s3://BUCKET/PREFIX.",
        ),
    ] = MODELS,
    settings: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.yaml",
            help="Deployment settings. [dim]Default: every key's default[/dim]",
            show_default=False,
        ),
    ] = None,
    canary: Annotated[
        str,
        typer.Option(
            metavar="STEP",
            help="Give the version on trial this share of users, in percent: 5, 25, 50, 100 or "
            "next. At 100 it becomes champion.",
            rich_help_panel=_MOVES,
        ),
    ] = "",
    rollback: Annotated[
        bool,
        typer.Option(
            "--rollback",
            help="Take the challenger out of service, or when there is none the champion.",
            rich_help_panel=_MOVES,
        ),
    ] = False,
    retire: Annotated[
        bool,
        typer.Option("--retire", help="Shelve the version of --version.", rich_help_panel=_MOVES),
    ] = False,
    version: Annotated[
        str,
        typer.Option(
            help="Which version moves. [dim]Default: the challenger[/dim]",
            show_default=False,
            rich_help_panel=_MOVES,
        ),
    ] = "",
    why: WhyOption = "",
    no_wait: Annotated[
        bool,
        typer.Option(
            "--no-wait",
            help="With --rollback: return once users have moved and the registry says so; what is "
            "late or over is left to the next hemix deploy.",
            rich_help_panel=_MOVES,
        ),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Print the manifests as YAML; asks no cluster and changes nothing.",
            rich_help_panel=_LOOKS,
        ),
    ] = False,
    diff: Annotated[
        bool,
        typer.Option(
            "--diff",
            help="Print what the cluster says it would change; changes nothing.",
            rich_help_panel=_LOOKS,
        ),
    ] = False,
    status: Annotated[
        bool,
        typer.Option("--status", help="Show what serves and how it does.", rich_help_panel=_LOOKS),
    ] = False,
    kubeconfig: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="[dim]Default: KUBECONFIG, ~/.kube/config, or the pod's own[/dim]",
            show_default=False,
            rich_help_panel=_CLUSTER,
        ),
    ] = None,
    context: Annotated[
        str, typer.Option(help="Context of the kubeconfig.", rich_help_panel=_CLUSTER)
    ] = "",
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Take over what other field managers own.", rich_help_panel=_CLUSTER
        ),
    ] = False,
) -> None:
    """Serve a registry's versions on Kubernetes: KServe predictors, the ranker, its route.

    New pods are ready before a user reaches them, what fails is put back, and the registry is written last: a command that fails leaves both as they were. Run again, it changes nothing.

    --rollback moves users first, as soon as one pod of who is to serve answers, and is never undone.

    [bold]Examples[/bold]

      hemix deploy --registry s3://models/ranker --settings deploy.yaml --dry-run

      hemix deploy --registry s3://models/ranker --settings deploy.yaml

      hemix deploy --registry s3://models/ranker --settings deploy.yaml --canary next --why 'day 2'

      hemix deploy --registry s3://models/ranker --settings deploy.yaml --rollback --why 'errors'
    """
    from hemix.serving.kubernetes import carry_out as service
    from hemix.serving.kubernetes.api import connect
    from hemix.serving.kubernetes.diff import diff as changes
    from hemix.serving.kubernetes.manifests.settings import DeploymentSettings
    from hemix.serving.kubernetes.status import status_table
    from hemix.serving.tables import show

    wanted = DeploymentSettings.load(settings) if settings else DeploymentSettings()
    found = find_registry(registry)
    state = found.state()
    if sum((bool(canary), rollback, retire)) > 1:
        raise DefinitionError("Give one of --canary, --rollback, --retire.")
    if no_wait and not rollback:
        raise DefinitionError("--no-wait belongs to --rollback.")
    if sum((dry_run, diff, status)) > 1:
        raise DefinitionError("Give one of --dry-run, --diff, --status.")
    move = service.STAY
    if canary:
        move = service.canary(state, _step(canary), wanted, version=version, why=why)
    elif rollback:
        move = service.rollback(state, version=version, why=why)
    elif retire:
        if not version:
            raise DefinitionError("--retire needs --version.")
        move = service.retire(version, why=why)
    elif version or why:
        raise DefinitionError("--version and --why belong to --canary, --rollback or --retire.")

    if dry_run:
        typer.echo(service.rendered_after(move, found, wanted).to_yaml(), nl=False)
        return
    cluster = connect(
        namespace=wanted.namespace,
        kubeconfig=kubeconfig,
        context=context,
        timeout_s=wanted.timeouts.api,
    )
    if status:
        show(status_table(cluster, state, wanted))
    elif diff:
        rendered = service.rendered_after(move, found, wanted)
        text = changes(cluster, rendered, wanted, force=force)
        typer.echo(text or "Nothing would change.", nl=not text)
    else:
        say(f"deploy: {move.text}, on {cluster.host}, namespace {cluster.namespace}")
        service.carry_out(move, found, wanted, cluster, force=force, wait=not no_wait, say=say)
        show(status_table(cluster, found.state(), wanted))


def register(app: typer.Typer) -> None:
    """Add the command of this file to ``app``."""
    app.command("deploy")(deploy)


def _step(text: str) -> int | None:
    if text == "next":
        return None
    try:
        return int(text.removesuffix("%"))
    except ValueError as error:
        raise DefinitionError(
            f"--canary {text}: give a percentage or next.", hint="For example --canary 25."
        ) from error

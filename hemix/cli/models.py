"""``hemix models``: what the registry holds, and the moves of a version, one idempotent command each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hemix.serving.registry.opening import find_registry, registry_at
from hemix.serving.registry.registry import Registry
from hemix.serving.registry.told import require_live, what_rollback_did

MODELS = "runs/kuairand/registry"

ModelsOption = Annotated[
    str,
    typer.Option(
        metavar="PLACE",
        help="The registry, or the run's output that holds it: a folder or s3://BUCKET/PREFIX.",
    ),
]
WhyOption = Annotated[str, typer.Option(help="Why; kept in the history.")]
WhoOption = Annotated[
    str,
    typer.Option(
        help="Who, for the history. [dim]Default: the user of this process[/dim]",
        show_default=False,
    ),
]
VerdictOption = Annotated[
    str, typer.Option(help="What it rests on, for the history: an experiment's decision, a gate.")
]
VersionArgument = Annotated[str, typer.Argument(metavar="VERSION")]
ShareOption = Annotated[float, typer.Option(help="Share of users, at least 0 and below 1.")]

models_app = typer.Typer(
    name="models",
    help="The registry: which model versions there are, and which of them serve whom.\n\n"
    "A version goes candidate -> challenger -> champion -> retired, each by one command. A command "
    "that is run again changes nothing; a rollback that would change nothing is refused.\n\n"
    "[bold]Examples[/bold]\n\n  hemix models list --models runs/kuairand\n\n"
    "  hemix models promote VERSION --models s3://bucket/ranker --who ana --why 'better for two weeks'",
    no_args_is_help=True,
)


@models_app.command("list")
def list_command(models: ModelsOption = MODELS) -> None:
    """List the versions, their states and their shares of users."""
    _list(find_registry(models))


@models_app.command("show")
def show_command(version: VersionArgument, models: ModelsOption = MODELS) -> None:
    """Show what a version is made of, how good it is, and what became of it: who, when, why."""
    from hemix.serving.tables import history_table, show, version_table

    registry = find_registry(models)
    show(version_table(registry, version))
    show(history_table(registry, version))


@models_app.command("add")
def add_command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Model version folder.")],
    models: ModelsOption = MODELS,
    share: Annotated[
        float | None,
        typer.Option(
            help="Put it on trial at once, with this share. [dim]Default: it stays a candidate[/dim]",
            show_default=False,
        ),
    ] = None,
    why: WhyOption = "",
    who: WhoOption = "",
    verdict: VerdictOption = "",
) -> None:
    """Copy a model version into the registry; the first one of a registry becomes its champion."""
    registry = registry_at(models)
    registry.add(folder, share=share, why=why, who=who, verdict=verdict)
    _list(registry)


@models_app.command("challenge")
def challenge_command(
    version: VersionArgument,
    share: ShareOption,
    models: ModelsOption = MODELS,
    why: WhyOption = "",
    who: WhoOption = "",
    verdict: VerdictOption = "",
) -> None:
    """Put a version on trial, or change its share. The challenger before it is retired."""
    registry = find_registry(models)
    registry.challenge(version, share=share, why=why, who=who, verdict=verdict)
    _list(registry)


@models_app.command("promote")
def promote_command(
    version: VersionArgument,
    models: ModelsOption = MODELS,
    why: WhyOption = "",
    who: WhoOption = "",
    verdict: VerdictOption = "",
) -> None:
    """Make a challenger the champion; the champion before it is retired."""
    registry = find_registry(models)
    registry.promote(version, why=why, who=who, verdict=verdict)
    _list(registry)


@models_app.command("rollback")
def rollback_command(
    version: VersionArgument,
    models: ModelsOption = MODELS,
    why: WhyOption = "",
    who: WhoOption = "",
    verdict: VerdictOption = "",
) -> None:
    """Take a version out of service: a challenger ends, a champion yields to the one before it.

    A version that serves no one is refused: there is nothing to roll back.
    """
    registry = find_registry(models)
    before = registry.state()
    require_live(before, version)
    after = registry.rollback(version, why=why, who=who, verdict=verdict)
    typer.echo(what_rollback_did(before, after, version))
    _list(registry)


@models_app.command("retire")
def retire_command(
    version: VersionArgument,
    models: ModelsOption = MODELS,
    why: WhyOption = "",
    who: WhoOption = "",
    verdict: VerdictOption = "",
) -> None:
    """Shelve a candidate or a challenger."""
    registry = find_registry(models)
    registry.retire(version, why=why, who=who, verdict=verdict)
    _list(registry)


def _list(registry: Registry) -> None:
    from hemix.serving.tables import show, versions_table

    show(versions_table(registry))

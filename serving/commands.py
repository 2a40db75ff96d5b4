"""``hemix serve``, ``hemix rank`` and ``hemix models``: sub-commands for ``pipelines/cli.py``."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated, Any

import typer

from hemix.errors import RequestError
from serving.registry import Registry

MODELS = Path("runs/kuairand/registry")

ModelsOption = Annotated[
    Path, typer.Option(metavar="DIR", help="The registry's folder, or the run's that holds it.")
]
WhyOption = Annotated[str, typer.Option(help="Why; kept in the history.")]
VersionArgument = Annotated[str, typer.Argument(metavar="VERSION")]

models_app = typer.Typer(
    name="models",
    help="The registry: which model versions there are, and which of them serve whom.\n\n"
    "[bold]Examples[/bold]\n\n  hemix models list --models runs/kuairand\n\n"
    "  hemix models promote VERSION --why 'better for two weeks'",
    no_args_is_help=True,
)


class Protocol(enum.StrEnum):
    """How a request is carried."""

    V1 = "v1"
    V2 = "v2"
    GRPC = "grpc"


def serve(
    models: ModelsOption = MODELS,
    features: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="The live feature store. [dim]Default: feature_store beside the registry[/dim]",
            show_default=False,
        ),
    ] = None,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="HTTP port; 0 takes a free one.")
    ] = 8080,
    grpc_port: Annotated[
        int, typer.Option(min=0, max=65535, help="gRPC port; 0 takes a free one.")
    ] = 8081,
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 for every one.")
    ] = "127.0.0.1",
    exposures: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="Where exposures go, a folder or s3://BUCKET/PREFIX. "
            "[dim]Default: exposures beside the registry[/dim]",
            show_default=False,
        ),
    ] = None,
    experiments: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Layers beside the model layer (YAML), followed as it changes. "
            "[dim]Default: experiments.yaml beside the registry[/dim]",
            show_default=False,
        ),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Requests worked on at the same time.")] = 2,
    threads: Annotated[int, typer.Option(min=1, help="Threads of torch and TensorFlow, each.")] = 1,
) -> None:
    """Serve the registry's champion and its challengers as the KServe model "ranker".

    Answers KServe V1, V2 and gRPC; promotions and roll-backs are taken over without a restart.
    Stops cleanly on Ctrl-C or SIGTERM.

    [bold]Example[/bold]

      hemix serve --models runs/kuairand --port 8080
    """
    from serving.serve import ServeConfig
    from serving.serve import serve as run

    registry = registry_folder(models)
    run(
        ServeConfig(
            models=registry,
            features=features or registry.parent / "feature_store",
            exposures=exposures or str(registry.parent / "exposures"),
            experiments=experiments or registry.parent / "experiments.yaml",
            host=host,
            http_port=port,
            grpc_port=grpc_port,
            workers=workers,
            threads=threads,
        )
    )


def rank(
    user: Annotated[str, typer.Option(help="User id.")],
    items: Annotated[str, typer.Option(metavar="A,B,C", help="Candidate item ids.")],
    context: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="A context column; repeat.")
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(
            help="Where the endpoint is. "
            "[dim]Default: http://127.0.0.1:8080, for gRPC 127.0.0.1:8081[/dim]",
            show_default=False,
        ),
    ] = None,
    protocol: Annotated[Protocol, typer.Option(help="How the request is carried.")] = Protocol.V1,
    text_ids: Annotated[
        bool, typer.Option("--text-ids", help="Send ids of digits as text, not as numbers.")
    ] = False,
) -> None:
    """Ask a running endpoint to rank candidates for a user.

    [bold]Example[/bold]

      hemix rank --user 7 --items 12,31,77 --context tab=1
    """
    from serving.client import rank as ask
    from serving.tables import answer_table, show

    values = dict(_pair(text) for text in context or ())
    answer = ask(
        _id(user, text_ids),
        [_id(item.strip(), text_ids) for item in items.split(",") if item.strip()],
        context=values,
        url=url or ("127.0.0.1:8081" if protocol is Protocol.GRPC else "http://127.0.0.1:8080"),
        protocol=protocol.value,
    )
    show(answer_table(answer))


@models_app.command("list")
def list_command(models: ModelsOption = MODELS) -> None:
    """List the versions, their states and their shares of users."""
    from serving.tables import show, versions_table

    show(versions_table(_registry(models)))


@models_app.command("show")
def show_command(version: VersionArgument, models: ModelsOption = MODELS) -> None:
    """Show what a version is made of, how good it is, and what became of it."""
    from serving.tables import history_table, show, version_table

    registry = _registry(models)
    show(version_table(registry, version))
    show(history_table(registry, version))


@models_app.command("challenge")
def challenge_command(
    version: VersionArgument,
    share: Annotated[float, typer.Option(help="Share of users, at least 0 and below 1.")],
    models: ModelsOption = MODELS,
    why: WhyOption = "",
) -> None:
    """Put a version on trial, or change its share. The challenger before it is retired."""
    _registry(models).challenge(version, share=share, why=why)
    list_command(models)


@models_app.command("promote")
def promote_command(
    version: VersionArgument, models: ModelsOption = MODELS, why: WhyOption = ""
) -> None:
    """Make a challenger the champion; the champion before it is retired."""
    _registry(models).promote(version, why=why)
    list_command(models)


@models_app.command("rollback")
def rollback_command(
    version: VersionArgument, models: ModelsOption = MODELS, why: WhyOption = ""
) -> None:
    """Take a version out of service: a challenger ends, a champion yields to the one before it."""
    _registry(models).rollback(version, why=why)
    list_command(models)


@models_app.command("retire")
def retire_command(
    version: VersionArgument, models: ModelsOption = MODELS, why: WhyOption = ""
) -> None:
    """Shelve a candidate or a challenger."""
    _registry(models).retire(version, why=why)
    list_command(models)


def register(app: typer.Typer) -> None:
    """Add the commands of this file to ``app``."""
    app.command("serve")(serve)
    app.command("rank")(rank)
    app.add_typer(models_app)


def registry_folder(path: Path) -> Path:
    """``path`` itself, or its ``registry`` when ``path`` is a run's folder."""
    inner = path / "registry"
    return inner if not (path / "state.json").exists() and inner.is_dir() else path


def _registry(models: Path) -> Registry:
    from hemix.errors import RegistryError

    registry = Registry(registry_folder(models))
    if not registry.state_path.exists():
        raise RegistryError(
            f"{registry.root} is not a registry: it holds no state.json.",
            hint="Deploy a version first (hemix run), or pass --models DIR.",
        )
    return registry


def _pair(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise RequestError(f"--context {text}: give NAME=VALUE, for example tab=1.")
    return name, _value(value)


def _id(text: str, as_text: bool) -> int | str:
    return int(text) if not as_text and text.removeprefix("-").isdecimal() else text


def _value(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text

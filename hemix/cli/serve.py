"""``hemix serve``: the endpoint in one process, or one of its two roles on Kubernetes."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hemix.cli.models import MODELS, ModelsOption
from hemix.errors import DefinitionError
from hemix.serving.registry.opening import find_registry
from hemix.storage import is_remote, join, parent

if TYPE_CHECKING:
    from hemix.serving.launch.events import EventsConfig
    from hemix.serving.launch.process import Listening


class Role(enum.StrEnum):
    """What of the endpoint this process is."""

    ALL = "all"
    TRANSFORMER = "transformer"
    PREDICTOR = "predictor"


def serve(
    role: Annotated[
        Role,
        typer.Option(
            help="all: everything, models too. transformer: everything but the models. "
            "predictor: one model version, for transformers to ask."
        ),
    ] = Role.ALL,
    models: ModelsOption = MODELS,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="PLACE",
            help="Predictor: the model version, a folder or s3://BUCKET/PREFIX.",
            show_default=False,
        ),
    ] = None,
    predictors: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Transformer: which version is served where, to whom (YAML), followed as it changes.",
            show_default=False,
        ),
    ] = None,
    features: Annotated[
        str | None,
        typer.Option(
            metavar="PLACE",
            help="The live feature store, a folder or s3://BUCKET/PREFIX. "
            "[dim]Default: feature_store beside the registry[/dim]",
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
    outcomes: Annotated[
        str | None,
        typer.Option(
            metavar="PLACE",
            help="Where outcomes arrive (Parquet or JSON lines), for calibration: a folder or "
            "s3://BUCKET/PREFIX. [dim]Default: outcomes beside the registry[/dim]",
            show_default=False,
        ),
    ] = None,
    events: Annotated[
        str | None,
        typer.Option(
            metavar="STORE",
            help="Take live events (POST /v1/events) and follow them: a sqlite file, or "
            "redis://HOST:PORT/DB. [dim]Default: takes none[/dim]",
            show_default=False,
        ),
    ] = None,
    dead_letters: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Where refused events go. [dim]Default: dead_letters beside the store's file, or "
            "here[/dim]",
            show_default=False,
        ),
    ] = None,
    deadline: Annotated[
        float,
        typer.Option(min=0.01, help="Transformer: seconds that a predictor may take."),
    ] = 1.0,
    timeout: Annotated[
        float,
        typer.Option(
            min=0.05,
            help="Seconds that a caller waits who does not say (X-Request-Timeout-Ms, gRPC's "
            "deadline), and at most. Half of it is how long requests may wait for their turn.",
        ),
    ] = 5.0,
    workers: Annotated[int, typer.Option(min=1, help="Requests worked on at the same time.")] = 2,
    threads: Annotated[int, typer.Option(min=1, help="Threads of torch and TensorFlow, each.")] = 1,
) -> None:
    """Serve the registry's champion and its challengers as the KServe model "ranker".

    Answers KServe V1, V2 and gRPC; promotions and roll-backs are taken over without a restart.
    Stops cleanly on Ctrl-C or SIGTERM. With --role the same work is split over processes, as on
    Kubernetes: a transformer, and a predictor a version.

    [bold]Examples[/bold]

      hemix serve --models runs/kuairand --port 8080

      hemix serve --role predictor --model runs/kuairand/registry/versions/VERSION --port 8091

      hemix serve --role transformer --predictors predictors.yaml --features runs/kuairand/feature_store
    """
    from hemix.serving.launch.process import Listening

    listening = Listening(
        host=host,
        http_port=port,
        grpc_port=grpc_port,
        workers=workers,
        threads=threads,
        timeout_s=timeout,
    )
    if role is Role.PREDICTOR:
        from hemix.serving.launch.serve_predictor import PredictorConfig, serve_predictor

        if model is None:
            raise DefinitionError("--role predictor needs --model: the version's folder or s3://.")
        serve_predictor(PredictorConfig(model=model, listening=listening))
        return
    if role is Role.TRANSFORMER:
        from hemix.serving.launch.serve_transformer import TransformerConfig, serve_transformer
        from hemix.serving.monitoring.monitor import MonitorConfig

        if predictors is None or features is None:
            missing = "--predictors FILE" if predictors is None else "--features PLACE"
            raise DefinitionError(f"--role transformer needs {missing}.")
        serve_transformer(
            TransformerConfig(
                predictors=predictors,
                features=features,
                exposures=exposures,
                experiments=experiments,
                events=_events(events, dead_letters),
                monitor=MonitorConfig(snapshots=exposures, outcomes=outcomes),
                deadline_s=deadline,
                listening=listening,
            )
        )
        return
    _serve_all(
        models,
        features,
        exposures,
        outcomes,
        experiments,
        _events(events, dead_letters),
        listening,
    )


def _events(store: str | None, dead_letters: Path | None) -> EventsConfig | None:
    from hemix.serving.launch.events import EventsConfig

    if store is None:
        return None
    beside = Path() if "://" in store else Path(store).parent
    return EventsConfig(store=store, dead_letters=dead_letters or beside / "dead_letters")


def _serve_all(
    models: str,
    features: str | None,
    exposures: str | None,
    outcomes: str | None,
    experiments: Path | None,
    events: EventsConfig | None,
    listening: Listening,
) -> None:
    from hemix.serving.launch.serve import ServeConfig
    from hemix.serving.launch.serve import serve as run
    from hemix.serving.monitoring.monitor import MonitorConfig

    registry = find_registry(models).location
    beside = parent(registry)
    exposures = exposures or join(beside, "exposures")
    run(
        ServeConfig(
            models=registry,
            features=features or join(beside, "feature_store"),
            exposures=exposures,
            monitor=MonitorConfig(
                snapshots=exposures, outcomes=outcomes or join(beside, "outcomes")
            ),
            experiments=experiments
            or (None if is_remote(beside) else Path(beside) / "experiments.yaml"),
            events=events,
            listening=listening,
        )
    )

"""``hemix experiment`` and ``hemix replay``."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hemix.errors import DefinitionError
from hemix.serving.experiments.assignment import MODEL_LAYER
from hemix.serving.registry.opening import find_registry
from hemix.serving.tables import plain
from hemix.storage import is_remote, join, parent
from hemix.texts.shown import shown

app = typer.Typer(
    name="experiment",
    help="The experiment that runs: who is in it, what its logs say, what to do.\n\n"
    "[bold]Examples[/bold]\n\n  hemix experiment show --models runs/kuairand\n\n"
    "  hemix experiment analyze --models runs/kuairand --outcomes outcomes/\n\n"
    "  hemix experiment decide --models runs/kuairand --outcomes outcomes/ --apply",
    no_args_is_help=True,
)

MODELS = "runs/kuairand/registry"
_CLUSTER = "Cluster"

ModelsOption = Annotated[
    str, typer.Option(metavar="DIR", help="The registry, or the run's folder that holds it.")
]
ExposuresOption = Annotated[
    str | None,
    typer.Option(
        metavar="DIR",
        help="Folder or s3:// prefix of exposures. [dim]Default: exposures beside the registry[/dim]",
        show_default=False,
    ),
]
OutcomesOption = Annotated[
    str | None,
    typer.Option(
        metavar="DIR",
        help="Folder, s3:// prefix or file of outcomes: Parquet or JSON lines with request_id, "
        "item_id, task, value, time_ms. [dim]Default: outcomes beside the registry[/dim]",
        show_default=False,
    ),
]
PolicyOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Metrics, margins, guardrails (YAML); what it leaves out has the defaults.",
    ),
]
LayerOption = Annotated[str, typer.Option(help="Which layer: model, or one of experiments.yaml.")]
ExperimentsOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="The layers. [dim]Default: experiments.yaml beside the registry[/dim]",
        show_default=False,
    ),
]
KnownOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Parquet of user_id and numbers known before the experiment, for CUPED; what the "
        "exposures tell of the time before is used anyway.",
    ),
]
PageOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.html",
        help="The page. [dim]Default: experiment-LAYER.html beside the registry[/dim]",
        show_default=False,
    ),
]


@app.command("show")
def show_command(models: ModelsOption = MODELS, experiments: ExperimentsOption = None) -> None:
    """Show the layers and their arms: names, versions, planned shares.

    [bold]Example[/bold]

      hemix experiment show --models runs/kuairand
    """
    from hemix.serving.experiments.design import design_of
    from hemix.serving.experiments.layers import Experiments

    registry = find_registry(models)
    path = experiments or _beside(registry.location, "experiments.yaml")
    layers = Experiments.load(path) if path and path.is_file() else Experiments()
    table = Table(caption="The first variant of a layer is its control.")
    for name in ("layer", "split", "variant", "version", "share", "order"):
        table.add_column(name, justify="right" if name == "share" else "left")
    orders = {
        (layer.name, variant.name): variant.order
        for layer in layers.layers
        for variant in layer.variants
    }
    for name in (MODEL_LAYER, *(layer.name for layer in layers.layers)):
        design = design_of(name, registry.state(), layers)
        for number, arm in enumerate(design.arms):
            first = number == 0
            order = orders.get((name, arm.name))
            table.add_row(
                plain(name if first else ""),
                plain(design.epoch if first else ""),
                plain(arm.name),
                plain(arm.version),
                f"{arm.share:.1%}",
                plain(", ".join(f"{task} {weight:g}" for task, weight in (order or {}).items())),
            )
    Console(file=sys.stdout).print(table)


@app.command("analyze")
def analyze_command(
    models: ModelsOption = MODELS,
    exposures: ExposuresOption = None,
    outcomes: OutcomesOption = None,
    policy: PolicyOption = None,
    layer: LayerOption = MODEL_LAYER,
    experiments: ExperimentsOption = None,
    known: KnownOption = None,
    page: PageOption = None,
) -> None:
    """Analyse the experiment and write its page; nothing is changed.

    May be run as often as one likes: the intervals hold at all looks together.

    [bold]Example[/bold]

      hemix experiment analyze --models runs/kuairand --outcomes s3://logs/outcomes
    """
    _examine(models, exposures, outcomes, policy, layer, experiments, known, page, apply=False)


@app.command("decide")
def decide_command(
    models: ModelsOption = MODELS,
    exposures: ExposuresOption = None,
    outcomes: OutcomesOption = None,
    policy: PolicyOption = None,
    layer: LayerOption = MODEL_LAYER,
    experiments: ExperimentsOption = None,
    known: KnownOption = None,
    page: PageOption = None,
    apply: Annotated[
        bool,
        typer.Option(
            "--apply", help="Promote or roll back in the registry, with the reason in its history."
        ),
    ] = False,
    settings: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.yaml",
            help="Deployment settings, with --apply: the cluster serves the new state before the "
            "registry says so, as with hemix deploy. [dim]Default: the registry only[/dim]",
            show_default=False,
            rich_help_panel=_CLUSTER,
        ),
    ] = None,
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
) -> None:
    """Decide: continue, promote or roll back, with reasons; with --apply also do it.

    Doing it again changes nothing: once applied, no experiment runs any more.

    [bold]Examples[/bold]

      hemix experiment decide --models runs/kuairand --outcomes outcomes/ --apply

      hemix experiment decide --models s3://ranker/hemix --outcomes s3://logs/outcomes --apply --settings deploy.yaml
    """
    if settings is None and (kubeconfig or context):
        raise DefinitionError("--kubeconfig and --context need --settings: how to serve there.")
    if settings and not apply:
        raise DefinitionError("--settings needs --apply: without it nothing is changed anywhere.")
    _examine(
        models,
        exposures,
        outcomes,
        policy,
        layer,
        experiments,
        known,
        page,
        apply=apply,
        settings=settings,
        kubeconfig=kubeconfig,
        context=context,
    )


def replay_command(
    run: Annotated[
        str,
        typer.Argument(
            metavar="PLACE", help="Root of a run that has two versions: a folder, or s3://..."
        ),
    ] = "runs/demo",
    share: Annotated[
        float, typer.Option(help="Share of users that the challenger gets in the replay.")
    ] = 0.5,
    layer: LayerOption = MODEL_LAYER,
    users: Annotated[
        int | None, typer.Option(min=1, help="Only this many users; left out, all of them.")
    ] = None,
    clients: Annotated[int, typer.Option(min=1, help="Requests under way at a time.")] = 2,
    url: Annotated[
        str | None,
        typer.Option(
            help="A running endpoint over the same folder, under the registry's own shares; "
            "left out, one is started for the replay."
        ),
    ] = None,
    exposures: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="Where the endpoint at --url logs. [dim]Default: exposures in PLACE[/dim]",
            show_default=False,
        ),
    ] = None,
    policy: PolicyOption = None,
) -> None:
    """Send the log's held-out traffic through the endpoint under an experiment; write its page.

    The endpoint splits users between champion and challenger and logs exposures; what users did is
    taken from the log. The run's registry is not touched. A replay that was stopped goes on when it
    is started again. The page says what such a replay can show and what it cannot.

    [bold]Example[/bold]

      hemix replay runs/demo --share 0.5
    """
    from hemix.pipelines.demo.replay.running import ReplayOptions, replay
    from hemix.pipelines.local.folder import RunFolder

    # As Ctrl-C: the endpoint that was started must not outlive us.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    console = Console(file=sys.stdout)
    done = replay(
        ReplayOptions(
            folder=RunFolder.at(run),
            share=share,
            layer=layer,
            users=users,
            clients=clients,
            url=url,
            exposures=exposures,
            policy=policy,
        ),
        console,
    )
    _say(console, done.decision.verdict, done.decision.reasons, done.page)


def register(main: typer.Typer) -> None:
    """Add the commands of this file to ``main``."""
    main.add_typer(app)
    main.command("replay")(replay_command)


def _examine(
    models: str,
    exposures: str | None,
    outcomes: str | None,
    policy: Path | None,
    layer: str,
    experiments: Path | None,
    known: Path | None,
    page: Path | None,
    *,
    apply: bool,
    settings: Path | None = None,
    kubeconfig: Path | None = None,
    context: str = "",
) -> None:
    from hemix.components.experiment.step import run

    cluster = _cluster(settings) if settings else ""
    location = find_registry(models).location
    root = parent(location)
    target = page or _beside(location, f"experiment-{layer}.html")
    target = target or Path(f"experiment-{layer}.html")
    decision = run(
        exposures=exposures or join(root, "exposures"),
        outcomes=outcomes or join(root, "outcomes"),
        registry=location,
        policy=policy,
        apply=apply,
        out_decision=target.with_suffix(".json"),
        out_page=target,
        layer=layer,
        experiments=experiments or _beside(location, "experiments.yaml"),
        known=known,
        cluster=cluster,
        kubeconfig=kubeconfig,
        context=context,
    )
    verdict = decision.verdict + (" (applied)" if decision.applied else "")
    _say(Console(file=sys.stdout), verdict, decision.reasons, target)
    if decision.verdict == "unusable":
        raise typer.Exit(4)  # as a gate that fails


def _cluster(settings: Path) -> str:
    """The settings as text, read and checked before any log is."""
    from hemix.serving.kubernetes.manifests.settings import DeploymentSettings

    return DeploymentSettings.load(settings).model_dump_json()


def _beside(location: str, name: str) -> Path | None:
    """A file beside a local registry; None when the registry is in an object store."""
    return None if is_remote(location) else Path(location).parent / name


def _say(console: Console, verdict: str, reasons: tuple[str, ...], page: Path) -> None:
    console.print(Text(f"Decision: {verdict.replace('_', ' ')}", style="bold"))
    for reason in reasons:
        console.print(Text(f"  {shown(reason)}"), soft_wrap=True)
    console.print(Text(f"Page: {page}"), soft_wrap=True)

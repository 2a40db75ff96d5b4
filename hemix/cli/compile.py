"""``hemix compile``: pipelines and single steps as files for a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hemix.components.steps import BY_NAME


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("compile")(compile_command)


def compile_command(
    pipeline: Annotated[
        str,
        typer.Argument(
            help="training, retraining, backfill, experiment, monitoring, cleaning; or component:STEP for "
            "one step alone."
        ),
    ] = "training",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE.yaml",
            help="Where to write. [dim]Default: PIPELINE.yaml[/dim]",
            show_default=False,
        ),
    ] = None,
    settings: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.yaml",
            help="Cluster settings that differ from the shipped ones: images, resources, retries, "
            "secrets (docs/operator/pipelines.md).",
            show_default=False,
        ),
    ] = None,
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Refuse what a cluster would trip over: a reference to nothing, a missing input, "
            "an image that is not pinned, a pod that may run as root.",
        ),
    ] = False,
    components: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Write every step as a component file of its own, for other pipelines.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Compile a pipeline to KFP IR YAML, which any Kubeflow Pipelines cluster runs.

    It is the same pipeline function that [bold]hemix run[/bold] runs here, with what a cluster must know: images, CPU, memory and GPUs, retries, timeouts, caching, secrets.

    [bold]Examples[/bold]

      hemix compile training -o training.yaml

      hemix compile retraining --settings my-cluster.yaml --check

      hemix compile component:train -o train.yaml

      hemix compile --components components/
    """
    from hemix.pipelines.compiler.cluster_settings import ClusterSettings
    from hemix.pipelines.compiler.compiler import COMPONENT, compiled, compiled_component, write

    chosen = ClusterSettings.load(settings)
    texts: dict[Path, str] = {}
    if components is not None:
        texts |= {components / f"{s}.yaml": compiled_component(s, chosen) for s in BY_NAME}
    if components is None or output is not None:
        path = output or Path(f"{pipeline.removeprefix(COMPONENT)}.yaml")
        texts[path] = compiled(pipeline, chosen)
    if check:
        _check(texts)
    for path, text in texts.items():
        write(text, path)
    told = next(iter(texts)) if len(texts) == 1 else f"{len(texts)} files"
    typer.echo(f"Wrote {told}.")


def _check(texts: dict[Path, str]) -> None:
    from hemix.pipelines.compiler.checking import check

    for path, text in texts.items():
        found = check(text, path.stem)
        typer.echo(
            f"Checked {path.stem}: {found.tasks} tasks, {found.components} components, "
            f"{found.executors} executors."
        )

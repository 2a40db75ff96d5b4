"""``hemix explain``: what can be looked at inside a version's ranker."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from hemix.api import load_version
from hemix.cli.models import MODELS
from hemix.errors import DefinitionError
from hemix.files import atomic_file, write_json
from hemix.texts.shown import shown


def explain_command(
    version: Annotated[
        str, typer.Argument(metavar="VERSION", help="A version's name, or its folder.")
    ],
    models: Annotated[
        str,
        typer.Option(
            metavar="PLACE",
            help="The registry, or the run's output that holds it: a folder or s3://BUCKET/PREFIX.",
        ),
    ] = MODELS,
    rows: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Raw rows as build_examples writes them (Parquet or JSON lines), for what the ranker "
            "does with rows. [dim]Default: its weights alone[/dim]",
            show_default=False,
        ),
    ] = None,
    first: Annotated[
        int, typer.Option(min=1, max=100, help="How many of the rows, from the first.")
    ] = 8,
    output: Annotated[
        Path, typer.Option(metavar="FILE.html", help="The page; FILE.json is written beside it.")
    ] = Path("explain.html"),
) -> None:
    """Look into a version: what it reads of a history, which fields matter, what is let through.

    [bold]Examples[/bold]

      hemix explain VERSION --models runs/mine --rows rows.parquet

      hemix explain runs/mine/registry/versions/VERSION --output looked-into.html
    """
    from hemix.components.explain.looking import read_rows
    from hemix.components.explain.page import render
    from hemix.models.versions.version import MANIFEST

    if output.suffix != ".html":
        raise DefinitionError(f"{output}: the page is a file NAME.html; the JSON stands beside it.")
    frame = None if rows is None else read_rows(rows, first)
    is_folder = (Path(version) / MANIFEST).is_file()
    loaded = load_version(version) if is_folder else load_version(models, version)
    pictures = [picture.as_json() for picture in loaded.pictures(frame, first=first)]
    manifest = loaded.manifest
    said = "" if frame is None else f"The first {len(frame)} rows of {rows}, as they are served."
    text = render(
        pictures,
        version=manifest.version,
        ranker=f"{manifest.ranker}, recipe {manifest.recipe}",
        rows=said,
    )
    with atomic_file(output) as temporary:
        temporary.write_text(text, encoding="utf-8")
    data = output.with_suffix(".json")
    write_json(
        data,
        {
            "version": manifest.version,
            "ranker": manifest.ranker,
            "recipe": manifest.recipe,
            "rows": None if frame is None else len(frame),
            "pictures": pictures,
        },
    )
    told = f"{len(pictures)} pictures. Wrote {shown(output)} and {shown(data)}."
    Console().print(told, markup=False, soft_wrap=True)

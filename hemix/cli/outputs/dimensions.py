"""``hemix dimensions``: a width for every vocabulary of a trained version, and the recipe with them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from hemix.cli.models import MODELS
from hemix.errors import DefinitionError
from hemix.files import atomic_file
from hemix.serving.registry.opening import find_registry
from hemix.texts.shown import shown


def dimensions_command(
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
    ratio: Annotated[
        float, typer.Option(help="Share of a table's variance to keep, above 0 and at most 1.")
    ] = 0.95,
    output: Annotated[
        Path, typer.Option(metavar="FILE.yaml", help="The recipe that is written.")
    ] = Path("dimensions.yaml"),
) -> None:
    """Choose a width for every vocabulary from a version's trained tables, and write a recipe.

    The recipe is the version's with these widths; trained anew it has smaller tables. Rows of
    missing values and rows that training never touched are not counted.

    [bold]Example[/bold]

      hemix dimensions runs/mine/registry/versions/VERSION --ratio 0.95 --output narrow.yaml

      hemix run --recipe narrow.yaml
    """
    from hemix.models.training.recipe_files import as_yaml
    from hemix.models.versions.dimensions import of_version
    from hemix.models.versions.version import MANIFEST, load

    if not 0 < ratio <= 1:
        raise DefinitionError(f"--ratio {ratio}: it must be above 0 and at most 1.")
    if output.suffix not in (".yaml", ".yml"):
        raise DefinitionError(f"{output}: a recipe is a file NAME.yaml.")
    is_folder = (Path(version) / MANIFEST).is_file()
    loaded = load(Path(version) if is_folder else find_registry(models).folder(version))
    chosen, recipe, note = of_version(loaded.manifest, loaded.ranker, ratio)
    common = recipe.model.embedding.width
    table = Table("vocabulary", "rows", "counted", "width", "chosen", "parameters", "then")
    before = after = 0
    for one in chosen:
        now, then = one.numbers(common)
        before, after = before + now, after + then
        numbers = (one.rows, one.counted, one.width, one.chosen, now, then)
        table.add_row(shown(one.name), *(f"{number:,}" for number in numbers))
    console = Console()
    console.print(table)
    saved = f"{before:,} numbers in the tables, then {after:,} ({4 * after / 1e6:,.2f} MB)."
    remarks = [f"{ratio:g} of the variance of the tables of version {loaded.manifest.version}."]
    with atomic_file(output) as temporary:
        temporary.write_text(as_yaml(recipe.model_dump(mode="json"), remarks), encoding="utf-8")
    told = f"{saved} {note} Wrote {shown(output)}.".replace("  ", " ")
    console.print(told, markup=False, soft_wrap=True)

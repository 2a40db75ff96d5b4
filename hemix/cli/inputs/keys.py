"""``hemix keys``: what a definition and a recipe may say, and what ``--set`` may change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from hemix.errors import DefinitionError
from hemix.texts.meant import did_you_mean, meant_keys
from hemix.texts.shown import shown

if TYPE_CHECKING:
    from hemix.texts.fields import Key


def keys_command(
    prefix: Annotated[
        str,
        typer.Argument(
            metavar="[PREFIX]", help="Only keys that begin with it: training.objective, split."
        ),
    ] = "",
    recipe: Annotated[
        str,
        typer.Option(
            help="Whose values stand for the defaults of a recipe's keys: a recipe's name, a "
            "ranker's, or a YAML file of a recipe."
        ),
    ] = "compact",
) -> None:
    """List the keys of a data set definition and of a recipe: type, default and meaning.

    Every key may stand in the file, and behind [bold]--set[/bold] of run, submit and tune. In
    [bold]tasks[].name[/bold] the brackets stand for an element of a list (with --set its number:
    tasks.0.name), NAME stands for a key of your own.

    [bold]Example[/bold]

      hemix keys training.learning_rate

      hemix keys model --recipe dcnv2

      hemix keys split
    """
    from hemix.features.definition import DatasetDefinition
    from hemix.models.training.recipes import recipe_of
    from hemix.texts.fields import keys

    found = recipe_of(recipe)
    groups = {
        "A definition": list(keys(DatasetDefinition)),
        f"The recipe {shown(recipe)}": list(keys(type(found), found)),
    }
    console = Console(soft_wrap=True, highlight=False)
    some = False
    for title, listed in groups.items():
        kept = [key for key in listed if key.name.startswith(prefix)]
        if kept:
            console.print(Text(("\n" if some else "") + title, style="bold"))
            some = True
        for key in kept:
            console.print(_line(key))
            console.print(Text(f"    {key.meaning}"))
    if not some:
        names = [key.name for listed in groups.values() for key in listed]
        close = meant_keys(prefix, {part for name in names for part in _prefixes(name)})
        raise DefinitionError(
            f"No key of a definition or of the recipe {recipe} begins with {prefix!r}"
            f"{did_you_mean(close)}",
            hint="hemix keys lists all.",
        )


def _line(key: Key) -> Text:
    default = key.default and (key.default if key.default == "required" else f"= {key.default}")
    return Text.assemble(
        (key.name, "bold cyan"), f"  {key.type}", (f"  {default}" if default else "", "dim")
    )


def _prefixes(name: str) -> list[str]:
    """A dotted key and the groups that it lies in."""
    parts = name.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts) + 1)]

"""``hemix keys``: what a definition and a recipe may say, and what ``--set`` may change."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from hemix.errors import DefinitionError
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
        close = _close(prefix, [key.name for listed in groups.values() for key in listed])
        raise DefinitionError(
            f"No key of a definition or of the recipe {recipe} begins with {prefix!r}.",
            hint=f"Close to it: {', '.join(close)}." if close else "hemix keys lists all.",
        )


def _line(key: Key) -> Text:
    default = key.default and (key.default if key.default == "required" else f"= {key.default}")
    return Text.assemble(
        (key.name, "bold cyan"), f"  {key.type}", (f"  {default}" if default else "", "dim")
    )


def _close(prefix: str, names: list[str]) -> list[str]:
    """Three keys whose last part is written much like that of ``prefix``, the closest first."""
    last = {name.rpartition(".")[2] for name in names}
    meant = difflib.get_close_matches(prefix.rpartition(".")[2], last, n=3)
    candidates = [name for name in names if name.rpartition(".")[2] in meant]
    return difflib.get_close_matches(prefix, candidates, n=3, cutoff=0)

"""``hemix init``, ``hemix check``, ``hemix recipes``: from a log's files to a first run."""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hemix.errors import DataError, DefinitionError
from hemix.features.checking.places import at_line
from hemix.files import atomic_file
from hemix.texts.meant import did_you_mean, meant_keys
from hemix.texts.naming import file_name

if TYPE_CHECKING:
    from hemix.features.definition import DatasetDefinition
    from hemix.pipelines.local.check import Look

WIDTH = 100
CELL = 22
"""Letters of a value that are shown; of a list its end, the latest events."""


def init_command(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...",
            help="The log, and files that describe users and items: Parquet or CSV, paths or globs.",
        ),
    ],
    output: Annotated[
        str, typer.Option(help="Where the definition is written; never over another file.")
    ] = "definition.yaml",
    name: Annotated[
        str, typer.Option(help="The data set's name. [dim]Default: the log's file name[/dim]")
    ] = "",
) -> None:
    """Draft a definition from a log's files by looking at them, with comments that say why.

    What is not sure is left to you: it stays a comment, or says CHOOSE, and hemix check stops there.

    [bold]Example[/bold]

      hemix init plays.csv songs.csv listeners.csv
    """
    from hemix.features.drafting.draft import CHOOSE, draft
    from hemix.features.drafting.profile import file_profile
    from hemix.features.drafting.roles import roles_of

    target = Path(output)
    if target.exists():
        raise DefinitionError(
            f"{output} is there already.", hint="Take it away, or name another with --output."
        )
    folder = target.parent.resolve()
    paths = [path if "://" in path else _beside(path, folder) for path in files]
    roles = roles_of([file_profile(path, folder) for path in paths])
    stem = re.sub(r"[^a-z0-9_]+", "_", Path(roles.log.path).name.split(".")[0].lower())
    text = draft(_checked_name(name) or stem.strip("_") or "log", roles)
    with atomic_file(target) as path:
        path.write_text(text)
    left = sum(CHOOSE in line for line in text.splitlines()[1:]) - 1
    choices = "1 choice is" if left == 1 else f"{left} choices are"
    typer.echo(f"Wrote {output}: {choices} left to you." if left else f"Wrote {output}.")
    typer.echo(f"Read it, then: hemix check {output}")


def _checked_name(name: str) -> str:
    try:
        return name and file_name(name)
    except ValueError as error:
        raise DefinitionError(f"--name {error}.") from error


def _beside(path: str, folder: Path) -> str:
    """A path as the definition in ``folder`` says it."""
    absolute = Path(path).absolute()
    return str(absolute.relative_to(folder)) if absolute.is_relative_to(folder) else str(absolute)


def check_command(
    definition: Annotated[
        str, typer.Argument(metavar="DEFINITION", help="A YAML file, or a shipped data set's name.")
    ],
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Set one value; repeat for more."),
    ] = None,
    all_: Annotated[
        bool, typer.Option("--all", help="Read all of every file, not its first million rows.")
    ] = False,
) -> None:
    """Say what is wrong with a definition and its files, and show five examples as a model sees them.

    All faults at once, each with its line and mend; nothing is written. Exits with 2 when the
    definition contradicts itself or names columns that the log does not have, with 3 when what the
    log holds does not fit it.

    [bold]Example[/bold]

      hemix check my_log.yaml
    """
    from hemix.features.definition import DatasetDefinition
    from hemix.pipelines.local.check import ROWS, look
    from hemix.pipelines.overrides import definition_keys, parse_overrides

    overrides = parse_overrides(set_ or ())
    for key in overrides.recipe:
        near = did_you_mean(meant_keys(key, definition_keys()))
        raise DefinitionError(
            f"--set {key}: a definition has no such key{near}", hint="hemix keys lists them."
        )
    loaded = DatasetDefinition.load(definition, overrides.definition)
    found = look(loaded, rows=None if all_ else ROWS)
    if found.faults:
        lines = DatasetDefinition.lines(definition)
        faults = [at_line(error, lines) for error in found.faults]
        told = [f"  {number}. {error.message}" + (f"\n     {error.hint}" if error.hint else "")
                for number, error in enumerate(faults, 1)]  # fmt: skip
        count = len(faults)
        only_said = all(isinstance(error, DefinitionError) for error in faults)
        raise (DefinitionError if only_said else DataError)(
            "\n".join([f"{definition}: {count} fault{'s' if count > 1 else ''}:", *told]),
            hint="Every key is explained in docs/user-guide.md.",
        )
    for line in facts(loaded, found):
        typer.echo(line)


def facts(definition: DatasetDefinition, found: Look) -> list[str]:
    """What a person reads of a look without faults."""
    summary = found.summary
    rows, (first, last) = summary["rows"], summary["time_range"]["interactions"]
    lines = [
        f"{definition.name}: no fault found.",
        f"  interactions  {rows['interactions']:,} rows, {summary['users']:,} users, "
        f"{summary['items']:,} items",
        f"  first, last   {first}, {last} (UTC)",
        f"  behaviours    {rows['behaviors']:,}: "
        + ", ".join(f"{name} {count:,}" for name, count in summary["actions"].items()),
        f"  attributes    {rows['users']:,} users, {rows['items']:,} items",
    ]
    for name, split in summary["splits"].items():
        rates = ", ".join(
            f"{task} {rate:.1%}" for task, rate in split["label_rates"].items() if rate is not None
        )
        lines.append(f"  {name:<13} {split['rows']:,} rows; {rates or 'none'}")
    if dropped := summary["exact_repeats_dropped"]["interactions"]:
        lines.append(f"  repeats       {dropped:,} duplicate rows, which count once")
    if found.cut:
        lines.append("  Only the first million rows of some file were read; --all reads the rest.")
    for doubt in found.doubts:
        lines += textwrap.wrap(f"? {doubt}", WIDTH, subsequent_indent="  ")
    return [*lines, *_side_by_side(found)]


def _side_by_side(found: Look) -> Iterator[str]:
    """The examples as columns of a table, a line a field."""
    if not found.examples:
        return
    heads = [f"example {number}" for number in range(1, len(found.examples) + 1)]
    names = list(found.examples[0])
    rows = [[_shown(example[name]) for example in found.examples] for name in names]
    longest = max(len(name) for name in names)
    yield ""
    for name, values in zip(("", *names), (heads, *rows), strict=True):
        cells = [
            f"{value if len(value) <= CELL else '...' + value[3 - CELL :]:<{CELL}}"
            for value in values
        ]
        yield f"{name:<{longest}}  {'  '.join(cells)}".rstrip()


def _shown(value: Any) -> str:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, list):
        return f"{len(value)}: {', '.join(map(_shown, value))}" if value else "0"
    if isinstance(value, float) and value == value:
        return f"{value:.6g}"
    if value == -(2**63) or value == "" or value != value:
        return "(missing)"
    return str(value)


def recipes_command(
    name: Annotated[
        str,
        typer.Argument(
            metavar="[NAME]",
            help="A recipe to print as a YAML file: every field, its value and what it means.",
        ),
    ] = "",
) -> None:
    """List the recipes: which ranker in which shape, and how it is trained; or print one as a file.

    [bold]Example[/bold]

      hemix recipes

      hemix recipes dcnv2 > mine.yaml

      hemix run --recipe mine.yaml
    """
    from hemix.models.rankers.registry import RANKERS
    from hemix.models.training.recipe_files import explained
    from hemix.models.training.recipes import RECIPES, recipe_of

    if name:
        typer.echo("\n".join(explained(recipe_of(name))))
        return
    for known, make in RECIPES.items():
        # A ranker's own recipe is what the ranker's file says in its first line.
        about = sys.modules[RANKERS[known].__module__] if known in RANKERS else make
        first = (about.__doc__ or "").strip().splitlines()
        typer.echo(f"{known:<18} {make().ranker:<16} {first[0] if first else ''}")
    typer.echo(
        "\nhemix run --recipe NAME; one as a file to change: hemix recipes NAME > mine.yaml."
    )


def register(app: typer.Typer) -> None:
    """Add the commands to ``app``."""
    app.command("init")(init_command)
    app.command("check")(check_command)
    app.command("recipes")(recipes_command)

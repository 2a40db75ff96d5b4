"""Rich tables of the registry and of a ranking answer, for the command line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from hemix.errors import ModelVersionError
from hemix.serving.registry.registry import Registry
from hemix.texts.shown import shown

_COLOURS = {"champion": "green", "challenger": "yellow", "candidate": "cyan", "retired": "dim"}


def show(table: Table) -> None:
    """Print a table on standard output."""
    Console().print(table)


def plain(text: object, style: str = "") -> Text:
    """A text of others in a cell or title: never markup, never an order to the terminal."""
    return Text(shown(text), style=style)


def versions_table(registry: Registry) -> Table:
    """One row per version: state, share, when it came, why it last moved."""
    state = registry.state()
    table = Table(title=plain(registry.location), title_justify="left")
    for name in ("version", "state", "share", "ranker", "trained on", "last move"):
        table.add_column(name, overflow="fold")
    for version, stands in state.versions.items():
        moves = [event for event in state.history if event.version == version]
        share = state.shares.get(version)
        table.add_row(
            plain(version),
            plain(stands, _COLOURS[stands]),
            "" if share is None else f"{share:.0%}",
            *_made(registry, version),
            *(f"{last.what} {last.when:%Y-%m-%d %H:%M}" for last in moves[-1:]),
        )
    return table


def _made(registry: Registry, version: str) -> tuple[Text, Text]:
    """Ranker and training window; or what is wrong with the version, so that the others are told."""
    try:
        manifest = registry.manifest(version)
    except ModelVersionError as error:
        return plain(error.message, "red"), plain("")
    window = " to ".join(text[:10] for text in manifest.training_window.values())
    return plain(manifest.ranker), plain(window)


def version_table(registry: Registry, version: str) -> Table:
    """What a version's manifest says."""
    stands = registry.state().state_of(version)
    manifest = registry.manifest(version)
    table = Table(show_header=False)
    table.add_column()
    table.add_column(overflow="fold")
    for name, told in (
        ("version", version),
        ("state", Text(stands, _COLOURS[stands])),
        ("created", manifest.created),
        ("ranker", f"{manifest.ranker} (recipe {manifest.recipe})"),
        *((f"training {name}", text) for name, text in manifest.training_window.items()),
        ("feature service", manifest.feature_service),
        ("transform", manifest.transform_digest),
        ("definition", manifest.definition_digest),
        *((name, f"{value:.4f}") for name, value in manifest.metrics.items()),
        ("files", len(manifest.files)),
        ("folder", registry.location_of(version)),
    ):
        table.add_row(plain(name), told if isinstance(told, Text) else plain(told))
    return table


def history_table(registry: Registry, version: str) -> Table:
    """What became of a version, oldest first."""
    table = Table(title="history", title_justify="left")
    for name in ("when", "who", "what", "why", "verdict"):
        table.add_column(name, overflow="fold")
    for event in registry.state().history:
        if event.version == version:
            when = f"{event.when:%Y-%m-%d %H:%M:%S}"
            table.add_row(when, *map(plain, (event.who, event.what, event.why, event.verdict)))
    return table


def answer_table(answer: Mapping[str, Any]) -> Table:
    """The candidates in their ranked order, with a column a task."""
    at = {item: row for row, item in enumerate(answer["item_ids"])}
    unknown = set(answer["unknown_items"])
    flags = f"; flags: {', '.join(answer['flags'])}" if answer["flags"] else ""
    table = Table(
        title=plain(f"user {answer['user_id']}: {answer['variant']} {answer['version']}{flags}"),
        title_justify="left",
    )
    table.add_column("rank", justify="right")
    table.add_column("item")
    for task in answer["scores"]:
        table.add_column(plain(task), justify="right")
    table.add_column("")
    for rank, item in enumerate(answer["ranked_item_ids"], start=1):
        scores = [f"{values[at[item]]:.4f}" for values in answer["scores"].values()]
        table.add_row(str(rank), plain(item), *scores, "unknown item" if item in unknown else "")
    return table

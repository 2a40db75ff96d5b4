"""Rich tables of the registry and of a ranking answer, for the command line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from serving.registry import Registry

_COLOURS = {"champion": "green", "challenger": "yellow", "candidate": "cyan", "retired": "dim"}


def show(table: Table) -> None:
    """Print a table on standard output."""
    Console().print(table)


def versions_table(registry: Registry) -> Table:
    """One row a version: state, share, when it came, why it last moved."""
    state = registry.state()
    table = Table(title=registry.location, title_justify="left")
    for name in ("version", "state", "share", "ranker", "trained on", "last move"):
        table.add_column(name, overflow="fold")
    for version, stands in state.versions.items():
        manifest = registry.manifest(version)
        last = [event for event in state.history if event.version == version][-1]
        share = state.shares.get(version)
        table.add_row(
            version,
            f"[{_COLOURS[stands]}]{stands}[/]",
            "" if share is None else f"{share:.0%}",
            manifest.ranker,
            " to ".join(text[:10] for text in manifest.training_window.values()),
            f"{last.what} {last.when:%Y-%m-%d %H:%M}",
        )
    return table


def version_table(registry: Registry, version: str) -> Table:
    """What a version's manifest says."""
    stands = registry.state().state_of(version)
    manifest = registry.manifest(version)
    table = Table(show_header=False)
    table.add_column()
    table.add_column(overflow="fold")
    table.add_row("version", version)
    table.add_row("state", f"[{_COLOURS[stands]}]{stands}[/]")
    table.add_row("created", manifest.created)
    table.add_row("ranker", f"{manifest.ranker} (recipe {manifest.recipe})")
    for name, text in manifest.training_window.items():
        table.add_row(f"training {name}", text)
    table.add_row("feature service", manifest.feature_service)
    table.add_row("transform", manifest.transform_digest)
    table.add_row("definition", manifest.definition_digest)
    for name, value in manifest.metrics.items():
        table.add_row(name, f"{value:.4f}")
    table.add_row("files", str(len(manifest.files)))
    table.add_row("folder", registry.location_of(version))
    return table


def history_table(registry: Registry, version: str) -> Table:
    """What became of a version, oldest first."""
    table = Table(title="history", title_justify="left")
    for name in ("when", "who", "what", "why", "verdict"):
        table.add_column(name, overflow="fold")
    for event in registry.state().history:
        if event.version == version:
            when = f"{event.when:%Y-%m-%d %H:%M:%S}"
            table.add_row(when, event.who, event.what, event.why, event.verdict)
    return table


def answer_table(answer: Mapping[str, Any]) -> Table:
    """The candidates in their ranked order, with a column a task."""
    at = {item: row for row, item in enumerate(answer["item_ids"])}
    unknown = set(answer["unknown_items"])
    flags = f"; flags: {', '.join(answer['flags'])}" if answer["flags"] else ""
    table = Table(
        title=f"user {escape(str(answer['user_id']))}: {answer['variant']} {answer['version']}{flags}",
        title_justify="left",
    )
    table.add_column("rank", justify="right")
    table.add_column("item")
    for task in answer["scores"]:
        table.add_column(task, justify="right")
    table.add_column("")
    for rank, item in enumerate(answer["ranked_item_ids"], start=1):
        scores = [f"{values[at[item]]:.4f}" for values in answer["scores"].values()]
        table.add_row(
            str(rank), escape(str(item)), *scores, "unknown item" if item in unknown else ""
        )
    return table

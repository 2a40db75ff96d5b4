"""``hemix events``: send a file of live events to a running endpoint."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from hemix.errors import DataError
from hemix.progress import say

BATCH = 500
_SHOWN = 5


def events(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="JSON lines, one event per line.", show_default=False),
    ],
    url: Annotated[str, typer.Option(help="Where the endpoint is.")] = "http://127.0.0.1:8080",
) -> None:
    """Send the events of a file to an endpoint that was started with --events.

    Each counts once by its event_id, so a file may be sent again. Refused events are listed, kept by
    the endpoint as dead letters, and make the command exit with 3.

    [bold]Example[/bold]

      hemix events today.jsonl --url http://127.0.0.1:8080
    """
    from hemix.serving.client import push_events

    counts: Counter[str] = Counter()
    refused: list[str] = []
    durable = True
    for first, batch in _batches(file):
        answer = push_events(batch, url=url)
        durable = durable and answer["durable"]
        for number, result in enumerate(answer["results"], first):
            counts[result["status"]] += 1
            if result["status"] == "refused":
                refused.append(f"{file}, line {number}: {result['error']}")
    say(
        f"events: {counts['accepted']} accepted, {counts['duplicate']} known already, "
        f"{counts['refused']} refused"
    )
    if not durable:
        say("events: accepted, not durable: the endpoint's redis may lose what it holds")
    if refused:
        more = f" (and {len(refused) - _SHOWN} more)" if len(refused) > _SHOWN else ""
        raise DataError(
            "\n".join(refused[:_SHOWN]) + more, hint="The endpoint kept them as dead letters."
        )


def _batches(file: Path) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """Events and the line number of the first of each batch; blank lines end a batch."""
    batch: list[dict[str, Any]] = []
    first = 1
    try:
        with file.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    batch.append(_event(file, number, line))
                if batch and (len(batch) == BATCH or not line.strip()):
                    yield first, batch
                    batch = []
                if not batch:
                    first = number + 1
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: cannot be read as UTF-8 JSON lines ({error}).") from error
    if batch:
        yield first, batch


def _event(file: Path, number: int, line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{file}, line {number}: is not JSON ({error}).", hint="Write one event per line."
        ) from error
    if not isinstance(value, dict):
        raise DataError(
            f"{file}, line {number}: is not a JSON object.", hint="Write one event per line."
        )
    return value


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("events")(events)

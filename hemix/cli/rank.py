"""``hemix serve``, ``hemix rank`` and ``hemix models``: sub-commands for ``hemix/cli/main.py``."""

from __future__ import annotations

import enum
from typing import Annotated

import typer

from hemix.cli.endpoint.consume import register as register_consume
from hemix.cli.endpoint.events import register as register_events
from hemix.cli.models import models_app
from hemix.cli.serve import serve
from hemix.cli.signing import register as register_signing
from hemix.cli.spoken import each_once, spoken_id, spoken_items, spoken_pair, spoken_values


class Protocol(enum.StrEnum):
    """How a request is carried."""

    V1 = "v1"
    V2 = "v2"
    GRPC = "grpc"


def rank(
    user: Annotated[str, typer.Option(help="User id.")],
    items: Annotated[
        str | None,
        typer.Option(metavar="A,B,C", help="Candidate item ids; --item for one with a comma."),
    ] = None,
    item: Annotated[
        list[str] | None,
        typer.Option(metavar="ID", help="One candidate, taken as it is (commas, blanks); repeat."),
    ] = None,
    context: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE", help="A context column; repeat. A text of digits: 'tab=\"1\"'."
        ),
    ] = None,
    candidate: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=A,B,C",
            help="A column of which each candidate has its own value, in the order of the items; "
            "nothing between two commas: that one has none. Repeat.",
        ),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(
            help="Where the endpoint is. "
            "[dim]Default: http://127.0.0.1:8080, for gRPC 127.0.0.1:8081[/dim]",
            show_default=False,
        ),
    ] = None,
    protocol: Annotated[Protocol, typer.Option(help="How the request is carried.")] = Protocol.V1,
    text_ids: Annotated[
        bool, typer.Option("--text-ids", help="Send ids of digits as text, not as numbers.")
    ] = False,
) -> None:
    """Ask a running endpoint to rank candidates for a user.

    [bold]Example[/bold]

      hemix rank --user 7 --items 12,31,77 --context tab=1 --candidate price=10,12.5,9
    """
    from hemix.serving.client import rank as ask
    from hemix.serving.tables import answer_table, show

    answer = ask(
        spoken_id(user, as_text=text_ids),
        spoken_items(items, item or [], as_text=text_ids),
        context=each_once("--context", map(spoken_pair, context or ())),
        candidates=each_once("--candidate", map(spoken_values, candidate or ())),
        url=url or ("127.0.0.1:8081" if protocol is Protocol.GRPC else "http://127.0.0.1:8080"),
        protocol=protocol.value,
    )
    show(answer_table(answer))


def register(app: typer.Typer) -> None:
    """Add the commands of this file to ``app``."""
    app.command("serve")(serve)
    app.command("rank")(rank)
    register_consume(app)
    register_events(app)
    register_signing(models_app)
    app.add_typer(models_app)

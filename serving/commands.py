"""``hemix serve``, ``hemix rank`` and ``hemix models``: sub-commands for ``pipelines/cli.py``."""

from __future__ import annotations

import enum
from typing import Annotated, Any

import typer

from hemix.errors import RequestError
from serving.model_commands import models_app
from serving.serve_commands import serve
from serving.signing_commands import register as register_signing


class Protocol(enum.StrEnum):
    """How a request is carried."""

    V1 = "v1"
    V2 = "v2"
    GRPC = "grpc"


def rank(
    user: Annotated[str, typer.Option(help="User id.")],
    items: Annotated[str, typer.Option(metavar="A,B,C", help="Candidate item ids.")],
    context: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="A context column; repeat.")
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

      hemix rank --user 7 --items 12,31,77 --context tab=1
    """
    from serving.client import rank as ask
    from serving.tables import answer_table, show

    values = dict(_pair(text) for text in context or ())
    answer = ask(
        _id(user, text_ids),
        [_id(item.strip(), text_ids) for item in items.split(",") if item.strip()],
        context=values,
        url=url or ("127.0.0.1:8081" if protocol is Protocol.GRPC else "http://127.0.0.1:8080"),
        protocol=protocol.value,
    )
    show(answer_table(answer))


def register(app: typer.Typer) -> None:
    """Add the commands of this file to ``app``."""
    app.command("serve")(serve)
    app.command("rank")(rank)
    register_signing(models_app)
    app.add_typer(models_app)


def _pair(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise RequestError(f"--context {text}: give NAME=VALUE, for example tab=1.")
    return name, _value(value)


def _id(text: str, as_text: bool) -> int | str:
    return int(text) if not as_text and text.removeprefix("-").isdecimal() else text


def _value(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text

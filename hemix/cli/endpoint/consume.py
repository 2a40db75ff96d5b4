"""``hemix consume``: live events from Kafka into the store that endpoints follow."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import Annotated

import typer

from hemix.cli.models import MODELS, ModelsOption
from hemix.errors import DefinitionError
from hemix.files import read_json
from hemix.progress import say
from hemix.serving.registry.opening import require_registry
from hemix.storage import join, parent


def consume(
    topic: Annotated[list[str], typer.Option(metavar="NAME", help="A topic; repeat.")],
    brokers: Annotated[str, typer.Option(metavar="HOST:PORT,...", help="Kafka's brokers.")],
    events: Annotated[
        str,
        typer.Option(
            metavar="STORE", help="The endpoints' store: a sqlite file, or redis://HOST:PORT/DB."
        ),
    ],
    dead_letters: Annotated[
        Path, typer.Option(metavar="DIR", help="Where refused messages go.")
    ] = Path("dead_letters"),
    group: Annotated[str, typer.Option(help="The consumer group.")] = "hemix",
    option: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="An option of the client (librdkafka); repeat."),
    ] = None,
    models: ModelsOption = MODELS,
    features: Annotated[
        str | None,
        typer.Option(
            metavar="PLACE",
            help="The live feature store. [dim]Default: feature_store beside the registry[/dim]",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Read live events from Kafka until Ctrl-C or SIGTERM.

    Offsets are committed when events and dead letters are on a disk. An offset that the broker no
    longer has stops it with exit code 3. Several may share a group.

    [bold]Example[/bold]

      hemix consume --brokers kafka:9092 --topic events --events redis://redis:6379/1 --models runs/mine
    """
    from hemix.features.definition import DatasetDefinition
    from hemix.features.schema import ColumnTypes
    from hemix.serving.events.contract import EventContract
    from hemix.serving.events.kafka import KafkaConfig, KafkaEvents
    from hemix.serving.launch.events import EventsConfig, open_desk
    from hemix.serving.launch.process import log_to_stderr

    log_to_stderr()
    registry = require_registry(models)
    champion = registry.state().champion
    assert champion is not None
    transform = registry.folder(champion) / "transform"
    definition = DatasetDefinition.parse((transform / "definition.json").read_text())
    types = ColumnTypes.from_json(read_json(transform / "types.json"))
    place = features or join(parent(str(models)), "feature_store")
    desk = open_desk(EventsConfig(store=events, dead_letters=dead_letters), place)
    assert desk is not None
    if desk.follow(definition, types) is None:
        raise DefinitionError(f"{place}: holds no base of {champion}.", hint="Publish it again.")
    options = tuple(_pair(text) for text in option or ())
    config = KafkaConfig(brokers=brokers, topics=tuple(topic), group=group, options=options)
    reader = KafkaEvents(config, desk, EventContract.of(definition, types))
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    desk.watch()
    say(f"consume: {', '.join(topic)} of {brokers} as {group}")
    try:
        reader.run(stop)
    finally:
        desk.close()
    say("consume: stopped")


def _pair(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign or not name:
        raise DefinitionError(f"--option {text!r}: write NAME=VALUE.")
    return name, value


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("consume")(consume)

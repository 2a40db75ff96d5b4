"""What an AdaEnsemble shows: to which experts rows go, layer by layer, and after which they leave."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch

from hemix.models.pictures import Axis, Look, Picture

if TYPE_CHECKING:
    from hemix.models.rankers.ensemble.adaensemble import AdaEnsemble


def route_pictures(model: AdaEnsemble, look: Look) -> Iterator[Picture]:
    """Shares that training measured, then the routes of the rows that are looked at."""
    layers = tuple(f"layer {number + 1}" for number in range(model.config.layers))
    experts = Axis(title="expert", labels=tuple(model.config.experts))
    yield Picture(
        title="Where rows go",
        reading="Of the rows that reach a layer, the share that each kind of network computes; measured "
        "towards the end of training.",
        axes=(Axis(title="", labels=layers), experts),
        values=model.expert_share,
        unit="share of the layer's rows",
    )
    yield Picture(
        title="Where rows leave",
        reading="The share of rows that are scored after each layer and computed no further; measured "
        "towards the end of training.",
        axes=(Axis(title="", labels=layers),),
        values=model.exit_share,
        unit="share of rows",
    )
    if look.batch is None:
        return
    course = model.course_of(look.batch)
    exits = course.exits.chosen.int().argmax(1)
    for level, routing in enumerate(course.layers[: int(exits.max()) + 1]):
        gates = torch.full((len(look.rows), len(experts.labels)), torch.nan)
        gates[exits.cpu() >= level] = routing.gates.float().cpu()
        yield Picture(
            title=f"Routes in {layers[level]}",
            reading="A line a row: how much each expert counts for it. An empty line is a row that left "
            "before.",
            axes=(Axis(title="row", labels=look.rows), experts),
            values=gates,
            unit="gate",
            about="rows",
        )
    yield Picture(
        title="After which layer each row left",
        reading="A short bar is a row that was cheap to score.",
        axes=(Axis(title="row", labels=look.rows),),
        values=exits + 1.0,
        unit="layers computed",
        about="rows",
    )

"""How rows of many lengths lie side by side, so that few products of matrices read them all.

Axes: ``B`` rows, ``T`` events of all rows, ``P`` places of the layout (``P >= T``), ``K`` stretches.

A row longer than :data:`WIDTH` is cut into whole stretches of that many events and a rest. The
rests, sorted by length, fall into a few tiles; within a tile every stretch gets the room of the
longest. Room without an event holds a copy of the row's last event, whose weight is set to 0. A new
tile is begun when the waste so far costs more than another tile would, or when a tile outgrows the
cache. So there is no padding to the longest row of the batch: at long histories the waste is that
of the rests alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hemix.models.layers.compiling import left_alone

WIDTH = 256
"""Events of a whole stretch."""
TILE_COST = 150
"""What one more tile costs, in events: measured on CPU, where a tile is some twenty kernels."""
TILE_BYTES = 1 << 20
"""Events of a tile in bytes: they are read several times, so they should stay in the L2 cache."""


@dataclass(frozen=True, kw_only=True)
class Tile:
    """Stretches ``first .. first + count`` of the layout, of ``width`` places each, from place
    ``start`` on. ``empty``: bool ``[count, 1, width]``, where no event is; None when all are full.
    """

    first: int
    count: int
    start: int
    width: int
    empty: Tensor | None

    @property
    def places(self) -> slice:
        return slice(self.start, self.start + self.count * self.width)

    @property
    def stretches(self) -> slice:
        return slice(self.first, self.first + self.count)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """``order`` int64 ``[P]``: which event a place holds; ``rows`` int64 ``[K]``: whose a stretch
    is; ``offsets`` int64 ``[B + 1]``.
    """

    offsets: Tensor
    order: Tensor
    rows: Tensor
    tiles: tuple[Tile, ...]

    @property
    def waste(self) -> float:
        """Share of the places that hold no event."""
        places = len(self.order)
        return 1 - int(self.offsets[-1]) / places if places else 0.0


@left_alone
def plan(offsets: Tensor, *, event_bytes: int = 256, width: int = WIDTH) -> Layout:
    """The layout of rows that end at ``offsets`` (int64 ``[B + 1]``, from 0 on).

    It is made on the CPU: offsets on a GPU are copied from there, which waits for the GPU's work.

    Example:
        >>> layout = plan(torch.tensor([0, 3, 3, 5]))
        >>> layout.order.tolist(), layout.rows.tolist()
        ([0, 1, 2, 3, 4, 4], [0, 2])
    """
    ends = offsets.cpu().numpy()
    lengths = np.diff(ends)
    whole, rest = np.divmod(lengths, width)
    by_length = np.argsort(-rest, kind="stable")[: int((rest > 0).sum())]
    rows = np.concatenate([np.repeat(np.arange(len(lengths)), whole), by_length])
    number = np.arange(int(whole.sum())) - np.repeat(whole.cumsum() - whole, whole)
    starts = ends[:-1][rows] + np.concatenate([number * width, whole[by_length] * width])
    sizes = np.concatenate([np.full(len(number), width), rest[by_length]])

    device = offsets.device
    tiles: list[Tile] = []
    order: list[np.ndarray] = [np.empty(0, np.int64)]
    start = 0
    for first, last in _cuts(sizes, event_bytes):
        room = int(sizes[first])
        steps = np.arange(room)
        short = sizes[first:last, None]
        order.append((starts[first:last, None] + np.minimum(steps, short - 1)).ravel())
        full = int(sizes[last - 1]) == room
        empty = None if full else torch.from_numpy(steps >= short)[:, None].to(device)
        tiles.append(Tile(first=first, count=last - first, start=start, width=room, empty=empty))
        start += (last - first) * room
    return Layout(
        offsets=offsets,
        order=torch.from_numpy(np.concatenate(order)).to(device),
        rows=torch.from_numpy(rows).to(device),
        tiles=tuple(tiles),
    )


def _cuts(sizes: np.ndarray, event_bytes: int) -> list[tuple[int, int]]:
    """Tiles as ranges of stretches, whose ``sizes`` fall (from the longest to the shortest)."""
    if not len(sizes):
        return []
    steps = np.flatnonzero(np.diff(sizes, prepend=-1))  # where another size begins
    stops = [*steps[1:].tolist(), len(sizes)]
    classes: list[tuple[int, int]] = []
    first, wasted = 0, 0
    for at, stop in zip(steps.tolist(), stops, strict=True):
        missing = (stop - at) * int(sizes[first] - sizes[at])
        if wasted + missing > TILE_COST:
            classes.append((first, at))
            first, wasted, missing = at, 0, 0
        wasted += missing
    classes.append((first, len(sizes)))
    cuts = []
    for first, last in classes:
        fit = max(1, TILE_BYTES // (int(sizes[first]) * event_bytes))
        cuts += [(at, min(at + fit, last)) for at in range(first, last, fit)]
    return cuts

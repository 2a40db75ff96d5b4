"""Losses that compare rows, written as loops over groups and rows, in float64; nothing is fast here."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def grouped(keys: Sequence[int]) -> list[list[int]]:
    return [[i for i, own in enumerate(keys) if own == key] for key in sorted(set(keys))]


def both(rows: Sequence[int], y: Sequence[float]) -> bool:
    return any(y[i] for i in rows) and not all(y[i] for i in rows)


def log1pexp(x: Tensor) -> Tensor:
    return torch.log(1 + torch.exp(x))


def ranknet(s: Tensor, y: Sequence[float], keys: Sequence[int]) -> Tensor:
    losses = [
        log1pexp(s[j] - s[i])
        for rows in grouped(keys)
        for i in rows
        for j in rows
        if y[i] == 1 and y[j] == 0
    ]
    return sum(losses) / len(losses) if losses else s.sum() * 0  # type: ignore[return-value]


def bpr(s: Tensor, y: Sequence[float], keys: Sequence[int]) -> Tensor:
    losses = []
    for rows in grouped(keys):
        down = [j for j in rows if y[j] == 0]
        for i in rows:
            if y[i] == 1 and down:
                losses.append(sum(log1pexp(s[j] - s[i]) for j in down) / len(down))
    return sum(losses) / len(losses) if losses else s.sum() * 0  # type: ignore[return-value]


def _lists(each: object, y: Sequence[float], keys: Sequence[int], s: Tensor) -> Tensor:
    assert callable(each)
    losses = [each(rows) for rows in grouped(keys) if both(rows, y)]
    return sum(losses) / len(losses) if losses else s.sum() * 0


def listnet(s: Tensor, y: Sequence[float], keys: Sequence[int]) -> Tensor:
    def each(rows: list[int]) -> Tensor:
        target = sum(math.exp(y[j]) for j in rows)
        total = sum(torch.exp(s[j]) for j in rows)
        assert isinstance(total, Tensor)
        parts = [-math.exp(y[i]) / target * torch.log(torch.exp(s[i]) / total) for i in rows]
        return torch.stack(parts).sum()

    return _lists(each, y, keys, s)


def listce(s: Tensor, y: Sequence[float], keys: Sequence[int]) -> Tensor:
    def each(rows: list[int]) -> Tensor:
        clicks = sum(y[i] for i in rows)
        total = torch.stack([torch.exp(s[j]) for j in rows]).sum()
        parts = [-y[i] / clicks * torch.log(torch.exp(s[i]) / total) for i in rows]
        return torch.stack(parts).sum()

    return _lists(each, y, keys, s)


def rcr(s: Tensor, y: Sequence[float], keys: Sequence[int]) -> Tensor:
    def each(rows: list[int]) -> Tensor:
        clicks = sum(y[i] for i in rows)
        total = torch.stack([1 / (1 + torch.exp(-s[j])) for j in rows]).sum()
        parts = [-y[i] / clicks * torch.log(1 / (1 + torch.exp(-s[i])) / total) for i in rows]
        return torch.stack(parts).sum()

    return _lists(each, y, keys, s)


def jrc(s: Tensor, y: Sequence[float], keys: Sequence[int]) -> Tensor:
    losses = []
    for rows in grouped(keys):
        if both(rows, y):
            for i in rows:
                sign = 0.5 if y[i] else -0.5
                total = torch.stack([torch.exp(sign * s[j]) for j in rows]).sum()
                losses.append(-torch.log(torch.exp(sign * s[i]) / total))
    return torch.stack(losses).mean() if losses else s.sum() * 0


def in_batch_softmax(s: Tensor, y: Sequence[float], ids: Sequence[int]) -> Tensor:
    losses = []
    for i in range(len(y)):
        others = [j for j in range(len(y)) if y[j] == 0 and ids[j] != ids[i]]
        if y[i] == 1 and others:
            total = torch.exp(s[i]) + torch.stack([torch.exp(s[j]) for j in others]).sum()
            losses.append(-torch.log(torch.exp(s[i]) / total))
    return torch.stack(losses).mean() if losses else s.sum() * 0


def codes(vector: Tensor, codebooks: Tensor) -> list[int]:
    """The codes of one vector ``[E]`` by the levels ``[L, K, E]``."""
    found = []
    for book in codebooks:
        far = [float(((vector - one) ** 2).sum()) for one in book]
        found.append(far.index(min(far)))
        vector = vector - book[found[-1]]
    return found


def group_ce(
    s: Tensor,
    y: Sequence[float],
    user_codes: Sequence[Sequence[int]],
    levels: Sequence[int],
    t: Tensor,
) -> Tensor:
    """Levels with a group of both labels alone; ``t``: log variances of the levels."""
    total = torch.zeros((), dtype=s.dtype)
    for place, level in enumerate(levels):
        prefixes = [tuple(one[:level]) for one in user_codes]
        known = sorted(set(prefixes))
        keys = [known.index(prefix) for prefix in prefixes]
        if any(both(rows, y) for rows in grouped(keys)):
            total = total + torch.exp(-t[place]) * rcr(s, y, keys) / 2 + t[place] / 2
    return total

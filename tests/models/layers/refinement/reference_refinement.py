"""Refinements of one row written as loops over fields, dimensions and hidden units, in plain lists."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

Vector = list[float]
Matrix = list[Vector]


def dot(a: Sequence[float], b: Sequence[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def column(matrix: Any, at: int) -> Vector:
    return [row[at] for row in matrix]


def times(x: Sequence[float], matrix: Any) -> Vector:
    """A row vector times a matrix ``[in, out]``."""
    return [dot(x, column(matrix, k)) for k in range(len(matrix[0]))]


def linear(x: Sequence[float], layer: nn.Linear) -> Vector:
    bias = [0.0] * layer.out_features if layer.bias is None else layer.bias.tolist()
    return [dot(x, row) + b for row, b in zip(layer.weight.tolist(), bias, strict=True)]


def relu(x: Sequence[float]) -> Vector:
    return [max(0.0, one) for one in x]


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def softmax(x: Sequence[float]) -> Vector:
    powers = [math.exp(one) for one in x]
    return [one / sum(powers) for one in powers]


def norm(x: Sequence[float], layer: nn.Module) -> Vector:
    if isinstance(layer, nn.Identity):
        return list(x)
    assert isinstance(layer, nn.LayerNorm)
    mean = sum(x) / len(x)
    variance = sum((one - mean) ** 2 for one in x) / len(x)
    scaled = [(one - mean) / math.sqrt(variance + layer.eps) for one in x]
    both = zip(scaled, layer.weight.tolist(), layer.bias.tolist(), strict=True)
    return [one * gain + shift for one, gain, shift in both]


def bent(x: Sequence[float], layer: Any) -> Vector:
    slope = layer.weight.item() if isinstance(layer, nn.PReLU) else 0.0
    return [one if one > 0 else slope * one for one in x]


def mlp(x: Sequence[float], net: Any) -> Vector:
    for layer, scale, act in zip(net.linears, net.norms, net.activations, strict=True):
        x = bent(norm(linear(x, layer), scale), act)
    return list(x)


def flat(e: Matrix) -> Vector:
    return [x for vector in e for x in vector]


def attention(e: Matrix, heads: Any) -> Matrix:
    """Heads side by side: head i are the numbers i k to (i + 1) k of each projection."""
    q, k, v = ([linear(x, one) for x in e] for one in (heads.query, heads.key, heads.value))
    size = heads.width // heads.heads
    out: Matrix = [[] for _ in e]
    for head in range(heads.heads):
        part = slice(head * size, (head + 1) * size)
        for i in range(len(e)):
            a = softmax([heads.scale * dot(q[i][part], one[part]) for one in k])
            out[i] += [dot(a, [one[part][at] for one in v]) for at in range(size)]
    return out


def fen(e: Matrix, m: Any) -> Matrix:
    hidden = mlp(flat(e), m.mlp)
    w = softmax(hidden if m.out is None else linear(hidden, m.out))
    return [[m.factor * w[f] * x for x in e[f]] for f in range(len(e))]


def senet(e: Matrix, m: Any) -> Matrix:
    q = [max(x) if m.squeeze == "max" else sum(x) / len(x) for x in e]
    a = relu(linear(relu(linear(q, m.first)), m.second))
    return [[a[f] * x for x in e[f]] for f in range(len(e))]


def fwn(e: Matrix, m: Any) -> Matrix:
    out = []
    for x, w, b in zip(e, m.weight.tolist(), m.bias.tolist(), strict=True):
        u = relu([y + c for y, c in zip(times(x, w), b[0], strict=True)])
        out.append([y * c for y, c in zip(u, x, strict=True)])
    return out


def dfen(e: Matrix, m: Any) -> Matrix:
    read = attention(e, m.attention)
    read = [
        relu([a + b for a, b in zip(linear(x, m.residual), y, strict=True)])
        for x, y in zip(e, read, strict=True)
    ]
    bit, vector = linear(mlp(flat(e), m.mlp), m.bit), linear(flat(read), m.vector)
    return [[(bit[f] + vector[f]) * x for x in e[f]] for f in range(len(e))]


def drm(e: Matrix, m: Any) -> Matrix:
    x = [column(e, k) for k in range(len(e[0]))]
    q, k, v = ([linear(one, layer) for one in x] for layer in (m.query, m.key, m.value))
    out = [[0.0] * len(x) for _ in e]
    for i in range(len(x)):
        a = softmax([dot(q[i], one) for one in k])
        for f in range(len(e)):
            out[f][i] = e[f][i] + dot(a, column(v, f))
    return out


def fal(e: Matrix, m: Any) -> Matrix:
    a, width = linear(flat(e), m.adjust), len(e[0])
    sides = [
        [sum(e[f][k] for f in side) / len(side) for k in range(width)] for side in (m.user, m.item)
    ]
    out = []
    for f, x in enumerate(e):
        more = [(1 + a[f]) * one for one in x]
        g = [sigmoid(one) for one in linear([*sides[0], *sides[1], *more], m.gate)]
        out.append([g[k] * more[k] + (1 - g[k]) * x[k] for k in range(width)])
    return out


def gate(e: Matrix, m: Any) -> Matrix:
    """VGate and BGate."""
    out = []
    for x, w in zip(e, m.weight.tolist(), strict=True):
        g = times(x, w)
        out.append([one * g[k % len(g)] for k, one in enumerate(x)])
    return out


def selfatt(e: Matrix, m: Any) -> Matrix:
    return [relu(linear(x, m.out)) for x in attention(e, m.attention)]


def tce(e: Matrix, m: Any) -> Matrix:
    views = m.aggregate.tolist()
    out = []
    for f, x in enumerate(e):
        t = times(relu(times(flat(e), views[f % len(views)])), m.project.tolist()[f])
        out.append([one * c for one, c in zip(x, relu(t), strict=True)])
    return out


def pffn(e: Matrix, m: Any) -> Matrix:
    e = tce(e, m.embedding)
    for _ in range(m.blocks):
        grown = [times(x, w) for x, w in zip(e, m.weight.tolist(), strict=True)]
        e = [
            norm([a + b for a, b in zip(x, y, strict=True)], m.norm)
            for x, y in zip(e, grown, strict=True)
        ]
    return e


def gfrl(e: Matrix, m: Any) -> Matrix:
    def unit(one: Any) -> Matrix:
        context = relu(linear(mlp(flat(e), one.mlp), one.out))
        own = zip(e, one.weight.tolist(), one.bias.tolist(), strict=True)
        return [
            [(y + c) * h for y, c, h in zip(times(x, w), b[0], context, strict=True)]
            for x, w, b in own
        ]

    first, second = unit(m.first), unit(m.second)
    out = []
    for x, y, s in zip(e, first, second, strict=True):
        share = [sigmoid(one) for one in s]
        out.append([x[k] * (1 - share[k]) + y[k] * share[k] for k in range(len(x))])
    return out


def frnet(e: Matrix, m: Any) -> Matrix:
    def unit(one: Any) -> Matrix:
        bits = bent(linear(mlp(flat(e), one.mlp), one.out), one.activation)
        read = [linear(x, one.project) for x in attention(e, one.attention)]
        return [[a * b for a, b in zip(x, bits, strict=True)] for x in read]

    complement, weight = unit(m.complement), unit(m.gate)
    out = []
    for x, g, w in zip(e, complement, weight, strict=True):
        w = [sum(w)] * len(w) if m.by_vector else w
        share = [sigmoid(one) for one in w]
        out.append([x[k] * share[k] + g[k] * (1 - share[k]) for k in range(len(x))])
    return out


LOOPS: dict[str, Callable[[Matrix, Any], Matrix]] = {
    "fen": fen,
    "senet": senet,
    "fwn": fwn,
    "dfen": dfen,
    "drm": drm,
    "fal": fal,
    "vgate": gate,
    "bgate": gate,
    "selfatt": selfatt,
    "tce": tce,
    "pffn": pffn,
    "gfrl": gfrl,
    "frnet_v": frnet,
    "frnet_b": frnet,
}


def refined(name: str, module: nn.Module, e_BFd: Tensor) -> Tensor:
    """Every row by the loops of ``name``."""
    return e_BFd.new_tensor([LOOPS[name](row, module) for row in e_BFd.tolist()])

"""CL4CTR: self-supervised terms on the field embeddings of any ranker.

Paper: Wang et al., "CL4CTR: A Contrastive Learning Framework for CTR Prediction", WSDM 2023,
arXiv 2212.00522. Of the rows' field vectors ``E [B, F, d]``, as the tables have them (no dropout):

    L       = alpha L_cl + beta (L_ali + L_uni)
    L_cl    = mean_b |h_1 - h_2|^2,   h_v = P_v flat(encoder(E * mask_v / (1 - p)))   [B, d]
    L_ali   = mean_f mean_{i < j} |e_if - e_jf|^2           vectors of one field, over all pairs of rows
    L_uni   = mean_b mean_{f, g} cos(e_bf, e_bg)            vectors of different fields (and f = g)

The masks are Bernoulli: of every number (``random``), of whole fields, or of dimensions. The encoder
is a Transformer over the fields (3 layers, one head, post-norm), shared by both views; the two
projections are not. They live in training alone: no model version holds them.

``L_ali`` in one pass, and exact for a batch in any number of parts and processes, for the mean m_f of
the *whole* batch is taken before (:meth:`prepare`) and enters without a gradient:

    2 B / (B - 1) mean_f (mean_i |e_if|^2 - 2 mean_i e_if . m_f + |m_f|^2)

Its value and its gradient are those of the pairs. ``L_uni`` divides by the norms alone here; the
release by ``|e| |e'| + 1e-4`` (``released_cosine``), which damps it while the embeddings are small.

Deviations from the release: it flattens ``[F, B, d]``, so that a view mixes rows, here each row is
encoded by itself; its three layers begin as copies of one, here each begins by itself.

Axes: B rows, F fields, d embedding width. The paper's terms over whole tables are
:func:`table_alignment` and :func:`table_uniformity`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from hemix.models.data.batch import Batch
from hemix.models.layers import batch_rng
from hemix.models.objective_config import CL4CTRConfig, Mask
from hemix.models.rankers.base import Ranker
from hemix.models.training.objectives.auxiliary import Auxiliary

LAYERS, HIDDEN, DROPOUT = 3, 128, 0.2
RELEASED_SLACK = 1e-4


class EncoderLayer(nn.Module):
    """A post-norm Transformer layer of one head over the fields: ``[B, F, d] -> [B, F, d]``."""

    def __init__(self, width: int, hidden: int = HIDDEN, dropout: float = DROPOUT) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.dropout = batch_rng.Dropout(dropout)
        nn.init.xavier_uniform_(self.qkv.weight)
        nn.init.zeros_(self.qkv.bias)
        nn.init.zeros_(self.out.bias)

    def forward(self, x_BFd: Tensor) -> Tensor:
        q, k, v = self.qkv(x_BFd).chunk(3, -1)
        a_BFF = (q @ k.transpose(1, 2) / q.shape[-1] ** 0.5).softmax(-1)
        x_BFd = self.first(x_BFd + self.dropout(self.out(self.dropout(a_BFF) @ v)))
        own = self.down(self.dropout(fn.relu(self.up(x_BFd))))
        y_BFd: Tensor = self.second(x_BFd + self.dropout(own))
        return y_BFd


class Views(nn.Module):
    """The contrastive term: an encoder of both views, and a projection of each."""

    def __init__(self, fields: int, width: int, dropout: float = DROPOUT) -> None:
        super().__init__()
        self.encoder = nn.Sequential(*[EncoderLayer(width, dropout=dropout) for _ in range(LAYERS)])
        self.project = nn.ModuleList(nn.Linear(fields * width, width) for _ in range(2))

    def forward(self, first_BFd: Tensor, second_BFd: Tensor) -> Tensor:
        """``L_cl`` of two views of the same rows."""
        h_1, h_2 = (
            project(self.encoder(view).flatten(1))
            for project, view in zip(self.project, (first_BFd, second_BFd), strict=True)
        )
        return (h_1 - h_2).square().sum(1).mean()


class CL4CTR(Auxiliary):
    """The three terms; the module's text has the formulas."""

    training_only = True

    def __init__(self, config: CL4CTRConfig, ranker: Ranker) -> None:
        super().__init__()
        self.config = config
        fields, width = ranker.embedding.field_count(), ranker.embedding.config.width
        self.views = Views(fields, width) if config.alpha else None
        self.mean: Tensor | None = None
        self.rows = 0

    @torch.no_grad()
    def prepare(self, ranker: Ranker, batch: Batch, joined: Any) -> None:
        """The mean vector of every field over the whole batch."""
        if self.config.beta:
            own_1Fd = embedded(ranker, batch).mean(0, keepdim=True)
            means_WFd = joined(own_1Fd)
            self.mean, self.rows = means_WFd.mean(0), batch.size * len(means_WFd)

    def forward(self, ranker: Ranker, batch: Batch) -> Tensor:
        """The weighted sum of the terms of this part of the batch."""
        c, device = self.config, batch_device(ranker)
        total = torch.zeros((), device=device)
        if not c.alpha and not c.beta:
            return total
        e_BFd = embedded(ranker, batch)
        if self.views is not None:
            masked = [e_BFd * mask(c.mask, e_BFd, c.dropped) for _ in range(2)]
            total = total + c.alpha * self.views(*masked)
        if c.beta:
            assert self.mean is not None, "prepare comes before"
            slack = RELEASED_SLACK if c.released_cosine else 0.0
            ali, uni = alignment(e_BFd, self.mean, self.rows), uniformity(e_BFd, slack)
            total = total + c.beta * (ali + uni)
        return total


def batch_device(ranker: Ranker) -> torch.device:
    """Where the ranker lies."""
    return ranker.embedding.directions.device


def embedded(ranker: Ranker, batch: Batch) -> Tensor:
    """The field vectors ``[B, F, d]`` of the tables themselves, without dropout."""
    embedding, training = ranker.embedding, ranker.embedding.training
    embedding.eval()
    try:
        return embedding.fields(batch).float()
    finally:
        embedding.train(training)


def mask(kind: Mask, e_BFd: Tensor, dropped: float) -> Tensor:
    """What a view is multiplied by: 0, or what keeps the mean; along the axes that ``kind`` says."""
    rows, fields, width = e_BFd.shape
    shape = {
        "random": (rows, fields, width),
        "feature": (rows, fields, 1),
        "dimension": (rows, 1, width),
    }[kind]
    kept = batch_rng.uniform(shape, e_BFd.device) >= dropped
    return kept.to(e_BFd.dtype) / (1 - dropped)


def alignment(e_BFd: Tensor, mean_Fd: Tensor, rows: int) -> Tensor:
    """``L_ali`` of a batch of ``rows`` rows whose mean is ``mean_Fd``, from a part of it."""
    if rows < 2:
        return e_BFd.new_zeros(())
    spread_F = e_BFd.square().sum(2).mean(0) - 2 * (e_BFd.mean(0) * mean_Fd).sum(1)
    return 2 * rows / (rows - 1) * (spread_F + mean_Fd.square().sum(1)).mean()


def uniformity(e_BFd: Tensor, slack: float = 0.0) -> Tensor:
    """``L_uni``; ``slack`` is added to the product of two norms, as in the release (1e-4)."""
    if slack:
        return cosines(e_BFd, e_BFd, slack).mean()
    u_BFd = fn.normalize(e_BFd, dim=2)
    return u_BFd.sum(1).square().sum(1).mean() / e_BFd.shape[1] ** 2


def cosines(a: Tensor, b: Tensor, slack: float) -> Tensor:
    """``a . b / (|a| |b| + slack)`` of all pairs: ``[..., n, d], [..., m, d] -> [..., n, m]``."""
    norms = a.norm(dim=-1)[..., :, None] * b.norm(dim=-1)[..., None, :]
    return a @ b.transpose(-1, -2) / (norms + slack)


def table_alignment(tables: Sequence[Tensor]) -> Tensor:
    """The paper's alignment over all pairs of rows of each field's table ``[n_f, d]``, exact.

    Example:
        >>> table_alignment([torch.tensor([[0.0, 1.0], [0.0, 3.0]])]).item()
        2.0
    """
    sums = [2 * len(t) * t.square().sum() - 2 * t.sum(0).square().sum() for t in tables]
    return torch.stack(sums).sum() / sum(len(t) ** 2 for t in tables)


def table_uniformity(tables: Sequence[Tensor]) -> Tensor:
    """The paper's uniformity: mean cosine of rows of different fields' tables, in closed form."""
    fields = torch.stack([fn.normalize(t, dim=1).sum(0) for t in tables])
    count = sum(map(len, tables))
    pairs = sum(len(t) * (count - len(t)) for t in tables)
    return (fields * (fields.sum(0) - fields)).sum() / pairs

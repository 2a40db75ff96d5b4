"""Residual vector quantisation: the codes of a vector, and codebooks that follow their members.

Axes: ``U`` distinct vectors, ``L`` levels, ``K`` codes of a level, ``E`` width.

    r_1 = e;  c_l = argmin_k |r_l - C_lk|^2;  r_{l+1} = r_l - C_l,c_l;  e^ = sum_l C_l,c_l

Codebooks get no gradient. They are moving averages of the residuals assigned to them (van den Oord et
al., Neural Discrete Representation Learning, NeurIPS 2017, arXiv 1711.00937, appendix A.1), with
Laplace smoothing of the counts; codes that fall out of use are replaced by a residual of the batch:

    N_k <- g N_k + (1 - g) n_k,   M_k <- g M_k + (1 - g) sum_{c = k} r,   C_k = M_k / N~_k
    N~_k = (N_k + eps) / (sum N + K eps) * sum N

Counts and sums always stand for the codes that are there: after k-means, and after a replacement.
Everything is a buffer, so checkpoints and versions hold it. Nothing is drawn from torch's global
generator. :meth:`Codebooks.learn` alone writes; :meth:`Codebooks.codes` reads.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

EPS = 1e-5
LLOYD = 10
"""Rounds of k-means at the start."""


class Codebooks(nn.Module):
    """Codebooks, and how far they are.

    Args:
        levels: how many there are (L).
        codes: vectors of each (K).
        width: of a vector (E).
        decay: of the moving averages.
        expiry: a code with less than this share of the mean count is replaced.
    """

    vectors: Tensor
    counts: Tensor
    sums: Tensor
    ready: Tensor
    drawn: Tensor

    def __init__(
        self, levels: int, codes: int, width: int, *, decay: float = 0.99, expiry: float = 0.1
    ) -> None:
        super().__init__()
        self.decay, self.expiry = decay, expiry
        self.register_buffer("vectors", torch.zeros(levels, codes, width))
        self.register_buffer("sums", torch.zeros(levels, codes, width))
        self.register_buffer("counts", torch.zeros(levels, codes))
        self.register_buffer("ready", torch.zeros((), dtype=torch.bool))
        self.register_buffer("drawn", torch.zeros((), dtype=torch.int64))

    def codes(self, vectors_UE: Tensor) -> Tensor:
        """int64 ``[U, L]``."""
        return self._quantise(vectors_UE.detach())[0]

    def quantised(self, vectors_UE: Tensor) -> Tensor:
        """``e^ [U, E]`` whose gradient is that of ``e`` (straight-through)."""
        near = self._quantise(vectors_UE.detach())[1]
        return vectors_UE + (near - vectors_UE).detach()

    def _quantise(self, vectors_UE: Tensor) -> tuple[Tensor, Tensor]:
        rest, codes = vectors_UE, []
        for codebook_KE in self.vectors:
            codes.append(_nearest(rest, codebook_KE))
            rest = rest - codebook_KE[codes[-1]]
        if not codes:
            return vectors_UE.new_zeros(len(vectors_UE), 0, dtype=torch.int64), rest * 0
        return torch.stack(codes, 1), vectors_UE - rest

    @torch.no_grad()
    def start(self, vectors_UE: Tensor) -> None:
        """k-means of ``U >= K`` vectors, level by level; counts and sums are the members'."""
        rest = vectors_UE.detach()
        for level, codebook_KE in enumerate(self.vectors):
            codebook_KE.copy_(self._kmeans(rest, len(codebook_KE)))
            near = _nearest(rest, codebook_KE)
            counts, sums = _members(rest, near, len(codebook_KE))
            empty = counts == 0  # as if it had one member, which lies on it
            self.counts[level] = torch.where(empty, 1.0, counts)
            self.sums[level] = torch.where(empty[:, None], codebook_KE, sums)
            rest = rest - codebook_KE[near]
        self.ready.fill_(True)

    @torch.no_grad()
    def learn(self, vectors_UE: Tensor) -> None:
        """One step of the moving averages, on vectors of which each counts once."""
        rest = vectors_UE.detach()
        for level in range(len(self.vectors)):
            codebook_KE, counts_K, sums_KE = (
                t[level] for t in (self.vectors, self.counts, self.sums)
            )
            near = _nearest(rest, codebook_KE)
            after = rest - codebook_KE[near]
            counts, sums = _members(rest, near, len(codebook_KE))
            counts_K.lerp_(counts, 1 - self.decay)
            sums_KE.lerp_(sums, 1 - self.decay)
            total = counts_K.sum()
            smooth = (counts_K + EPS) / (total + len(counts_K) * EPS) * total
            # A code that had no member keeps its place: sum and count shrink alike.
            used = counts > 0
            codebook_KE.copy_(torch.where(used[:, None], sums_KE / smooth[:, None], codebook_KE))
            self._replace_dead(level, rest)
            rest = after

    def replace(self, level: int, code: int, vector_E: Tensor) -> None:
        """Put a code elsewhere, with the mean count, and a sum that agrees with it."""
        count = self.counts[level].mean()
        self.vectors[level, code] = vector_E
        self.counts[level, code] = count
        self.sums[level, code] = vector_E * count

    def _replace_dead(self, level: int, residuals_UE: Tensor) -> None:
        dead = (self.counts[level] < self.expiry * self.counts[level].mean()).nonzero()[:, 0]
        if len(dead) and len(residuals_UE):
            chosen = torch.randint(len(residuals_UE), (len(dead),), generator=self._chance())
            for code, row in zip(dead.tolist(), chosen.tolist(), strict=True):
                self.replace(level, code, residuals_UE[row])

    def _chance(self) -> torch.Generator:
        """A generator of its own, the same in every process; another one at each call."""
        self.drawn += 1
        return torch.Generator().manual_seed(int(self.drawn))

    def _kmeans(self, rows_UE: Tensor, codes: int) -> Tensor:
        """Lloyd's centres ``[K, E]`` from k-means++ (Arthur and Vassilvitskii, SODA 2007)."""
        chance = self._chance()
        chosen = [int(torch.randint(len(rows_UE), (1,), generator=chance))]
        far = _squared(rows_UE, rows_UE[chosen])[:, 0]
        while len(chosen) < codes:
            # All rows may already lie on a centre: then any will do.
            weights = far.cpu().double() + 1e-30
            chosen.append(int(torch.multinomial(weights, 1, generator=chance)))
            far = torch.minimum(far, _squared(rows_UE, rows_UE[chosen[-1:]])[:, 0])
        centres = rows_UE[chosen].clone()
        for _ in range(LLOYD):
            counts, sums = _members(rows_UE, _nearest(rows_UE, centres), codes)
            centres = torch.where(counts[:, None] > 0, sums / counts.clamp(min=1)[:, None], centres)
        return centres


def _squared(rows_UE: Tensor, centres_KE: Tensor) -> Tensor:
    """Squared distances ``[U, K]``."""
    return (rows_UE[:, None] - centres_KE).square().sum(-1)


def _nearest(rows_UE: Tensor, centres_KE: Tensor) -> Tensor:
    return _squared(rows_UE, centres_KE).argmin(1)


def _members(rows_UE: Tensor, codes_U: Tensor, codes: int) -> tuple[Tensor, Tensor]:
    """How many rows have each code ``[K]``, and their sums ``[K, E]``."""
    counts = rows_UE.new_zeros(codes).index_add(0, codes_U, rows_UE.new_ones(len(rows_UE)))
    return counts, rows_UE.new_zeros(codes, rows_UE.shape[1]).index_add(0, codes_U, rows_UE)

"""Equal-mass calibration bins and the expected calibration error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from hemix.models.metrics.pointwise import Codes, Floats

BINS = 15


@dataclass(frozen=True, kw_only=True)
class CalibrationBins:
    """Rows sorted by score and cut into bins of (nearly) equal size; arrays are ``[bins]``."""

    rows: Floats
    predicted: Floats
    observed: Floats


def bin_codes(scores: ArrayLike, bins: int = BINS) -> Codes:
    """The equal-mass bin ``[B]`` of each row; equal scores share a bin.

    The result has at most ``bins`` different codes, fewer when scores are heavily tied.
    """
    scores_B = np.asarray(scores, dtype=np.float64)
    if scores_B.size == 0:
        return np.zeros(0, dtype=np.int64)
    ordered = np.sort(scores_B)
    cuts = ordered[(np.arange(1, bins) * scores_B.size) // bins]
    codes = np.searchsorted(np.unique(cuts), scores_B, side="right")
    return np.unique(codes, return_inverse=True)[1].astype(np.int64)


def calibration_bins(labels: ArrayLike, scores: ArrayLike, bins: int = BINS) -> CalibrationBins:
    """Mean predicted and observed rate of each equal-mass bin, lowest scores first."""
    codes = bin_codes(scores, bins)
    rows = np.bincount(codes).astype(np.float64)
    return CalibrationBins(
        rows=rows,
        predicted=np.bincount(codes, weights=np.asarray(scores, dtype=np.float64)) / rows,
        observed=np.bincount(codes, weights=np.asarray(labels, dtype=np.float64)) / rows,
    )


def ece(labels: ArrayLike, scores: ArrayLike, bins: int = BINS) -> float:
    """Expected calibration error: mean over rows of ``|predicted - observed|`` of their bin.

    Source: Naeini et al., Obtaining Well Calibrated Probabilities Using Bayesian Binning, AAAI
    2015, with equal-mass bins (Nixon et al. 2019). NaN without rows.
    """
    table = calibration_bins(labels, scores, bins)
    if not table.rows.size:
        return float("nan")
    return float(np.average(np.abs(table.predicted - table.observed), weights=table.rows))

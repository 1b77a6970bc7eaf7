"""Conformal scores: scaled residuals of held-out rows, and prediction intervals from them.

With n held-out rows that are exchangeable with a new one, |z| of the new row is among the k
smallest of all n + 1 values with the probability k / (n + 1). So the k-th smallest of the n
held-out values, k = ceil(coverage (n + 1)), is an upper bound with that coverage for any
distribution (split conformal prediction: Vovk, Gammerman & Shafer, "Algorithmic learning in a
random world", 2005; Lei et al., JASA 113, 2018).
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

# Coverage at which standard deviations are calibrated, and its normal quantile.
LEVEL, NORMAL_QUANTILE = 0.95, 1.959964

# Minimum number of rows: with fewer the 95% quantile is beyond the largest score.
LEAST_ROWS = 19

# Maximum number of order statistics kept.
MOST_SCORES = 1000


@dataclass(frozen=True)
class ConformalScores:
    """Quantiles of |z|, the distance from the prediction in standard deviations."""

    scores: np.ndarray  # (n_scores, n_outputs) quantiles at 1, 2, ... / (n_scores + 1)

    @classmethod
    def of(cls, z, weight=None) -> "ConformalScores":
        """Sort |z| of shape (n_samples, n_outputs); a weight is the multiplicity of a row."""
        weight = np.ones(len(z)) if weight is None else weight
        n_scores = min(round(float(weight.sum())), MOST_SCORES)
        shares = np.arange(1, n_scores + 1) / (n_scores + 1)
        return cls(np.column_stack([_order_statistics(column, weight, shares) for column in z.T]))

    @property
    def few(self) -> bool:
        """Whether the rows are too few for a 95% quantile."""
        return len(self.scores) < LEAST_ROWS

    def scale(self) -> np.ndarray:
        """Compute the factor of the standard deviations at which 95% intervals cover 95%."""
        if self.few:
            return np.ones(self.scores.shape[1])
        return self._quantile(LEVEL) / NORMAL_QUANTILE

    def half_width(self, coverage) -> np.ndarray:
        """Compute half an interval's width in calibrated standard deviations, (n_outputs,).

        With too few rows it is the half width of a normal distribution.
        """
        normal = normal_half_width(coverage)
        if self.few:
            return np.full(self.scores.shape[1], normal)
        at_level = self._quantile(LEVEL)
        positive = at_level > 0.0
        ratio = self._quantile(coverage) / np.where(positive, at_level, 1.0)
        return np.where(positive, NORMAL_QUANTILE * ratio, normal)

    def _quantile(self, coverage) -> np.ndarray:
        """Return the k-th smallest score; beyond the largest, extrapolate by normal quantiles."""
        n_scores = len(self.scores)
        rank = math.ceil(coverage * (n_scores + 1) - 1e-9)
        if rank <= n_scores:
            return self.scores[max(rank, 1) - 1]
        largest = n_scores / (n_scores + 1)
        return self.scores[-1] * normal_half_width(coverage) / normal_half_width(largest)


def normal_half_width(coverage) -> float:
    """Compute half the width of a normal distribution's interval, in standard deviations."""
    return float(ndtri(0.5 + 0.5 * coverage))


def _order_statistics(z, weight, shares) -> np.ndarray:
    order = np.argsort(z)
    total = np.cumsum(weight[order])
    ranks = np.searchsorted(total, shares * (total[-1] + 1.0) - 1e-9)
    return z[order[np.minimum(ranks, len(z) - 1)]]

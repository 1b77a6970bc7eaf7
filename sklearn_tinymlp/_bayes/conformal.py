"""`ConformalScores`: scaled residuals of unseen rows, and the intervals that hold a share of them.

Of n rows left out, in any order with a new one, the new one's |z| is among the k least of n + 1
with the probability k / (n + 1). So the k-th least of the n, k = ceil(coverage (n + 1)), bounds it
with that coverage, whatever the distribution (split conformal prediction: Vovk, Gammerman & Shafer,
"Algorithmic learning in a random world", 2005; Lei et al., JASA 113, 2018).
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

# The interval that standard deviations are matched to: 95%, which a normal distribution has within
# 1.96 of them.
LEVEL, NORMAL_QUANTILE = 0.95, 1.959964

# Fewer rows cannot tell a 95% quantile from the largest value.
LEAST_ROWS = 19

# Order statistics that are kept: a step is a thousandth of the rows.
MOST_SCORES = 1000


@dataclass(frozen=True)
class ConformalScores:
    """Quantiles of |z|, the distance from the prediction in standard deviations."""

    scores: np.ndarray  # (n_scores, n_outputs) at the shares 1, 2, ... of n_scores + 1

    @classmethod
    def of(cls, z, weight=None) -> "ConformalScores":
        """Sort |z| of shape (n_samples, n_outputs); a weight says how often a row is there."""
        weight = np.ones(len(z)) if weight is None else weight
        n_scores = min(int(weight.sum()), MOST_SCORES)
        shares = np.arange(1, n_scores + 1) / (n_scores + 1)
        columns = [_order_statistics(column, weight, shares) for column in z.T]
        return cls(np.column_stack(columns))

    @property
    def few(self) -> bool:
        """Whether the rows are too few to say anything of their 95% quantile."""
        return len(self.scores) < LEAST_ROWS

    def scale(self) -> np.ndarray:
        """Give the factor of the standard deviations at which 95% bands hold their share."""
        if self.few:
            return np.ones(self.scores.shape[1])
        return self._quantile(LEVEL) / NORMAL_QUANTILE

    def half_width(self, coverage) -> np.ndarray:
        """Give half the width, in standard deviations matched to the 95% band, (n_outputs,).

        A normal distribution's, where rows are too few.
        """
        normal = normal_half_width(coverage)
        if self.few:
            return np.full(self.scores.shape[1], normal)
        at_level = self._quantile(LEVEL)
        known = at_level > 0.0
        ratio = self._quantile(coverage) / np.where(known, at_level, 1.0)
        return np.where(known, NORMAL_QUANTILE * ratio, normal)

    def _quantile(self, coverage) -> np.ndarray:
        """Give the k-th least score; beyond the largest, as many times it as normal ones would."""
        n_scores = len(self.scores)
        rank = math.ceil(coverage * (n_scores + 1) - 1e-9)
        if rank <= n_scores:
            return self.scores[max(rank, 1) - 1]
        largest = n_scores / (n_scores + 1)
        return self.scores[-1] * normal_half_width(coverage) / normal_half_width(largest)


def normal_half_width(coverage) -> float:
    """Give half the width of a normal distribution's interval, in standard deviations."""
    return float(ndtri(0.5 + 0.5 * coverage))


def _order_statistics(z, weight, shares) -> np.ndarray:
    order = np.argsort(z)
    held = np.cumsum(weight[order])
    ranks = np.searchsorted(held, shares * (held[-1] + 1.0) - 1e-9)
    return z[order[np.minimum(ranks, len(z) - 1)]]

"""The band of an ensemble: a mixture of its members' normal distributions, scaled on honest rows.

With weights w_m, means f_m and variances v_m at some x (law of total variance)

    f = sum w_m f_m,    v = sum w_m (v_m + (f_m - f)^2),

what each member does not know and what they disagree about. The standard deviation sqrt(v) is
scaled by one factor an output, at which 95% bands hold 95% of the rows that the members had not
seen; narrower, too, where members that miss a fold know less than those that are kept.
"""

import math

import numpy as np

LEVEL, NORMAL_QUANTILE = 0.95, 1.959964

# Fewer rows cannot tell a 95% quantile from the largest value.
LEAST_ROWS = 19


def mixture(weights, means, variances) -> tuple[np.ndarray, np.ndarray]:
    """Give mean and variance; `means` and `variances` have the members on their first axis."""
    mean = np.tensordot(weights, means, axes=1)
    return mean, np.tensordot(weights, variances + (means - mean) ** 2, axes=1)


def scale_of(y, mean, variance, sample_weight) -> np.ndarray:
    """Give the factor of each output at which the bands hold their share; 1 of too few rows."""
    if np.count_nonzero(sample_weight) < LEAST_ROWS:
        return np.ones(y.shape[1])
    z = np.abs(y - mean) / np.sqrt(np.maximum(variance, np.finfo(float).tiny))
    return np.array([_quantile(column, sample_weight) for column in z.T]) / NORMAL_QUANTILE


def _quantile(z, weight) -> float:
    """Give the least z that holds the share LEVEL and one row more, or the largest."""
    order = np.argsort(z)
    held = np.cumsum(weight[order])
    rank = np.searchsorted(held, math.ceil(LEVEL * (held[-1] + 1.0)) - 1e-9)
    return float(z[order[min(rank, len(z) - 1)]])

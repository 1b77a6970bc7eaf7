"""The predictive distribution of an ensemble: a mixture of its members' normal distributions.

With weights w_m, means f_m and variances v_m at some x (law of total variance)

    f = sum w_m f_m,    v = sum w_m (v_m + (f_m - f)^2),

the uncertainty of each member and their disagreement. The standard deviation sqrt(v) is multiplied
by one calibration factor an output, at which 95% intervals hold 95% of the out-of-fold rows. The
factor may be below 1: members that miss a fold are less accurate than those that are kept.
"""

import numpy as np

from .._bayes.conformal import ConformalScores


def mixture(weights, means, variances) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and variance; `means` and `variances` have the members on their first axis."""
    mean = np.tensordot(weights, means, axes=1)
    return mean, np.tensordot(weights, variances + (means - mean) ** 2, axes=1)


def conformal_scores(y, mean, variance, sample_weight) -> ConformalScores:
    """Compute the distance of out-of-fold rows from the mean, in standard deviations."""
    z = np.abs(y - mean) / np.sqrt(np.maximum(variance, np.finfo(float).tiny))
    # Each row counts as one on average, whatever the unit of the weights.
    return ConformalScores.of(z, sample_weight / sample_weight.mean())

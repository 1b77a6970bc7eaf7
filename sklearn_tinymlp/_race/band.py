"""The band of an ensemble: a mixture of its members' normal distributions, scaled on honest rows.

With weights w_m, means f_m and variances v_m at some x (law of total variance)

    f = sum w_m f_m,    v = sum w_m (v_m + (f_m - f)^2),

what each member does not know and what they disagree about. The standard deviation sqrt(v) is
scaled by one factor an output, at which 95% bands hold 95% of the rows that the members had not
seen; narrower, too, where members that miss a fold know less than those that are kept.
"""

import numpy as np

from .._bayes.tails import Tails


def mixture(weights, means, variances) -> tuple[np.ndarray, np.ndarray]:
    """Give mean and variance; `means` and `variances` have the members on their first axis."""
    mean = np.tensordot(weights, means, axes=1)
    return mean, np.tensordot(weights, variances + (means - mean) ** 2, axes=1)


def tails_of(y, mean, variance, sample_weight) -> Tails:
    """Say how far the rows left out lie from the mean, in standard deviations."""
    z = np.abs(y - mean) / np.sqrt(np.maximum(variance, np.finfo(float).tiny))
    # Each row counts as one on average, whatever the unit of the weights.
    return Tails.of(z, sample_weight / sample_weight.mean())

"""Causes: too many weights for the data."""

import numpy as np

from .finding import INFO, WARNING, make_finding

# Weights a target from which on they are many, whatever the fit.
MANY = 2


def more_weights_than_data(exam):
    """Find weights that the data cannot determine, and whether new data suffer from it."""
    network = exam.network
    n_numbers = network.y.size
    if network.by_evidence or network.theta.size <= n_numbers:
        return
    validation = np.asarray(network.history.get("validation_loss", ()), dtype=float)
    known = len(validation) > 1 and not np.isnan(validation[-1])
    worse = known and validation[-1] > 1.5 * np.nanmin(validation)
    if network.params.get("early_stopping") and not worse:
        return
    # A little more than the data rarely shows, unless nothing is left of the noise.
    if network.theta.size < MANY * n_numbers and exam.explained < 0.9999 and not worse:
        return
    sentence = f"The network has {network.theta.size} weights for {n_numbers} targets"
    if worse:
        sentence += (
            f", and the validation loss rose from {np.nanmin(validation):.3g} to "
            f"{validation[-1]:.3g}"
        )
    sentence += ": it can learn them by heart."
    if network.loss.least_squares:
        sentence += " The evidence finds how many of its weights the data determine."
        remedy = {"solver": "lm", "alpha": "auto"}
    else:
        sentence += " A larger penalty makes its predictions smoother."
        remedy = {"alpha": 100 * network.penalty + 1.0}
    yield make_finding(
        network, "more_weights_than_data", WARNING if worse else INFO, sentence, **remedy
    )

"""Causes: too many weights for the data."""

import numpy as np

from .finding import INFO, WARNING, Finding, make_finding
from .trial import LEAST_ROWS, explained_anew

# Weights a target from which on they are many, whatever the fit.
MANY = 2

# By the evidence: weights that the data determine, a target, from which on each target has its own;
# and what a copy must explain less in rows left out.
EACH_ITS_OWN, LESS = 0.7, 0.3


def more_weights_than_data(exam):
    """Find weights that the data cannot determine, and whether new data suffer from it."""
    network = exam.network
    n_numbers = network.y.size
    if network.by_evidence:
        yield from _determined_by_single_targets(exam)
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


def _determined_by_single_targets(exam):
    """Find that the evidence took noise for a pattern, as it may with few rows of many inputs."""
    network = exam.network
    determined = np.asarray(network.history.get("n_effective_parameters", ()), dtype=float)
    many_inputs = 2 * network.architecture.units[0] > network.y.shape[0]
    if not (many_inputs and len(determined) and determined[-1] > EACH_ITS_OWN * network.y.size):
        return
    anew = explained_anew(exam)
    if exam.n_rows < LEAST_ROWS or not anew < exam.explained - LESS:
        return
    yield Finding(
        "more_weights_than_data",
        WARNING,
        f"The data determine {determined[-1]:.0f} weights with {network.y.size} targets: the "
        "network may have learned them by heart. It explains "
        f"{exam.explained:.0%} of its own rows, and a copy {max(anew, 0.0):.0%} of rows left out.",
        {},
        "fewer inputs, more rows, or TinyMLPEnsembleRegressor, which is judged by rows left out",
    )

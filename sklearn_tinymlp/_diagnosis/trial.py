"""Remedies tried on a copy: a few quasi-Newton steps on some rows, judged on the others.

The steps are those of scipy's L-BFGS on the loss and gradient that an `Examination` computes in
NumPy, so that nothing is compiled and the network stays as it is.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import scipy.optimize

from .._network.architecture import Architecture

# Rows that a copy is trained and judged on, or five a weight, as long as the units give no more
# than MOST_VALUES numbers for them: 5 ms a step. Two in three are trained on.
MOST_ROWS, LEAST_ROWS, ROWS_A_WEIGHT, MOST_VALUES = 450, 12, 5, 500_000

# Steps of a copy that goes on from where training ended, and of one that begins anew.
STEPS_ON, STEPS_ANEW = 20, 80

# Starts of a copy that begins anew; the best is kept.
N_STARTS = 3


class Further(NamedTuple):
    """What more training would gain, in shares of the loss."""

    gain: float  # of the rows trained on, penalty included
    left_out: float  # of the loss of rows left out, without penalty; NaN where these do not tell


class Split(NamedTuple):
    """Two parts of the data, as `Examination`s at the same weights."""

    training: object
    left_out: object


def split_of(exam) -> Split:
    """Draw rows to train on and rows to judge by; both are all rows where these are few."""
    n, network = exam.n_rows, exam.network
    most = min(ROWS_A_WEIGHT * network.theta.size, MOST_VALUES // sum(network.architecture.units))
    order = np.random.RandomState(0).permutation(n)[: max(MOST_ROWS, most)]
    if n < LEAST_ROWS:
        return Split(exam, exam)
    cut = 2 * len(order) // 3
    return Split(_on_rows(exam, order[:cut]), _on_rows(exam, order[cut:]))


def _on_rows(exam, rows):
    weight = None if exam.network.sample_weight is None else exam.weight[rows, 0]
    weight = weight if weight is None or weight.sum() > 0 else np.ones(len(rows))
    total = len(rows) if weight is None else float(weight.sum())
    network = replace(
        exam.network,
        data=(exam.X[rows], exam.y[rows], weight),
        penalty=exam.network.penalty * total / exam.weight_sum,  # as strong a row
    )
    return type(exam)(network)


def descend(exam, theta, n_steps) -> np.ndarray:
    """Take quasi-Newton steps on the loss with its penalty; the better end is given."""

    def loss_and_gradient(theta):
        at = type(exam)(replace(exam.network, theta=theta))
        loss, gradient = at.objective, at.gradient
        if not (np.isfinite(loss) and np.isfinite(gradient).all()):
            return 1e300, np.zeros_like(theta)
        return loss, gradient

    with np.errstate(all="ignore"):
        result = scipy.optimize.minimize(
            loss_and_gradient, theta, method="L-BFGS-B", jac=True, options={"maxiter": n_steps}
        )
    return result.x


def further(exam) -> Further:
    """Go on from where training ended."""
    training, left_out = split_of(exam)
    theta = descend(training, exam.network.theta, STEPS_ON)
    after = type(exam)(replace(training.network, theta=theta))
    gain = 1.0 - after.objective / training.objective if training.objective > 0 else 0.0
    if training is left_out:
        return Further(float(gain), np.nan)
    unseen = type(exam)(replace(left_out.network, theta=theta))
    gain_left_out = 1.0 - unseen.loss / left_out.loss if left_out.loss > 0 else 0.0
    n_seen = training.n_rows + left_out.n_rows
    if gain_left_out < 0.01 and n_seen < exam.network.y.shape[0]:
        gain_left_out = np.nan  # a part is learned by heart where the whole may not be
    return Further(float(gain), float(gain_left_out))


def explained_anew(exam, *, units=None, penalty=None, n_starts=N_STARTS) -> float:
    """Train a copy from other starts; give the share of the loss it explains of rows left out.

    Of fewer than LEAST_ROWS none is left out, and it is that of the rows trained on.

    Parameters
    ----------
    exam : Examination
    units : tuple of int, default=None
        Units of the hidden layers, instead of the network's own.
    penalty : float, default=None
        `alpha`, instead of the network's own.
    n_starts : int, default=N_STARTS
        Random starts.
    """
    network = exam.network
    architecture, activations = network.architecture, network.activations
    if units is not None:
        ends = architecture.units[0], architecture.units[-1]
        architecture = Architecture((ends[0], *units, ends[1]), architecture.bias)
        hidden = activations[:-1] or ("tanh",)
        hidden = [hidden[min(layer, len(hidden) - 1)] for layer in range(len(units))]
        activations = (*hidden, activations[-1])
    if penalty is not None:
        network = replace(network, penalty=penalty)
    elif network.by_evidence:  # the copy does not ask it; this keeps its weights in bounds
        network = replace(network, penalty=1e-3 * exam.weight_sum)
    training, left_out = split_of(type(exam)(network, exam.most_values))
    rng, best = np.random.RandomState(0), (np.inf, -np.inf)
    for _ in range(n_starts):
        theta = drawn(architecture, rng)
        parts = [
            type(exam)(
                replace(
                    part.network, architecture=architecture, activations=activations, theta=theta
                )
            )
            for part in (training, left_out)
        ]
        theta = descend(parts[0], theta, STEPS_ANEW)
        seen, unseen = (type(exam)(replace(part.network, theta=theta)) for part in parts)
        with np.errstate(all="ignore"):
            best = min(best, (seen.objective, -unseen.explained))
    return float(-best[1])


def drawn(architecture, rng) -> np.ndarray:
    """Draw start weights by Glorot's rule; intercepts too, within the same bounds."""
    coefs, intercepts = [], []
    for before, after in architecture.coef_shapes:
        bound = np.sqrt(6.0 / (before + after))
        coefs.append(rng.uniform(-bound, bound, (before, after)))
        intercepts.append(rng.uniform(-bound, bound, after) * architecture.bias)
    return architecture.pack(coefs, intercepts, np.float64)

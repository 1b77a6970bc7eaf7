"""A start from random features: hidden layers drawn at several scales, output layer fitted.

Units with start weights of size 1 bend once over the data: they cannot distinguish a curve with
many waves from noise, and the evidence then explains it as noise. Hidden units drawn at random,
with their bends among the data and weights of a larger scale, fit such a curve at once. For each
scale the output layer is a ridge regression, whose error on new rows is estimated by generalised
cross-validation,

    n sum r^2 / (n - trace(h))^2,    h = H (H^T H + ridge)^-1 H^T

(Golub, Heath & Wahba, Technometrics 21, 1979, eq. 1.4); the scale and the ridge with the lowest
estimate are used. The share of variance that they explain is also a reference for networks. Neither
depends on the order of the rows, and a row of weight 2 counts as two rows.
"""

import numpy as np

from .._activations.lookup import value_and_slope
from .._data.data import Data
from .._network.architecture import Architecture
from .._solvers.evidence_restarts import Restart

# Weight scales, from units that are straight over the data to units that bend dozens of times.
SCALES = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
RIDGES = np.logspace(-6, 2, 9)

# More rows would select the same scale; with fewer the error on new rows is unreliable.
MAX_RIDGE_ROWS, MIN_RIDGE_ROWS = 1000, 20


def random_features(architecture: Architecture, activations, data: Data, random_state) -> Restart:
    """Draw hidden layers for standardised data, and fit an output layer with the identity."""
    if len(data.y) > MAX_RIDGE_ROWS:
        data = data.on_rows(random_state.permutation(len(data.y))[:MAX_RIDGE_ROWS])
    X, y = data.X.astype(np.float64, copy=False), data.y.astype(np.float64, copy=False)
    weight = data.weights()
    best, best_error = None, np.inf
    for scale in SCALES:
        coefs, intercepts, hidden = _hidden_layers(
            architecture, activations, X, scale, random_state
        )
        with np.errstate(over="ignore", invalid="ignore"):  # e.g. weights of 1e300
            error, output = _ridge(hidden, y, weight, architecture.bias)
        if best is None or error < best_error:
            best_error, best = error, ([*coefs, output[:-1]], [*intercepts, output[-1]])
    with np.errstate(over="ignore", invalid="ignore"):
        spread = np.average(y**2, axis=0, weights=weight).mean()
    known = (
        weight.sum() >= MIN_RIDGE_ROWS and spread > 0 and np.isfinite([spread, best_error]).all()
    )
    explained = 1.0 - best_error / spread if known else np.nan
    return Restart(architecture.pack(*best, np.float64), float(explained))


def _hidden_layers(architecture, activations, X, scale, random_state):
    coefs, intercepts, values = [], [], X
    for (n_in, n_out), activation in zip(
        architecture.coef_shapes[:-1], activations[:-1], strict=True
    ):
        coef = random_state.standard_normal((n_in, n_out)) * scale / np.sqrt(n_in)
        # Each unit bends at a point among the rows, which are standardised.
        at = random_state.standard_normal((n_out, n_in))
        intercept = -np.einsum("ji,ij->j", at, coef) if architecture.bias else np.zeros(n_out)
        values, _ = value_and_slope(activation, values @ coef + intercept)
        coefs.append(coef)
        intercepts.append(intercept)
        scale = 1.0  # inputs of further layers are of size 1
    return coefs, intercepts, values


def _ridge(hidden, y, weight, bias) -> tuple[float, np.ndarray]:
    """Return the lowest error estimate over the ridges, and its output layer, intercepts last.

    The error is infinite where hidden values overflow.
    """
    n_samples, root = weight.sum(), np.sqrt(weight)[:, None]
    H = np.column_stack([hidden, np.full(len(hidden), float(bias))])
    best_error, best = np.inf, np.zeros((H.shape[1], y.shape[1]))
    if not np.isfinite(H).all():
        return best_error, best
    left, singular, right = np.linalg.svd(H * root, full_matrices=False)
    target = y * root
    projected = left.T @ target
    beyond = np.sum(target**2) - np.sum(projected**2)  # not explained by any output layer
    for ridge in RIDGES:
        kept = singular**2 / (singular**2 + ridge)
        squares = max(beyond, 0.0) + np.sum(((1.0 - kept)[:, None] * projected) ** 2)
        freedom = n_samples - kept.sum()
        if freedom <= 0.0:
            continue
        error = float(n_samples * squares / (freedom**2 * y.shape[1]))
        if error < best_error:
            weights = singular / (singular**2 + ridge)
            best_error, best = error, right.T @ (weights[:, None] * projected)
    return best_error, best

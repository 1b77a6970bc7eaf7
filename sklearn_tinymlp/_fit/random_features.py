"""A start from random features: hidden layers drawn at several scales, the output layer solved.

Start weights of size 1 make units that bend once over the data: a curve with many waves looks
like noise to them, and the evidence then settles for noise. Hidden units drawn at random with
their kinks among the data and weights of a larger scale follow it at once. For each scale the
output layer is a ridge regression, whose leave-one-out errors are known in closed form,

    r_i / (1 - h_i),    h = diag(H (H^T H + ridge)^-1 H^T)

(Allen, "The relationship between variable selection and data augmentation", 1974); the scale and
the ridge of the least of them are taken. What they explain is also a reference: a network of the
same size that explains less has not learned what there is to learn.
"""

from typing import NamedTuple

import numpy as np

from .._activations.lookup import value_and_slope
from .._engine.architecture import Architecture

# From units that are straight over the data to units that bend dozens of times.
SCALES = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
RIDGES = np.logspace(-6, 2, 9)

# Rows that are looked at: so many tell the scale.
MOST_ROWS = 1000

# A row that determines a weight alone has no error left out; rounding must not divide by 0.
LEAST_FREEDOM = 1e-3


class RandomFeatures(NamedTuple):
    """Start weights, and the share of the variance that they explain of rows left out."""

    theta: np.ndarray
    explained: float


def random_features(architecture: Architecture, activations, X, y, random_state) -> RandomFeatures:
    """Draw and solve.

    Parameters
    ----------
    architecture : Architecture
    activations : sequence
        One a layer, the output's last; the output's is taken for the identity.
    X : ndarray of shape (n_samples, n_features)
        Standardised.
    y : ndarray of shape (n_samples, n_outputs)
        Standardised.
    random_state : RandomState
    """
    if len(y) > MOST_ROWS:
        rows = random_state.permutation(len(y))[:MOST_ROWS]
        X, y = X[rows], y[rows]
    best, best_error = None, np.inf
    for scale in SCALES:
        coefs, intercepts, hidden = _hidden_layers(
            architecture, activations, X, scale, random_state
        )
        error, output = _ridge_by_rows_left_out(hidden, y)
        if error < best_error:
            best_error, best = error, ([*coefs, output[:-1]], [*intercepts, output[-1]])
    theta = architecture.pack(*best, np.float64)
    return RandomFeatures(theta, 1.0 - best_error / float(np.mean(y.var(axis=0)) or 1.0))


def _hidden_layers(architecture, activations, X, scale, random_state):
    coefs, intercepts, values = [], [], X
    for (n_in, n_out), activation in zip(
        architecture.coef_shapes[:-1], activations[:-1], strict=True
    ):
        coef = random_state.standard_normal((n_in, n_out)) * scale / np.sqrt(n_in)
        # A kink where a row of the data lies.
        at = values[random_state.randint(len(values), size=n_out)]
        intercept = -np.einsum("ji,ij->j", at, coef) if architecture.bias else np.zeros(n_out)
        values, _ = value_and_slope(activation, values @ coef + intercept)
        coefs.append(coef)
        intercepts.append(intercept)
        scale = 1.0  # the layers that follow see values of size 1
    return coefs, intercepts, values


def _ridge_by_rows_left_out(hidden, y) -> tuple[float, np.ndarray]:
    """Give the least mean squared error left out, and the output layer, intercepts last."""
    H = np.column_stack([hidden, np.ones(len(hidden))])
    left, singular, right = np.linalg.svd(H, full_matrices=False)
    projected = left.T @ y
    best_error, best = np.inf, None
    for ridge in RIDGES:
        kept = singular**2 / (singular**2 + ridge)
        leverage = (left**2) @ kept
        residual = y - left @ (kept[:, None] * projected)
        left_out = residual / np.maximum(1.0 - leverage, LEAST_FREEDOM)[:, None]
        error = float(np.mean(left_out**2))
        if error < best_error:
            best_error = error
            weights = singular / (singular**2 + ridge)
            best = right.T @ (weights[:, None] * projected)
    return best_error, best

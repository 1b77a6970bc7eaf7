"""Values of each layer, and derivatives of the outputs with respect to the inputs, in NumPy.

With the values of layer l before its activation z_l = v_(l-1) W_l + b_l, and v_l = f_l(z_l),

    d v_L / d x = W_1 diag(f_1'(z_1)) W_2 ... W_L diag(f_L'(z_L)),

multiplied from the right, so that with few outputs no intermediate matrix is large.
"""

import numpy as np

from .._activations.lookup import value_and_slope

# Maximum number of values in a block of rows: 16 MB.
NUMBERS = 2_000_000


def layer_values(coefs, intercepts, activations, X) -> tuple[list, list]:
    """Compute the values of each layer, X first, and the slopes of each layer's activation.

    All have the shape (n_samples, n_units); `activations` are those of each layer, the output last.
    """
    values, slopes = [X], []
    for coef, intercept, activation in zip(coefs, intercepts, activations, strict=True):
        value, slope = value_and_slope(activation, values[-1] @ coef + intercept)
        values.append(value)
        slopes.append(slope)
    return values, slopes


def predict_moved(coefs, intercepts, activations, X, j, inputs) -> np.ndarray:
    """Predict for all rows with input j at each of some values, (n_values, n_samples, n_outputs).

    Only the first layer depends on the number of inputs, and changes by a multiple of a row of its
    weights.
    """
    z = X @ coefs[0] + intercepts[0]
    moves = np.asarray(inputs)[:, np.newaxis] - X[:, j]
    z = (z + moves[:, :, np.newaxis] * coefs[0][j]).reshape(-1, z.shape[1])
    first, _ = value_and_slope(activations[0], z)
    values, _ = layer_values(coefs[1:], intercepts[1:], activations[1:], first)
    return values[-1].reshape(len(moves), len(X), -1)


def gradient_by_inputs(coefs, intercepts, activations, X) -> np.ndarray:
    """Differentiate outputs with respect to inputs: (n_samples, n_features, n_outputs)."""
    n_samples, (n_features, n_outputs) = X.shape[0], (coefs[0].shape[0], coefs[-1].shape[1])
    gradient = np.empty((n_samples, n_features, n_outputs), coefs[0].dtype)
    widest = n_outputs * max(n_features, *(coef.shape[1] for coef in coefs))
    step = max(1, NUMBERS // widest)
    for start in range(0, n_samples, step):
        rows = slice(start, start + step)
        _, slopes = layer_values(coefs, intercepts, activations, X[rows])
        by_values = slopes[-1][:, :, np.newaxis] * coefs[-1].T  # (rows, outputs, units)
        for coef, slope in zip(coefs[-2::-1], slopes[-2::-1], strict=True):
            by_values = (by_values * slope[:, np.newaxis]) @ coef.T
        gradient[rows] = by_values.swapaxes(1, 2)
    return gradient

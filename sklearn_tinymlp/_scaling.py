"""Standardisation of X and y, folded into the coefs and intercepts after training."""

from typing import NamedTuple

import numpy as np
from scipy import sparse
from sklearn.utils.sparsefuncs import mean_variance_axis

from ._parameters import Architecture


class Scaling(NamedTuple):
    """X is trained on as (X - x_mean) / x_scale, y as (y - y_mean) / y_scale."""

    x_mean: np.ndarray  # (n_features,)
    x_scale: np.ndarray
    y_mean: np.ndarray  # (n_outputs,)
    y_scale: np.ndarray

    @classmethod
    def identity(cls, n_features, n_outputs) -> "Scaling":
        """Leave X and y as they are."""
        return cls(
            np.zeros(n_features), np.ones(n_features), np.zeros(n_outputs), np.ones(n_outputs)
        )

    @classmethod
    def of(cls, X, y, sample_weight, *, bias: bool, scale_y: bool) -> "Scaling":
        """Measure X of shape (n_samples, n_features) and y of shape (n_samples, n_outputs).

        Without bias nothing is centred, because a shift could not be folded in; a sparse X is not
        centred, because it would no longer be sparse. What is not centred is scaled by its root
        mean square. `scale_y` is False where the output activation fixes the units of y.
        """
        centre_x = bias and not sparse.issparse(X)
        x_mean, x_scale = _moments(X, sample_weight, centre_x)
        if scale_y:
            y_mean, y_scale = _moments(y, sample_weight, bias)
        else:
            y_mean, y_scale = np.zeros(y.shape[1]), np.ones(y.shape[1])
        return cls(x_mean, x_scale, y_mean, y_scale)

    def transform_X(self, X):
        """Standardise inputs; a new array."""
        if sparse.issparse(X):
            scaled = X.astype(np.result_type(X.dtype, np.float32), copy=True)
            scaled.data /= self.x_scale.astype(scaled.dtype)[scaled.indices]
            return scaled
        return ((X - self.x_mean) / self.x_scale).astype(X.dtype, copy=False)

    def transform_y(self, y):
        """Standardise targets; a new array."""
        return ((y - self.y_mean) / self.y_scale).astype(y.dtype, copy=False)

    def fold(self, architecture: Architecture, theta) -> np.ndarray:
        """Turn parameters for standardised data into parameters for raw data.

        W1 (x - m) / s + b1 = (W1 / s) x + (b1 - (W1 / s) m), and the last layer times y_scale,
        plus y_mean.
        """
        folded = theta.astype(np.float64)
        coefs, intercepts = architecture.unpack(folded)
        coefs[0] /= self.x_scale[:, None]
        intercepts[0] -= self.x_mean @ coefs[0]
        coefs[-1] *= self.y_scale
        intercepts[-1] *= self.y_scale
        intercepts[-1] += self.y_mean
        return folded

    def unfold(self, architecture: Architecture, theta) -> np.ndarray:
        """Undo `fold`."""
        unfolded = theta.astype(np.float64)
        coefs, intercepts = architecture.unpack(unfolded)
        intercepts[-1] -= self.y_mean
        intercepts[-1] /= self.y_scale
        coefs[-1] /= self.y_scale
        intercepts[0] += self.x_mean @ coefs[0]
        coefs[0] *= self.x_scale[:, None]
        return unfolded


def _moments(values, sample_weight, centre):
    """Weighted mean and standard deviation of each column, or zero and root mean square."""
    if sparse.issparse(values):
        if not values.has_canonical_format:  # entries of the same place would count apart
            values = values.copy()
            values.sum_duplicates()
        mean, variance = mean_variance_axis(values, axis=0, weights=sample_weight)
        mean, scale = np.zeros(len(mean)), np.sqrt(variance.astype(np.float64) + mean**2.0)
    else:
        values = values.astype(np.float64, copy=False)
        mean = np.zeros(values.shape[1])
        if centre:
            mean = np.average(values, axis=0, weights=sample_weight)
        deviation = np.abs(values - mean)
        largest = deviation.max(axis=0)
        largest[largest == 0] = 1.0
        deviation /= largest  # the square of 1e200 has no floating-point number
        scale = largest * np.sqrt(np.average(deviation**2, axis=0, weights=sample_weight))
    # A column that is constant to rounding keeps its units, and one whose spread is so small that
    # its inverse is no number.
    constant = scale <= 10 * np.finfo(np.float64).eps * np.abs(mean)
    scale[constant | (scale < np.finfo(np.float64).tiny)] = 1.0
    return mean, scale

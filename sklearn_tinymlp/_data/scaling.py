"""Standardisation of X and y, folded into the coefs and intercepts after training."""

from functools import reduce
from typing import NamedTuple

import numpy as np
from scipy import sparse
from sklearn.utils.sparsefuncs import mean_variance_axis

from .._network.architecture import Architecture

# Number of values computed at once, 1 MB, so that no temporary array is as large as the data.
BLOCK_VALUES = 2**17


class Scaling(NamedTuple):
    """X is trained on as (X - x_mean) / x_scale, y as (y - y_mean) / y_scale."""

    x_mean: np.ndarray  # (n_features,)
    x_scale: np.ndarray
    y_mean: np.ndarray  # (n_outputs,)
    y_scale: np.ndarray

    @classmethod
    def identity(cls, n_features, n_outputs) -> "Scaling":
        """Return the scaling that changes nothing."""
        return cls(
            np.zeros(n_features), np.ones(n_features), np.zeros(n_outputs), np.ones(n_outputs)
        )

    @classmethod
    def of(cls, X, y, sample_weight, *, bias: bool, scale_y: bool) -> "Scaling":
        """Compute mean and standard deviation of X and y, of shape (n_samples, n_outputs).

        Without bias nothing is centred, because a shift could not be folded in; a sparse X is not
        centred, to stay sparse. Columns that are not centred are scaled by their root mean square.
        `scale_y` is False where the output activation fixes the units of y.
        """
        centre_x = bias and not sparse.issparse(X)
        x_mean, x_scale = _moments(X, sample_weight, centre_x)
        if scale_y:
            y_mean, y_scale = _moments(y, sample_weight, bias)
        else:
            y_mean, y_scale = np.zeros(y.shape[1]), np.ones(y.shape[1])
        return cls(x_mean, x_scale, y_mean, y_scale)

    def transform_X(self, X):
        """Standardise inputs, in a new array; a sparse X becomes dense if it is centred."""
        if sparse.issparse(X) and self.x_mean.any():
            X = X.toarray()
        if sparse.issparse(X):
            scaled = X.astype(np.result_type(X.dtype, np.float32), copy=True)
            scaled.data /= self.x_scale.astype(scaled.dtype)[scaled.indices]
            return scaled
        return _scaled(X, self.x_mean, self.x_scale)

    def transform_y(self, y):
        """Standardise targets, in a new array."""
        return _scaled(y, self.y_mean, self.y_scale)

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


def _scaled(values, mean, scale):
    scaled = np.empty_like(values)
    for rows in _blocks(values):
        scaled[rows] = (values[rows] - mean) / scale
    return scaled


def _moments(values, sample_weight, centre):
    """Return mean and standard deviation of each column, or zero and root mean square."""
    if sparse.issparse(values):
        if not values.has_canonical_format:  # duplicate entries must be summed
            values = values.copy()
            values.sum_duplicates()
        mean, variance = mean_variance_axis(values, axis=0, weights=sample_weight)
        mean, scale = np.zeros(len(mean)), np.sqrt(variance.astype(np.float64) + mean**2.0)
    else:
        mean = np.zeros(values.shape[1])
        if centre:
            mean = _average(lambda block: block, values, sample_weight)
        largest = reduce(
            np.maximum, (np.abs(values[rows] - mean).max(axis=0) for rows in _blocks(values))
        )
        largest[largest == 0] = 1.0  # relative to the largest, as the square of 1e200 overflows
        squares = _average(
            lambda block: (np.abs(block - mean) / largest) ** 2, values, sample_weight
        )
        scale = largest * np.sqrt(squares)
    # A column keeps its units if it is constant to rounding or the inverse of its scale overflows.
    constant = scale <= 10 * np.finfo(np.float64).eps * np.abs(mean)
    scale[constant | (scale < np.finfo(np.float64).tiny)] = 1.0
    return mean, scale


def _average(function, values, sample_weight):
    """Compute `np.average(function(values), axis=0, weights=sample_weight)` to the bit.

    NumPy adds the rows of several columns one after the other, as is done here block by block. It
    adds the rows of a single column pairwise, which is therefore not split.
    """
    total = None
    for rows in [slice(None)] if values.shape[1] == 1 else _blocks(values):
        block = function(values[rows].astype(np.float64))  # a new array
        if sample_weight is not None:
            block = block * sample_weight[rows, None]
        if total is not None:
            block[0] += total
        total = block.sum(axis=0)
    n = len(values) if sample_weight is None else sample_weight.sum(dtype=np.float64)
    return total / n


def _blocks(values):
    step = max(1, BLOCK_VALUES // values.shape[1])
    return [slice(start, start + step) for start in range(0, len(values), step)]

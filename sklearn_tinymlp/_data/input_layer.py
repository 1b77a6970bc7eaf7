"""`InputLayer`: inputs clipped smoothly or as ramps, by a first layer that is not trained.

The network is trained on features of the inputs: each smoothly clipped, or as ramps between its
quantiles. Both are linear functions of the units of a layer of tanh or ReLU,

    3 tanh(z / 3),   z = (x - median) / s,          s = IQR / 1.349;
    min((x - q_0) / d_1, 1) = 1 - max(q_1 - x, 0) / d_1,         d_k = q_k - q_{k-1};
    (max(x - q_{k-1}, 0) - max(x - q_k, 0)) / d_k,   the last one without its second term,

so that the fitted estimator is a network like any other, with one layer more: predictions,
gradients, exports and importances are those of a network of the user's inputs.
"""

from typing import NamedTuple

import numpy as np
from scipy import sparse
from scipy.linalg import block_diag

from .piecewise_linear import bin_edges, n_ramps, quantiles, ramp_names, ramps

INPUTS = "raw", "clipped", "ramps"

# Number of ramps of an input: between 3 and 9 hardly any error changed.
N_BINS = 5

# In standard deviations: inputs up to it stay nearly as they are.
CLIP = 3.0

# Interquartile range of a normal distribution of standard deviation 1.
NORMAL_IQR = 1.349


class InputLayer(NamedTuple):
    """The parameters of the layer, and how the network's features follow from its units."""

    kind: str  # 'clipped' or 'ramps'
    centre: np.ndarray  # (n_inputs,)
    scale: np.ndarray  # (n_inputs,)
    edges: list[np.ndarray]  # of the ramps of each input; empty if clipped

    @classmethod
    def of(cls, kind: str, X, sample_weight) -> "InputLayer | None":
        """Fit the layer to inputs; None for raw ones."""
        if kind == "raw":
            return None
        if sparse.issparse(X):
            raise ValueError(
                f"inputs={kind!r} needs a dense X, got a sparse one. Set inputs='raw', or pass "
                "X.toarray()."
            )
        X = X.astype(np.float64, copy=False)
        if kind == "ramps":
            edges = bin_edges(X, N_BINS, sample_weight)
            zeros = np.zeros(X.shape[1])
            return cls(kind, zeros, zeros + 1.0, edges)
        quartiles = quantiles(X, (0.25, 0.5, 0.75), sample_weight)
        scale = (quartiles[2] - quartiles[0]) / NORMAL_IQR
        mean = np.average(X, axis=0, weights=sample_weight)
        std = np.sqrt(np.average((X - mean) ** 2, axis=0, weights=sample_weight))
        scale = np.where(scale > 0.0, scale, std)
        return cls(kind, quartiles[1], np.where(scale > 0.0, scale, 1.0), [])

    @property
    def activation(self) -> str:
        """The activation of the layer."""
        return "tanh" if self.kind == "clipped" else "relu"

    @property
    def owners(self) -> np.ndarray:
        """The input that each feature is a function of."""
        counts = n_ramps(self.edges) if self.edges else np.ones(len(self.centre), int)
        return np.repeat(np.arange(len(self.centre)), counts)

    def feature_names(self, input_names) -> list[str]:
        """Return the name of each feature, as those of a `PiecewiseLinearEncoder`."""
        if not self.edges:
            return list(input_names)
        return ramp_names(input_names, self.edges)

    def features(self, X) -> np.ndarray:
        """Compute what the network is trained on, in the dtype of X."""
        if sparse.issparse(X):
            X = X.toarray()
        if self.edges:
            return ramps(X, [e.astype(X.dtype) for e in self.edges])
        z = (X - self.centre) / (CLIP * self.scale)
        return (CLIP * np.tanh(z)).astype(X.dtype, copy=False)

    def prepended(self, coefs, intercepts) -> tuple[list, list]:
        """Put the layer before a network of its features."""
        first, offset, mix, shift = self._units()
        dtype = coefs[0].dtype
        below = (mix @ coefs[0]).astype(dtype)
        above = (shift @ coefs[0] + intercepts[0]).astype(dtype)
        return (
            [first.astype(dtype), below, *coefs[1:]],
            [offset.astype(dtype), above, *intercepts[1:]],
        )

    def removed(self, coefs, intercepts) -> tuple[list, list]:
        """Invert `prepended`."""
        _, _, mix, shift = self._units()
        first = np.linalg.pinv(mix) @ coefs[1].astype(np.float64)
        return [first, *coefs[2:]], [intercepts[1] - shift @ first, *intercepts[2:]]

    def _units(self) -> tuple[np.ndarray, ...]:
        """Return weights and intercepts of the units, and features = units @ mix + shift."""
        n_inputs = len(self.centre)
        if not self.edges:
            slopes = 1.0 / (CLIP * self.scale)
            offset, mix = -self.centre * slopes, CLIP * np.eye(n_inputs)
            return np.diag(slopes), offset, mix, np.zeros(n_inputs)
        parts = [_units_of_ramps(e) for e in self.edges]
        slopes, offsets, mixes, shifts = zip(*parts, strict=True)
        first = block_diag(*(slope[np.newaxis] for slope in slopes))
        return first, np.concatenate(offsets), block_diag(*mixes), np.concatenate(shifts)


def _units_of_ramps(edges) -> tuple[np.ndarray, ...]:
    """Return slopes and offsets of ReLU units of one input, and ramps = units @ mix + shift."""
    if len(edges) < 3:  # x - q_0 in units of its range: the difference of two units
        width = edges[-1] - edges[0] or 1.0
        mix = np.array([[1.0], [-1.0]]) / width
        return np.array([1.0, -1.0]), np.array([-edges[0], edges[0]]), mix, np.zeros(1)
    widths, inner = np.diff(edges), edges[1:-1]
    n = len(widths)
    slopes, offsets = np.r_[-1.0, np.ones(n - 1)], np.r_[inner[0], -inner]
    mix = np.zeros((n, n))
    mix[0, 0] = -1.0 / widths[0]
    for k in range(1, n):
        mix[k, k] = 1.0 / widths[k]
        if k + 1 < n:
            mix[k + 1, k] = -1.0 / widths[k]
    return slopes, offsets, mix, np.r_[1.0, np.zeros(n - 1)]

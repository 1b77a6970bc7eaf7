"""Variance of predictions beyond the data, where the curvature of the function is unknown.

The Gaussian posterior takes the network as linear in its weights, and units that are saturated over
the data stay saturated beyond them: there its prediction intervals are like those of a straight
line. Curvature outside the data is unknown; assume that the function keeps the mean square
curvature seen in the nearer half of the rows, with either sign, and that the network, whose units
saturate, has the opposite curvature. At a distance delta_j beyond the range of input j the two then
differ by twice the second term of Taylor's series,

    sum_j c_j delta_j^2,    c_j ~ N(0, kappa_j^2),    kappa_j^2 = mean (d^2 f / d x_j^2)^2.

The mean is over rows with x_j moved to equal steps between its median and that end of the range,
and the derivative is a difference over these steps: where the values of an input span decades,
what it does at one end is no measure of the other. Data of a width of L_j, from the median to the
end, do not show a curvature that lasts longer: beyond delta_j = L_j the difference grows linearly,
as L_j (2 delta_j - L_j). Within the ranges of the data it is zero.
"""

from dataclasses import dataclass

import numpy as np

# Number of steps between the median and an end of the range, over which differences are taken.
N_STEPS = 8

# Maximum number of predictions that estimate the curvature: a few milliseconds.
N_PREDICTIONS = 20_000


@dataclass(frozen=True)
class Extrapolation:
    """The range of each input and the size of the second derivatives, in standardised units.

    The first axis of `width` and `curvature` is the end of the range, below and above.
    """

    lowest: np.ndarray  # (n_inputs,)
    highest: np.ndarray  # (n_inputs,)
    width: np.ndarray  # (2, n_inputs) L
    curvature: np.ndarray  # (2, n_inputs, n_outputs) kappa

    @classmethod
    def of(cls, predict_moved, X: np.ndarray, weight: np.ndarray) -> "Extrapolation":
        """Measure both over the rows of X.

        ``predict_moved(X, j, values)`` predicts for all rows with input j at each of some values,
        (n_values, n_samples, n_outputs).
        """
        n_inputs = X.shape[1]
        size = max(2, N_PREDICTIONS // (2 * (N_STEPS + 1) * n_inputs))
        rows = _at_equal_steps(X, weight, size)
        middle = np.median(_at_equal_steps(X, weight, N_PREDICTIONS), axis=0)
        ends = np.array([X.min(axis=0), X.max(axis=0)], dtype=np.float64)
        # Where half of the values are equal, as in a column of zeros and ones, from the other end.
        middle = np.where(ends == middle, ends[::-1], middle)
        width = np.abs(ends - middle)
        n_outputs = predict_moved(rows[:1], 0, middle[0, :1]).shape[2]
        curvature = np.zeros((2, n_inputs, n_outputs))
        resolved = (width / N_STEPS) ** 2 > np.finfo(float).tiny
        for end, j in zip(*np.nonzero(resolved), strict=True):
            steps = np.linspace(middle[end, j], ends[end, j], N_STEPS + 1)
            values = predict_moved(rows, j, steps)
            second = np.diff(values, 2, axis=0) / (width[end, j] / N_STEPS) ** 2
            curvature[end, j] = np.sqrt(np.mean(second**2, axis=(0, 1)))
        return cls(*ends, width, curvature)

    def variance(self, X) -> np.ndarray:
        """Compute the variance at each row of X, shape (n_samples, n_outputs)."""
        return np.einsum("enj,ejk->nk", self._grown(X) ** 2, self.curvature**2)

    def variance_of_mean(self, X) -> np.ndarray:
        """Compute the variance of the mean over the rows of X, shape (n_outputs,)."""
        means = self._grown(X).mean(axis=1)
        return np.einsum("ej,ejk->k", means**2, self.curvature**2)

    def draw(self, X, n_draws, random_state) -> np.ndarray:
        """Draw differences of the function, shape (n_samples, n_outputs, n_draws)."""
        normal = random_state.standard_normal((*self.curvature.shape, n_draws))
        of_unit = self.curvature[..., None] * normal
        return np.tensordot(self._grown(X), of_unit, axes=((0, 2), (0, 1)))

    def _grown(self, X) -> np.ndarray:
        """Return delta^2, linear beyond a distance of `width`, (2, n_samples, n_inputs)."""
        beyond = np.maximum(0.0, [self.lowest - X, X - self.highest])
        near = np.minimum(beyond, self.width[:, None])
        return near * (2.0 * beyond - near)


def _at_equal_steps(X, weight, most) -> np.ndarray:
    """Return at most `most` rows at equal steps of the weight: a row of weight 2 is two rows."""
    total = np.cumsum(weight)
    size = max(1, min(round(float(total[-1])), most))
    places = (np.arange(size) + 0.5) / size * total[-1]
    return X[np.searchsorted(total, places)].astype(np.float64)

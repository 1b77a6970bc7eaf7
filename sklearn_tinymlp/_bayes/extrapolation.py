"""Variance of predictions beyond the data, where the curvature of the function is unknown.

The Gaussian posterior takes the network as linear in its weights, and units that are saturated over
the data stay saturated beyond them: there its prediction intervals are like those of a straight
line. Curvature outside the data is unknown; assume that the function keeps the mean square
curvature seen inside, with either sign, and that the network, whose units saturate, has the
opposite curvature. At a distance delta_j beyond the range of input j the two then differ by

    sum_j c_j delta_j^2,    c_j ~ N(0, kappa_j^2),    kappa_j^2 = mean (d^2 f / d x_j^2)^2,

twice the second term of Taylor's series. Within the ranges of the data it is zero.
"""

from dataclasses import dataclass

import numpy as np

# Step of the second differences, in standardised inputs; wide enough for kinks to count.
STEP = 0.1

# Maximum number of predictions that estimate the curvature: a few milliseconds.
N_PREDICTIONS = 20_000


@dataclass(frozen=True)
class Extrapolation:
    """The range of each input and the size of the second derivatives, in standardised units."""

    lowest: np.ndarray  # (n_inputs,)
    highest: np.ndarray  # (n_inputs,)
    curvature: np.ndarray  # (n_inputs, n_outputs) kappa

    @classmethod
    def of(cls, predict, X: np.ndarray) -> "Extrapolation":
        """Measure both over the rows of X; ``predict(X)`` returns (n_samples, n_outputs)."""
        n_rows, n_inputs = X.shape
        size = min(n_rows, max(10, N_PREDICTIONS // (2 * n_inputs)))
        rows = X[np.linspace(0, n_rows - 1, size).astype(int)].astype(np.float64)
        here, curvature = predict(rows), []
        for j in range(n_inputs):
            below, above = rows.copy(), rows.copy()
            below[:, j] -= STEP
            above[:, j] += STEP
            second = (predict(below) - 2.0 * here + predict(above)) / STEP**2
            curvature.append(np.sqrt(np.mean(second**2, axis=0)))
        return cls(X.min(axis=0), X.max(axis=0), np.array(curvature))

    def variance(self, X) -> np.ndarray:
        """Compute the variance at each row of X, shape (n_samples, n_outputs)."""
        return self._squared_distances(X) ** 2 @ self.curvature**2

    def variance_of_mean(self, X) -> np.ndarray:
        """Compute the variance of the mean over the rows of X, shape (n_outputs,)."""
        return self._squared_distances(X).mean(axis=0) ** 2 @ self.curvature**2

    def draw(self, X, n_draws, random_state) -> np.ndarray:
        """Draw differences of the function, shape (n_samples, n_outputs, n_draws)."""
        normal = random_state.standard_normal((*self.curvature.shape, n_draws))
        return np.tensordot(self._squared_distances(X), self.curvature[:, :, None] * normal, axes=1)

    def _squared_distances(self, X) -> np.ndarray:
        return (X - np.clip(X, self.lowest, self.highest)) ** 2

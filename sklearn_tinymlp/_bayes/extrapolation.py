"""What the weights' distribution does not know: how the function bends beyond the data.

Around the solution the network is taken as linear in its weights, and units that are saturated over
the data stay so beyond them: the band widens as one of a function that goes on straight. How it
will bend nobody has seen. So it is thought to go on bending as much as it does among the data, and
the network, whose units saturate, by as much the other way: at a distance delta_j beyond the range
of input j the two part by

    sum_j c_j delta_j^2,    c_j ~ N(0, kappa_j^2),    kappa_j^2 = mean (d^2 f / d x_j^2)^2,

twice the second term of Taylor's series. Within the data's ranges this is nothing.
"""

from dataclasses import dataclass

import numpy as np

# Second differences are taken over this step of a standardised input, which sees kinks as well.
STEP = 0.1

# Predictions that the curvature is measured with: some milliseconds.
N_PREDICTIONS = 20_000


@dataclass(frozen=True)
class Extrapolation:
    """The range of each input and the size of the second derivatives, in standardised units."""

    lowest: np.ndarray  # (n_inputs,)
    highest: np.ndarray  # (n_inputs,)
    curvature: np.ndarray  # (n_inputs, n_outputs) kappa

    @classmethod
    def of(cls, predict, X: np.ndarray) -> "Extrapolation":
        """Measure over the rows of X; ``predict(X)`` gives (n_samples, n_outputs)."""
        n_rows, n_inputs = X.shape
        n_looked_at = min(n_rows, max(10, N_PREDICTIONS // (2 * n_inputs)))
        rows = X[np.linspace(0, n_rows - 1, n_looked_at).astype(int)].astype(np.float64)
        here, curvature = predict(rows), []
        for j in range(n_inputs):
            sides = []
            for step in (-STEP, STEP):
                moved = rows.copy()
                moved[:, j] += step
                sides.append(predict(moved))
            second = (sides[0] - 2.0 * here + sides[1]) / STEP**2
            curvature.append(np.sqrt(np.mean(second**2, axis=0)))
        return cls(X.min(axis=0), X.max(axis=0), np.array(curvature))

    def variance(self, X) -> np.ndarray:
        """Give the variance of what is not known, shape (n_samples, n_outputs)."""
        return self._bends(X) ** 2 @ self.curvature**2

    def variance_of_mean(self, X) -> np.ndarray:
        """Give the variance of the mean over rows, which bend together, shape (n_outputs,)."""
        return self._bends(X).mean(axis=0) ** 2 @ self.curvature**2

    def draw(self, X, n_draws, random_state) -> np.ndarray:
        """Draw functions that bend, shape (n_samples, n_outputs, n_draws)."""
        bends = random_state.standard_normal((*self.curvature.shape, n_draws))
        return np.tensordot(self._bends(X), self.curvature[:, :, None] * bends, axes=1)

    def _bends(self, X):
        beyond = X - np.clip(X, self.lowest, self.highest)
        return beyond**2

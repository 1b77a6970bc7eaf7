"""The Gaussian posterior of the weights: standard deviations of predictions, and draws.

Around the solution the weights are normal with the precision A = L L^T (MacKay 1992, section 3),
and the network is linear in them: f(x; theta + e) = f(x; theta) + j(x) e. Hence

    var y(x) = 1 / beta + j A^-1 j^T = noise_std^2 + |L^-1 j^T|^2.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_triangular

from . import _kernels
from ._kernels import BLOCK_ROWS
from ._objective import NATURAL_ORDER, jacobian_routines, kernel_rows, work_arrays


@dataclass(frozen=True)
class Posterior:
    """A normal distribution over the weights, and the noise, in the units of y."""

    theta: np.ndarray  # (n_parameters,) its mean, for standardised inputs and targets
    cholesky: np.ndarray  # (n_parameters, n_parameters) lower factor of its precision
    noise_std: np.ndarray  # (n_outputs,)
    y_scale: np.ndarray  # (n_outputs,) from standardised targets to y

    def std(self, network, X) -> np.ndarray:
        """Compute the standard deviation of y at X, shape (n_samples, n_outputs); O(P^2) a row."""
        std = np.empty((X.shape[0], len(self.noise_std)))
        for rows, jacobian in self._jacobians(network, X):
            for k, part in enumerate(jacobian):
                spread = solve_triangular(self.cholesky, part, lower=True, check_finite=False)
                variance = np.einsum("pr,pr->r", spread, spread) * self.y_scale[k] ** 2
                std[rows, k] = np.sqrt(variance + self.noise_std[k] ** 2)
        return std

    def draw(self, network, X, n_draws, random_state) -> np.ndarray:
        """Draw deviations of y from its mean at X, shape (n_samples, n_outputs, n_draws)."""
        normal = random_state.standard_normal((self.theta.size, n_draws))
        weights = solve_triangular(self.cholesky, normal, lower=True, trans=1)
        draws = random_state.standard_normal((X.shape[0], len(self.noise_std), n_draws))
        draws *= self.noise_std[:, None]
        for rows, jacobian in self._jacobians(network, X):
            for k, part in enumerate(jacobian):
                draws[rows, k] += self.y_scale[k] * (part.T @ weights)
        return draws

    def _jacobians(self, network, X):
        """Differentiate each output by the weights, block by block of rows."""
        n_outputs = len(self.noise_std)
        inputs = kernel_rows(X)
        weight = np.empty(0)
        weight.flags.writeable = False
        work = work_arrays(network, 0, self.theta.dtype)
        jacobian = np.empty(n_outputs * self.theta.size * BLOCK_ROWS)
        for start in range(0, X.shape[0], BLOCK_ROWS):
            n_rows = min(BLOCK_ROWS, X.shape[0] - start)
            _kernels.jacobian_of_block(
                self.theta,
                network,
                inputs,
                weight,
                NATURAL_ORDER,
                start,
                n_rows,
                work,
                jacobian,
                jacobian_routines(),
            )
            block = jacobian[: n_outputs * self.theta.size * n_rows]
            yield slice(start, start + n_rows), block.reshape(n_outputs, -1, n_rows)

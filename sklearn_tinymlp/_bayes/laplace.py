"""The Gaussian posterior of the weights: standard deviations of predictions, and draws.

Around the solution the weights are normal with the precision A = L L^T (MacKay 1992, section 3),
and the network is linear in them: f(x; theta + e) = f(x; theta) + j(x) e. Hence

    var y(x) = 1 / beta + j A^-1 j^T = noise_std^2 + |L^-1 j^T|^2.

Beyond the data the variance of `extrapolation` is added.

These standard deviations are too small where the network fits single rows, or the noise has long
tails. To calibrate them, leave-one-out residuals follow from the same linearisation: with the
leverage h_i = beta j_i A^-1 j_i^T the residual r_i becomes r_i / (1 - h_i) and its variance
1 / (beta (1 - h_i)) (Cook & Weisberg, "Residuals and influence in regression", 1982, section 2.2),
so that the standardised leave-one-out residual is

    z_i = r_i sqrt(beta / (1 - h_i)).

Where more than 5% of |z| exceed 1.96, all standard deviations are multiplied by the factor at which
95% do not: the jackknife of conformal prediction (Barber et al., Annals of Statistics 49, 2021).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from .._network.network import Network
from .._objective.objective import LinearBlock, Objective
from .._objective.samples import Samples
from .conformal import ConformalScores, normal_half_width
from .extrapolation import Extrapolation
from .precision import Precision

# A row that alone determines a parameter has h = 1 and no residual.
LEAST_ONE_MINUS_LEVERAGE = 1e-10


class RowNoise(NamedTuple):
    """The noise of each row, where it varies."""

    std: np.ndarray  # (n_samples, n_outputs) in the units of y
    precision: np.ndarray  # (n_samples,) weight of a row in training, 1 on average

    @classmethod
    def of(cls, std, weight) -> "RowNoise":
        """Weigh each row by the inverse of its relative variance, averaged over outputs."""
        variance = std**2 / np.average(std**2, axis=0, weights=weight)
        precision = 1.0 / variance.mean(axis=1)
        return cls(std, precision / np.average(precision, weights=weight))


@dataclass(frozen=True)
class Posterior:
    """A normal distribution over the weights, and the noise, in the units of y."""

    theta: np.ndarray  # (n_parameters,) its mean, for standardised inputs and targets
    precision: Precision
    noise_std: np.ndarray  # (n_outputs,)
    y_scale: np.ndarray  # (n_outputs,) factor from standardised targets to y
    widening: np.ndarray | float = 1.0  # (n_outputs,) calibration factor of the std
    inputs: np.ndarray | None = None  # the columns in use; None for all
    extrapolation: Extrapolation | None = None  # None for sparse inputs
    tails: ConformalScores | None = None  # None where not calibrated

    def calibrated(self, network, X, y, sample_weight, between, noise=None) -> "Posterior":
        """Calibrate the standard deviations by leave-one-out residuals of the training data.

        `y` is in the units of theta, `sample_weight` the multiplicity of each row. `between` is
        called for each block of rows.
        """
        tails = ConformalScores.of(self.loo_scores(network, X, y, between, noise), sample_weight)
        return replace(self, widening=np.maximum(1.0, tails.scale()), tails=tails)

    def loo_scores(self, network, X, y, between, noise=None) -> np.ndarray:
        """Compute the leave-one-out |z| of each row trained on, (n_samples, n_outputs)."""
        z = np.empty(y.shape)
        beta = (self.y_scale / self.noise_std) ** 2
        root = np.broadcast_to(self.y_scale / self._noise_std(noise), y.shape)
        for block in self._linearised(network, X):
            rows, leverage = block.rows, beta * self.precision.variances(network, block).T
            if noise is not None:
                leverage *= noise.precision[rows, None]
            freedom = np.maximum(1.0 - leverage, LEAST_ONE_MINUS_LEVERAGE)
            between()
            z[rows] = np.abs(y[rows] - block.residuals.T) * root[rows] / np.sqrt(freedom)
        return z

    def distances(self, network, X, y, noise=None) -> np.ndarray:
        """Compute |z| of held-out rows, (n_samples, n_outputs); `y` in the units of theta."""
        f = network.predict(*network.architecture.unpack(self.theta), X)
        return np.abs(y - f) * self.y_scale / self.std(network, X, noise)

    def at_least_as_wide(self, widening) -> "Posterior":
        """Return the posterior with a calibration factor of at least `widening`."""
        return replace(self, widening=np.maximum(self.widening, widening))

    def _noise_std(self, noise: RowNoise | None) -> np.ndarray:
        """Return the noise of each row and output, (n_samples, n_outputs), or of each output."""
        return self.noise_std if noise is None else noise.std

    def std(self, network, X, noise=None) -> np.ndarray:
        """Compute the standard deviation of y at X, shape (n_samples, n_outputs)."""
        std = np.empty((X.shape[0], len(self.noise_std)))
        relative = np.broadcast_to(self._noise_std(noise) / self.y_scale, std.shape)
        for block in self._linearised(network, X):
            rows = block.rows
            variance = self.precision.variances(network, block).T + relative[rows] ** 2
            if self.extrapolation is not None:
                variance += self.extrapolation.variance(X[rows])
            std[rows] = self.y_scale * np.sqrt(variance)
        return std * self.widening

    def std_of_means(self, network, X, size) -> np.ndarray:
        """Compute the standard deviation of means of f over `size` rows each, without noise.

        The mean of f(x_i) is linear in the weights, and its gradient is the mean of the j_i. Shape
        (n_samples / size, n_outputs).
        """
        std = np.empty((X.shape[0] // size, len(self.noise_std)))
        for group in range(len(std)):
            rows = X[group * size : (group + 1) * size]
            means = np.zeros((len(self.noise_std), len(self.theta)))
            for block in self._linearised(network, rows):
                for k, mean in enumerate(means):
                    mean += network.summed_jacobian(block, k) / size
            variance = np.array([mean @ self.precision.solve(mean) for mean in means])
            if self.extrapolation is not None:
                variance = variance + self.extrapolation.variance_of_mean(rows)
            std[group] = self.y_scale * np.sqrt(np.maximum(variance, 0.0))
        return std * self.widening

    def half_width(self, coverage) -> np.ndarray | float:
        """Compute half an interval's width in standard deviations, for each output."""
        if self.tails is None:
            return normal_half_width(coverage)
        return self.tails.half_width(coverage)

    def draw(self, network, X, n_draws, random_state, noise=None) -> np.ndarray:
        """Draw deviations of y from its mean at X, shape (n_samples, n_outputs, n_draws)."""
        weights = self.precision.draw(random_state, n_draws)
        draws = random_state.standard_normal((X.shape[0], len(self.noise_std), n_draws))
        draws *= self._noise_std(noise)[..., None]
        if self.extrapolation is not None:
            draws += self.y_scale[:, None] * self.extrapolation.draw(X, n_draws, random_state)
        for block in self._linearised(network, X):
            for d in range(n_draws):
                moved = network.directional_derivative(block, weights[:, d])
                draws[block.rows, :, d] += self.y_scale * moved.T
        return draws * np.reshape(self.widening, (-1, 1))

    def _linearised(self, network: Network, X) -> Iterator[LinearBlock]:
        """Linearise the network at theta by blocks of rows, with its predictions as residuals."""
        zeros = np.zeros((X.shape[0], len(self.noise_std)))
        return Objective(network, Samples.of(X, zeros), 0.0).linearise(self.theta)

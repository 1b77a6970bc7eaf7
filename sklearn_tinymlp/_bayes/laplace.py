"""The Gaussian posterior of the weights: standard deviations of predictions, and draws.

Around the solution the weights are normal with the precision A = L L^T (MacKay 1992, section 3),
and the network is linear in them: f(x; theta + e) = f(x; theta) + j(x) e. Hence

    var y(x) = 1 / beta + j A^-1 j^T = noise_std^2 + |L^-1 j^T|^2.

Beyond the data the variance of `extrapolation` is added.

These standard deviations are too small where the network fits single rows, or the noise has long
tails. To calibrate them, leave-one-out residuals follow from the same linearisation: with the
leverage h_i = w_i beta j_i A^-1 j_i^T of a row of weight w_i the residual r_i becomes
e_i = r_i / (1 - h_i), and the variance of the function V_i = j_i A^-1 j_i^T / (1 - h_i) (Cook &
Weisberg, "Residuals and influence in regression", 1982, section 2.2). If e_i^2 exceeds
1.96^2 (noise_std^2 + V_i) in more than 5% of the rows, standard deviations are multiplied by the
factor at which it does not: the jackknife of conformal prediction (Barber et al., Annals of
Statistics 49, 2021). Where intervals are narrower if the noise alone is multiplied, that is done:
a network that passes through its rows has next to no noise, and the variance of its function must
not be multiplied by thousands. Where errors are larger where V is, as on `pendulum`, scaling the
noise alone gives intervals four times as wide.

These residuals have no upper bound. The mean of y is always available as a prediction, with the
leave-one-out residuals (y_i - mean) / (1 - w_i / sum w), so the noise is not scaled beyond what
covers 95% of these.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from .._network.network import Network
from .._objective.objective import LinearBlock, Objective
from .._objective.samples import Samples
from .conformal import NORMAL_QUANTILE, ConformalScores
from .extrapolation import Extrapolation
from .precision import Precision

# A row that alone determines a parameter, or its prediction, has h = 1 and no residual.
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


class LeaveOneOut(NamedTuple):
    """Residuals of training rows in the units of theta, each (n_samples, n_outputs)."""

    residuals: np.ndarray
    freedom: np.ndarray  # 1 - leverage
    variances: np.ndarray  # of the function without the row

    @property
    def errors(self) -> np.ndarray:
        """Prediction errors without the row."""
        return self.residuals / self.freedom


@dataclass(frozen=True)
class Posterior:
    """A normal distribution over the weights, and the noise, in the units of y."""

    theta: np.ndarray  # (n_parameters,) its mean, for standardised inputs and targets
    precision: Precision
    noise_std: np.ndarray  # (n_outputs,)
    y_scale: np.ndarray  # (n_outputs,) factor from standardised targets to y
    widening: np.ndarray | float = 1.0  # (n_outputs,) calibration factor of the noise
    function_widening: np.ndarray | float = 1.0  # (n_outputs,) that of the function's std
    most_noise: np.ndarray | float = np.inf  # (n_outputs,) beyond it noise is not widened
    inputs: np.ndarray | None = None  # the columns in use; None for all
    extrapolation: Extrapolation | None = None  # None for sparse inputs
    tails: ConformalScores | None = None  # None where not calibrated

    def calibrated(
        self, network, X, y, weight, left_out, between, noise=None, errors=None
    ) -> "Posterior":
        """Calibrate the noise by leave-one-out residuals of the training data, or by `errors`.

        `y` is in the units of theta, `weight` the multiplicity of each row and `left_out` the
        weight that leaving one out removes. `between` is called for each block of rows.
        """
        loo = self.leave_one_out(network, X, y, left_out, between, noise)
        errors, variances = loo.errors if errors is None else errors, loo.variances
        mean = np.average(y, axis=0, weights=weight)
        rest = np.maximum(1.0 - left_out / weight.sum(), LEAST_ONE_MINUS_LEVERAGE)
        constant = (y - mean) / rest[:, None]
        factors = self.factors(errors, variances, constant, weight, noise)
        posterior = self.at_least_as_wide(factors)
        if noise is not None:  # its widest rows are widened, too, for the sake of the narrowest
            spread = self.y_scale * ConformalScores.of(np.abs(constant), weight).scale()
            posterior = replace(posterior, most_noise=spread)
        std = posterior._calibrated_noise(noise) / self.y_scale
        z = np.abs(errors) / np.sqrt(std**2 + posterior.function_widening**2 * variances)
        return replace(posterior, tails=ConformalScores.of(z, weight))

    def leave_one_out(self, network, X, y, left_out, between, noise=None) -> "LeaveOneOut":
        """Compute the residual and leverage of each row, when the weight `left_out` is removed."""
        residuals, variances = np.empty((2, *y.shape))
        for block in self._linearised(network, X):
            between()
            residuals[block.rows] = y[block.rows] - block.residuals.T
            variances[block.rows] = self.precision.variances(network, block).T
        if noise is not None:
            left_out = left_out * noise.precision
        leverage = left_out[:, None] * (self.y_scale / self.noise_std) ** 2 * variances
        freedom = np.maximum(1.0 - leverage, LEAST_ONE_MINUS_LEVERAGE)
        return LeaveOneOut(residuals, freedom, variances / freedom)

    def factors(self, errors, variances, of_constant, weight, noise=None) -> np.ndarray:
        """Compute the factors at which intervals cover 95% of held-out rows, (2, n_outputs).

        They are those of the noise and of the function. `errors` of held-out rows, `variances` of
        the function there and the errors `of_constant`, the mean of the training rows, are in the
        units of theta.
        """
        noise = self._noise_std(noise) / self.y_scale
        std = np.sqrt(noise**2 + variances)
        both = np.maximum(1.0, ConformalScores.of(np.abs(errors) / std, weight).scale())
        excess = np.maximum(errors**2 - NORMAL_QUANTILE**2 * variances, 0.0)
        of_noise = np.minimum(
            ConformalScores.of(np.sqrt(excess) / noise, weight).scale(),
            ConformalScores.of(np.abs(of_constant) / noise, weight).scale(),
        )
        of_noise = np.maximum(1.0, of_noise)
        scaled, added = both * std, np.sqrt((of_noise * noise) ** 2 + variances)
        narrower = (np.average(width, axis=0, weights=weight) for width in (scaled, added))
        return np.where(np.less_equal(*narrower), (both, both), (of_noise, np.ones_like(both)))

    def errors_and_variances(self, network, X, y) -> tuple[np.ndarray, np.ndarray]:
        """Compute the errors of held-out rows, and the variances of the function there."""
        f = network.predict(*network.architecture.unpack(self.theta), X)
        return y - f, self._variances(network, X)

    def at_least_as_wide(self, factors) -> "Posterior":
        """Return the posterior with calibration factors of at least `factors`."""
        of_noise, of_function = np.maximum(1.0, factors)
        return replace(
            self,
            widening=np.maximum(self.widening, of_noise),
            function_widening=np.maximum(self.function_widening, of_function),
        )

    def _noise_std(self, noise: RowNoise | None) -> np.ndarray:
        """Return the noise of each row and output, (n_samples, n_outputs), or of each output."""
        return self.noise_std if noise is None else noise.std

    def _calibrated_noise(self, noise: RowNoise | None) -> np.ndarray:
        std = self._noise_std(noise)
        return np.minimum(self.widening * std, np.maximum(std, self.most_noise))

    def _variances(self, network, X) -> np.ndarray:
        """Compute the variance of the function in the units of theta, (n_samples, n_outputs)."""
        variances = np.empty((X.shape[0], len(self.noise_std)))
        for block in self._linearised(network, X):
            variances[block.rows] = self.precision.variances(network, block).T
            if self.extrapolation is not None:
                variances[block.rows] += self.extrapolation.variance(X[block.rows])
        return variances

    def std(self, network, X, noise=None) -> np.ndarray:
        """Compute the standard deviation of y at X, shape (n_samples, n_outputs)."""
        of_function = self.function_widening * np.sqrt(self._variances(network, X))
        return np.hypot(self.y_scale * of_function, self._calibrated_noise(noise))

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
        return std * self.function_widening

    def draw(self, network, X, n_draws, random_state, noise=None) -> np.ndarray:
        """Draw deviations of y from its mean at X, shape (n_samples, n_outputs, n_draws)."""
        weights = self.precision.draw(random_state, n_draws)
        draws = random_state.standard_normal((X.shape[0], len(self.noise_std), n_draws))
        draws *= self._calibrated_noise(noise)[..., None]
        scale = np.broadcast_to(self.y_scale * self.function_widening, self.y_scale.shape)
        if self.extrapolation is not None:
            draws += scale[:, None] * self.extrapolation.draw(X, n_draws, random_state)
        for block in self._linearised(network, X):
            for d in range(n_draws):
                moved = network.directional_derivative(block, weights[:, d])
                draws[block.rows, :, d] += scale * moved.T
        return draws

    def _linearised(self, network: Network, X) -> Iterator[LinearBlock]:
        """Linearise the network at theta by blocks of rows, with its predictions as residuals."""
        zeros = np.zeros((X.shape[0], len(self.noise_std)))
        return Objective(network, Samples.of(X, zeros), 0.0).linearise(self.theta)

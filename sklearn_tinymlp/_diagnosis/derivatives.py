"""`LossDerivatives`: the losses of a fitted network on its data, and their derivatives, in NumPy.

Derivatives with respect to the weights need no large matrix: they are products with the Jacobian J
of the predictions, forward and backward through the layers.

With the loss that sgd minimises, L = mean over rows of half the squared error summed over the
outputs + alpha / (2 n) sum(coefs^2), and lambda the largest eigenvalue of its Gauss-Newton matrix,
gradient descent is stable where rate < 2 / lambda. With momentum m an error along that direction
follows (q = 1 - rate lambda)

    heavy ball   e'' = (1 + m - rate lambda) e' - m e    stable below 2 (1 + m) / lambda
    Nesterov     e'' = (1 + m) q e' - m q e              stable below 2 (1 + m) / ((1 + 2 m) lambda)

where the root -1 appears. For batches of b of n rows lambda is replaced by the expected smoothness
(Gower et al., "SGD: general analysis and improved rates", ICML 2019, section 3.2),

    n (b - 1) / (b (n - 1)) lambda + (n - b) / (b (n - 1)) lambda_row,

lambda_row being the largest of a single row; for b = n it is lambda itself.
"""

import math
from dataclasses import replace
from typing import Self

import numpy as np
from scipy.linalg import eigvalsh_tridiagonal

from .._data.input_range import square_norms
from .._machine.caching import cached_property
from .._network.derivatives import layer_values
from .feasibility import LEAST_POSITIVE
from .trained_network import TrainedNetwork

# Maximum number of unit values on the rows examined: 4 million take 32 MB and some 20 ms per pass.
# For a warning after a fit, which may have been short, fewer rows are examined.
MOST_VALUES, MOST_VALUES_IN_WARNING = 4_000_000, 40_000

# Number of Lanczos steps: the largest eigenvalue is exact if there are no more parameters, and was
# within a percent for all networks tried. The number of values in the basis is limited, but it has
# at least eight vectors.
LANCZOS_STEPS, LANCZOS_NUMBERS = 25, 4_000_000


class LossDerivatives:
    """Values, slopes, losses and derivatives of a fitted network on its data.

    If the rows have more than `most_values` unit values, an evenly spaced subset is examined.
    """

    def __init__(self, network: TrainedNetwork, most_values=MOST_VALUES):
        self.network, self.most_values = network, most_values
        n_samples = network.y.shape[0]
        sample_weight = network.sample_weight
        self.weight_sum = n_samples if sample_weight is None else float(sample_weight.sum())
        most = max(64, most_values // sum(network.architecture.units))
        rows = slice(None)
        if n_samples > most:
            rows = np.linspace(0, n_samples - 1, most).astype(np.intp)
        self.X, self.y = network.X[rows].astype(np.float64), network.y[rows].astype(np.float64)
        self.n_rows = self.y.shape[0]
        weight = np.ones(self.n_rows) if sample_weight is None else sample_weight[rows]
        # The weights have the shape (n_rows, 1) and the sum 1.
        self.weight = weight[:, None] / max(weight.sum(), np.finfo(float).tiny)
        self.factor = network.loss.factor(self.y.shape[1])
        self.coefs, self.intercepts = network.architecture.unpack(network.theta)
        self.values, self.slopes = layer_values(
            self.coefs, self.intercepts, network.activations, self.X
        )
        self.predictions = self.values[-1]

    def replaced(self, **changes) -> Self:
        """Examine the network with other fields."""
        return type(self)(replace(self.network, **changes), self.most_values)

    def on_rows(self, rows) -> Self:
        """Examine the same network on some rows, with the same penalty per row."""
        weight = None if self.network.sample_weight is None else self.weight[rows, 0]
        weight = weight if weight is None or weight.sum() > 0 else np.ones(len(rows))
        total = len(rows) if weight is None else float(weight.sum())
        penalty = self.network.penalty * total / self.weight_sum
        data = {"X": self.X[rows], "y": self.y[rows], "sample_weight": weight}
        return type(self)(replace(self.network, penalty=penalty, **data))

    def mean_loss(self, predictions) -> float:
        """Compute the mean loss of predictions, without penalty."""
        losses = self.network.loss.value(self.y, predictions)
        return float((self.weight * losses).sum() * self.factor)

    @cached_property
    def loss(self) -> float:
        """Mean loss without penalty."""
        return self.mean_loss(self.predictions)

    @cached_property
    def penalty(self) -> np.ndarray:
        """Second derivative of the penalty with respect to each parameter."""
        strength = np.zeros(self.network.theta.size)
        strength[: self.network.architecture.n_coefs] = self.network.penalty / self.weight_sum
        return strength

    @property
    def objective(self) -> float:
        """Mean loss with penalty, which training minimises."""
        return self.loss + 0.5 * float(self.penalty @ self.network.theta**2)

    @property
    def rms_of_X(self) -> float:
        """Root mean square of the inputs."""
        return math.sqrt(float(np.mean(square_norms(self.X))) / self.X.shape[1])

    @property
    def row_weight(self) -> np.ndarray | None:
        """Weight of each row; None where all are equal."""
        return None if self.network.sample_weight is None else self.weight[:, 0]

    @cached_property
    def constant(self) -> np.ndarray:
        """Predictions of the best constant; NaN where the weights sum to zero."""
        if self.network.sample_weight is not None and self.weight.sum() == 0.0:
            return np.full(self.y.shape, math.nan)
        return self.network.loss.constant_predictions(self.y, self.row_weight)

    @cached_property
    def constant_loss(self) -> float:
        """Mean loss of the best constant: half the variance for squared errors."""
        return self.mean_loss(self.constant)

    @cached_property
    def constant_outputs(self) -> np.ndarray:
        """Mask of the outputs whose targets are constant up to rounding."""
        deviations = self.y - (self.weight * self.y).sum(axis=0)
        variance = (self.weight * deviations**2).sum(axis=0)
        return variance <= 2e-12 * (self.weight * self.y**2).sum(axis=0)

    @cached_property
    def explained(self) -> float:
        """Share of the loss of the best constant that the network explains: R² or D²."""
        if self.constant_outputs.all() or self.constant_loss == 0.0:
            return 1.0
        return 1.0 - self.loss / self.constant_loss

    @cached_property
    def explained_by_output(self) -> np.ndarray:
        """Explained share of each output, shape (n_outputs,)."""
        value = self.network.loss.value
        remaining = (self.weight * value(self.y, self.predictions)).sum(axis=0)
        of_constant = (self.weight * value(self.y, self.constant)).sum(axis=0)
        is_constant = self.constant_outputs | (of_constant == 0.0)
        explained = 1.0 - remaining / np.where(is_constant, 1.0, of_constant)
        return np.where(is_constant, 1.0, explained)

    @property
    def positive_predictions(self) -> np.ndarray:
        """Predictions, clipped to positive values if the loss requires them."""
        least = LEAST_POSITIVE if self.network.loss.positive else -np.inf
        return np.maximum(self.predictions, least)

    @cached_property
    def loss_curvature(self) -> np.ndarray:
        """Second derivative of each row's loss in its predictions, (n_rows, n_outputs)."""
        return self.network.loss.curvature(self.y, self.positive_predictions)

    def jvp(self, direction) -> np.ndarray:
        """Compute J direction, the derivative of the predictions, (n_rows, n_outputs)."""
        changed = None
        coefs, intercepts = self.network.architecture.unpack(direction)
        for layer, (coef, intercept) in enumerate(zip(coefs, intercepts, strict=True)):
            z = self.values[layer] @ coef + intercept
            if layer > 0:
                z += changed @ self.coefs[layer]
            changed = z * self.slopes[layer]
        return changed

    def deltas(self, by_predictions):
        """Yield each layer, the last one first, with the derivatives with respect to its sums z."""
        for layer in range(len(self.coefs) - 1, -1, -1):
            delta = by_predictions * self.slopes[layer]
            yield layer, delta
            by_predictions = delta @ self.coefs[layer].T

    def vjp(self, by_predictions) -> np.ndarray:
        """Compute J^T by_predictions: the gradient from derivatives in the predictions."""
        coefs, intercepts = [], []
        for layer, delta in self.deltas(by_predictions):
            coefs.insert(0, np.asarray(self.values[layer].T @ delta))
            intercepts.insert(0, delta.sum(axis=0))
        return self.network.architecture.pack(coefs, intercepts, np.float64)

    @cached_property
    def gradient(self) -> np.ndarray:
        """Gradient of the loss with penalty."""
        slope = self.factor * self.network.loss.slope(self.y, self.positive_predictions)
        return self.vjp(self.weight * slope) + self.penalty * self.network.theta

    def gauss_newton_product(self, direction) -> np.ndarray:
        """Compute (J^T C J + penalty) direction, C the curvature of the loss that sgd minimises.

        As in MLPRegressor this loss is the sum over the outputs (scikit-learn issue 8349).
        """
        by_predictions = self.weight * self.loss_curvature * self.jvp(direction)
        return self.vjp(by_predictions) + self.penalty * direction

    @cached_property
    def largest_curvature(self) -> float:
        """Largest eigenvalue of the Gauss-Newton matrix."""
        return largest_eigenvalue(self.gauss_newton_product, self.network.theta.size)

    @cached_property
    def largest_row_curvature(self) -> float:
        """Largest eigenvalue of the Gauss-Newton matrix of a single row."""
        squares = np.zeros(self.n_rows)
        inputs = [square_norms(value) + 1.0 for value in self.values[:-1]]
        for k in range(self.y.shape[1]):
            by_predictions = np.zeros_like(self.y)
            by_predictions[:, k] = np.sqrt(self.loss_curvature[:, k])
            for layer, delta in self.deltas(by_predictions):
                squares += inputs[layer] * square_norms(delta)
        return float(squares.max()) + float(self.penalty.max())

    @cached_property
    def stable_rate(self) -> float:
        """Largest learning rate at which sgd is stable at these weights."""
        n, b = self.network.y.shape[0], self.network.batch_size
        curvature = self.largest_curvature
        if b < n:
            curvature *= n * (b - 1) / (b * (n - 1))
            curvature += (n - b) / (b * (n - 1)) * self.largest_row_curvature
        m = self.network.params["momentum"]
        factor = 2.0 * (1.0 + m)
        if self.network.params["nesterovs_momentum"]:
            factor /= 1.0 + 2.0 * m
        return factor / max(curvature, np.finfo(float).tiny)


def largest_eigenvalue(multiply, size) -> float:
    """Compute the largest eigenvalue of a positive semidefinite matrix by Lanczos steps.

    NaN where products with the matrix overflow. `scipy.sparse.linalg.eigsh` does not accept a
    matrix of one row, raises an error for a matrix of zeros, prints messages of LAPACK where a
    product is NaN, and is no faster here (4 parameters: 130 against 110 us; 400:
    380 against 480 us).

    Reference: G. Golub and C. Van Loan, "Matrix Computations", section 10.1.
    """
    vector = np.random.RandomState(0).standard_normal(size)
    basis = [vector / np.linalg.norm(vector)]
    diagonal, off_diagonal = [], []
    for _ in range(min(size, LANCZOS_STEPS, max(8, LANCZOS_NUMBERS // size))):
        product = multiply(basis[-1])
        diagonal.append(product @ basis[-1])
        span = np.array(basis)
        product = product - span.T @ (span @ product)
        product -= span.T @ (span @ product)
        norm = np.linalg.norm(product)
        if norm <= 1e-12 * max(abs(diagonal[0]), 1e-300):
            break
        off_diagonal.append(norm)
        basis.append(product / norm)
    off_diagonal = off_diagonal[: len(diagonal) - 1]
    if not np.isfinite([*diagonal, *off_diagonal]).all():
        return math.nan
    return float(eigvalsh_tridiagonal(diagonal, off_diagonal)[-1])

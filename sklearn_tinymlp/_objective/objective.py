"""The objective of a fit: data, network and penalty; its value, gradient and linearisation.

Two engines compute it. Second-order training works on blocks of rows in NumPy. Many cheap steps
over many rows, and epochs of sgd and adam, are compiled (`_engine`, imported on demand). The engine
of a gradient depends on its work alone, see `COMPILED_WORK`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from scipy import sparse
from sklearn.metrics import r2_score

from .._losses.loss import Loss
from .._losses.table import SQUARED_ERROR
from .._machine.caching import cached_property
from .._network.architecture import Layers
from .._network.network import Forward, Network
from .samples import Block, Samples

# Number of values in the Jacobian of a block: 1 MB, which stays in the second-level cache.
JACOBIAN_NUMBERS = 2**17

# Number of a layer's values in a block of the gradient: below 128 KB, above which the C library
# requests the memory of each temporary array from the system.
GRADIENT_NUMBERS = 16_000

LEAST_BLOCK = 64  # rows; in shorter blocks overhead dominates

ROUNDING = 1e-8  # of a constant input when its mean is taken off, in standard deviations

# Rows times units above which gradients are compiled: NumPy then takes twice as long, mostly for
# passes over arrays, and a fit takes some seconds. numba takes 0.3 s to import, and 2 to 4 s to
# compile once on a machine.
COMPILED_WORK = 200_000


class Evaluation(NamedTuple):
    """Errors at some parameters, and the forward pass where all rows are one block."""

    errors: np.ndarray  # (n_outputs,) half the weighted sum of squared residuals
    passed: Forward | None


class LinearBlock(NamedTuple):
    """The network on a block of rows, and the factors of its derivatives in the weights."""

    layers: Layers
    values: list[np.ndarray]  # of each layer, the inputs first
    slopes: list[np.ndarray]  # of each hidden layer
    at_outputs: np.ndarray  # (n_outputs, n_rows) slope of the output activation, times root weights
    residuals: np.ndarray  # (n_outputs, n_rows) predictions minus targets, times root weights
    rows: slice


@dataclass(frozen=True)
class Objective:
    """`loss(theta)` = mean loss over the training samples + alpha / 2 sum(coefs^2) / weight_sum.

    Methods call `between` before each block of rows.
    """

    network: Network
    training: Samples
    alpha: float
    validation: Samples | None = None
    # Scale of y, see `_data.scaling`.
    output_scale: np.ndarray = field(default_factory=lambda: np.ones(1))
    loss: Loss = SQUARED_ERROR

    # ------------------------------------------------------------------ on blocks of rows

    @property
    def n_outputs(self) -> int:
        """Number of outputs."""
        return self.training.y.shape[1]

    def evaluate(self, theta, between: Callable | None = None) -> Evaluation:
        """Compute the errors of each output."""
        layers, errors, passed = self.network.layers(theta), np.zeros(self.n_outputs), None
        n_blocks = 0
        for block in self._jacobian_blocks(between):
            passed = self.network.forward(layers, block.x)
            residuals = _residuals(passed, block)
            errors += 0.5 * np.einsum("kr,kr->k", residuals, residuals)
            n_blocks += 1
        return Evaluation(errors, passed if n_blocks == 1 else None)

    def linearise(
        self, theta, passed: Forward | None = None, between: Callable | None = None
    ) -> Iterator[LinearBlock]:
        """Yield the factors of the Jacobian at theta, block by block of rows.

        `passed` is the forward pass at theta that `evaluate` returned.
        """
        network = self.network
        layers = network.layers(theta)
        for block in self._jacobian_blocks(between):
            here = network.forward(layers, block.x) if passed is None else passed
            at_outputs = network.output_slopes(here)
            if block.root is not None:
                at_outputs = at_outputs * block.root
            slopes, residuals = network.hidden_slopes(here), _residuals(here, block)
            yield LinearBlock(layers, here.values, slopes, at_outputs, residuals, block.rows)

    def _jacobian_blocks(self, between) -> Iterator[Block]:
        n_parameters = self.network.architecture.n_parameters
        n_rows = max(LEAST_BLOCK, JACOBIAN_NUMBERS // n_parameters)
        # A last block of a few rows would cost as much as a full one.
        if self.training.n_samples <= 2 * n_rows:
            n_rows = self.training.n_samples
        return self.training.blocks(n_rows, between)

    def weighted_gradient(
        self, theta, output_weights: np.ndarray, between: Callable | None = None
    ) -> tuple[float, np.ndarray]:
        """Compute sum_k w_k (loss of output k, summed over weighted rows), and its gradient."""
        if self.is_compiled and self._compiles(output_weights):
            return self.compiled.weighted_gradient(theta, output_weights, between)
        network, loss = self.network, self.loss
        layers, total, gradient = network.layers(theta), 0.0, np.zeros_like(theta)
        n_rows = max(LEAST_BLOCK, GRADIENT_NUMBERS // max(network.architecture.units))
        with np.errstate(all="ignore"):
            for block in self.training.blocks(n_rows, between):
                passed = network.forward(layers, block.x)
                f, weight = passed.outputs, output_weights[:, None]
                if block.weight is not None:
                    weight = weight * block.weight
                if loss.least_squares:
                    residuals = f - block.y
                    at_outputs = weight * residuals
                    total += 0.5 * np.vdot(at_outputs, residuals)
                else:
                    y, outputs = block.y.T, f.T  # (n_rows, n_outputs), as a loss expects
                    total += float(np.sum(weight * loss.value(y, outputs).T))
                    at_outputs = weight * loss.slope(y, outputs).T
                if network.activations[-1] != "identity":
                    at_outputs = at_outputs * network.output_slopes(passed)
                network.gradient(layers, passed, at_outputs, gradient)
        return float(total), gradient

    def without_constant_inputs(self, theta) -> np.ndarray:
        """Return weights with zeros for inputs that are zero in all rows.

        A constant input is zero when standardised, up to rounding.
        """
        X = self.training.X
        if sparse.issparse(X):
            constant = abs(X).max(axis=0).toarray().ravel() == 0.0
        else:
            constant = (np.ptp(X, axis=0) == 0.0) & (np.abs(X[0]) < ROUNDING)
        if not constant.any():
            return theta
        coefs, intercepts = self.network.architecture.unpack(theta.copy())
        coefs[0][constant] = 0.0
        return self.network.architecture.pack(coefs, intercepts, theta.dtype)

    def predict(self, theta) -> np.ndarray:
        """Compute the outputs of the rows trained on, shape (n_samples, n_outputs)."""
        return self.network.predict(*self.network.architecture.unpack(theta), self.training.X)

    # ------------------------------------------------------------------ the compiled engine

    @property
    def is_compiled(self) -> bool:
        """Whether gradients are compiled: the work of these rows exceeds `COMPILED_WORK`."""
        n_units = sum(self.network.architecture.units[1:])
        many = self.training.n_samples * n_units > COMPILED_WORK
        return many and not self.loss.couples_outputs

    def _compiles(self, output_weights) -> bool:
        """Whether the compiled loss can apply these weights, by scaling targets and weights."""
        equal = np.all(output_weights == output_weights[0])
        linear = self.loss.least_squares and self.network.activations[-1] == "identity"
        return self.training.curvature is None and bool(equal or linear)

    @cached_property
    def compiled(self):
        """Return the same objective in compiled code: see `_engine.compiled.CompiledObjective`."""
        from .._engine.compiled import CompiledObjective

        samples = self.training
        return CompiledObjective.of(
            self.network, self.loss, samples.X, samples.y, samples.weight, self.alpha
        )

    def loss_gradient(self, theta, between=None) -> tuple[float, np.ndarray]:
        """Compute the loss at theta and its gradient.

        With several outputs and the squared error the first term of MLPRegressor's gradient is
        n_outputs times larger (scikit-learn issue 8349).
        """
        return self.compiled.loss_gradient(theta, between)

    # ------------------------------------------------------------------ other objectives

    def on_rows(self, rows) -> "Objective":
        """Return the objective on a subset of the rows."""
        return replace(self, training=self.training.on_rows(rows))

    def with_weight(self, weight) -> "Objective":
        """Return the objective with these weights of the rows."""
        samples = self.training
        weighted = replace(samples, weight=weight, weight_sum=float(np.sum(weight)))
        return replace(self, training=weighted)

    def with_loss(self, loss: Loss) -> "Objective":
        """Return the objective with this loss."""
        return self if loss is self.loss else replace(self, loss=loss)

    def with_scale(self, predictions, narrowing=1.0) -> "Objective":
        """Return the objective with the scale of its loss estimated from predictions."""
        if self.loss.with_scale is None:
            return self
        y = self.training.y.astype(np.float64, copy=False)
        f = np.broadcast_to(predictions, y.shape)
        if not np.isfinite(f).all():  # a diverged fit
            return self
        return self.with_loss(self.loss.with_scale(y, f, self.training.weight, narrowing))

    def at_constant(self) -> "Objective":
        """Return the objective with the scale of its loss at the best constant."""
        if self.loss.with_scale is None:
            return self
        y = self.training.y.astype(np.float64, copy=False)
        middle = self.loss.best_constant(y, self.training.weight)
        # Twice, because the first scale may be far from the scale of y.
        objective = self.with_scale(middle)
        return objective.with_scale(objective.loss.best_constant(y, self.training.weight))

    # ------------------------------------------------------------------ sums over the data

    def errors(self, theta) -> np.ndarray:
        """Compute half the weighted sum of squared residuals of each output, (n_outputs,)."""
        return self._half_squares(self.predict(theta) - self.training.y)

    def spread(self) -> np.ndarray:
        """Compute `errors` of predictions of zero, shape (n_outputs,)."""
        return self._half_squares(self.training.y)

    def mean_loss(self, theta, errors=None) -> float:
        """Compute the mean loss and penalty in the units of y; `errors` are those at theta."""
        loss, samples = self.loss, self.training
        if not loss.least_squares:  # the evidence determines the penalty
            unit = float(np.mean(self.output_scale**loss.degree))
            return unit * float(loss.mean(samples.y, self.predict(theta), samples.weight))
        errors = self.errors(theta) if errors is None else errors
        squares, n_outputs = self.output_scale**2, self.n_outputs
        # Outputs that are not scaled share one scale.
        total = float(squares @ errors if squares.size == n_outputs else squares[0] * errors.sum())
        total /= n_outputs
        if self.alpha > 0.0:  # the square of a scale of 1e200 is infinite, times 0 NaN
            coefs = theta[: self.network.architecture.n_coefs]
            total += 0.5 * float(squares.mean() * self.alpha * (coefs @ coefs))
        return total / samples.weight_sum

    def _half_squares(self, residuals) -> np.ndarray:
        squares = residuals * residuals
        if self.training.weight is not None:
            return 0.5 * self.training.weight @ squares
        return 0.5 * squares.sum(axis=0)

    def variance(self) -> float:
        """Compute the variance of the targets; 1 if they are standardised or constant."""
        y, weight = self.training.y, self.training.weight
        deviations = y - np.average(y, axis=0, weights=weight)
        variance = float(np.average(deviations**2, axis=0, weights=weight).mean())
        return 1.0 if variance == 0.0 or abs(variance - 1.0) < 1e-6 else variance

    def validation_scores(self, theta) -> tuple[float, float]:
        """Compute the loss without penalty, and R² or D², on the validation set.

        Both are NaN if a prediction is not finite, as in scikit-learn's early stopping.
        """
        samples = self.validation
        predictions = self.network.predict(*self.network.architecture.unpack(theta), samples.X)
        if not np.isfinite(predictions).all():
            return np.nan, np.nan
        loss = self.loss.mean(samples.y, predictions, samples.weight)
        if self.loss.uses_d2:
            return float(loss), self.loss.score(samples.y, predictions, samples.weight)
        weight = samples.weight  # in float32 sums would be rounded otherwise than MLPRegressor's
        weight = None if weight is None else weight.astype(np.float64)
        return float(loss), r2_score(samples.y, predictions, sample_weight=weight)


def _residuals(passed: Forward, block: Block) -> np.ndarray:
    residuals = passed.outputs - block.y
    return residuals if block.root is None else residuals * block.root

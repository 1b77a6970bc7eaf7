"""`ForwardPass`: the pass of the data through a fitted network in NumPy, and its losses."""

import math
from dataclasses import replace
from typing import Self

import numpy as np

from .._data.input_range import square_norms
from .._machine.caching import cached_property
from .._network.derivatives import layer_values
from .trained_network import TrainedNetwork

# Maximum number of unit values on the rows examined: 4 million take 32 MB and some 20 ms per pass.
# For a warning after a fit, which may have been short, fewer rows are examined.
MOST_VALUES, MOST_VALUES_IN_WARNING = 4_000_000, 40_000


class ForwardPass:
    """Values, slopes and losses of a fitted network on its data.

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

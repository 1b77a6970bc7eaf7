"""The forward pass, backpropagation and the Jacobian of a network, as products of arrays.

Rows of the data are the last axis: layer l has values a_l of shape (units, rows), and

    z_l = W_l^T a_(l-1) + b_l,    a_l = f_l(z_l)

Backpropagation computes d = dL / dz of each layer from d of the next layer,

    d_(l-1) = f'_(l-1)(z_(l-1)) * (W_l d_l),

after which dL / dW_l = a_(l-1) d_l^T and dL / db_l is the sum of d_l over rows. A Jacobian has no
sum over rows: the derivative of an output of one row with respect to the weight from unit i to unit
j of the next layer is a_(l-1)[i] d_l[j].
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from .._activations.lookup import OnArrays, on_arrays
from .._machine.caching import cached_property
from .architecture import Architecture, Layers

# Maximum number of a layer's values in a block of predictions: 8 MB, the size of a last-level
# cache.
VALUES_AT_ONCE = 1_000_000


@lru_cache(maxsize=64)
def network_of(architecture: Architecture, activations: tuple) -> "Network":
    """Return the network, cached: creating it would dominate predictions of one row."""
    return Network(architecture, activations)


class Forward(NamedTuple):
    """The forward pass of a block of rows; rows are the last axis."""

    sums: list[np.ndarray]  # z of each layer, the first hidden layer first
    values: list[np.ndarray]  # a of each layer, the inputs first

    @property
    def outputs(self) -> np.ndarray:
        """Predictions of shape (n_outputs, n_rows)."""
        return self.values[-1]


@dataclass(frozen=True)
class Network:
    """An architecture and the activation of each layer, the output layer last."""

    architecture: Architecture
    activations: tuple

    @cached_property
    def functions(self) -> list[OnArrays]:
        """Value and slope of each layer's activation."""
        return [on_arrays(activation) for activation in self.activations]

    def layers(self, theta) -> Layers:
        """Return views of the coefs and, as columns, of the intercepts."""
        return self.architecture.layers(theta)

    def forward(self, layers: Layers, x) -> Forward:
        """Compute all layers for inputs x of shape (n_inputs, n_rows)."""
        sums, values = [], [x]
        for coef, intercept, function in zip(*layers, self.functions, strict=True):
            z = coef.T @ values[-1]
            z += intercept
            sums.append(z)
            values.append(function.value(z))
        return Forward(sums, values)

    def output_slopes(self, passed: Forward) -> np.ndarray:
        """Compute the derivative of each output in its z, shape (n_outputs, n_rows)."""
        return self.functions[-1].slope(passed.sums[-1], passed.values[-1])

    def hidden_slopes(self, passed: Forward) -> list[np.ndarray]:
        """Compute f' of each hidden layer, each of shape (n_units, n_rows)."""
        hidden = zip(self.functions[:-1], passed.sums[:-1], passed.values[1:-1], strict=True)
        return [function.slope(z, a) for function, z, a in hidden]

    def deltas(self, layers: Layers, slopes, at_outputs) -> list[np.ndarray]:
        """Backpropagate `at_outputs`, dL / dz of the output layer; return dL / dz of each layer.

        `slopes` are the `hidden_slopes`.
        """
        deltas = [at_outputs]
        for coef, slope in zip(layers.coefs[:0:-1], slopes[::-1], strict=True):
            delta = deltas[-1]
            # With one unit an elementwise product is faster.
            before = coef @ delta if len(delta) > 1 else coef * delta
            before *= slope
            deltas.append(before)
        return deltas[::-1]

    def gradient(self, layers: Layers, passed: Forward, at_outputs, total) -> None:
        """Add the gradient of a loss to `total`, from its derivative in the output layer's z."""
        deltas = self.deltas(layers, self.hidden_slopes(passed), at_outputs)
        self._add_products(passed.values, deltas, total)

    def _add_products(self, values, deltas, total) -> None:
        coefs, intercepts = self.layers(total)
        for layer, delta in enumerate(deltas):
            coefs[layer] += values[layer] @ delta.T
            if self.architecture.bias:
                intercepts[layer] += delta.sum(axis=1, keepdims=True)

    def fill_jacobian(self, jacobian, layers: Layers, values, slopes, at_outputs) -> None:
        """Write the derivatives in all weights to an array of shape (n_parameters, n_rows).

        The arguments are those of `deltas`; `values` are the values before each layer.
        """
        architecture, deltas = self.architecture, self.deltas(layers, slopes, at_outputs)
        for layer, (n_in, n_out) in enumerate(architecture.coef_shapes):
            start, delta = architecture.coef_starts[layer], deltas[layer]
            block = jacobian[start : start + n_in * n_out].reshape(n_in, n_out, -1)
            np.multiply(values[layer][:, None, :], delta, out=block)
            if architecture.bias:
                start = architecture.intercept_starts[layer]
                jacobian[start : start + n_out] = delta

    def summed_jacobian(self, block, output: int) -> np.ndarray:
        """Compute the gradient of one output in the weights, summed over a `LinearBlock`'s rows."""
        at_outputs = np.zeros_like(block.at_outputs)
        at_outputs[output] = block.at_outputs[output]
        total = np.zeros(self.architecture.n_parameters)
        self._add_products(block.values, self.deltas(block.layers, block.slopes, at_outputs), total)
        return total

    def directional_derivative(self, block, direction) -> np.ndarray:
        """Differentiate the outputs along a direction of the weights, (n_outputs, n_rows).

        With da the derivative of the values before a layer, the derivative of its sums is
        W^T da + dW^T a + db.
        """
        moved, changed = self.layers(direction), 0.0
        slopes = [*block.slopes, block.at_outputs]
        for layer, slope in enumerate(slopes):
            change = moved.coefs[layer].T @ block.values[layer] + moved.intercepts[layer]
            if layer > 0:
                change += block.layers.coefs[layer].T @ changed
            changed = slope * change
        return changed

    def predict(self, coefs, intercepts, X) -> np.ndarray:
        """Compute the values of the last given layer for dense or CSR X, in the dtype of X."""
        widest = max(coef.shape[1] for coef in coefs)
        step = max(1, VALUES_AT_ONCE // widest)
        if X.shape[0] <= step:
            return self._predict_rows(coefs, intercepts, X)
        blocks = (X[start : start + step] for start in range(0, X.shape[0], step))
        return np.concatenate([self._predict_rows(coefs, intercepts, block) for block in blocks])

    def _predict_rows(self, coefs, intercepts, a) -> np.ndarray:
        with np.errstate(all="ignore"):
            for coef, intercept, function in zip(coefs, intercepts, self.functions, strict=False):
                z = a @ coef
                z += intercept
                a = function.value(z)
        return a

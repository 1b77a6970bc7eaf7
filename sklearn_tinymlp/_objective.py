"""The objective of a fit: data, network and penalty; its loss and gradient at any parameters."""

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from scipy import sparse
from scipy.linalg import blas
from sklearn.metrics import r2_score
from sklearn.neural_network._base import poisson_loss, squared_loss

from . import _activations, _kernels, _products
from ._compilation import unsigned
from ._evidence import GaussNewton
from ._parameters import Architecture

_NO_WEIGHT = {dtype: np.empty(0, dtype) for dtype in (np.float32, np.float64)}
NATURAL_ORDER = np.empty(0, np.int64)  # to the kernels: rows as they stand

# Rows a kernel call works on before it comes back to Python: 2e7 multiply-adds take 10 to 40 ms
# on a current core, so that Ctrl-C is heard within 50 ms.
OPERATIONS_PER_CALL = 2e7


# Rows of the Jacobian that stand in memory at once: dsyrk has reached its full speed, and 200
# parameters take 0.8 MB, which the second-level cache nearly holds.
JACOBIAN_ROWS = 512


def read_only(array):
    """Give a view that kernels cannot write to.

    It has one numba type whether or not the user's array may be written, so that a memory map
    or a pandas block needs no second compilation.
    """
    view = array.view()
    view.flags.writeable = False
    return view


def kernel_rows(X) -> _kernels.Rows:
    """Hand over a C-contiguous dense matrix or a CSR matrix, without a copy."""
    if sparse.issparse(X):
        return _kernels.Rows(read_only(X.data), read_only(X.indices), read_only(X.indptr))
    return _kernels.Rows(read_only(X), None, None)


@lru_cache(maxsize=64)
def kernel_network(architecture: Architecture, activations, loss, dtype) -> _kernels.Network:
    """Describe an architecture to the kernels; `activations` names one a layer, output last."""
    units = architecture.units
    if loss == "squared_error":
        loss_code, loss_factor = _kernels.SQUARED_ERROR, 1.0 / units[-1]
    else:
        exponential = activations[-1] == "exp"
        loss_code = _kernels.POISSON_OF_EXP if exponential else _kernels.POISSON
        loss_factor = 1.0
    starts = np.cumsum([0, *units])
    products = [
        _products.compiled(dtype, n_in * n_out >= _products.BLAS_SIZE)
        for n_in, n_out in architecture.coef_shapes
    ]
    layers = np.column_stack(
        [
            units[:-1],
            units[1:],
            architecture.coef_starts,
            architecture.intercept_starts,
            starts[:-2],
            starts[1:-1],
            [_activations.compiled(name, dtype).address for name in activations],
            [[product.address for product in layer] for layer in products],
        ]
    )
    return _kernels.Network(
        layers=layers.astype(unsigned),
        n_coefs=architecture.n_coefs,
        bias=architecture.bias,
        loss=loss_code,
        loss_factor=loss_factor,
    )


def work_arrays(network, n_parameters, dtype) -> _kernels.Work:
    """Scratch space for blocks of rows, and for a gradient."""
    n_units = int(network.layers[-1, _kernels.AFTER] + network.layers[-1, _kernels.N_OUT])
    blocks = (np.empty(n_units * _kernels.BLOCK_ROWS, dtype) for _ in range(3))
    return _kernels.Work(*blocks, np.empty(n_parameters, dtype))


@dataclass(frozen=True)
class Samples:
    """Inputs, targets of shape (n_samples, n_outputs) and weights, as the kernels take them."""

    rows: _kernels.Rows
    y: np.ndarray
    weight: np.ndarray  # empty when every sample counts 1
    weight_sum: float

    @classmethod
    def of(cls, X, y, sample_weight=None) -> "Samples":
        """Wrap validated arrays of one floating dtype."""
        if sample_weight is None:
            weight, weight_sum = _NO_WEIGHT[X.dtype.type], float(len(y))
        else:
            weight = np.ascontiguousarray(sample_weight, dtype=X.dtype)
            weight_sum = float(weight.sum(dtype=np.float64))
        return cls(kernel_rows(X), read_only(y), read_only(weight), weight_sum)

    @property
    def n_samples(self) -> int:
        """Number of rows."""
        return len(self.y)


@dataclass(frozen=True)
class Objective:
    """`loss(theta)` = mean loss over the training samples + alpha / 2 sum(coefs^2) / weight_sum."""

    network: _kernels.Network
    training: Samples
    alpha: float
    validation: Samples | None = None
    output_scale: np.ndarray = field(default_factory=lambda: np.ones(1))  # of y, see `_scaling`

    def loss_gradient(self, theta) -> tuple[float, np.ndarray]:
        """Loss and its gradient at theta.

        The gradient is that of the loss. MLPRegressor's, with several outputs and the squared
        error, is n_outputs times larger in its first term (scikit-learn issue 8349).
        """
        samples, network = self.training, self.network
        total = 0.0
        gradient = np.zeros_like(theta)
        work = work_arrays(network, theta.size, theta.dtype)
        for start, stop in slices(samples.n_samples, theta.size):
            total += _kernels.loss_and_gradient(
                theta,
                network,
                samples.rows,
                samples.y,
                samples.weight,
                NATURAL_ORDER,
                start,
                stop,
                work,
            )
            gradient += work.gradient
        scale = network.loss_factor / samples.weight_sum
        penalty = self.alpha / samples.weight_sum
        squares = _kernels.finish_gradient(theta, gradient, network.n_coefs, scale, penalty)
        return total * scale + 0.5 * penalty * squares, gradient

    def errors(self, theta) -> np.ndarray:
        """Half the weighted sum of squared residuals of each output, shape (n_outputs,)."""
        samples = self.training
        residuals = predict(self.network, samples.rows, samples.n_samples, theta) - samples.y
        squares = residuals * residuals
        if samples.weight.size:
            return 0.5 * samples.weight @ squares
        return 0.5 * squares.sum(axis=0)

    def spread(self) -> np.ndarray:
        """Give what `errors` would be if every prediction were zero, shape (n_outputs,)."""
        squares = self.training.y**2
        if self.training.weight.size:
            return 0.5 * self.training.weight @ squares
        return 0.5 * squares.sum(axis=0)

    def loss(self, theta, errors) -> float:
        """Mean loss and penalty in the units of y, from `errors` at theta."""
        samples, scale = self.training, self.output_scale
        mean = errors @ np.broadcast_to(scale * scale, errors.shape) / errors.size
        coefs = theta[: self.network.n_coefs]
        return float(mean + 0.5 * self.alpha * coefs @ coefs) / samples.weight_sum

    def gauss_newton(self, theta) -> GaussNewton:
        """Errors, gradients and Gauss-Newton matrices of each output, block by block of rows.

        Memory is O(n_outputs n_parameters (n_parameters + block)), whatever the number of rows.
        """
        samples, network = self.training, self.network
        n_outputs, n_parameters = samples.y.shape[1], theta.size
        block = min(samples.n_samples, JACOBIAN_ROWS)
        errors = np.zeros(n_outputs)
        gradients = np.zeros((n_outputs, n_parameters))
        hessians = np.zeros((n_outputs, n_parameters, n_parameters))
        work = work_arrays(network, 0, theta.dtype)
        for start in range(0, samples.n_samples, block):
            stop = min(start + block, samples.n_samples)
            residuals = np.empty((n_outputs, stop - start))
            jacobian = np.empty((n_outputs, n_parameters, stop - start))
            _kernels.jacobian_rows(
                theta,
                network,
                samples.rows,
                samples.y,
                samples.weight,
                NATURAL_ORDER,
                start,
                stop,
                work,
                residuals,
                jacobian,
            )
            for k in range(n_outputs):
                errors[k] += 0.5 * residuals[k] @ residuals[k]
                gradients[k] += jacobian[k] @ residuals[k]
                # The transposes are Fortran-ordered views, as BLAS wants them: the upper triangle
                # of the one is the lower triangle of the other.
                blas.dsyrk(1.0, jacobian[k].T, 1.0, hessians[k].T, trans=1, lower=0, overwrite_c=1)
        return GaussNewton(errors, gradients, hessians)

    def validation_scores(self, theta) -> tuple[float, float]:
        """Loss without penalty, and R² (as `r2_score`), on the validation set.

        Both are NaN when a prediction is not finite, as in scikit-learn's early stopping.
        """
        samples = self.validation
        predictions = predict(self.network, samples.rows, samples.n_samples, theta)
        if not np.isfinite(predictions).all():
            return np.nan, np.nan
        weight = samples.weight if samples.weight.size else None
        if self.network.loss == _kernels.SQUARED_ERROR:
            loss = squared_loss(samples.y, predictions, weight)
        else:
            loss = poisson_loss(samples.y, predictions, weight)
        return float(loss), r2_score(samples.y, predictions, sample_weight=weight)


def slices(n_samples, n_parameters):
    """Cut rows into ranges that a kernel is done with before Ctrl-C has to wait."""
    step = rows_per_call(n_parameters)
    for start in range(0, n_samples, step):
        yield start, min(start + step, n_samples)


def rows_per_call(n_parameters) -> int:
    """Rows that a kernel call works on between two chances for Ctrl-C."""
    return max(1, int(OPERATIONS_PER_CALL / (3 * n_parameters)))


def predict(network, rows, n_samples, theta) -> np.ndarray:
    """Compute the network's outputs, shape (n_samples, n_outputs), in the dtype of theta."""
    predictions = np.empty((n_samples, int(network.layers[-1, _kernels.N_OUT])), theta.dtype)
    work = work_arrays(network, 0, theta.dtype)
    for start, stop in slices(n_samples, theta.size):
        _kernels.predict_rows(theta, network, rows, NATURAL_ORDER, start, stop, work, predictions)
    return predictions

"""The objective of a fit: data, network and penalty; its loss and gradient at any parameters."""

from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache

import numpy as np
from scipy import sparse
from sklearn.metrics import r2_score

from .._activations import lookup
from .._losses.loss import Loss
from .._losses.squared_error import SQUARED_ERROR
from .._machine.compilation import c_function, once, unsigned
from .._machine.memory import aligned, aligned_copy
from . import kernels, linear_algebra, products
from .architecture import Architecture

_NO_WEIGHT = {dtype: np.empty(0, dtype) for dtype in (np.float32, np.float64)}
NATURAL_ORDER = np.empty(0, np.int64)  # to the kernels: rows as they stand

# Rows a kernel call works on before it comes back to Python: 2e7 multiply-adds take 10 to 40 ms
# on a current core, so that Ctrl-C is heard within 50 ms.
OPERATIONS_PER_CALL = 2e7

# Bytes of a matrix of which a second copy goes unnoticed.
LARGEST_COPY = 2**24


def read_only(array):
    """Give a view that kernels cannot write to.

    It has one numba type whether or not the user's array may be written, so that a memory map
    or a pandas block needs no second compilation.
    """
    view = array.view()
    view.flags.writeable = False
    return view


def kernel_rows(X) -> kernels.Rows:
    """Hand over a C-contiguous dense matrix or a CSR matrix, without a copy."""
    if sparse.issparse(X):
        values, places = read_only(X.data), (read_only(X.indices), read_only(X.indptr))
        return kernels.Rows(values, *places, _NO_WEIGHT[X.dtype.type])
    return kernels.Rows(read_only(X), None, None, _NO_WEIGHT[X.dtype.type])


def in_blocks(rows: kernels.Rows) -> kernels.Rows:
    """Add a copy that lies as the kernels want it, for those that take all rows in their order.

    To gather a block anew in each iteration is a quarter of the time of a network of few units.
    """
    X = rows.values
    if rows.indptr is not None or X.nbytes > LARGEST_COPY:
        return rows
    n_rows = kernels.BLOCK_ROWS
    blocks = [np.ravel(X[start : start + n_rows].T) for start in range(0, len(X), n_rows)]
    return rows._replace(blocks=aligned_copy(np.concatenate(blocks)))


@once
def compiled_loss(kernel, dtype):
    """Compile the kernel of a loss for 'float32' or 'float64'; its last two arrays are float64."""
    dtypes = (*[dtype] * 4, "float64", "float64")
    return c_function(kernel, 6, 1, dtypes, literal=True)


@lru_cache(maxsize=64)
def kernel_network(
    architecture: Architecture, activations, dtype, loss: Loss | None = None
) -> kernels.Network:
    """Describe an architecture to the kernels; `activations` names one a layer, output last.

    Without a loss, for predictions and Levenberg-Marquardt, what only the gradient of a loss needs
    is not compiled.
    """
    units = architecture.units
    starts = np.cumsum([0, *units])
    combine, add_products, pass_back = [], [0] * len(activations), 0
    loss_kernel, loss_parameters, loss_factor = 0, (), 1.0
    for layer, (n_in, n_out) in enumerate(architecture.coef_shapes):
        blas = n_in * n_out >= products.blas_size()
        combine.append(products.compiled_combine(dtype, blas).address)
        if loss is not None:
            add_products[layer] = products.compiled_add_products(dtype, blas).address
    if loss is not None:
        pass_back = products.compiled_pass_back(dtype).address
        loss_kernel = compiled_loss(loss.kernel_of(activations[-1]), dtype).address
        loss_parameters, loss_factor = loss.parameters, loss.factor(units[-1])
    layers = np.column_stack(
        [
            units[:-1],
            units[1:],
            architecture.coef_starts,
            architecture.intercept_starts,
            starts[:-2],
            starts[1:-1],
            [lookup.compiled(name, dtype).address for name in activations],
            combine,
            add_products,
        ]
    )
    return kernels.Network(
        layers=layers.astype(unsigned),
        n_coefs=architecture.n_coefs,
        bias=architecture.bias,
        loss=unsigned(loss_kernel),
        loss_parameters=np.array(loss_parameters, dtype=np.float64),
        loss_factor=loss_factor,
        gemm=linear_algebra.gemm(dtype),
        pass_back=unsigned(pass_back),
    )


def work_arrays(network, n_parameters, dtype) -> kernels.Work:
    """Scratch space for blocks of rows, and for a gradient."""
    last = network.layers[-1]
    n_out = int(last[kernels.N_OUT])
    size = (int(last[kernels.AFTER]) + n_out) * kernels.BLOCK_ROWS  # a multiple of a cache line
    of_outputs = n_out * kernels.BLOCK_ROWS if network.loss else 0
    memory = aligned(3 * size + of_outputs + n_parameters, dtype)
    return kernels.Work(
        memory[:size],
        memory[size : 2 * size],
        memory[2 * size : 3 * size],
        memory[3 * size : 3 * size + of_outputs],
        np.empty(of_outputs),
        memory[3 * size + of_outputs :],
    )


@dataclass(frozen=True)
class Samples:
    """Inputs, targets of shape (n_samples, n_outputs) and weights, as the kernels take them."""

    rows: kernels.Rows
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
    def weight_or_none(self) -> np.ndarray | None:
        """The weights; None where every sample counts 1."""
        return self.weight if self.weight.size else None

    @property
    def n_samples(self) -> int:
        """Number of rows."""
        return len(self.y)


@dataclass(frozen=True)
class Objective:
    """`loss(theta)` = mean loss over the training samples + alpha / 2 sum(coefs^2) / weight_sum."""

    network: kernels.Network
    training: Samples
    alpha: float
    validation: Samples | None = None
    output_scale: np.ndarray = field(default_factory=lambda: np.ones(1))  # of y, see `_fit.scaling`
    loss: Loss = SQUARED_ERROR  # that of the network, for the validation set

    def loss_gradient(self, theta, between=None) -> tuple[float, np.ndarray]:
        """Loss and its gradient at theta; `between` is called before each range of rows.

        The gradient is that of the loss. MLPRegressor's, with several outputs and the squared
        error, is n_outputs times larger in its first term (scikit-learn issue 8349).
        """
        samples, network = self.training, self.network
        parameters, work, ranges = self._scratch
        parameters[:] = theta
        scale = network.loss_factor / samples.weight_sum
        penalty = self.alpha / samples.weight_sum
        loss = 0.0
        for start, stop in ranges:
            if between is not None:
                between()
            loss = kernels.loss_and_gradient(
                parameters,
                network,
                samples.rows,
                samples.y,
                samples.weight,
                NATURAL_ORDER,
                start,
                stop,
                work,
                loss,
                scale,
                penalty,
            )
        return loss, work.gradient.copy()

    @cached_property
    def _scratch(self):
        """What `loss_gradient` works with, allocated once: it is called thousands of times."""
        network, dtype = self.network, self.training.y.dtype
        n_parameters = network.n_coefs
        if network.bias:
            n_parameters += int(network.layers[:, kernels.N_OUT].sum())
        work = work_arrays(network, n_parameters, dtype)
        ranges = list(slices(self.training.n_samples, n_parameters))
        return aligned(n_parameters, dtype), work, ranges

    def on_rows(self, rows) -> "Objective":
        """Give the objective on some of the rows."""
        X, y, weight = self.training.rows, self.training.y, self.training.weight
        some = X.values[rows] if X.indptr is None else self._csr_matrix()[rows]
        samples = Samples.of(some, y[rows], weight[rows] if weight.size else None)
        return replace(self, training=samples)

    def _csr_matrix(self):
        rows, n_inputs = self.training.rows, int(self.network.layers[0, kernels.N_IN])
        parts = rows.values, rows.indices, rows.indptr
        return sparse.csr_matrix(parts, shape=(self.training.n_samples, n_inputs))

    def with_outputs_scaled(self, factors) -> tuple["Objective", np.ndarray]:
        """Scale the targets of each output; give the factor of each parameter that goes with it.

        At theta times these factors its predictions are `factors` times those at theta here: with
        the identity as output activation, or factors of 1.
        """
        layer = self.network.layers[-1]
        n_out, n_coefs, bias = len(factors), self.network.n_coefs, self.network.bias
        n_intercepts = int(self.network.layers[:, kernels.N_OUT].sum()) if bias else 0
        scale = np.ones(n_coefs + n_intercepts)
        scale[int(layer[kernels.COEFS]) : n_coefs] = np.tile(factors, int(layer[kernels.N_IN]))
        if bias:
            scale[-n_out:] = factors
        if np.all(factors == 1.0):
            return self, scale
        y = read_only(self.training.y * factors)
        return replace(self, training=replace(self.training, y=y)), scale

    def with_loss(self, loss: Loss) -> "Objective":
        """Give the objective with the same loss of other constants."""
        if loss is self.loss:
            return self
        parameters = np.array(loss.parameters, dtype=np.float64)
        return replace(self, network=self.network._replace(loss_parameters=parameters), loss=loss)

    def adapted(self, predictions, narrowing=1.0) -> "Objective":
        """Give the objective whose loss has its scales from the residuals of these predictions."""
        if self.loss.adapted is None:
            return self
        y = self.training.y.astype(np.float64, copy=False)
        f = np.broadcast_to(predictions, y.shape)
        if not np.isfinite(f).all():  # of a fit that has diverged
            return self
        return self.with_loss(self.loss.adapted(y, f, self.training.weight_or_none, narrowing))

    def at_constant(self) -> "Objective":
        """Adapt the loss to the residuals of the best constant, before there is a network."""
        if self.loss.adapted is None:
            return self
        y = self.training.y.astype(np.float64, copy=False)
        middle = self.loss.best_constant(y, self.training.weight_or_none)
        # Whose own scale may be far from that of y: so twice.
        objective = self.adapted(middle)
        return objective.adapted(objective.loss.best_constant(y, self.training.weight_or_none))

    def predict(self, theta) -> np.ndarray:
        """Compute the outputs of the rows trained on, shape (n_samples, n_outputs)."""
        samples = self.training
        return predict(self.network, samples.rows, samples.n_samples, aligned_copy(theta))

    def errors(self, theta) -> np.ndarray:
        """Half the weighted sum of squared residuals of each output, shape (n_outputs,)."""
        samples = self.training
        residuals = self.predict(theta) - samples.y
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

    def variance(self) -> float:
        """Variance of the targets trained on; 1 of standardised and of constant ones."""
        y, weight = self.training.y, self.training.weight
        weight = weight if weight.size else None
        deviations = y - np.average(y, axis=0, weights=weight)
        variance = float(np.average(deviations**2, axis=0, weights=weight).mean())
        return 1.0 if variance == 0.0 or abs(variance - 1.0) < 1e-6 else variance

    def validation_scores(self, theta) -> tuple[float, float]:
        """Loss without penalty, and R² (as `r2_score`) or D², on the validation set.

        Both are NaN when a prediction is not finite, as in scikit-learn's early stopping.
        """
        samples = self.validation
        predictions = predict(self.network, samples.rows, samples.n_samples, theta)
        if not np.isfinite(predictions).all():
            return np.nan, np.nan
        weight = samples.weight if samples.weight.size else None
        loss = self.loss.mean(samples.y, predictions, weight)
        score = self.loss.score if self.loss.own_score else _r2
        return float(loss), score(samples.y, predictions, weight)


def _r2(y, predictions, sample_weight) -> float:
    return r2_score(y, predictions, sample_weight=sample_weight)


def slices(n_samples, n_parameters):
    """Cut rows into ranges that a kernel is done with before Ctrl-C has to wait."""
    step = rows_per_call(n_parameters)
    for start in range(0, n_samples, step):
        yield start, min(start + step, n_samples)


def rows_per_call(n_parameters) -> int:
    """Rows that a kernel call works on between two chances for Ctrl-C."""
    return max(1, int(OPERATIONS_PER_CALL / (3 * n_parameters)))


def predict(network, rows, n_samples, theta) -> np.ndarray:
    """Compute the network's outputs, shape (n_samples, n_outputs), in the dtype of theta.

    `theta` begins with a cache line.
    """
    predictions = np.empty((n_samples, int(network.layers[-1, kernels.N_OUT])), theta.dtype)
    work = work_arrays(network, 0, theta.dtype)
    for start, stop in slices(n_samples, theta.size):
        kernels.predict_rows(theta, network, rows, NATURAL_ORDER, start, stop, work, predictions)
    return predictions

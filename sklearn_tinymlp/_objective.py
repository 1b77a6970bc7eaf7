"""The objective of a fit: data, network and penalty; its loss and gradient at any parameters."""

from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import numpy as np
from scipy import sparse
from sklearn.metrics import r2_score
from sklearn.neural_network._base import poisson_loss, squared_loss

from . import _activations, _dual, _evidence, _kernels, _linear_algebra, _products
from ._compilation import unsigned
from ._evidence import GaussNewton
from ._parameters import Architecture, aligned, aligned_copy, aligned_vectors

_NO_WEIGHT = {dtype: np.empty(0, dtype) for dtype in (np.float32, np.float64)}
NATURAL_ORDER = np.empty(0, np.int64)  # to the kernels: rows as they stand
NO_ROUTINES = _kernels.EvidenceRoutines(*[unsigned(0)] * 3)
NO_CURVES = np.empty((0, _kernels.N_SECOND_ORDER_COLUMNS))

# Rows a kernel call works on before it comes back to Python: 2e7 multiply-adds take 10 to 40 ms
# on a current core, so that Ctrl-C is heard within 50 ms.
OPERATIONS_PER_CALL = 2e7


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
def kernel_network(
    architecture: Architecture, activations, loss, dtype, gradients=True
) -> _kernels.Network:
    """Describe an architecture to the kernels; `activations` names one a layer, output last.

    Without `gradients`, for predictions and Levenberg-Marquardt, what only the gradient of the loss
    needs is not compiled.
    """
    units = architecture.units
    if loss == "squared_error":
        loss_code, loss_factor = _kernels.SQUARED_ERROR, 1.0 / units[-1]
    else:
        exponential = activations[-1] == "exp"
        loss_code = _kernels.POISSON_OF_EXP if exponential else _kernels.POISSON
        loss_factor = 1.0
    starts = np.cumsum([0, *units])
    combine, add_products, pass_back = [], [0] * len(activations), 0
    for layer, (n_in, n_out) in enumerate(architecture.coef_shapes):
        blas = n_in * n_out >= _products.BLAS_SIZE
        combine.append(_products.compiled_combine(dtype, blas).address)
        if gradients:
            add_products[layer] = _products.compiled_add_products(dtype, blas).address
    if gradients:
        pass_back = _products.compiled_pass_back(dtype).address
    layers = np.column_stack(
        [
            units[:-1],
            units[1:],
            architecture.coef_starts,
            architecture.intercept_starts,
            starts[:-2],
            starts[1:-1],
            [_activations.compiled(name, dtype).address for name in activations],
            combine,
            add_products,
        ]
    )
    return _kernels.Network(
        layers=layers.astype(unsigned),
        n_coefs=architecture.n_coefs,
        bias=architecture.bias,
        loss=loss_code,
        loss_factor=loss_factor,
        gemm=_linear_algebra.gemm(dtype),
        pass_back=unsigned(pass_back),
    )


def work_arrays(network, n_parameters, dtype) -> _kernels.Work:
    """Scratch space for blocks of rows, and for a gradient."""
    n_units = int(network.layers[-1, _kernels.AFTER] + network.layers[-1, _kernels.N_OUT])
    size = n_units * _kernels.BLOCK_ROWS  # a multiple of a cache line
    memory = aligned(3 * size + n_parameters, dtype)
    return _kernels.Work(
        memory[:size], memory[size : 2 * size], memory[2 * size : 3 * size], memory[3 * size :]
    )


def jacobian_routines() -> _kernels.JacobianRoutines:
    """Look up the products that the Jacobian needs."""
    outer_products = _products.compiled_outer_products()
    add_products = _products.compiled_add_products("float64", False)
    return _kernels.JacobianRoutines(
        unsigned(outer_products.address), unsigned(add_products.address)
    )


def _evidence_routines(dual: bool) -> _kernels.EvidenceRoutines:
    functions = _dual.compiled() if dual else _evidence.compiled()
    return _kernels.EvidenceRoutines(*(unsigned(function.address) for function in functions))


def second_order_arrays(
    groups, alpha, beta, weight_sum, n_peaks, n_residuals=0, variance=1.0, picture_only=False
) -> _kernels.SecondOrder:
    """Arrays of Levenberg-Marquardt at its start; `groups` is the place in alpha of each weight.

    With `n_residuals` they are those of `_dual`; with `picture_only` no step can be taken.
    """
    n_parameters, n_groups, n_outputs = len(groups), len(alpha), len(beta)
    progress = np.zeros(1, _kernels.SECOND_ORDER_DTYPE)
    progress["damping"], progress["growth"] = _kernels.FIRST_DAMPING, 2.0
    progress["best_evidence"], progress["loss"] = -np.inf, np.inf
    block_rows = _kernels.BLOCK_ROWS
    if n_residuals:
        block_rows = min(block_rows, n_residuals // n_outputs)
        picture = matrix = n_parameters * n_residuals
        factor = n_residuals * (n_residuals + 1)
    else:
        matrix = factor = n_parameters * n_parameters
        picture = n_outputs * matrix
    if picture_only:
        matrix = factor = 0
    vectors = aligned_vectors(
        {
            "result": 1 + 2 * n_groups + n_outputs,
            "best": n_parameters + 2 * n_groups + n_outputs,
            "peaks": n_peaks,
            "errors": n_outputs,
            "gradients": n_outputs * n_parameters,
            "picture": picture,
            "residuals": n_residuals,
            "gradient": n_parameters + 3,
            "matrix": matrix,
            "factor": factor,
            "step": n_parameters,
            "numbers": 1,
            "trial": n_parameters,
            "trial_errors": n_outputs,
            "block_residuals": n_outputs * block_rows,
            "block_jacobian": n_outputs * n_parameters * block_rows,
        }
    )
    return _kernels.SecondOrder(
        progress=progress,
        groups=np.asarray(groups, dtype=np.float64),
        hyper=np.concatenate([alpha, beta, [weight_sum, variance]]),
        **vectors,
    )


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
            loss = _kernels.loss_and_gradient(
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
            n_parameters += int(network.layers[:, _kernels.N_OUT].sum())
        work = work_arrays(network, n_parameters, dtype)
        ranges = list(slices(self.training.n_samples, n_parameters))
        return aligned(n_parameters, dtype), work, ranges

    def errors(self, theta) -> np.ndarray:
        """Half the weighted sum of squared residuals of each output, shape (n_outputs,)."""
        samples = self.training
        theta = aligned_copy(theta)
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

    def variance(self) -> float:
        """Variance of the targets trained on; 1 of standardised and of constant ones."""
        y, weight = self.training.y, self.training.weight
        weight = weight if weight.size else None
        deviations = y - np.average(y, axis=0, weights=weight)
        variance = float(np.average(deviations**2, axis=0, weights=weight).mean())
        return 1.0 if variance == 0.0 or abs(variance - 1.0) < 1e-6 else variance

    def gauss_newton(self, theta, between=None) -> GaussNewton:
        """Errors, gradients and Gauss-Newton matrices of each output, block by block of rows.

        `between` is called before each range of rows.

        Memory is O(n_outputs n_parameters (n_parameters + block)), whatever the number of rows.
        """
        n_outputs = self.training.y.shape[1]
        groups, zero, one = np.zeros(theta.size), np.zeros(1), np.ones(n_outputs)
        so = second_order_arrays(groups, zero, one, 1.0, 1, picture_only=True)
        while so.progress["phase"] == _kernels.PICTURE:
            if between is not None:
                between()
            self.iterate(aligned_copy(theta), so, NO_CURVES, None, OPERATIONS_PER_CALL)
        return GaussNewton(
            so.errors,
            so.gradients.reshape(n_outputs, -1),
            so.picture.reshape(n_outputs, theta.size, theta.size),
        )

    def residual_jacobian(self, theta) -> tuple[np.ndarray, np.ndarray]:
        """Residuals of shape (n_outputs, n_samples) and their derivatives by theta.

        The latter have the shape (n_outputs, n_parameters, n_samples); weights of samples are in
        both by their square roots.
        """
        n_samples, n_outputs = self.training.y.shape
        groups, zero, one = np.zeros(theta.size), np.zeros(1), np.ones(n_outputs)
        so = second_order_arrays(groups, zero, one, 1.0, 1, n_samples * n_outputs, 1.0, True)
        while so.progress["phase"] == _kernels.PICTURE:
            self.iterate(aligned_copy(theta), so, NO_CURVES, None, OPERATIONS_PER_CALL)
        jacobian = so.picture.reshape(theta.size, n_outputs, n_samples).transpose(1, 0, 2)
        return so.residuals.reshape(n_outputs, n_samples), jacobian

    def iterate(self, theta, so, curves, options, budget) -> None:
        """Call the compiled loop of Levenberg-Marquardt, see `_kernels.run_levenberg_marquardt`."""
        samples = self.training
        _kernels.run_levenberg_marquardt(
            theta,
            so,
            curves,
            self.network,
            options or self.second_order_options(estimate=False),
            samples.rows,
            samples.y,
            samples.weight,
            NATURAL_ORDER,
            work_arrays(self.network, 0, theta.dtype),
            jacobian_routines(),
            NO_ROUTINES if len(curves) == 0 else _evidence_routines(dual=so.residuals.size > 0),
            _linear_algebra.routines(),
            int(budget),
        )

    def second_order_options(self, **options) -> _kernels.SecondOrderOptions:
        """Complete the options of Levenberg-Marquardt by what the objective knows."""
        defaults = {"warm_up": 0, "reduction": 0.0, "rise": 0.0, "loss_tol": -np.inf}
        n_outputs = self.training.y.shape[1]
        return _kernels.SecondOrderOptions(
            **(defaults | options),
            penalty=float(self.alpha),
            weight_sum=self.training.weight_sum,
            output_scale=np.broadcast_to(self.output_scale, n_outputs).copy(),
        )

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
    """Compute the network's outputs, shape (n_samples, n_outputs), in the dtype of theta.

    `theta` begins with a cache line.
    """
    predictions = np.empty((n_samples, int(network.layers[-1, _kernels.N_OUT])), theta.dtype)
    work = work_arrays(network, 0, theta.dtype)
    for start, stop in slices(n_samples, theta.size):
        _kernels.predict_rows(theta, network, rows, NATURAL_ORDER, start, stop, work, predictions)
    return predictions

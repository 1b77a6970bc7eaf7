"""An objective for the kernels: rows, network and loss as they take them, and its gradient."""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from scipy import sparse

from .._activations import lookup
from .._losses.loss import Loss
from .._machine.compilation import c_function, once, unsigned
from .._machine.memory import aligned, aligned_copy
from .._network.network import Network
from . import kernels, linear_algebra, loss_kernels, products

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


def kernel_of(loss: Loss, output_activation):
    """Return the function that is compiled for a loss behind an output activation."""
    kernel = loss.kernel
    if isinstance(output_activation, str):
        kernel = loss.simpler_kernels.get(output_activation, kernel)
    return getattr(loss_kernels, kernel) if isinstance(kernel, str) else kernel


@once
def compiled_loss(kernel, dtype):
    """Compile the kernel of a loss for 'float32' or 'float64'; its last two arrays are float64."""
    dtypes = (*[dtype] * 4, "float64", "float64")
    return c_function(kernel, 6, 1, dtypes, literal=True)


@lru_cache(maxsize=64)
def kernel_network(network: Network, dtype, loss: Loss | None = None) -> kernels.Network:
    """Describe a network to the kernels.

    Without a loss, for predictions alone, what only the gradient of a loss needs is not compiled.
    """
    architecture, activations = network.architecture, network.activations
    units = architecture.units
    starts = np.cumsum([0, *units])
    combine, add_products, backpropagate = [], [0] * len(activations), 0
    loss_kernel, loss_parameters, loss_factor = 0, (), 1.0
    for layer, (n_in, n_out) in enumerate(architecture.coef_shapes):
        blas = n_in * n_out >= products.blas_size()
        combine.append(products.compiled_combine(dtype, blas).address)
        if loss is not None:
            add_products[layer] = products.compiled_add_products(dtype, blas).address
    if loss is not None:
        backpropagate = products.compiled_pass_back(dtype).address
        loss_kernel = compiled_loss(kernel_of(loss, activations[-1]), dtype).address
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
        backpropagate=unsigned(backpropagate),
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
class CompiledObjective:
    """Mean loss over the rows + alpha / 2 sum(coefs^2) / weight_sum, as the kernels take it."""

    network: kernels.Network
    rows: kernels.Rows
    y: np.ndarray
    weight: np.ndarray  # empty when every sample counts 1
    weight_sum: float
    alpha: float
    n_parameters: int

    @classmethod
    def of(cls, network: Network, loss: Loss, X, y, weight, alpha) -> "CompiledObjective":
        """Wrap arrays of one floating dtype; compile what is not yet compiled."""
        dtype = X.dtype
        return cls(
            kernel_network(network, "float32" if dtype == np.float32 else "float64", loss),
            kernel_rows(X),
            read_only(y),
            _NO_WEIGHT[dtype.type] if weight is None else read_only(weight),
            float(len(y)) if weight is None else float(weight.sum(dtype=np.float64)),
            alpha,
            network.architecture.n_parameters,
        )

    def loss_gradient(self, theta, between=None) -> tuple[float, np.ndarray]:
        """Compute loss and gradient at theta; `between` is called before each range of rows."""
        scale = self.network.loss_factor / self.weight_sum
        return self._sum(theta, self.y, scale, self.alpha / self.weight_sum, between)

    def weighted_gradient(self, theta, output_weights, between=None) -> tuple[float, np.ndarray]:
        """Compute sum_k w_k (loss of output k, summed over weighted rows), and its gradient.

        Weights that differ need squared errors and the identity as output activation: then they
        scale targets and output weights by their roots.
        """
        first = output_weights[0]
        if np.all(output_weights == first):
            return self._sum(theta, self.y, first, 0.0, between)
        factors = np.sqrt(output_weights / first)
        scale, layer = np.ones(self.n_parameters), self.network.layers[-1]
        n_out, start = len(factors), int(layer[kernels.COEFS])
        scale[start : self.network.n_coefs] = np.tile(factors, int(layer[kernels.N_IN]))
        if self.network.bias:
            scale[-n_out:] = factors
        value, gradient = self._sum(scale * theta, read_only(self.y * factors), first, 0.0, between)
        return value, scale * gradient

    def _sum(self, theta, y, scale, penalty, between) -> tuple[float, np.ndarray]:
        parameters, work, ranges = self._scratch
        parameters[:] = theta
        loss = 0.0
        for start, stop in ranges:
            if between is not None:
                between()
            loss = kernels.loss_and_gradient(
                parameters,
                self.network,
                self.rows,
                y,
                self.weight,
                NATURAL_ORDER,
                start,
                stop,
                work,
                loss,
                float(scale),
                float(penalty),
            )
        return loss, work.gradient.copy()

    @cached_property
    def _scratch(self):
        """What a gradient works with, allocated once: it is called thousands of times."""
        dtype = self.y.dtype
        work = work_arrays(self.network, self.n_parameters, dtype)
        ranges = list(slices(len(self.y), self.n_parameters))
        return aligned(self.n_parameters, dtype), work, ranges


def slices(n_samples, n_parameters):
    """Cut rows into ranges that a kernel is done with before Ctrl-C has to wait."""
    step = rows_per_call(n_parameters)
    for start in range(0, n_samples, step):
        yield start, min(start + step, n_samples)


def rows_per_call(n_parameters) -> int:
    """Rows that a kernel call works on between two chances for Ctrl-C."""
    return max(1, int(OPERATIONS_PER_CALL / (3 * n_parameters)))

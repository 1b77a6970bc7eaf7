"""An objective in compiled code: its rows, network and loss for the kernels, and its gradient."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import sparse

from .._activations import lookup
from .._losses.loss import Loss
from .._machine.caching import cached_property
from .._machine.compilation import (
    c_function,
    carray,
    copy_function,
    jit_ieee,
    once_per_process,
    unsigned,
)
from .._machine.memory import aligned
from .._network.network import Network
from . import kernels, linear_algebra, loss_kernels

_NO_WEIGHT = {dtype: np.empty(0, dtype) for dtype in (np.float32, np.float64)}
NATURAL_ORDER = np.empty(0, np.int64)  # means rows 0, 1, 2, ...

# A kernel call returns to Python after this many multiply-adds, 10 to 40 ms on a current core, so
# that Ctrl-C is handled within 50 ms.
OPERATIONS_PER_CALL = 2e7

# Size in bytes of the largest matrix that `in_blocks` copies.
MAX_COPY_BYTES = 2**24


def read_only(array):
    """Return a read-only view.

    It has one numba type whether or not the user's array is writeable, so that a memory map or a
    pandas block needs no second compilation.
    """
    view = array.view()
    view.flags.writeable = False
    return view


def kernel_rows(X) -> kernels.Rows:
    """Wrap a C-contiguous dense matrix or a CSR matrix, without a copy."""
    blocks = _NO_WEIGHT[X.dtype.type]
    if sparse.issparse(X):
        return kernels.Rows(*map(read_only, (X.data, X.indices, X.indptr)), blocks)
    return kernels.Rows(read_only(X), None, None, blocks)


def in_blocks(rows: kernels.Rows) -> kernels.Rows:
    """Add a copy in blocks of (inputs, rows), for passes over all rows in their order.

    Transposing each block in each iteration takes a quarter of the time with few units.
    """
    X, n_rows = rows.values, kernels.BLOCK_ROWS
    if rows.indptr is not None or X.nbytes > MAX_COPY_BYTES:
        return rows
    blocks, position = aligned(X.size, X.dtype), 0
    for start in range(0, len(X), n_rows):
        block = X[start : start + n_rows]
        blocks[position : position + block.size] = np.ravel(block.T)
        position += block.size
    return rows._replace(blocks=blocks)


def loss_of_outputs(values, slopes, targets, deltas, losses, parameters, n):
    """Write losses and deltas of n outputs."""
    values, slopes, targets = carray(values, n), carray(slopes, n), carray(targets, n)
    deltas, losses = carray(deltas, n), carray(losses, n)
    for k in range(n):
        losses[k], deltas[k] = kernel(values[k], slopes[k], targets[k], parameters)


kernel = loss_kernels.squared_error  # replaced in copies of the loop


def kernel_of(loss: Loss, output_activation):
    """Return the kernel of a loss behind an output activation: its name or a function."""
    if isinstance(output_activation, str):
        return loss.simpler_kernels.get(output_activation, loss.kernel)
    return loss.kernel


@once_per_process
def compiled_loss(kernel, dtype):
    """Compile the kernel of a loss for 'float32' or 'float64'."""
    built_in = isinstance(kernel, str)
    function = getattr(loss_kernels, kernel) if built_in else kernel
    values = {"kernel": jit_ieee(function)}
    loop = copy_function(loss_of_outputs, name=function.__name__, values=values)
    # numba does not distinguish user functions of the same name.
    dtypes = (*[dtype] * 4, "float64", "float64")
    return c_function(loop, 6, 1, dtypes, on_disk=built_in, ieee=True)


@lru_cache(maxsize=64)
def kernel_network(network: Network, dtype, loss: Loss) -> kernels.KernelNetwork:
    """Compile the functions of a network and a loss for 'float32' or 'float64'."""
    architecture, activations = network.architecture, network.activations
    units = architecture.units
    starts = np.cumsum([0, *units])
    blas = [n_in * n_out >= linear_algebra.blas_size() for n_in, n_out in architecture.coef_shapes]
    compiled = [lookup.compiled(activation, dtype) for activation in activations]
    functions = [
        [activation.function for activation in compiled],
        [linear_algebra.compiled(linear_algebra.AFFINE[large], dtype) for large in blas],
        [linear_algebra.compiled(linear_algebra.ACCUMULATE[large], dtype) for large in blas],
    ]
    columns = [units[:-1], units[1:], architecture.coef_starts, architecture.intercept_starts]
    columns += [starts[:-2], starts[1:-1]]
    columns += [[function.address for function in column] for column in functions]
    backpropagate = linear_algebra.compiled(linear_algebra.backpropagate, dtype)
    return kernels.KernelNetwork(
        layers=np.column_stack(columns).astype(unsigned),
        n_coefs=architecture.n_coefs,
        bias=architecture.bias,
        loss=unsigned(compiled_loss(kernel_of(loss, activations[-1]), dtype).address),
        loss_parameters=np.array(loss.parameters, dtype=np.float64),
        loss_factor=loss.factor(units[-1]),
        gemm=linear_algebra.gemm_address(dtype),
        backpropagate=unsigned(backpropagate.address),
        constants=np.concatenate([activation.constants for activation in compiled]),
    )


def work_arrays(network, n_parameters, dtype) -> kernels.Work:
    """Allocate scratch space for a block of rows, and for a gradient."""
    last = network.layers[-1]
    n_outputs = int(last[kernels.N_OUT]) * kernels.BLOCK_ROWS
    size = int(last[kernels.AFTER]) * kernels.BLOCK_ROWS + n_outputs  # a multiple of a cache line
    memory = aligned(3 * size + n_outputs + n_parameters, dtype)
    ends = size, 2 * size, 3 * size, 3 * size + n_outputs
    values, slopes, deltas, targets, gradient = np.split(memory, ends)
    return kernels.Work(values, slopes, deltas, targets, np.empty(n_outputs), gradient)


@dataclass(frozen=True)
class CompiledObjective:
    """Mean loss over the rows + alpha / 2 sum(coefs^2) / weight_sum."""

    network: kernels.KernelNetwork
    rows: kernels.Rows
    y: np.ndarray
    weight: np.ndarray  # empty when all weights are 1
    weight_sum: float
    alpha: float
    n_parameters: int

    @classmethod
    def of(cls, network: Network, loss: Loss, X, y, weight, alpha) -> "CompiledObjective":
        """Wrap arrays of one floating dtype; compile what is not yet compiled."""
        return cls(
            kernel_network(network, X.dtype.name, loss),
            kernel_rows(X),
            read_only(y),
            _NO_WEIGHT[X.dtype.type] if weight is None else read_only(weight),
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

        Unequal weights need squared errors and the identity as output activation: their square
        roots then scale targets and output weights.
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
            samples = (self.rows, y, self.weight, NATURAL_ORDER, start, stop)
            sums = (work, loss, float(scale), float(penalty))
            loss = kernels.loss_and_gradient(parameters, self.network, *samples, *sums)
        return loss, work.gradient.copy()

    @cached_property
    def _scratch(self):
        """Work arrays of a gradient, allocated once for thousands of calls, and ranges of rows."""
        dtype = self.y.dtype
        work = work_arrays(self.network, self.n_parameters, dtype)
        ranges = list(slices(len(self.y), self.n_parameters))
        return aligned(self.n_parameters, dtype), work, ranges


def slices(n_samples, n_parameters):
    """Split the rows into ranges for one kernel call each."""
    step = rows_per_call(n_parameters)
    for start in range(0, n_samples, step):
        yield start, min(start + step, n_samples)


def rows_per_call(n_parameters) -> int:
    """Return the number of rows that a kernel call processes."""
    return max(1, int(OPERATIONS_PER_CALL / (3 * n_parameters)))

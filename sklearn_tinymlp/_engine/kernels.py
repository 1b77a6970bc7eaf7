"""The compiled engine: forward pass, loss and gradient, epochs of sgd and adam, shuffling.

How the arrays lie
------------------
All parameters are one flat vector `theta`: the coefs of every layer, then the intercepts of
every layer (without bias there are none).  Rows are worked on in blocks of at most
`BLOCK_ROWS`.  Within a block a layer is a matrix of shape (units, rows): *samples are the last
axis*, so that the innermost loop runs over contiguous samples.  It is as long as the block
whatever the layer sizes, hence small layers vectorise as well as large ones::

    z[j, r] = b[j] + sum_i W[i, j] a[i, r]              combine
    G[i, j] += sum_r a[i, r] delta[j, r]                add_products
    delta_before[i, r] = f'(z[i, r]) sum_j W[i, j] delta[j, r]     combine

The first line and the last are one function of `products`, the second another; large layers go to
BLAS.  Training by single rows has its own path (`train_on_sample`), with the units innermost.

Activations give value and slope in one pass, the loss its value and its deltas; both are called by
address (`_activations`, `_losses`), and the backward pass only multiplies.  All kernels release the
GIL and work on as many rows as they are told, so that the callers come back to Python often enough
for Ctrl-C.
"""

import math
from typing import NamedTuple

import numpy as np

from .._machine.compilation import call, inlined, kernel, literal, part, unsigned
from . import limited_memory as memory
from .linear_algebra import add_self_product
from .products import FEW_OUTPUTS
from .sums import sum_of

# Blocks of 128 rows of a 10-100-1 network in float64 fill 230 KB of value and slope: they stay
# in the second-level cache of current processors.  64 to 256 rows ran within 10% of each other.
BLOCK_ROWS = 128

# Values and slopes of so many numbers in float64 are as large as a first-level cache.
TILE = 3072

SCHEDULE_CODES = {"constant": 0, "invscaling": 1, "adaptive": 2}
CONSTANT, INVSCALING, ADAPTIVE = range(3)

# What the last epoch or iteration ended with, in `progress["event"]`.
RUNNING, STALLED, TARGET_REACHED, CONVERGED = range(4)

# Columns of the curves that `run_epochs` writes, one row an epoch.
LOSS, RATE = range(2)

PROGRESS_DTYPE = np.dtype(
    [
        ("learning_rate", "f8"),
        ("best_loss", "f8"),
        ("loss_sum", "f8"),  # of the epoch under way, each batch times its rows
        ("row", "i8"),  # where in the epoch under way the next batch begins
        ("epoch", "i8"),  # finished epochs of this fit
        ("step", "i8"),  # updates so far, Adam's t
        ("samples", "i8"),  # training samples seen since the first fit: `t_`
        ("no_improvement", "i8"),  # epochs in a row without an improvement by tol
        ("event", "i8"),
    ]
)
"""The state of a stochastic fit beside its arrays; a record of one row that kernels change."""


class Network(NamedTuple):
    """What the kernels know of an architecture."""

    layers: np.ndarray  # (n_layers - 1, 9) of uint64: a row a layer of weights, see below
    n_coefs: int  # of all layers, the leading part of theta
    bias: bool
    loss: int  # address of the loss's kernel, see `_losses.loss.Loss.kernel_of`
    loss_parameters: np.ndarray  # float64, its constants
    loss_factor: float  # 1 / n_outputs where the loss averages over the outputs, else 1
    gemm: int  # address of BLAS's matrix product
    pass_back: int  # address of the function of `products`


# Columns of `Network.layers`: units before and after; where the layer's coefs and intercepts begin
# in theta; how many units stand before these two in a block; addresses of the activation and of
# the two products of `products`.
N_IN, N_OUT, COEFS, INTERCEPTS, BEFORE, AFTER = range(6)
ACTIVATION, COMBINE, ADD_PRODUCTS = range(6, 9)


class Rows(NamedTuple):
    """Samples: a dense matrix in `values`, or the three arrays of a CSR matrix.

    Kernels are compiled for the one or the other: numba drops the branch that does not apply
    where it is told by the number of dimensions of an argument.
    """

    values: np.ndarray
    indices: np.ndarray | None
    indptr: np.ndarray | None
    blocks: np.ndarray  # the dense matrix in blocks of (inputs, rows), or empty: `in_blocks`


class Work(NamedTuple):
    """Scratch space for a block of rows, see `objective.work_arrays`."""

    values: np.ndarray  # of every unit, and so the next two
    slopes: np.ndarray
    deltas: np.ndarray
    targets: np.ndarray  # of every output
    losses: np.ndarray  # likewise, in float64 always
    gradient: np.ndarray  # as long as theta


class StochasticOptions(NamedTuple):
    """Hyperparameters of sgd and adam, constant during a fit."""

    schedule: int
    learning_rate_init: float
    power_t: float
    momentum: float
    nesterovs_momentum: bool
    beta_1: float
    beta_2: float
    epsilon: float
    alpha: float
    tol: float
    n_iter_no_change: float
    loss_tol: float


# ------------------------------------------------------------------- a block: forward, backward


@part
def load_inputs(x, indices, indptr, blocks, order, start, theta, net, values, n_rows):
    """Bring rows order[start:start + n_rows] of x into the block.

    Dense rows are gathered, transposed, as the inputs, or copied where they lie so in `blocks`.
    CSR rows are multiplied by the first layer's coefs at once, and added to its sums.  An empty
    `order` means the rows as they stand.
    """
    n_in, n_out = net.layers[0, N_IN], net.layers[0, N_OUT]
    if blocks.size > 0:
        first = unsigned(start) * n_in
        for k in range(n_in * n_rows):
            values[k] = blocks[first + k]
        return
    for r in range(n_rows):
        row = order[start + r] if order.size > 0 else start + r
        if x.ndim == 2:
            for i in range(n_in):
                values[i * n_rows + r] = x[row, i]
        else:
            z = net.layers[0, AFTER] * n_rows + r
            for k in range(indptr[row], indptr[row + 1]):
                coef = unsigned(indices[k]) * n_out
                for j in range(n_out):
                    values[z + j * n_rows] += x[k] * theta[coef + j]


@part
def add_sparse_gradient(x, indices, indptr, order, start, net, deltas, n_rows, gradient):
    """`add_products` of the first layer for CSR x; for dense x do nothing."""
    if x.ndim == 1:
        n_out = net.layers[0, N_OUT]
        for r in range(n_rows):
            row = order[start + r] if order.size > 0 else start + r
            delta = net.layers[0, AFTER] * n_rows + r
            for k in range(indptr[row], indptr[row + 1]):
                coef = unsigned(indices[k]) * n_out
                for j in range(n_out):
                    gradient[coef + j] += x[k] * deltas[delta + j * n_rows]


@inlined
def forward(theta, net, rows, order, start, n_rows, work, keep_slopes):
    """Fill values and slopes of every layer for rows order[start:start + n_rows].

    A layer is done some units at a time, so that the sums are still in the first-level cache when
    the activation takes them. Slopes that need not be kept (0) stay there, and overwrite each
    other; kept (1) they lie as the values do.
    """
    values, one, keep_slopes = work.values, unsigned(1), unsigned(keep_slopes)
    tile = max(one, unsigned(TILE) // n_rows)
    for layer in range(net.layers.shape[0]):
        n_in, n_out = net.layers[layer, N_IN], net.layers[layer, N_OUT]
        coef, intercept = net.layers[layer, COEFS], net.layers[layer, INTERCEPTS]
        before, after = net.layers[layer, BEFORE] * n_rows, net.layers[layer, AFTER] * n_rows
        sparse = layer == 0 and rows.indptr is not None
        if sparse:
            fill_intercepts(theta, net.bias, intercept, values, after, n_out, n_rows)
        if layer == 0:
            load_inputs(
                rows.values,
                rows.indices,
                rows.indptr,
                rows.blocks,
                order,
                start,
                theta,
                net,
                values,
                n_rows,
            )
        first = unsigned(0)
        while first < n_out:
            n_units, z = min(tile, n_out - first), after + first * n_rows
            if not sparse:
                fill_intercepts(theta, net.bias, intercept + first, values, z, n_units, n_rows)
                call(
                    net.layers[layer, COMBINE],
                    (theta, values, values),
                    (coef + first, before, z),
                    (n_in, n_units, n_rows, n_out, one, one, net.gemm),
                )
            call(
                net.layers[layer, ACTIVATION],
                (values, work.slopes),
                (z, z * keep_slopes),
                (n_units * n_rows,),
            )
            first += n_units


@part
def fill_intercepts(theta, bias, intercept, values, z, n_units, n_rows):
    """Set the sums of some units to their intercepts, or to zero."""
    for j in range(n_units):
        b = theta[intercept + j] if bias else theta.dtype.type(0)
        for r in range(n_rows):
            values[z + j * n_rows + r] = b


@literal
def two_products(a, b, c, d):
    """Compute a b + c d, both products rounded."""
    return a * b + c * d


@literal
def output_delta(net, y, weight, order, start, n_rows, work):
    """Write the output layer's deltas for a block of rows; return its summed, weighted loss."""
    last = net.layers.shape[0] - 1
    n_out = net.layers[last, N_OUT]
    output, first = net.layers[last, AFTER] * n_rows, unsigned(0)
    for j in range(n_out):
        if order.size > 0:
            for r in range(n_rows):
                work.targets[j * n_rows + r] = y[order[start + r], j]
        else:
            for r in range(n_rows):
                work.targets[j * n_rows + r] = y[start + r, j]
    call(
        net.loss,
        (work.values, work.slopes, work.targets, work.deltas, work.losses, net.loss_parameters),
        (output, output, first, output, first, first),
        (n_out * n_rows,),
    )
    if weight.size > 0:
        for r in range(n_rows):
            w = weight[order[start + r] if order.size > 0 else start + r]
            for j in range(n_out):
                k = j * n_rows + r
                work.losses[k] *= w
                work.deltas[output + k] *= w
    return sum_of(work.losses, n_out * n_rows)


@inlined
def add_block_gradient(theta, net, rows, y, weight, order, start, n_rows, work, gradient):
    """Add the gradient of the summed loss of a block of rows; return that summed loss."""
    forward(theta, net, rows, order, start, n_rows, work, 1)
    total = output_delta(net, y, weight, order, start, n_rows, work)
    values, slopes, deltas = work.values, work.slopes, work.deltas
    one, passed_back = unsigned(1), False
    for layer in range(net.layers.shape[0] - 1, -1, -1):
        n_in, n_out = net.layers[layer, N_IN], net.layers[layer, N_OUT]
        coef, intercept = net.layers[layer, COEFS], net.layers[layer, INTERCEPTS]
        before, after = net.layers[layer, BEFORE] * n_rows, net.layers[layer, AFTER] * n_rows
        if net.bias and not passed_back:
            for j in range(n_out):
                s = theta.dtype.type(0)
                for r in range(n_rows):
                    s += deltas[after + j * n_rows + r]
                gradient[intercept + j] += s
        passed_back = layer > 0 and n_out <= FEW_OUTPUTS
        if passed_back:
            call(
                net.pass_back,
                (theta, values, slopes, deltas, deltas, gradient, gradient),
                (coef, before, before, after, before, coef, net.layers[layer - 1, INTERCEPTS]),
                (n_in, n_out, n_rows, unsigned(net.bias)),
            )
        elif layer == 0 and rows.indptr is not None:
            add_sparse_gradient(
                rows.values, rows.indices, rows.indptr, order, start, net, deltas, n_rows, gradient
            )
        elif n_in > n_out:  # the longer side first: that one is taken four at a time
            call(
                net.layers[layer, ADD_PRODUCTS],
                (values, deltas, gradient),
                (before, after, coef),
                (n_in, n_out, n_rows, n_out, one, net.gemm),
            )
        else:
            call(
                net.layers[layer, ADD_PRODUCTS],
                (deltas, values, gradient),
                (after, before, coef),
                (n_out, n_in, n_rows, one, n_out, net.gemm),
            )
        if layer > 0 and not passed_back:  # delta = f'(z) (coefs delta of the layer after)
            call(
                net.layers[layer, COMBINE],
                (theta, deltas, deltas),
                (coef, after, before),
                (n_out, n_in, n_rows, one, n_out, unsigned(0), net.gemm),
            )
            for k in range(before, before + n_in * n_rows):
                deltas[k] *= slopes[k]
    return total


# ------------------------------------------------------------------ any number of rows at once


@part
def clear(array):
    """Set a flat array to zero: a loop, because NumPy's way takes a second to compile."""
    for k in range(array.size):
        array[k] = array.dtype.type(0)


@inlined
def gradient_of_rows(theta, net, rows, y, weight, order, start, stop, work, gradient):
    """Gradient of the summed loss of rows order[start:stop], into `gradient`; return that loss."""
    clear(gradient)
    total = 0.0
    for first in range(start, stop, BLOCK_ROWS):
        n_rows = unsigned(min(BLOCK_ROWS, stop - first))
        total += add_block_gradient(
            theta, net, rows, y, weight, order, first, n_rows, work, gradient
        )
    return total


@part
def finish_gradient(theta, net, gradient, total, scale, penalty):
    """Turn the sums over all rows into means, and add the penalty; return the loss."""
    real_scale, real_penalty = theta.dtype.type(scale), theta.dtype.type(penalty)
    squares = theta.dtype.type(0)
    for k in range(net.n_coefs):
        t = theta[k]
        squares += t * t
        gradient[k] = two_products(real_scale, gradient[k], real_penalty, t)
    for k in range(net.n_coefs, theta.size):
        gradient[k] *= real_scale
    return two_products(total, scale, 0.5 * penalty, squares)


@kernel
def loss_and_gradient(theta, net, rows, y, weight, order, start, stop, work, total, scale, penalty):
    """Add the summed loss of rows start to stop to `total`, and its gradient to that in `work`.

    Return the sum; after the last row, with the gradient, the mean loss and the penalty instead.
    """
    gradient = work.gradient
    if start == 0:
        clear(gradient)
    for first in range(start, stop, BLOCK_ROWS):
        n_rows = unsigned(min(BLOCK_ROWS, stop - first))
        total += add_block_gradient(
            theta, net, rows, y, weight, order, first, n_rows, work, gradient
        )
    if stop == y.shape[0]:
        total = finish_gradient(theta, net, gradient, total, scale, penalty)
    return total


class LimitedMemory(NamedTuple):
    """Arrays of L-BFGS, see `limited_memory.advance`, and its address."""

    state: np.ndarray
    direction: np.ndarray
    x_before: np.ndarray
    gradient_before: np.ndarray
    s: np.ndarray
    y: np.ndarray
    curvatures: np.ndarray
    advance: int


@kernel
def run_lbfgs(theta, lm, losses, net, rows, y, weight, order, work, scale, penalty, target, budget):
    """Iterate until an event, until `losses` is full, or until `budget` is used up.

    Return the number of iterations, whose losses are written. A call may end within an evaluation
    or a line search, and the next one goes on there. The budget is counted in multiply-adds.
    """
    s, n_samples, n = lm.state, y.shape[0], theta.size
    done, n_iterations = 0, 0
    while done < budget and n_iterations < losses.size and s[memory.EVENT] == memory.RUNNING:
        if s[memory.PHASE] != memory.ITERATE:
            first = int(s[memory.ROW])
            if first == 0:
                clear(work.gradient)
                s[memory.SUM] = 0.0
            n_rows = min(BLOCK_ROWS, n_samples - first)
            s[memory.SUM] += add_block_gradient(
                theta, net, rows, y, weight, order, first, unsigned(n_rows), work, work.gradient
            )
            done += 3 * n * n_rows
            s[memory.ROW] = first + n_rows
        if s[memory.PHASE] == memory.ITERATE or s[memory.ROW] == n_samples:
            if s[memory.PHASE] != memory.ITERATE:
                s[memory.ROW] = 0.0
                s[memory.LOSS] = finish_gradient(
                    theta, net, work.gradient, s[memory.SUM], scale, penalty
                )
            before, o = s[memory.N_ITER], unsigned(0)
            call(
                lm.advance,
                (
                    theta,
                    work.gradient,
                    s,
                    lm.direction,
                    lm.x_before,
                    lm.gradient_before,
                    lm.s,
                    lm.y,
                    lm.curvatures,
                ),
                (o, o, o, o, o, o, o, o, o),
                (unsigned(n),),
            )
            done += 40 * n
            if s[memory.N_ITER] > before:
                losses[n_iterations] = s[memory.LOSS]
                n_iterations += 1
                if s[memory.LOSS] <= target:
                    s[memory.EVENT] = memory.LOW_ENOUGH
    return n_iterations


@kernel
def predict_rows(theta, net, rows, order, start, stop, work, predictions):
    """Write the network's outputs for rows start to stop, shape (n_samples, n_outputs)."""
    for first in range(start, stop, BLOCK_ROWS):
        n_rows = unsigned(min(BLOCK_ROWS, stop - first))
        forward(theta, net, rows, order, first, n_rows, work, 0)
        output = net.layers[net.layers.shape[0] - 1, AFTER] * n_rows
        for j in range(predictions.shape[1]):
            for r in range(n_rows):
                predictions[first + r, j] = work.values[output + r]
            output += n_rows


# ------------------------------------------------------------------------------- shuffling


@part
def next_uint32(twister):
    """Next draw of the Mersenne twister MT19937 (Matsumoto & Nishimura 1998).

    `twister` holds the 624 words of `RandomState.get_state()` and, last, the position in them.
    """
    n, m = 624, 397
    position = twister[n]
    if position >= n:
        for k in range(n):
            y = (twister[k] & 0x80000000) | (twister[(k + 1) % n] & 0x7FFFFFFF)
            twister[k] = twister[(k + m) % n] ^ (y >> 1) ^ (0x9908B0DF if y & 1 else 0)
        position = 0
    y = twister[position]
    twister[n] = position + 1
    y ^= y >> 11
    y ^= (y << 7) & 0x9D2C5680
    y ^= (y << 15) & 0xEFC60000
    return y ^ (y >> 18)


@part
def shuffle(order, twister):
    """Shuffle in place, draw by draw as `RandomState.shuffle` does (masked rejection).

    scikit-learn permutes the order of the epoch before; so does this.
    """
    for k in range(order.size - 1, 0, -1):
        mask = k
        for shift in (1, 2, 4, 8, 16):
            mask |= mask >> shift
        draw = next_uint32(twister) & mask
        while draw > k:
            draw = next_uint32(twister) & mask
        order[k], order[draw] = order[draw], order[k]


# ---------------------------------------------------------------------------- sgd and adam


class Pace(NamedTuple):
    """How far an update goes, in the dtype of theta; sgd reads the first four, Adam the others."""

    rate: float
    momentum: float
    keep: float  # of the new velocity
    push_again: float  # the rate, with Nesterov's momentum
    epsilon: float
    beta_1: float
    fresh_1: float  # 1 - beta_1
    beta_2: float
    fresh_2: float


@part
def pace_of(theta, rate, options):
    """Convert the hyperparameters once an update, not once a weight."""
    real = theta.dtype.type
    beta_1, beta_2 = real(options.beta_1), real(options.beta_2)
    return Pace(
        real(rate),
        real(options.momentum),
        real(options.momentum if options.nesterovs_momentum else 1.0),
        real(rate if options.nesterovs_momentum else 0.0),
        real(options.epsilon),
        beta_1,
        real(1) - beta_1,
        beta_2,
        real(1) - beta_2,
    )


@literal
def move(k, g, theta, moment, second_moment, pace):
    """Update weight k by its gradient g, in `moment` and, of Adam, `second_moment`.

    Adam is Kingma & Ba (2014), Algorithm 1 with the bias corrections in the rate; sgd steps by
    v = momentum v - rate g, or with Nesterov's momentum by momentum v - rate g.
    """
    if second_moment is not None:
        m = pace.beta_1 * moment[k] + pace.fresh_1 * g
        v = pace.beta_2 * second_moment[k] + pace.fresh_2 * g * g
        moment[k] = m
        second_moment[k] = v
        theta[k] -= pace.rate * m / (math.sqrt(v) + pace.epsilon)
    else:
        v = pace.momentum * moment[k] - pace.rate * g
        moment[k] = v
        theta[k] += pace.keep * v - pace.push_again * g


@part
def finish_update(theta, moment, second_moment, net, gradient, scale, penalty, pace):
    """Update by scale * gradient + penalty * coefs; return sum(coefs^2) before the update."""
    scale, penalty = theta.dtype.type(scale), theta.dtype.type(penalty)
    squares = theta.dtype.type(0)
    for k in range(net.n_coefs):
        t = theta[k]
        squares += t * t
        g = two_products(scale, gradient[k], penalty, t)
        move(k, g, theta, moment, second_moment, pace)
    for k in range(net.n_coefs, theta.size):
        move(k, scale * gradient[k], theta, moment, second_moment, pace)
    return squares


@inlined
def train_on_sample(x, theta, moment, second_moment, net, y, row, work, penalty, pace):
    """Update theta after one dense row; return the loss and sum(coefs^2) before the update.

    What `add_block_gradient` and `finish_update` do for a block, with the units as the innermost
    loop and each weight updated as soon as it has passed its delta back: writing the gradient out
    and reading it again took a third of the time of a small network.
    For CSR rows it is never called, and compiled to nothing.
    """
    total, squares = 0.0, theta.dtype.type(0)
    if x.ndim == 2:
        values, slopes, deltas = work.values, work.slopes, work.deltas
        last = net.layers.shape[0] - 1
        for i in range(net.layers[0, N_IN]):
            values[i] = x[row, i]
        for layer in range(last + 1):
            n_in, n_out = net.layers[layer, N_IN], net.layers[layer, N_OUT]
            coef, intercept = net.layers[layer, COEFS], net.layers[layer, INTERCEPTS]
            before, after = net.layers[layer, BEFORE], net.layers[layer, AFTER]
            for j in range(n_out):
                values[after + j] = theta[intercept + j] if net.bias else theta.dtype.type(0)
            for i in range(n_in):
                a = values[before + i]
                for j in range(n_out):
                    values[after + j] += a * theta[coef + j]
                coef += n_out
            call(net.layers[layer, ACTIVATION], (values, slopes), (after, after), (n_out,))

        n_out, output, first = net.layers[last, N_OUT], net.layers[last, AFTER], unsigned(0)
        call(
            net.loss,
            (values, slopes, y, deltas, work.losses, net.loss_parameters),
            (output, output, unsigned(row) * n_out, output, first, first),
            (n_out,),
        )
        for j in range(n_out):
            total += work.losses[j]

        penalty = theta.dtype.type(penalty)
        for layer in range(last, -1, -1):
            n_in, n_out = net.layers[layer, N_IN], net.layers[layer, N_OUT]
            coef, intercept = net.layers[layer, COEFS], net.layers[layer, INTERCEPTS]
            before, after = net.layers[layer, BEFORE], net.layers[layer, AFTER]
            for i in range(n_in):
                a = values[before + i]
                back = theta.dtype.type(0)
                for j in range(n_out):
                    d, t = deltas[after + j], theta[coef + j]
                    back += t * d
                    squares += t * t
                    move(coef + j, a * d + penalty * t, theta, moment, second_moment, pace)
                if layer > 0:
                    deltas[before + i] = slopes[before + i] * back
                coef += n_out
            if net.bias:
                for j in range(n_out):
                    d = deltas[after + j]
                    move(intercept + j, d, theta, moment, second_moment, pace)
    return total, squares


@part
def end_epoch(progress, options, loss):
    """Decide at the end of an epoch, in scikit-learn's order, whether to go on and at what rate."""
    p = progress[0]
    improved = not loss > p["best_loss"] - options.tol  # a loss that is NaN counts as improved
    p["no_improvement"] = 0 if improved else p["no_improvement"] + 1
    if loss < p["best_loss"]:
        p["best_loss"] = loss
    if options.schedule == INVSCALING:
        p["learning_rate"] = options.learning_rate_init / (p["samples"] + 1) ** options.power_t
    if loss <= options.loss_tol:
        p["event"] = TARGET_REACHED
    elif p["no_improvement"] > options.n_iter_no_change:
        p["event"] = STALLED
    else:
        p["event"] = RUNNING


@kernel
def run_epochs(
    theta,
    moment,
    second_moment,
    progress,
    curves,
    net,
    options,
    rows,
    y,
    weight,
    order,
    twister,
    batch_size,
    single_rows,
    work,
    budget,
):
    """Train until an event, until `curves` has no row left, or until `budget` rows are done.

    Everything that outlives the call is in the arrays: `theta`, `moment` and `second_moment`,
    `progress`, `order`, `twister`.  A call may end within an epoch, and the next one goes on
    there.  An argument that is None is left out of the machine code: `second_moment` is for Adam,
    `twister` for shuffling, and either `batch_size` or `single_rows` is None, the latter for
    batches.
    """
    p = progress[0]
    n_samples = y.shape[0]
    done = 0
    while done < budget and p["epoch"] < curves.shape[0]:
        if p["row"] == 0:
            p["loss_sum"] = 0.0
            if twister is not None:
                shuffle(order, twister)
        start, step, rate, loss_sum = p["row"], p["step"], p["learning_rate"], p["loss_sum"]
        pace = pace_of(theta, rate, options)
        while start < n_samples and done < budget:
            stop = start + 1
            if batch_size is not None:
                stop = min(start + batch_size, n_samples)
            n_rows = stop - start
            weight_sum = float(n_rows)
            if weight.size > 0:
                weight_sum = 0.0
                for k in range(start, stop):
                    weight_sum += weight[order[k]]
            if weight_sum != 0.0:  # a batch without weight has no say
                if second_moment is not None:
                    step += 1
                    rate = (
                        options.learning_rate_init
                        * math.sqrt(1.0 - options.beta_2**step)
                        / (1.0 - options.beta_1**step)
                    )
                    pace = pace_of(theta, rate, options)
                penalty = options.alpha if weight_sum == 1.0 else options.alpha / weight_sum
                total, squares = 0.0, theta.dtype.type(0)
                if single_rows is not None:
                    row = order[start]
                    total, squares = train_on_sample(
                        rows.values, theta, moment, second_moment, net, y, row, work, penalty, pace
                    )
                if batch_size is not None:
                    summed = gradient_of_rows(
                        theta, net, rows, y, weight, order, start, stop, work, work.gradient
                    )
                    total, scale = summed / weight_sum, 1.0 / weight_sum
                    squares = finish_update(
                        theta, moment, second_moment, net, work.gradient, scale, penalty, pace
                    )
                loss_sum += n_rows * (total * net.loss_factor + 0.5 * penalty * squares)
            done += n_rows
            start = stop
        p["row"], p["step"], p["learning_rate"], p["loss_sum"] = start, step, rate, loss_sum
        if start == n_samples:
            p["row"] = 0
            p["samples"] += n_samples
            loss = loss_sum / n_samples
            curves[p["epoch"], LOSS] = loss
            curves[p["epoch"], RATE] = rate
            p["epoch"] += 1
            end_epoch(progress, options, loss)
            if p["event"] != RUNNING:
                break


# ------------------------------------------------------------------------------ the Jacobian


class JacobianRoutines(NamedTuple):
    """Addresses of the two functions of `products` that the Jacobian needs."""

    outer_products: int
    add_products: int


@inlined
def output_jacobian(k, theta, net, rows, weight, first, n_rows, work, jacobian, routines):
    """Differentiate sqrt(w) f_k of a block of rows by theta, after `forward`.

    `jacobian` is flat, of the shape (n_outputs, n_parameters, n_rows); its part k is written.
    Samples are the last axis, as in the block.
    """
    values, slopes, deltas = work.values, work.slopes, work.deltas
    one = unsigned(1)
    last = net.layers.shape[0] - 1
    output = net.layers[last, AFTER] * n_rows
    part_k = k * unsigned(theta.size) * n_rows
    for unit in range(output, output + net.layers[last, N_OUT] * n_rows):
        deltas[unit] = 0.0
    for r in range(n_rows):
        unit = output + k * n_rows + r
        deltas[unit] = (math.sqrt(weight[first + r]) if weight.size > 0 else 1.0) * slopes[unit]
    for layer in range(last, -1, -1):
        n_in, n_out = net.layers[layer, N_IN], net.layers[layer, N_OUT]
        coef = part_k + net.layers[layer, COEFS] * n_rows
        intercept = part_k + net.layers[layer, INTERCEPTS] * n_rows
        before, after = net.layers[layer, BEFORE] * n_rows, net.layers[layer, AFTER] * n_rows
        if net.bias:
            for r in range(n_out * n_rows):
                jacobian[intercept + r] = deltas[after + r]
        if layer == 0 and rows.indptr is not None:
            fill_sparse_jacobian(
                rows.values, rows.indices, rows.indptr, first, net, deltas, n_rows, jacobian, part_k
            )
        else:
            call(
                routines.outer_products,
                (values, deltas, jacobian),
                (before, after, coef),
                (n_in, n_out, n_rows),
            )
        if layer > 0:
            call(
                net.layers[layer, COMBINE],
                (theta, deltas, deltas),
                (net.layers[layer, COEFS], after, before),
                (n_out, n_in, n_rows, one, n_out, unsigned(0), net.gemm),
            )
            for unit in range(before, before + n_in * n_rows):
                deltas[unit] *= slopes[unit]


@part
def fill_sparse_jacobian(x, indices, indptr, start, net, deltas, n_rows, jacobian, begin):
    """Fill in the derivatives by the first layer's coefs for CSR x; for dense x do nothing."""
    if x.ndim == 1:
        n_in, n_out = net.layers[0, N_IN], net.layers[0, N_OUT]
        for p in range(begin, begin + n_in * n_out * n_rows):
            jacobian[p] = 0.0
        for r in range(n_rows):
            delta = net.layers[0, AFTER] * n_rows + r
            for e in range(indptr[start + r], indptr[start + r + 1]):
                place = begin + unsigned(indices[e]) * n_out * n_rows + r
                for j in range(n_out):
                    jacobian[place + j * n_rows] += x[e] * deltas[delta + j * n_rows]


# --------------------------------------------------------------------- Levenberg-Marquardt


class SecondOrder(NamedTuple):
    """Arrays of Levenberg-Marquardt for P parameters, K outputs and G groups, all float64.

    The state is in `theta` (an argument of its own), `hyper` and `progress`; `best` and `peaks`
    belong to the evidence; the others are scratch.  Where the residuals, R of them, are fewer than
    the parameters the functions of `dual` stand in for those of `evidence`: then `picture` is
    the transposed Jacobian, (P, R), and `residuals` holds what goes with it, else it is empty.
    """

    progress: np.ndarray  # SECOND_ORDER_DTYPE, one row
    groups: np.ndarray  # (P,) the group of each parameter
    hyper: np.ndarray  # alpha (G), beta (K), the number of samples, the variance of y
    result: np.ndarray  # of `evidence.evaluate`
    best: np.ndarray  # theta, alpha, beta, gamma of the greatest evidence
    peaks: np.ndarray  # the greatest evidence so far at each of the last iterations, a ring
    errors: np.ndarray  # (K,)
    gradients: np.ndarray  # (K P,) J_k^T r_k
    picture: np.ndarray  # (K P P,) J_k^T J_k, upper triangles
    residuals: np.ndarray  # empty
    gradient: np.ndarray  # (P + 3,) of S, then S, the gradient's largest entry, the trace of A
    matrix: np.ndarray  # (P P,) A
    factor: np.ndarray  # (P P,)
    step: np.ndarray  # (P,)
    numbers: np.ndarray  # (1,) mu, then the predicted fall
    trial: np.ndarray  # (P,) theta after the step
    trial_errors: np.ndarray  # (K,)
    block_residuals: np.ndarray  # (K BLOCK_ROWS,)
    block_jacobian: np.ndarray  # (K P BLOCK_ROWS,)


class EvidenceRoutines(NamedTuple):
    """Addresses of the functions of `evidence` or `dual`."""

    assemble: int
    solve: int
    evaluate: int


class SecondOrderOptions(NamedTuple):
    """What is constant during a fit."""

    estimate: bool  # alpha and beta by the evidence
    warm_up: int  # iterations before they are re-estimated
    reduction: float  # without the evidence: least relative fall of S in an iteration
    rise: float  # with it: least rise of the best log evidence, from the oldest of the peaks on
    loss_tol: float
    penalty: float  # of the coefs in the loss
    weight_sum: float
    output_scale: np.ndarray  # (K,) from the targets to the units of y


SECOND_ORDER_DTYPE = np.dtype(
    [
        ("phase", "i8"),
        ("row", "i8"),  # where in the phase's pass over the data the next block begins
        ("iteration", "i8"),  # rows of `curves` written in this call
        ("n_iter", "i8"),  # iterations since the start
        ("event", "i8"),
        ("n_peaks", "i8"),
        ("damping", "f8"),  # mu / mean diagonal of A
        ("growth", "f8"),
        ("value", "f8"),  # S at theta
        ("fall", "f8"),  # of S by the last step; zero where no step lowers S
        ("predicted", "f8"),  # what the quadratic picture says of the step
        ("gradient_norm", "f8"),
        ("loss", "f8"),
        ("best_evidence", "f8"),
        ("best_loss", "f8"),
    ]
)

# The phases of an iteration, in this order; a step that is rejected goes back to STEP.
PICTURE, ASSEMBLE, STEP, TRIAL = range(4)

# Columns of the curves, beside LOSS.
GRADIENT_NORM, DAMPING, ALPHA, LOG_EVIDENCE, N_EFFECTIVE = range(1, 6)
N_SECOND_ORDER_COLUMNS = 6

# mu is counted in units of the mean diagonal of A, so that it means the same after beta has grown
# by orders of magnitude. 1e-2 begins close to Gauss-Newton; where mu reaches 1e12 a step is lost in
# rounding; below 1e-12 it adds nothing to a positive definite A.
FIRST_DAMPING, MOST_DAMPING, LEAST_DAMPING = 1e-2, 1e12, 1e-12


@inlined
def add_block(
    theta, net, rows, y, weight, order, first, n_rows, work, so, errors, picture, routines, syrk
):
    """Add a block of rows to the errors, and for a picture to the gradients and matrices."""
    residuals, jacobian = so.block_residuals, so.block_jacobian
    n, one = unsigned(theta.size), unsigned(1)
    forward(theta, net, rows, order, first, n_rows, work, picture)
    output = net.layers[net.layers.shape[0] - 1, AFTER] * n_rows
    for k in range(unsigned(errors.size)):
        residual = k * n_rows
        total = 0.0
        for r in range(n_rows):
            w = math.sqrt(weight[first + r]) if weight.size > 0 else 1.0
            difference = w * (work.values[output + residual + r] - y[first + r, k])
            residuals[residual + r] = difference
            total += difference * difference
        errors[k] += 0.5 * total
        if picture:
            output_jacobian(k, theta, net, rows, weight, first, n_rows, work, jacobian, routines)
            block = k * n * n_rows
            call(
                routines.add_products,
                (jacobian, residuals, so.gradients),
                (block, residual, k * n),
                (n, one, n_rows, one, one, net.gemm),
            )
            if so.residuals.size == 0:
                add_self_product(syrk, jacobian, block, n, n_rows, so.picture, k * n * n)
            else:
                place = k * unsigned(y.shape[0]) + first
                for r in range(n_rows):
                    so.residuals[place + r] = residuals[residual + r]
                for _ in range(n):
                    for r in range(n_rows):
                        so.picture[place + r] = jacobian[block + r]
                    place += unsigned(so.residuals.size)
                    block += n_rows


@part
def assemble(theta, so, evidence):
    """S, its gradient and A at theta by the present alpha and beta."""
    o = unsigned(0)
    n_groups = so.hyper.size - so.errors.size - 2
    call(
        evidence.assemble,
        (theta, so.groups, so.errors, so.gradients, so.picture, so.hyper, so.gradient, so.matrix),
        (o, o, o, o, o, o, o, o),
        (
            unsigned(theta.size),
            unsigned(n_groups),
            unsigned(so.errors.size),
            unsigned(so.residuals.size),
        ),
    )
    p = so.progress[0]
    p["value"] = so.gradient[theta.size]
    p["gradient_norm"] = so.gradient[theta.size + 1]


@part
def take_step(theta, so, evidence, la):
    """Solve for the step, set the trial parameters; return the fall predicted, or -1."""
    o = unsigned(0)
    n_groups = so.hyper.size - so.errors.size - 2
    so.numbers[0] = so.progress[0]["damping"] * so.gradient[theta.size + 2] / theta.size
    call(
        evidence.solve,
        (
            theta,
            so.groups,
            so.picture,
            so.residuals,
            so.hyper,
            so.gradient,
            so.matrix,
            so.factor,
            so.step,
            so.numbers,
        ),
        (o, o, o, o, o, o, o, o, o, o),
        (
            unsigned(theta.size),
            unsigned(n_groups),
            unsigned(so.errors.size),
            unsigned(so.residuals.size),
            la.syrk,
            la.potrf,
            la.potrs,
            la.potri,
        ),
    )
    for i in range(theta.size):
        so.trial[i] = theta[i] + so.step[i]
    return so.numbers[0]


@part
def value_at(theta, groups, errors, hyper):
    """S at parameters whose errors are known."""
    n_groups = hyper.size - errors.size - 2
    value = 0.0
    for p in range(theta.size):
        value += 0.5 * hyper[unsigned(groups[p])] * theta[p] * theta[p]
    for k in range(errors.size):
        value += hyper[n_groups + k] * errors[k]
    return value


@part
def mean_loss(theta, n_coefs, errors, options):
    """Mean loss and penalty in the units of y."""
    total, squares, unit = 0.0, 0.0, 0.0
    for k in range(errors.size):
        scale = options.output_scale[k]
        total += errors[k] * scale * scale
        unit += scale * scale / errors.size
    total /= errors.size
    if options.penalty > 0.0:  # of y of 1e200 the unit is infinite, and infinity times 0 is NaN
        for p in range(n_coefs):
            squares += theta[p] * theta[p]
        total += 0.5 * unit * options.penalty * squares
    return total / options.weight_sum


@part
def end_iteration(theta, so, options, curves, evidence, la):
    """Write a row of the curves, re-estimate alpha and beta, decide whether to go on."""
    p = so.progress[0]
    n_outputs = so.errors.size
    n_groups = so.hyper.size - n_outputs - 2
    row = p["iteration"]
    curves[row, LOSS] = p["loss"]
    curves[row, GRADIENT_NORM] = p["gradient_norm"]
    curves[row, DAMPING] = p["damping"]
    curves[row, ALPHA] = so.hyper[0]
    curves[row, LOG_EVIDENCE] = math.nan
    curves[row, N_EFFECTIVE] = math.nan
    p["iteration"] += 1
    p["n_iter"] += 1
    stuck = p["fall"] == 0.0
    p["event"] = TARGET_REACHED if p["loss"] <= options.loss_tol else RUNNING
    if not options.estimate:
        if p["event"] == RUNNING and p["fall"] <= options.reduction * abs(p["value"]):
            p["event"] = STALLED
        return
    if p["n_iter"] < options.warm_up and not stuck:
        return
    assemble(theta, so, evidence)
    o = unsigned(0)
    call(
        evidence.evaluate,
        (
            theta,
            so.groups,
            so.errors,
            so.picture,
            so.hyper,
            so.matrix,
            so.factor,
            so.result,
        ),
        (o, o, o, o, o, o, o, o),
        (
            unsigned(theta.size),
            unsigned(n_groups),
            unsigned(n_outputs),
            unsigned(so.residuals.size),
            la.syrk,
            la.potrf,
            la.potrs,
            la.potri,
        ),
    )
    log_evidence = so.result[0]
    if math.isnan(log_evidence):  # A is singular to rounding
        if stuck and p["event"] == RUNNING:
            p["event"] = STALLED
        return
    curves[row, LOG_EVIDENCE] = log_evidence
    n_effective = 0.0
    for g in range(n_groups):
        n_effective += so.result[1 + g]
    curves[row, N_EFFECTIVE] = n_effective
    if log_evidence > p["best_evidence"] or p["event"] == TARGET_REACHED:
        p["best_evidence"], p["best_loss"] = log_evidence, p["loss"]
        for i in range(theta.size):
            so.best[i] = theta[i]
        for i in range(n_groups + n_outputs):
            so.best[theta.size + i] = so.hyper[i]
        for g in range(n_groups):
            so.best[theta.size + n_groups + n_outputs + g] = so.result[1 + g]
    so.peaks[p["n_peaks"] % so.peaks.size] = p["best_evidence"]
    p["n_peaks"] += 1
    if p["n_peaks"] >= so.peaks.size and p["event"] == RUNNING:
        if p["best_evidence"] - so.peaks[p["n_peaks"] % so.peaks.size] <= options.rise:
            p["event"] = CONVERGED
    for i in range(n_groups + n_outputs):
        so.hyper[i] = so.result[1 + n_groups + i]


@kernel
def run_levenberg_marquardt(
    theta, so, curves, net, options, rows, y, weight, order, work, jacobian, evidence, la, budget
):
    """Iterate until an event, until `curves` has no row left, or until `budget` is used up.

    Each iteration passes over the data twice: for the errors at the trial parameters of each step,
    and for the Gauss-Newton picture at those accepted.  A call may end within a pass, and the next
    one goes on there.  The budget is counted in multiply-adds.  With no row in `curves` the call
    ends with the picture of the start.
    """
    p = so.progress[0]
    n, n_samples, n_outputs = theta.size, y.shape[0], so.errors.size
    done, n_rows_of_curves = 0, curves.shape[0]
    while done < budget and (
        p["iteration"] < n_rows_of_curves or (n_rows_of_curves == 0 and p["phase"] == PICTURE)
    ):
        ended = False
        if p["phase"] == ASSEMBLE:
            assemble(theta, so, evidence)
            p["phase"] = STEP
        elif p["phase"] == STEP:
            p["predicted"] = take_step(theta, so, evidence, la)
            done += n * n * n // 3
            if p["predicted"] >= 0.0:
                p["phase"] = TRIAL
            else:
                reject(p)
        else:  # a pass over the data
            picture = p["phase"] == PICTURE
            parameters, errors = theta, so.errors
            if not picture:
                parameters, errors = so.trial, so.trial_errors
            if p["row"] == 0:
                clear(errors)
                if picture:
                    clear(so.gradients)
                    clear(so.picture)
            first = p["row"]
            n_rows = min(BLOCK_ROWS, n_samples - first)
            add_block(
                parameters,
                net,
                rows,
                y,
                weight,
                order,
                first,
                unsigned(n_rows),
                work,
                so,
                errors,
                picture,
                jacobian,
                la.syrk,
            )
            done += n_rows * n * (n_outputs * n if picture else 1)
            p["row"] += n_rows
            if p["row"] == n_samples:
                p["row"] = 0
                if picture:
                    p["loss"] = mean_loss(theta, net.n_coefs, so.errors, options)
                    p["phase"] = ASSEMBLE
                    ended = p["fall"] > 0.0  # else it is the picture of the start
                else:
                    p["fall"] = p["value"] - value_at(
                        so.trial, so.groups, so.trial_errors, so.hyper
                    )
                    if p["fall"] > 0.0:
                        for i in range(n):
                            theta[i] = so.trial[i]
                        accept(p)
                        p["phase"] = PICTURE
                    else:
                        reject(p)
                        p["phase"] = STEP
        if p["damping"] > MOST_DAMPING:  # no step lowers S
            p["damping"], p["growth"] = FIRST_DAMPING, 2.0
            p["fall"] = 0.0
            p["phase"] = ASSEMBLE
            ended = True
        if ended:
            end_iteration(theta, so, options, curves, evidence, la)
            done += n * n * n
        if p["event"] != RUNNING:
            break


@part
def accept(p):
    """Shrink mu by up to a third, or grow it up to twofold, by the ratio of actual to predicted."""
    twist = 2.0 * p["fall"] / p["predicted"] - 1.0
    p["damping"] *= max(1.0 / 3.0, 1.0 - twist * twist * twist)
    p["damping"] = max(p["damping"], LEAST_DAMPING)
    p["growth"] = 2.0


@part
def reject(p):
    """Raise mu, faster each time."""
    p["damping"] *= p["growth"]
    p["growth"] *= 2.0

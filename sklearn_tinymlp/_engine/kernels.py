"""The compiled engine: forward pass, loss and gradient, epochs of sgd and adam, shuffling.

All parameters are one flat vector `theta`: the coefs of every layer, then the intercepts of every
layer (without bias there are none). Rows are processed in blocks of at most `BLOCK_ROWS`. Within a
block a layer is a matrix of shape (units, rows): *samples are the last axis*, so that the innermost
loop runs over contiguous samples, as many as the block has whatever the layer sizes, and small
layers vectorise as well as large ones::

    z[j, r] = b[j] + sum_i W[i, j] a[i, r]                         affine
    G[i, j] += sum_r a[i, r] delta[j, r]                           accumulate_gradient
    delta_before[i, r] = f'(z[i, r]) sum_j W[i, j] delta[j, r]     affine, or backpropagate

These are functions of `linear_algebra`; large layers use BLAS. Training by single rows has its own
path (`train_on_sample`), with the units innermost. Activations return value and slope in one pass,
losses value and delta; both are called by address, and the backward pass only multiplies. Kernels
release the GIL and process a limited number of rows, so that Python handles Ctrl-C between calls.
"""

import math
from typing import NamedTuple

import numpy as np

from .._activations.compiled import MAX_CONSTANTS
from .._machine.compilation import call, jit_entry, jit_fast, jit_ieee, jit_inline, unsigned
from . import limited_memory as lbfgs
from .linear_algebra import FEW_OUTPUTS, sum_of
from .stochastic_state import INVSCALING, LOSS, RATE, RUNNING, STALLED, TARGET_REACHED

# Blocks of 128 rows of a 10-100-1 network in float64 need 230 KB for value and slope: they stay
# in the second-level cache of current processors. 64 to 256 rows ran within 10% of each other.
BLOCK_ROWS = 128

# The values and slopes of this many numbers in float64 fill a first-level cache.
TILE = 3072


class KernelNetwork(NamedTuple):
    """An architecture and a loss."""

    layers: np.ndarray  # (n_layers - 1, 9) of uint64: one row per layer of weights, see below
    n_coefs: int  # of all layers, the leading part of theta
    bias: bool
    loss: int  # address of the compiled loss, see `loss_kernels`
    loss_parameters: np.ndarray  # float64, its constants
    loss_factor: float  # 1 / n_outputs where the loss averages over the outputs, else 1
    gemm: int  # address of BLAS's matrix product
    backpropagate: int  # address of its function in `linear_algebra`
    constants: np.ndarray  # float64, N_CONSTANTS for the activation of each layer


# Columns of `KernelNetwork.layers`: units before and after; positions of coefs and intercepts in
# theta; numbers of units that precede the units before and after in a block; addresses of the
# activation and of two functions of `linear_algebra`.
N_IN, N_OUT, COEFS, INTERCEPTS, BEFORE, AFTER = range(6)
ACTIVATION, AFFINE, ACCUMULATE = range(6, 9)

N_CONSTANTS = unsigned(MAX_CONSTANTS)


class Rows(NamedTuple):
    """Samples: a dense matrix in `values`, or the three arrays of a CSR matrix.

    Kernels are compiled for one of the two: if the number of dimensions of an argument selects a
    branch, numba drops the other branch.
    """

    values: np.ndarray
    indices: np.ndarray | None
    indptr: np.ndarray | None
    blocks: np.ndarray  # the dense matrix in blocks of (inputs, rows), or empty: `in_blocks`


class Work(NamedTuple):
    """Scratch space for a block of rows, see `compiled.work_arrays`."""

    values: np.ndarray  # of every unit, like the next two fields
    slopes: np.ndarray
    deltas: np.ndarray
    targets: np.ndarray  # of every output
    losses: np.ndarray  # likewise, always in float64
    gradient: np.ndarray  # of the length of theta


# ------------------------------------------------------------------- a block: forward, backward


@jit_fast
def load_inputs(x, indices, indptr, blocks, order, start, theta, net, values, n_rows):
    """Load rows order[start:start + n_rows] of x into the block; an empty `order` is 0, 1, 2, ...

    Dense rows become the inputs, transposed, or are copied from `blocks`. CSR rows are instead
    multiplied by the first layer's coefs, and added to its sums.
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


@jit_fast
def add_sparse_gradient(x, indices, indptr, order, start, net, deltas, n_rows, gradient):
    """`accumulate_gradient` of the first layer for CSR x; nothing for dense x."""
    if x.ndim == 1:
        n_out = net.layers[0, N_OUT]
        for r in range(n_rows):
            row = order[start + r] if order.size > 0 else start + r
            delta = net.layers[0, AFTER] * n_rows + r
            for k in range(indptr[row], indptr[row + 1]):
                coef = unsigned(indices[k]) * n_out
                for j in range(n_out):
                    gradient[coef + j] += x[k] * deltas[delta + j * n_rows]


@jit_inline
def forward(theta, net, rows, order, start, n_rows, work):
    """Compute values and slopes of every layer for rows order[start:start + n_rows].

    A layer is computed some units at a time, so that the sums are still in the first-level cache
    when the activation reads them.
    """
    x, indices, indptr, blocks = rows
    values, one = work.values, unsigned(1)
    tile = max(one, unsigned(TILE) // n_rows)
    for layer in range(net.layers.shape[0]):
        n_in, n_out = net.layers[layer, N_IN], net.layers[layer, N_OUT]
        coef, intercept = net.layers[layer, COEFS], net.layers[layer, INTERCEPTS]
        before, after = net.layers[layer, BEFORE] * n_rows, net.layers[layer, AFTER] * n_rows
        sparse = layer == 0 and indptr is not None
        if sparse:
            fill_intercepts(theta, net.bias, intercept, values, after, n_out, n_rows)
        if layer == 0:
            load_inputs(x, indices, indptr, blocks, order, start, theta, net, values, n_rows)
        first = unsigned(0)
        while first < n_out:
            n_units, z = min(tile, n_out - first), after + first * n_rows
            if not sparse:
                fill_intercepts(theta, net.bias, intercept + first, values, z, n_units, n_rows)
                starts = (coef + first, before, z)
                sizes = (n_in, n_units, n_rows, n_out, one, one, net.gemm)
                call(net.layers[layer, AFFINE], (theta, values, values), starts, sizes)
            count = (n_units * n_rows,)
            place = (z, z, unsigned(layer) * N_CONSTANTS)
            call(net.layers[layer, ACTIVATION], (values, work.slopes, net.constants), place, count)
            first += n_units


@jit_fast
def fill_intercepts(theta, bias, intercept, values, z, n_units, n_rows):
    """Set the sums of some units to their intercepts, or to zero without bias."""
    for j in range(n_units):
        b = theta[intercept + j] if bias else theta.dtype.type(0)
        for r in range(n_rows):
            values[z + j * n_rows + r] = b


@jit_ieee
def two_products(a, b, c, d):
    """Return a b + c d, both products rounded."""
    return a * b + c * d


@jit_ieee
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


@jit_inline
def add_block_gradient(theta, net, rows, y, weight, order, start, n_rows, work):
    """Add the gradient of the summed loss of a block of rows; return that summed loss."""
    forward(theta, net, rows, order, start, n_rows, work)
    total = output_delta(net, y, weight, order, start, n_rows, work)
    values, slopes, deltas, gradient = work.values, work.slopes, work.deltas, work.gradient
    one, propagated = unsigned(1), False
    for layer in range(net.layers.shape[0] - 1, -1, -1):
        n_in, n_out = net.layers[layer, N_IN], net.layers[layer, N_OUT]
        coef, intercept = net.layers[layer, COEFS], net.layers[layer, INTERCEPTS]
        before, after = net.layers[layer, BEFORE] * n_rows, net.layers[layer, AFTER] * n_rows
        if net.bias and not propagated:
            for j in range(n_out):
                s = theta.dtype.type(0)
                for r in range(n_rows):
                    s += deltas[after + j * n_rows + r]
                gradient[intercept + j] += s
        propagated = layer > 0 and n_out <= FEW_OUTPUTS
        if propagated:
            call(
                net.backpropagate,
                (theta, values, slopes, deltas, deltas, gradient, gradient),
                (coef, before, before, after, before, coef, net.layers[layer - 1, INTERCEPTS]),
                (n_in, n_out, n_rows, unsigned(net.bias)),
            )
        elif layer == 0 and rows.indptr is not None:
            x, indices, indptr, _ = rows
            add_sparse_gradient(x, indices, indptr, order, start, net, deltas, n_rows, gradient)
        elif n_in > n_out:  # the longer side first, which is unrolled
            starts, sizes = (before, after, coef), (n_in, n_out, n_rows, n_out, one, net.gemm)
            call(net.layers[layer, ACCUMULATE], (values, deltas, gradient), starts, sizes)
        else:
            starts, sizes = (after, before, coef), (n_out, n_in, n_rows, one, n_out, net.gemm)
            call(net.layers[layer, ACCUMULATE], (deltas, values, gradient), starts, sizes)
        if layer > 0 and not propagated:  # delta = f'(z) (coefs delta of the layer after)
            sizes_back = (n_out, n_in, n_rows, one, n_out, unsigned(0), net.gemm)
            starts = (coef, after, before)
            call(net.layers[layer, AFFINE], (theta, deltas, deltas), starts, sizes_back)
            for k in range(before, before + n_in * n_rows):
                deltas[k] *= slopes[k]
    return total


# ------------------------------------------------------------------ any number of rows at once


@jit_fast
def clear(array):
    """Set a flat array to zero: a loop, because slice assignment takes a second to compile."""
    for k in range(array.size):
        array[k] = array.dtype.type(0)


@jit_inline
def add_gradient(theta, net, rows, y, weight, order, start, stop, work, total):
    """Add the gradient of rows order[start:stop] to `work.gradient`; return their loss + total."""
    for first in range(start, stop, BLOCK_ROWS):
        n_rows = unsigned(min(BLOCK_ROWS, stop - first))
        total += add_block_gradient(theta, net, rows, y, weight, order, first, n_rows, work)
    return total


@jit_fast
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


@jit_entry
def loss_and_gradient(theta, net, rows, y, weight, order, start, stop, work, total, scale, penalty):
    """Add the loss of rows start to stop to `total`, and its gradient to the one in `work`.

    Return the sum. After the last row return the penalised mean, and scale the gradient likewise.
    """
    if start == 0:
        clear(work.gradient)
    total = add_gradient(theta, net, rows, y, weight, order, start, stop, work, total)
    if stop == y.shape[0]:
        total = finish_gradient(theta, net, work.gradient, total, scale, penalty)
    return total


@jit_entry
def run_lbfgs(
    theta, memory, losses, target, net, rows, y, weight, order, work, scale, penalty, budget
):
    """Iterate until an event, until `losses` is full, or until `budget` multiply-adds are spent.

    Return the number of iterations done; their losses are in `losses`. A call may end within an
    evaluation or a line search, and the next call continues there.
    """
    s, n_samples, n = memory.state, y.shape[0], theta.size
    spent, n_iterations, o = 0, 0, unsigned(0)
    while spent < budget and n_iterations < losses.size and s[lbfgs.EVENT] == lbfgs.RUNNING:
        if s[lbfgs.PHASE] != lbfgs.ITERATE:
            first = int(s[lbfgs.ROW])
            stop = min(first + BLOCK_ROWS, n_samples)
            if first == 0:
                clear(work.gradient)
                s[lbfgs.SUM] = 0.0
            n_rows = unsigned(stop - first)
            total = s[lbfgs.SUM]
            total += add_block_gradient(theta, net, rows, y, weight, order, first, n_rows, work)
            spent += 3 * n * (stop - first)
            s[lbfgs.SUM], s[lbfgs.ROW] = total, stop
            if stop < n_samples:
                continue
            s[lbfgs.ROW] = 0.0
            s[lbfgs.LOSS] = finish_gradient(theta, net, work.gradient, total, scale, penalty)
        n_before = s[lbfgs.N_ITER]
        _, d, x_before, g_before, steps, changes, curvatures, advance = memory
        arrays = (theta, work.gradient, s, d, x_before, g_before, steps, changes, curvatures)
        call(advance, arrays, (o, o, o, o, o, o, o, o, o), (unsigned(n),))
        spent += 40 * n
        if s[lbfgs.N_ITER] > n_before:
            losses[n_iterations] = s[lbfgs.LOSS]
            n_iterations += 1
            if s[lbfgs.LOSS] <= target:
                s[lbfgs.EVENT] = lbfgs.LOW_ENOUGH
    return n_iterations


# ------------------------------------------------------------------------------- shuffling


@jit_fast
def next_uint32(twister):
    """Return the next draw of the Mersenne twister MT19937 (Matsumoto & Nishimura 1998).

    `twister` has the 624 words of `RandomState.get_state()` and, last, the position in them.
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


@jit_fast
def shuffle(order, twister):
    """Shuffle in place, draw by draw as `RandomState.shuffle` does (masked rejection)."""
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
    """Constants of an update in the dtype of theta; sgd uses the first four, Adam the others."""

    rate: float
    momentum: float
    keep: float  # factor of the new velocity
    push_again: float  # the rate with Nesterov's momentum, else 0
    epsilon: float
    beta_1: float
    fresh_1: float  # 1 - beta_1
    beta_2: float
    fresh_2: float


@jit_fast
def pace_of(theta, rate, options):
    """Convert the hyperparameters once per update, not once per weight."""
    real = theta.dtype.type
    return Pace(
        real(rate),
        real(options.momentum),
        real(options.momentum if options.nesterovs_momentum else 1.0),
        real(rate if options.nesterovs_momentum else 0.0),
        real(options.epsilon),
        real(options.beta_1),
        real(1.0 - options.beta_1),  # 1 - 0.999 in float32 has four digits
        real(options.beta_2),
        real(1.0 - options.beta_2),
    )


@jit_ieee
def move(k, g, theta, moment, second_moment, pace):
    """Update weight k and its entries in `moment` and, for Adam, `second_moment` by its gradient g.

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


@jit_fast
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


@jit_inline
def train_on_sample(x, theta, moment, second_moment, net, y, row, work, penalty, pace):
    """Update theta after one dense row; return the loss and sum(coefs^2) before the update.

    It does for a row what `add_block_gradient` and `finish_update` do for a block, with the units
    as the innermost loop, and updates each weight once its delta is propagated: writing and reading
    the gradient took a third of the time of a small network. For CSR rows it compiles to nothing.
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
            place = (after, after, unsigned(layer) * N_CONSTANTS)
            call(net.layers[layer, ACTIVATION], (values, slopes, net.constants), place, (n_out,))

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


@jit_fast
def end_epoch(progress, options, loss):
    """Apply the stopping rules and the schedule after an epoch, in scikit-learn's order."""
    p = progress[0]
    improved = not loss > p["best_loss"] - options.tol  # a NaN loss counts as improved
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


@jit_entry
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
    """Train until an event, until `curves` is full, or until `budget` rows are processed.

    All state is in the arrays `theta`, `moment`, `second_moment`, `progress`, `order`, `twister`. A
    call may end within an epoch, and the next call continues there. Code that an argument of None
    makes superfluous is not compiled: `second_moment` is for Adam, `twister` for shuffling, and one
    of `batch_size` and `single_rows` is None.
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
            if weight_sum != 0.0:  # a batch of zero weight changes nothing
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
                    clear(work.gradient)
                    total = add_gradient(theta, net, rows, y, weight, order, start, stop, work, 0.0)
                    total, scale = total / weight_sum, 1.0 / weight_sum
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

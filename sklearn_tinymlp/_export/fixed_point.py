"""A network, or an ensemble, in integers of 8 or 16 bits, and a bound of the rounding error.

A number a is step * q with an integer q of 8 or 16 bits. With inputs step_i q_i a unit sums up

    t_j = c_j + sum_i v_ji q_i,    v_ji = round(2^s_j w_ji step_i),  c_j = round(2^s_j (b_j - low)),

in 32 bits; s_j is the largest integer for which v fits into 8 or 16 bits, and the largest possible
sum into 32. So t_j counts from the beginning `low` of the table of the activation, whose nodes are
2^-k apart: its upper bits are an index into the table, its lower ones the fraction of the way to
the next node.

The bound follows each rounding through the network, as interval arithmetic does (Jacob et al.,
"Quantization and training of neural networks for efficient integer-arithmetic-only inference",
CVPR 2018, describe the scheme; the bound is elementary). It holds for every row within the ranges.
"""

from typing import NamedTuple

import numpy as np

from .layers import Part

MAX_SUM = 2**31 - 1
MAX_CELLS = 1024  # of a table: 2 KB in 16 bits. 512 double the error bound of a tanh network
SHARE_BITS = 14  # of the interpolation: the product with a difference of nodes has 31 bits
GRID = 4001  # points at which functions are evaluated
POINTS_PER_CELL = 16  # at which the error of interpolation is evaluated
SLACK = 1.02  # between these points the error is less than 2% larger


class FixedLayer(NamedTuple):
    """The integers of a layer; the first axis counts the networks of an ensemble."""

    coefs: np.ndarray  # (networks, units, inputs), of 8 or 16 bits
    intercepts: np.ndarray  # (networks, units), of 32 bits
    shifts: np.ndarray | None  # (networks, units), number of lower bits; None without a table
    table: np.ndarray | None  # values of the activation, of 8 or 16 bits


class FixedPoint(NamedTuple):
    """Integers of all parts, with inputs centre + step * q, outputs offset + step * q."""

    centres: np.ndarray
    steps: np.ndarray
    offsets: np.ndarray
    output_steps: np.ndarray
    parts: list[tuple[list[FixedLayer], np.ndarray | None]]  # layers, weights not in the coefs
    error_bound: np.ndarray  # of each output, in its units


class _Table(NamedTuple):
    low: float
    fineness: int  # k: nodes are 2^-k apart
    values: np.ndarray
    step: float
    error: float  # of an interpolated value, in steps
    z: np.ndarray  # a grid over all possible sums, with value and slope
    value: np.ndarray
    slope: np.ndarray

    @property
    def cells(self) -> int:
        return len(self.values) - 1

    def between(self, low, high):
        """Return the least and greatest value and the steepest slope on intervals of z."""
        first = np.maximum(np.searchsorted(self.z, low) - 1, 0)
        last = np.minimum(np.searchsorted(self.z, high, side="right") + 1, len(self.z))
        extremes = [
            (self.value[a:b].min(), self.value[a:b].max(), np.abs(self.slope[a:b]).max())
            for a, b in zip(first.ravel(), last.ravel(), strict=True)
        ]
        return np.array(extremes).T.reshape(3, *low.shape)


class _State(NamedTuple):
    """The inputs of a layer, in steps: their range without rounding, and their error."""

    low: np.ndarray
    high: np.ndarray
    error: np.ndarray
    step: np.ndarray | float


def fixed_point(parts: list[Part], low, high, bits: int) -> FixedPoint:
    """Convert parts in float64 to integers of 8 or 16 bits, for inputs from `low` to `high`."""
    most = 2 ** (bits - 1) - 1
    centres, half = (low + high) / 2, (high - low) / 2
    steps = np.where(half > 0, half / most, 1.0)
    fixed, ends = [], []
    all_linear = all(part.layers[-1][2].name == "identity" for part in parts)
    for part in parts:
        n_networks = 1 if part.weights is None else len(part.weights)
        bound = np.tile(np.where(half > 0, float(most), 0.0), (n_networks, 1))
        layers, state = [], _State(-bound, bound, np.where(bound > 0, 0.5, 0.0), steps)
        for number, (coefs, intercepts, formula) in enumerate(part.layers):
            if part.weights is None:
                coefs, intercepts = coefs[np.newaxis], intercepts[np.newaxis]
            rows, constants = np.swapaxes(coefs, -1, -2), intercepts
            if number == 0:
                constants = constants + rows @ centres
                rows = np.where(half > 0, rows, 0.0)
            rows = rows * state.step
            if all_linear and number == len(part.layers) - 1:
                break
            layer, state = _with_table(rows, constants, formula, state, most)
            layers.append(layer)
        fixed.append(layers)
        ends.append((rows, constants, state))
    if all_linear:
        weights = [np.ones(1) if p.weights is None else np.array(p.weights) for p in parts]
        offsets, output_steps, result, bound = _linear_outputs(weights, fixed, ends, most)
    else:
        states = [state for _, _, state in ends]
        offsets, output_steps, result, bound = _tabled_outputs(parts, fixed, states, most)
    # Allow for the rounding of doubles before and after the integer arithmetic.
    bound = bound * (1.0 + 1e-6) + 1e-12 * (1.0 + np.abs(offsets))
    if not all(np.isfinite(numbers).all() for numbers in (centres, steps, offsets, bound)):
        raise ValueError(
            "Inputs or predictions overflow within the ranges of X, so that fixed point cannot "
            "represent them. Leave extreme rows out."
        )
    return FixedPoint(centres, steps, offsets, output_steps, result, bound)


def _dot(rows, inputs):
    """Sum over the inputs of each network."""
    return np.einsum("mji,mi->mj", rows, inputs)


def _sums(rows, constants, state):
    """Return the least and the greatest sum of each unit, without rounding."""
    up, down = np.maximum(rows, 0.0), np.minimum(rows, 0.0)
    low = constants + _dot(up, state.low) + _dot(down, state.high)
    return low, constants + _dot(up, state.high) + _dot(down, state.low)


def _with_table(rows, constants, formula, state, most) -> tuple[FixedLayer, _State]:
    """Convert a layer to integers, and return the range and error of its outputs."""
    low, high = _sums(rows, constants, state)
    fineness = None
    while True:
        table = _table_of(formula, low.min(), high.max(), most, fineness)
        span = table.cells * 2.0**-table.fineness
        scale = _scale(rows, constants - table.low, most, span)
        if scale.min() >= table.fineness:
            break
        fineness = table.fineness - 1  # sums as coarse as this need no finer table
    factor = 2.0**scale
    coefs, intercepts, error = _rounded(rows, constants - table.low, factor, state, most)
    error += 1.0 / factor  # the last position before the table's end
    error += 2.0 ** (-table.fineness - SHARE_BITS)
    least, greatest, steepest = table.between(low - error, high + error)
    shifts = (scale - table.fineness).astype(np.int64)
    error = steepest * error / table.step + table.error
    state = _State(least / table.step, greatest / table.step, error, table.step)
    return FixedLayer(coefs, intercepts, shifts, table.values), state


def _rounded(rows, constants, factor, state, most):
    """Return coefs and intercepts as multiples of 1 / factor, and the error of the sums."""
    coefs = np.rint(rows * factor[..., np.newaxis])
    intercepts = np.rint(constants * factor)
    largest = np.minimum(np.maximum(-state.low, state.high) + state.error, most)
    error = (
        _dot(np.abs(rows), state.error)
        + _dot(np.abs(rows - coefs / factor[..., np.newaxis]), largest)
        + np.abs(constants - intercepts / factor)
    )
    return coefs.astype(np.int64), intercepts.astype(np.int64), error


def _scale(rows, constants, most, span):
    """Return the largest power of two per unit at which weights, sums and table stay in range."""
    tiny = 1e-200  # in place of zero
    n_inputs = rows.shape[-1]
    sums = np.abs(rows).sum(axis=-1) * most + np.abs(constants)
    # Allow for rounding up: each coef, and the constant of each network of an ensemble.
    available = MAX_SUM - 2**16 - 0.5 * n_inputs * most
    largest = np.minimum(available / np.maximum(sums, tiny), MAX_SUM / max(span, tiny))
    if n_inputs:
        largest = np.minimum(largest, most / np.maximum(np.abs(rows).max(axis=-1), tiny))
    return np.floor(np.log2(largest))


def _table_of(formula, low, high, most, finest=None) -> _Table:
    """Tabulate an activation, so finely that the error of interpolation is below rounding."""

    def value_of(z):
        return formula.value_and_slope(z)[0]

    if high - low < 1e-6:
        low, high = low - 5e-7, high + 5e-7
    coarse = np.linspace(low, high, GRID)
    with np.errstate(over="ignore"):
        if not np.isfinite(value_of(coarse)).all():
            raise ValueError(
                f"{formula.called} overflows within the ranges of X, so that fixed point cannot "
                "represent it. Use dtype='float32'."
            )
    begin, end = _without_constant_ends(value_of, low, high, most)
    fineness = int(np.floor(-np.log2(end - begin)))
    if finest is not None:
        fineness = min(fineness, finest)
    while True:
        spacing = 2.0**-fineness
        first, last = np.floor(begin / spacing), np.ceil(end / spacing)
        cells = int(last - first)
        z = (first + np.arange(cells * POINTS_PER_CELL + 1) / POINTS_PER_CELL) * spacing
        values = value_of(z)
        step = max(np.abs(values).max(), np.finfo(float).tiny) / most
        off = (
            np.abs(np.interp(z, z[::POINTS_PER_CELL], values[::POINTS_PER_CELL]) - values).max()
            * SLACK
            / step
        )
        if off <= 0.5 or 2 * cells > MAX_CELLS or fineness == finest:
            break
        fineness += 1
    beyond = value_of(coarse) - value_of(np.clip(coarse, z[0], z[-1]))
    grid = np.union1d(coarse, z)
    value, slope = formula.value_and_slope(grid)
    return _Table(
        low=first * spacing,
        fineness=fineness,
        values=np.rint(values[::POINTS_PER_CELL] / step).astype(np.int64),
        step=step,
        # Interpolation, the rounding of nodes and of the result, and values beyond the ends.
        error=off + 0.5 + 0.5 + np.abs(beyond).max() / step,
        z=grid,
        value=value,
        slope=slope,
    )


def _without_constant_ends(value_of, low, high, most):
    """Return the interval without its ends on which a function is constant up to rounding."""

    def constant_length(values):
        up, down = np.maximum.accumulate(values), np.minimum.accumulate(values)
        return np.flatnonzero((up - values <= tolerance) & (values - down <= tolerance))[-1]

    for _ in range(4):  # on finer and finer grids
        z = np.linspace(low, high, GRID)
        values = value_of(z)
        tolerance = 0.25 * np.abs(values).max() / most
        first, last = constant_length(values), GRID - 1 - constant_length(values[::-1])
        if first >= last:  # constant
            return low, high
        low, high = z[first], z[last]
    return low, high


def _linear_outputs(weights, fixed, ends, most):
    """Sum the weighted outputs of all networks in one integer per output."""
    weighted = []
    for weight, (rows, constants, state) in zip(weights, ends, strict=True):
        rows = rows * weight[:, np.newaxis, np.newaxis]
        constants = constants * weight[:, np.newaxis]
        middle = sum(_sums(rows, constants, state)) / 2
        weighted.append((rows, constants - middle, middle, state))
    offsets = sum(middle.sum(axis=0) for _, _, middle, _ in weighted)
    # The bound of the sum treats all networks as one unit with all their inputs.
    together = [np.swapaxes(rows, 0, 1).reshape(len(offsets), -1) for rows, _, _, _ in weighted]
    constant = sum(np.abs(constants).sum(axis=0) for _, constants, _, _ in weighted)
    factor = 2.0 ** _scale(np.concatenate(together, axis=1), constant, most, 0.0)
    bound, result = np.zeros(len(offsets)), []
    for layers, (rows, constants, _, state) in zip(fixed, weighted, strict=True):
        coefs, intercepts, error = _rounded(rows, constants, factor, state, most)
        bound += error.sum(axis=0)
        result.append(([*layers, FixedLayer(coefs, intercepts, None, None)], None))
    return offsets, 1.0 / factor, result, bound


def _tabled_outputs(parts, fixed, states, most):
    """Sum the outputs of the tables, each times an integer weight."""
    n_outputs = states[0].error.shape[-1]
    if parts[0].weights is None:
        (state,) = states
        result, output_step = [(fixed[0], None)], state.step
        bound = state.step * state.error[0]
    else:
        shares = [np.array(p.weights) * s.step for p, s in zip(parts, states, strict=True)]
        total = sum(np.abs(share).sum() for share in shares)
        n_networks = sum(map(len, shares))
        output_step = max(
            max(np.abs(share).max() for share in shares) / (2**15 - 1),
            total * most / (MAX_SUM - n_networks * most),
        )
        bound, result = np.zeros(n_outputs), []
        for layers, state, share in zip(fixed, states, shares, strict=True):
            weights = np.rint(share / output_step)
            off = np.abs(share - weights * output_step)
            bound += np.abs(share) @ state.error + off.sum() * most
            result.append((layers, weights.astype(np.int64)))
    return np.zeros(n_outputs), np.full(n_outputs, output_step), result, bound

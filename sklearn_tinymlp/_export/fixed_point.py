"""A network, or an ensemble, in integers of 8 or 16 bits, and how far it can be from the real one.

A number a is step * q with an integer q of 8 or 16 bits. With inputs step_i q_i a unit sums up

    t_j = c_j + sum_i v_ji q_i,    v_ji = round(2^s_j w_ji step_i),  c_j = round(2^s_j (b_j - low)),

in 32 bits; s_j is as large as v, of 8 or 16 bits, and the largest possible sum allow. So t_j counts
from the beginning `low` of the table of the activation, whose nodes are 2^-k apart: its upper bits
are a place in the table, its lower ones the share of the next node.

The bound follows each rounding through the network, as interval arithmetic does (Jacob et al.,
"Quantization and training of neural networks for efficient integer-arithmetic-only inference",
CVPR 2018, have the scheme; the bound is elementary). It holds for every row within the ranges.
"""

from typing import NamedTuple

import numpy as np

from .._activations.formulas import value_and_slope_of
from .layers import Part

MOST_SUM = 2**31 - 1
MOST_CELLS = 1024  # of a table: 2 KB in 16 bits. 512 double the bound of a tanh network, measured
SHARE_BITS = 14  # of the share of the next node: the product with a step of the table is 31 bits
GRID = 4001  # points at which functions are looked at
WITHIN = 16  # points within a cell; between them the error of the line is less than 2% larger
SLACK = 1.02


class FixedLayer(NamedTuple):
    """The integers of a layer; the first axis counts an ensemble's networks."""

    coefs: np.ndarray  # (networks, units, inputs), of 8 or 16 bits
    intercepts: np.ndarray  # (networks, units), of 32 bits
    shifts: np.ndarray | None  # (networks, units), lower bits of a sum; None without a table
    table: np.ndarray | None  # values of the activation, of 8 or 16 bits


class FixedPart(NamedTuple):
    """A part with its layers in integers."""

    part: Part
    layers: list[FixedLayer]
    weights: np.ndarray | None  # of networks whose outputs have a table; else they are in the coefs


class FixedPoint(NamedTuple):
    """Integers of all parts, with inputs centre + step * q, outputs offset + step * q."""

    centres: np.ndarray
    steps: np.ndarray
    offsets: np.ndarray
    output_steps: np.ndarray
    parts: list[FixedPart]
    error_bound: np.ndarray  # of each output, in its units


class _Table(NamedTuple):
    low: float
    fineness: int  # k: nodes are 2^-k apart
    values: np.ndarray
    step: float
    error: float  # of what is read, in steps
    z: np.ndarray  # a grid over all that can come, with value and slope
    value: np.ndarray
    slope: np.ndarray

    @property
    def cells(self) -> int:
        return len(self.values) - 1

    def between(self, low, high):
        """Give least and greatest value and the steepest slope on intervals of z."""
        first = np.maximum(np.searchsorted(self.z, low) - 1, 0)
        last = np.minimum(np.searchsorted(self.z, high, side="right") + 1, len(self.z))
        cut = [slice(a, b) for a, b in zip(first.ravel(), last.ravel(), strict=True)]
        return tuple(
            np.array([least(array[part]) for part in cut]).reshape(low.shape)
            for least, array in (
                (np.min, self.value),
                (np.max, self.value),
                (np.max, np.abs(self.slope)),
            )
        )


class _State(NamedTuple):
    """What comes into a layer, in steps: its range if all were exact, and its error."""

    low: np.ndarray
    high: np.ndarray
    error: np.ndarray
    step: np.ndarray | float

    def largest(self, most):
        """Give the largest absolute integers."""
        return np.minimum(np.maximum(-self.low, self.high) + self.error, most)


def fixed_point(parts: list[Part], low, high, bits: int) -> FixedPoint:
    """Put parts into integers of 8 or 16 bits, for inputs between `low` and `high`.

    Parameters
    ----------
    parts : list of Part
        In float64.
    low, high : ndarray of shape (n_features,)
    bits : {8, 16}
    """
    most = 2 ** (bits - 1) - 1
    centres, half = (low + high) / 2, (high - low) / 2
    steps = np.where(half > 0, half / most, 1.0)
    fixed, ends = [], []
    all_linear = all(part.layers[-1][2].name == "identity" for part in parts)
    for part in parts:
        layers, state = [], _first_state(part, half, steps, most)
        for number, (coefs, intercepts, formula) in enumerate(part.layers):
            rows, constants = _rows(part, coefs, intercepts)
            if number == 0:
                constants = constants + rows @ centres
                rows = np.where(half > 0, rows, 0.0)
            rows = rows * state.step
            if all_linear and number == len(part.layers) - 1:
                break
            layer, state = _with_table(rows, constants, formula, state, bits)
            layers.append(layer)
        fixed.append(layers)
        ends.append((rows, constants, state))
    if all_linear:
        return _with_linear_outputs(parts, fixed, ends, centres, steps, bits)
    return _with_tabled_outputs(parts, fixed, ends, centres, steps, most)


def _first_state(part, half, steps, most) -> _State:
    shape = (1 if part.weights is None else len(part.weights), len(half))
    bound = np.broadcast_to(np.where(half > 0, float(most), 0.0), shape)
    return _State(-bound, bound, np.where(bound > 0, 0.5, 0.0), steps)


def _rows(part, coefs, intercepts):
    """Give coefs by unit and intercepts, with an axis of networks."""
    if part.weights is None:
        coefs, intercepts = coefs[np.newaxis], intercepts[np.newaxis]
    return np.swapaxes(coefs, -1, -2).astype(float), intercepts.astype(float)


def _dot(rows, state):
    """Sum over the inputs of each network."""
    return np.einsum("mji,mi->mj", rows, state)


def _sums(rows, constants, state):
    """Give the least and the greatest sum of each unit, if all were exact."""
    up, down = np.maximum(rows, 0.0), np.minimum(rows, 0.0)
    low = constants + _dot(up, state.low) + _dot(down, state.high)
    return low, constants + _dot(up, state.high) + _dot(down, state.low)


def _with_table(rows, constants, formula, state, bits) -> tuple[FixedLayer, _State]:
    """Put a layer into integers, and follow range and error through it."""
    most = 2 ** (bits - 1) - 1
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
    coefs = np.rint(rows * factor[..., np.newaxis])
    intercepts = np.rint((constants - table.low) * factor)
    error = _error_of_sums(
        rows, constants - table.low, coefs, intercepts, factor=factor, state=state, most=most
    )
    error += 1.0 / factor  # the last place before the end of the table
    error += 2.0 ** (-table.fineness - SHARE_BITS)
    least, greatest, steepest = table.between(low - error, high + error)
    layer = FixedLayer(
        coefs.astype(np.int64),
        intercepts.astype(np.int64),
        (scale - table.fineness).astype(np.int64),
        table.values,
    )
    error = steepest * error / table.step + table.error
    return layer, _State(least / table.step, greatest / table.step, error, table.step)


def _error_of_sums(rows, constants, coefs, intercepts, *, factor, state, most):
    off = np.abs(rows - coefs / factor[..., np.newaxis])
    return (
        _dot(np.abs(rows), state.error)
        + _dot(off, state.largest(most))
        + np.abs(constants - intercepts / factor)
    )


def _scale(rows, constants, most, span):
    """Give each unit the largest power of two at which weights, sums and table stay in range."""
    tiny = 1e-200  # for what is zero
    n_inputs = rows.shape[-1]
    sums = np.abs(rows).sum(axis=-1) * most + np.abs(constants)
    # Each coef may be rounded up, and the constant of each network of an ensemble.
    room = MOST_SUM - 2**16 - 0.5 * n_inputs * most
    largest = np.minimum(room / np.maximum(sums, tiny), MOST_SUM / max(span, tiny))
    if n_inputs:
        largest = np.minimum(largest, most / np.maximum(np.abs(rows).max(axis=-1), tiny))
    return np.floor(np.log2(largest))


def _table_of(formula, low, high, most, fineness=None) -> _Table:
    """Tabulate an activation so finely that rounding, not the line between nodes, limits it."""
    value_of, slope_of = value_and_slope_of(formula)
    if high - low < 1e-6:
        low, high = low - 5e-7, high + 5e-7
    coarse = np.linspace(low, high, GRID)
    with np.errstate(over="ignore"):
        if not np.isfinite(value_of(coarse)).all():
            raise ValueError(
                f"{formula.called} grows beyond all numbers within the ranges of X, so that fixed "
                "point cannot hold it. Use dtype='float32'."
            )
    begin, end = _where_it_changes(value_of, low, high, most)
    finest = fineness
    fineness = int(np.floor(-np.log2(end - begin)))
    if finest is not None:
        fineness = min(fineness, finest)
    while True:
        spacing = 2.0**-fineness
        first, last = np.floor(begin / spacing), np.ceil(end / spacing)
        cells = int(last - first)
        z = (first + np.arange(cells * WITHIN + 1) / WITHIN) * spacing
        values = value_of(z)
        step = max(np.abs(values).max(), np.finfo(float).tiny) / most
        off = np.abs(np.interp(z, z[::WITHIN], values[::WITHIN]) - values).max() * SLACK / step
        if off <= 0.5 or 2 * cells > MOST_CELLS or fineness == finest:
            break
        fineness += 1
    beyond = value_of(coarse) - value_of(np.clip(coarse, z[0], z[-1]))
    grid = np.union1d(coarse, z)
    return _Table(
        low=first * spacing,
        fineness=fineness,
        values=np.rint(values[::WITHIN] / step).astype(np.int64),
        step=step,
        # The line, nodes and what is read are rounded, and values beyond the ends.
        error=off + 0.5 + 0.5 + np.abs(beyond).max() / step,
        z=grid,
        value=value_of(grid),
        slope=slope_of(grid),
    )


def _where_it_changes(value_of, low, high, most):
    """Leave out ends on which a function is as good as constant."""
    for _ in range(4):  # each look is at a finer grid
        z = np.linspace(low, high, GRID)
        values = value_of(z)
        within = 0.25 * np.abs(values).max() / most
        up, down = np.maximum.accumulate(values), np.minimum.accumulate(values)
        first = np.flatnonzero((up - values <= within) & (values - down <= within))[-1]
        up = np.maximum.accumulate(values[::-1])[::-1]
        down = np.minimum.accumulate(values[::-1])[::-1]
        last = np.flatnonzero((up - values <= within) & (values - down <= within))[0]
        if first >= last:  # constant all over
            return low, high
        low, high = z[first], z[last]
    return low, high


def _with_linear_outputs(parts, fixed, ends, centres, steps, bits) -> FixedPoint:
    """Sum up all networks, each times what it counts, in one integer an output."""
    most = 2 ** (bits - 1) - 1
    counted = []
    for part, (rows, constants, state) in zip(parts, ends, strict=True):
        weights = np.ones(1) if part.weights is None else np.array(part.weights)
        rows = rows * weights[:, np.newaxis, np.newaxis]
        low, high = _sums(rows, constants * weights[:, np.newaxis], state)
        counted.append((rows, constants * weights[:, np.newaxis], (low + high) / 2, state))
    offsets = sum(middle.sum(axis=0) for _, _, middle, _ in counted)
    # For what they may sum up to, all networks together are one unit with all their inputs.
    together = [np.swapaxes(rows, 0, 1).reshape(len(offsets), -1) for rows, _, _, _ in counted]
    constant = sum(np.abs(c - middle).sum(axis=0) for _, c, middle, _ in counted)
    factor = 2.0 ** _scale(np.concatenate(together, axis=1), constant, most, 0.0)
    bound, result = np.zeros(len(offsets)), []
    for part, layers, (rows, constants, middle, state) in zip(parts, fixed, counted, strict=True):
        coefs = np.rint(rows * factor[:, np.newaxis])
        intercepts = np.rint((constants - middle) * factor)
        bound += _error_of_sums(
            rows,
            constants - middle,
            coefs,
            intercepts,
            factor=np.broadcast_to(factor, middle.shape),
            state=state,
            most=most,
        ).sum(axis=0)
        last = FixedLayer(coefs.astype(np.int64), intercepts.astype(np.int64), None, None)
        result.append(FixedPart(part, [*layers, last], None))
    return FixedPoint(centres, steps, offsets, 1.0 / factor, result, _padded(bound, offsets))


def _with_tabled_outputs(parts, fixed, ends, centres, steps, most) -> FixedPoint:
    """Sum up what the tables of the outputs give, each times an integer."""
    states = [state for _, _, state in ends]
    n_outputs = states[0].error.shape[-1]
    if parts[0].weights is None:
        (state,) = states
        result = [FixedPart(parts[0], fixed[0], None)]
        output_step, bound = state.step, state.step * state.error[0]
    else:
        shares = [np.array(p.weights) * s.step for p, s in zip(parts, states, strict=True)]
        total = sum(np.abs(share).sum() for share in shares)
        n_networks = sum(map(len, shares))
        output_step = max(
            max(np.abs(share).max() for share in shares) / (2**15 - 1),
            total * most / (MOST_SUM - n_networks * most),
        )
        bound, result = np.zeros(n_outputs), []
        for part, layers, state, share in zip(parts, fixed, states, shares, strict=True):
            weights = np.rint(share / output_step)
            off = np.abs(share - weights * output_step)
            bound += np.abs(share) @ state.error + off.sum() * most
            result.append(FixedPart(part, layers, weights.astype(np.int64)))
    offsets = np.zeros(n_outputs)
    return FixedPoint(
        centres, steps, offsets, np.full(n_outputs, output_step), result, _padded(bound, offsets)
    )


def _padded(bound, offsets):
    """Add what doubles round, before and after the integers."""
    return bound * (1.0 + 1e-6) + 1e-12 * (1.0 + np.abs(offsets))

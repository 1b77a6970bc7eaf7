"""What no weights can reach: targets out of range, data that need an intercept; before training."""

import math
from functools import cache
from typing import NamedTuple

import numpy as np
from scipy import sparse
from scipy.special import fdtrc

from .._activations.lookup import name_of, value_and_slope, value_range
from .look import square_norms

# A share of the target's variance that is out of reach is worth a word; less may be noise.
WORTH_A_WORD = 0.01

# Chance that noise alone makes an intercept look needed.
CHANCE = 1e-4


class Obstacle(NamedTuple):
    """Why no weights reach the target."""

    floor: float  # least loss that any weights can reach
    share: float  # of it in the loss of predicting the mean
    number: int  # rows outside the range, or on the rays
    at_zero: float | None = None  # what the network gives at x = 0, where only that is fixed


def targets_out_of_range(y, sample_weight, activation, loss_tol=None) -> Obstacle | None:
    """Compare targets of shape (n_samples, n_outputs) with the output activation's range."""
    least, greatest = value_range(activation)
    if math.isinf(least) and math.isinf(greatest):
        return None
    distance = np.maximum(np.maximum(least - y, y - greatest), 0.0)
    if not distance.any():
        return None
    floor = 0.5 * float(np.average(distance**2, axis=0, weights=sample_weight).mean())
    mean = np.average(y, axis=0, weights=sample_weight)
    spread = 0.5 * float(np.average((y - mean) ** 2, axis=0, weights=sample_weight).mean())
    share = floor / spread if spread > 0 else math.inf
    if share < WORTH_A_WORD and (loss_tol is None or floor <= loss_tol):
        return None
    return Obstacle(floor, share, int(distance.any(axis=1).sum()))


def needs_intercept(X, y, sample_weight, activations) -> Obstacle | None:
    """Find data that a network without intercepts cannot fit, whatever its weights.

    At x = 0 such a network gives one fixed value if all its hidden activations are zero at zero.
    If all are positively homogeneous, f(c x) = c f(x) for c > 0, it is a straight line through the
    origin on every ray; there the errors of the best line y = b c are compared with those of
    y = a + b c by an F test over all rays.
    """
    if any(_value_at_zero(activation) != 0.0 for activation in activations[:-1]):
        return None
    homogeneous = all(map(_is_homogeneous, activations))
    norms = np.sqrt(square_norms(X))
    if not np.isfinite(norms).all():  # X of 1e200
        return None
    at_zero = norms == 0.0
    if not homogeneous and not at_zero.any():
        return None
    weight = np.ones(len(y)) if sample_weight is None else sample_weight.astype(float)
    rays = np.zeros(len(y), np.intp)
    rays[~at_zero] = _directions(X, norms, ~at_zero) + 1
    if not homogeneous:
        rays[~at_zero] = -1
    counts = np.bincount(rays[rays >= 0])
    order = np.argsort(rays, kind="stable")
    ends = np.cumsum(counts) + np.sum(rays < 0)
    through_origin = affine = 0.0
    n_constraints = n_free = n_rows = 0
    for ray in np.flatnonzero(counts >= np.where(np.arange(len(counts)) == 0, 2, 3)):
        rows = order[ends[ray] - counts[ray] : ends[ray]]
        root = np.sqrt(weight[rows])[:, None]
        c = norms[rows, None] if ray > 0 else np.ones((len(rows), 1))
        target = y[rows] - (0.0 if ray > 0 else _value_at_zero(activations[-1]))
        columns = np.hstack([c, np.ones_like(c)]) if ray > 0 else c
        fitted = columns @ np.linalg.lstsq(root * columns, root * target, rcond=None)[0]
        slope = (root * c).T @ (root * target) / max(((root * c) ** 2).sum(), 1e-300)
        line = c * slope if ray > 0 else 0.0
        through_origin += ((root * (target - line)) ** 2).sum()
        affine += ((root * (target - fitted)) ** 2).sum()
        n_constraints += y.shape[1]
        n_free += (len(rows) - columns.shape[1]) * y.shape[1]
        n_rows += len(rows)
    if n_free < 1:
        return None
    scale = 2.0 * weight.sum() * y.shape[1]
    mean = np.average(y, axis=0, weights=weight)
    spread = (weight[:, None] * (y - mean) ** 2).sum()
    gained = through_origin - affine
    # What is less than rounding of the targets is no error.
    noise = max(affine, 1e-20 * (weight[:, None] * y**2).sum(), 1e-300)
    statistic = (gained / n_constraints) / (noise / n_free)
    if gained < WORTH_A_WORD * spread or fdtrc(n_constraints, n_free, statistic) > CHANCE:
        return None
    at_zero = None if homogeneous else _value_at_zero(activations[-1])
    share = through_origin / max(spread, 1e-300)
    return Obstacle(through_origin / scale, share, n_rows, at_zero)


@cache
def _is_homogeneous(activation) -> bool:
    """Whether f(z) = |z| f(z / |z|), as of the identity and all kinds of relu."""
    z = np.array([-1e3, -20.0, -0.5, -1e-3, 0.0, 1e-3, 0.5, 20.0, 1e3])
    value, _ = value_and_slope(activation, z)
    unit, _ = value_and_slope(activation, np.sign(z))
    return np.allclose(value, np.abs(z) * unit, rtol=1e-9, atol=0.0)


@cache
def _value_at_zero(activation) -> float:
    return float(value_and_slope(activation, np.zeros(1))[0][0])


def _directions(X, norms, rows):
    """Give rows that are positive multiples of each other one number."""
    if X.shape[1] == 1:
        column = X.toarray() if sparse.issparse(X) else X
        return (column[rows, 0] > 0).astype(np.intp)
    X = X[rows]
    unit = sparse.diags(1.0 / norms[rows]) @ X if sparse.issparse(X) else X / norms[rows, None]
    # Rounded sums with fixed weights stand for the rows: as good as equal directions, and cheap.
    key = np.asarray(unit @ np.random.RandomState(0).standard_normal((X.shape[1], 2)))
    _, number = np.unique(np.round(key, 9), axis=0, return_inverse=True)
    return number.ravel()


def impossible(X, y, sample_weight, activations, bias, loss_tol=None) -> list[str]:
    """Say before training what no training can reach; one sentence with its remedy for each."""
    sentences = []
    with np.errstate(over="ignore", invalid="ignore"):  # in squares of 1e200
        obstacle = targets_out_of_range(y, sample_weight, activations[-1], loss_tol)
        if obstacle:
            sentence = range_sentence(obstacle, y, activations[-1])
            sentences.append(f'{sentence} Try output_activation="identity", or scale y.')
        if not bias:
            obstacle = needs_intercept(X, y, sample_weight, activations)
            if obstacle:
                sentences.append(f"{intercept_sentence(obstacle)} Try bias=True.")
    return sentences


def range_sentence(obstacle, y, activation) -> str:
    """Say that targets lie outside the range of the output."""
    least, greatest = value_range(activation)
    return (
        f"{obstacle.number} of {len(y)} targets lie outside [{least:g}, {greatest:g}], the range "
        f"of output_activation={name_of(activation)!r} (y is between {y.min():.4g} and "
        f"{y.max():.4g}): no weights bring the squared-error loss below {obstacle.floor:.4g}."
    )


def intercept_sentence(obstacle) -> str:
    """Say that the data need an intercept."""
    why = "is a line through the origin along every ray of inputs"
    if obstacle.at_zero is not None:
        why = f"gives {obstacle.at_zero:g} at x = 0, whatever its weights"
    return (
        f"bias=False, but the data need an intercept: without one the network {why}, and no "
        f"weights bring the squared-error loss of these {obstacle.number} rows below "
        f"{obstacle.floor:.4g}."
    )

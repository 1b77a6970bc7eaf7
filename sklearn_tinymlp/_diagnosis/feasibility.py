"""What no weights can reach: targets out of range, data that need an intercept; before training."""

import math
from functools import cache
from typing import NamedTuple

import numpy as np
from scipy import sparse
from scipy.special import fdtrc

from .._activations.lookup import name_of, value_and_slope, value_range
from .._data.input_range import square_norms
from .examination import LEAST_POSITIVE

# Least share of the loss of the best constant whose being out of reach is worth a word: less may
# be noise.
WORTH_A_WORD = 0.01

# Chance that noise alone makes an intercept seem needed.
CHANCE = 1e-4


class Infeasibility(NamedTuple):
    """Why no weights reach the target."""

    floor: float  # least loss that any weights can reach
    measure: str  # what that loss is called in a sentence
    share: float  # of the floor in the loss of the best constant
    number: int  # rows outside the range, or on the rays
    at_zero: float | None = None  # what the network gives at x = 0, where only that is fixed


# ------------------------------------------------------------------- the range of the output


def targets_out_of_range(y, sample_weight, activation, loss, loss_tol=None) -> Infeasibility | None:
    """Compare targets of shape (n_samples, n_outputs) with the output activation's range."""
    least, greatest = value_range(activation)
    if math.isinf(least) and math.isinf(greatest):
        return None
    outside = (y < least) | (y > greatest)
    if not outside.any():
        return None

    def mean_loss(predictions):
        if loss.positive:  # the end of an open range
            predictions = np.maximum(predictions, LEAST_POSITIVE)
        return float(loss.mean(y, np.broadcast_to(predictions, y.shape), sample_weight))

    floor = mean_loss(np.clip(y, least, greatest))
    spread = mean_loss(loss.best_constant(y, sample_weight))
    share = floor / spread if spread > 0 else math.inf
    if share < WORTH_A_WORD and (loss_tol is None or floor <= loss_tol):
        return None
    return Infeasibility(floor, measure_of(loss), share, int(outside.any(axis=1).sum()))


def measure_of(loss) -> str:
    """Name a loss in a sentence."""
    return "squared-error loss" if loss.least_squares else "loss"


# ------------------------------------------------------------------------------ the intercept


def needs_intercept(X, y, sample_weight, activations, loss) -> Infeasibility | None:
    """Find data that a network without intercepts cannot fit, whatever its weights.

    At x = 0 such a network gives one fixed value if all its hidden activations are zero at zero.
    If all are positively homogeneous, f(c x) = c f(x) for c > 0, it is a straight line through the
    origin on every ray; there the errors of the best line y = b c are compared with those of
    y = a + b c by an F test over all rays. The errors are squared ones for any loss.
    """
    if any(value_at_zero(activation) != 0.0 for activation in activations[:-1]):
        return None
    homogeneous = all(map(is_homogeneous, activations))
    norms = np.sqrt(square_norms(X))
    if not np.isfinite(norms).all():  # X of 1e200
        return None
    if not homogeneous and norms.all():
        return None
    weight = np.ones(len(y)) if sample_weight is None else sample_weight.astype(float)
    fixed = value_at_zero(activations[-1])
    rays = list(rows_on_rays(X, norms, at_zero_only=not homogeneous))
    errors = OriginRayTest.over(rays, norms, y, weight, fixed)
    mean = np.average(y, axis=0, weights=weight)
    spread = (weight[:, None] * (y - mean) ** 2).sum()
    # What is less than rounding of the targets is no error.
    rounding = max(1e-20 * (weight[:, None] * y**2).sum(), 1e-300)
    if not errors.show_an_intercept(WORTH_A_WORD * spread, rounding):
        return None
    floor = errors.through_origin / (2.0 * weight.sum() * y.shape[1])
    measure = "squared-error loss"
    if not homogeneous and not loss.least_squares:
        ((_, rows),) = rays
        losses = loss.value(y[rows], np.full_like(y[rows], fixed))
        floor = float((weight[rows, None] * losses).sum() / weight.sum() * loss.factor(y.shape[1]))
        measure = measure_of(loss)
    share = errors.through_origin / max(spread, 1e-300)
    return Infeasibility(floor, measure, share, errors.n_rows, None if homogeneous else fixed)


def rows_on_rays(X, norms, at_zero_only):
    """Give each ray, 0 for x = 0, with its rows; those that have rows to spare for a test."""
    away = norms > 0.0
    rays = np.zeros(len(norms), np.intp)
    rays[away] = -1 if at_zero_only else directions(X, norms, away) + 1
    counts = np.bincount(rays[rays >= 0])
    order = np.argsort(rays, kind="stable")
    ends = np.cumsum(counts) + np.sum(rays < 0)
    for ray, (count, end) in enumerate(zip(counts, ends, strict=True)):
        if count >= (3 if ray > 0 else 2):
            yield ray, order[end - count : end]


class OriginRayTest(NamedTuple):
    """Sums of squared errors over all rays, without and with an intercept."""

    through_origin: float  # of the best line y = b c; at x = 0 of the fixed value
    affine: float  # of the best line y = a + b c; at x = 0 of the mean
    n_constraints: int  # intercepts
    n_free: int  # targets, less the parameters of the affine lines
    n_rows: int

    @classmethod
    def over(cls, rays, norms, y, weight, fixed):
        """Fit both lines to each ray; `fixed` is what the network gives at x = 0."""
        through_origin = affine = 0.0
        n_constraints = n_free = n_rows = 0
        for ray, rows in rays:
            root = np.sqrt(weight[rows])[:, None]
            c = norms[rows, None] if ray > 0 else np.ones((len(rows), 1))
            target = y[rows] - (0.0 if ray > 0 else fixed)
            columns = np.hstack([c, np.ones_like(c)]) if ray > 0 else c
            fitted = columns @ np.linalg.lstsq(root * columns, root * target, rcond=None)[0]
            slope = (root * c).T @ (root * target) / max(((root * c) ** 2).sum(), 1e-300)
            line = c * slope if ray > 0 else 0.0
            through_origin += ((root * (target - line)) ** 2).sum()
            affine += ((root * (target - fitted)) ** 2).sum()
            n_constraints += y.shape[1]
            n_free += (len(rows) - columns.shape[1]) * y.shape[1]
            n_rows += len(rows)
        return cls(through_origin, affine, n_constraints, n_free, n_rows)

    def show_an_intercept(self, least_gain, rounding) -> bool:
        """Whether intercepts gain enough, and more than they do by chance."""
        if self.n_free < 1:
            return False
        gained = self.through_origin - self.affine
        noise = max(self.affine, rounding)
        statistic = (gained / self.n_constraints) / (noise / self.n_free)
        by_chance = fdtrc(self.n_constraints, self.n_free, statistic)
        return not (gained < least_gain or by_chance > CHANCE)


@cache
def is_homogeneous(activation) -> bool:
    """Whether f(z) = |z| f(z / |z|), as of the identity and all kinds of relu."""
    z = np.array([-1e3, -20.0, -0.5, -1e-3, 0.0, 1e-3, 0.5, 20.0, 1e3])
    value, _ = value_and_slope(activation, z)
    unit, _ = value_and_slope(activation, np.sign(z))
    return np.allclose(value, np.abs(z) * unit, rtol=1e-9, atol=0.0)


@cache
def value_at_zero(activation) -> float:
    """Compute f(0)."""
    return float(value_and_slope(activation, np.zeros(1))[0][0])


def directions(X, norms, rows):
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


# -------------------------------------------------------------------------------- in sentences


def impossible(X, y, sample_weight, activations, *, loss, bias, loss_tol=None) -> list[str]:
    """Say before training what no training can reach; one sentence with its remedy for each."""
    sentences = []
    with np.errstate(over="ignore", invalid="ignore"):  # in squares of 1e200
        obstacle = targets_out_of_range(y, sample_weight, activations[-1], loss, loss_tol)
        if obstacle:
            sentence = range_sentence(obstacle, y, activations[-1])
            remedy = f'Try output_activation="{loss.output_activation}", or scale y.'
            sentences.append(f"{sentence} {remedy}")
        if not bias:
            obstacle = needs_intercept(X, y, sample_weight, activations, loss)
            if obstacle:
                sentences.append(f"{intercept_sentence(obstacle)} Try bias=True.")
    return sentences


def range_sentence(obstacle, y, activation) -> str:
    """Say that targets lie outside the range of the output."""
    least, greatest = value_range(activation)
    return (
        f"{obstacle.number} of {len(y)} targets lie outside [{least:g}, {greatest:g}], the range "
        f"of output_activation={name_of(activation)!r} (y is between {y.min():.4g} and "
        f"{y.max():.4g}): no weights bring the {obstacle.measure} below {obstacle.floor:.4g}."
    )


def intercept_sentence(obstacle) -> str:
    """Say that the data need an intercept."""
    why = "is a line through the origin along every ray of inputs"
    if obstacle.at_zero is not None:
        why = f"gives {obstacle.at_zero:g} at x = 0, whatever its weights"
    return (
        f"bias=False, but the data need an intercept: without one the network {why}, and no "
        f"weights bring the {obstacle.measure} of these {obstacle.number} rows below "
        f"{obstacle.floor:.4g}."
    )

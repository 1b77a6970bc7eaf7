"""Losses that no weights can reach: targets out of range, and data that need an intercept."""

import math
from functools import cache
from typing import NamedTuple

import numpy as np
from scipy import sparse
from scipy.special import fdtrc

from .._activations.lookup import name_of, value_and_slope, value_range
from .._data.input_range import square_norms
from .finding import ERROR, format_r2, make_finding
from .remedies import LEAST_ROWS, LEAST_SHARE_OF_REST, explained_anew

# Smallest prediction at which a loss of positive predictions is evaluated: exp may underflow.
LEAST_POSITIVE = 1e-100

# Minimum share of the best constant's loss that is reported; a smaller share may be noise.
LEAST_SHARE_OF_CONSTANT = 0.01

# Largest p-value of an F test at which an intercept is considered necessary.
MOST_P_VALUE = 1e-4


class Infeasibility(NamedTuple):
    """A lower bound of the loss, for any weights."""

    floor: float  # the bound
    measure: str  # name of the loss in a sentence
    number: int  # rows outside the range, or on the rays
    at_zero: float | None = None  # prediction at x = 0, if only this one is fixed


def targets_out_of_range(y, sample_weight, activation, loss, loss_tol=None) -> Infeasibility | None:
    """Compare targets of shape (n_samples, n_outputs) with the output activation's range."""
    least, greatest = value_range(activation)
    outside = (y < least) | (y > greatest)
    if not outside.any():
        return None

    def mean_loss(predictions):
        if loss.positive:
            predictions = np.maximum(predictions, LEAST_POSITIVE)
        return float(loss.mean(y, np.broadcast_to(predictions, y.shape), sample_weight))

    floor = mean_loss(np.clip(y, least, greatest))
    of_constant = mean_loss(loss.best_constant(y, sample_weight))
    share = floor / of_constant if of_constant > 0 else math.inf
    if share < LEAST_SHARE_OF_CONSTANT and (loss_tol is None or floor <= loss_tol):
        return None
    return Infeasibility(floor, loss_name(loss), int(outside.any(axis=1).sum()))


def loss_name(loss) -> str:
    """Return the name of a loss in a sentence."""
    return "squared-error loss" if loss.least_squares else "loss"


def needs_intercept(X, y, sample_weight, activations, loss) -> Infeasibility | None:
    """Find data that a network without intercepts cannot fit, whatever its weights.

    At x = 0 the prediction is fixed if all hidden activations are zero at zero. If all activations
    are positively homogeneous, f(c x) = c f(x) for c > 0, the network is a line through the origin
    on every ray; an F test over all rays compares the squared errors of the best line y = b c with
    those of y = a + b c.
    """
    if any(value_at_zero(activation) != 0.0 for activation in activations[:-1]):
        return None
    homogeneous = all(map(is_homogeneous, activations))
    norms = np.sqrt(square_norms(X))
    if not np.isfinite(norms).all() or (norms.all() and not homogeneous):  # X of 1e200
        return None
    weight = np.ones((len(y), 1)) if sample_weight is None else sample_weight[:, None].astype(float)
    at_zero, total = value_at_zero(activations[-1]), weight.sum()
    rays = number_rays(X, norms) if homogeneous else np.where(norms > 0.0, -1, 0)
    enough = np.bincount(rays[rays >= 0])[rays] >= np.where(rays > 0, 3, 2)
    rows = np.flatnonzero((rays >= 0) & enough)
    if not len(rows):
        return None
    numbers, ray = np.unique(rays[rows], return_inverse=True)
    errors = origin_ray_errors(ray, norms[rows, None], y[rows] - at_zero, weight[rows])
    of_mean = (weight * (y - (weight * y).sum(axis=0) / total) ** 2).sum()
    gain, n_intercepts = errors[0] - errors[1], len(numbers) * y.shape[1]
    if gain < LEAST_SHARE_OF_CONSTANT * of_mean:
        return None
    n_free = (len(rows) - np.sum(numbers > 0)) * y.shape[1] - n_intercepts
    noise = max(errors[1], 1e-20 * (weight * y**2).sum(), 1e-300) / n_free
    if fdtrc(n_intercepts, n_free, gain / n_intercepts / noise) > MOST_P_VALUE:
        return None
    floor, measure = errors[0] / (2.0 * total * y.shape[1]), "squared-error loss"
    if not homogeneous and not loss.least_squares:
        losses = loss.value(y[rows], np.full_like(y[rows], at_zero))
        floor = float((weight[rows] * losses).sum() / total * loss.factor(y.shape[1]))
        measure = loss_name(loss)
    return Infeasibility(floor, measure, len(rows), None if homogeneous else at_zero)


def number_rays(X, norms) -> np.ndarray:
    """Return, for each row, the number of its ray through the origin; 0 for rows of zeros.

    Rounded projections on fixed directions identify a ray.
    """
    away = norms > 0.0
    X, norm, rays = X[away], norms[away], np.zeros(len(norms), np.intp)
    unit = sparse.diags(1.0 / norm) @ X if sparse.issparse(X) else X / norm[:, None]
    key = np.asarray(unit @ np.random.RandomState(0).standard_normal((X.shape[1], 2)))
    rays[away] = np.unique(np.round(key, 9), axis=0, return_inverse=True)[1].ravel() + 1
    return rays


def origin_ray_errors(ray, c, y, weight) -> tuple[float, float]:
    """Compute the squared errors, over all rays, of the best lines y = b c and y = a + b c."""

    def sums(values):
        return np.column_stack([np.bincount(ray, column) for column in (weight * values).T])[ray]

    def residuals(c, y):
        return y - c * sums(c * y) / np.maximum(sums(c * c), 1e-300)

    ones = np.ones_like(c)
    centred = residuals(ones, c)
    centred[np.abs(centred) < 1e-12 * c] = 0.0  # all c are equal
    lines = residuals(c, y), residuals(centred, residuals(ones, y))
    through_origin, affine = (float((weight * line**2).sum()) for line in lines)
    return through_origin, affine


@cache
def is_homogeneous(activation) -> bool:
    """Whether f(z) = |z| f(z / |z|), as for the identity and all kinds of relu."""
    z = np.array([-1e3, -20.0, -0.5, -1e-3, 0.0, 1e-3, 0.5, 20.0, 1e3])
    value, _ = value_and_slope(activation, z)
    unit, _ = value_and_slope(activation, np.sign(z))
    return np.allclose(value, np.abs(z) * unit, rtol=1e-9, atol=0.0)


@cache
def value_at_zero(activation) -> float:
    """Compute f(0)."""
    return float(value_and_slope(activation, np.zeros(1))[0][0])


def infeasible(data, activations, *, loss, bias, loss_tol=None) -> list[str]:
    """Describe, before training, why low losses cannot be reached; one sentence and remedy each."""
    y, sample_weight, sentences = data.y, data.sample_weight, []
    with np.errstate(over="ignore", invalid="ignore"):  # in squares of 1e200
        found = targets_out_of_range(y, sample_weight, activations[-1], loss, loss_tol)
        if found:
            remedy = f'Try output_activation="{loss.output_activation}", or scale y.'
            sentences.append(f"{range_sentence(found, y, activations[-1])} {remedy}")
        found = None if bias else needs_intercept(data.X, y, sample_weight, activations, loss)
        if found:
            sentences.append(f"{intercept_sentence(found)} Try bias=True.")
    return sentences


def range_sentence(found, y, activation) -> str:
    """Describe targets outside the range of the output."""
    least, greatest = value_range(activation)
    return (
        f"{found.number} of {len(y)} targets lie outside [{least:g}, {greatest:g}], the range "
        f"of output_activation={name_of(activation)!r} (y is between {y.min():.4g} and "
        f"{y.max():.4g}): no weights bring the {found.measure} below {found.floor:.4g}."
    )


def intercept_sentence(found) -> str:
    """Describe data that need an intercept."""
    why = "is a line through the origin along every ray of inputs"
    if found.at_zero is not None:
        why = f"predicts {found.at_zero:g} at x = 0, whatever its weights"
    return (
        f"bias=False, but the data need an intercept: without one the network {why}, and no "
        f"weights bring the {found.measure} of these {found.number} rows below {found.floor:.4g}."
    )


def output_range(exam):
    """Find targets that the output activation cannot reach."""
    network = exam.network
    activation, loss = network.activations[-1], network.loss
    found = targets_out_of_range(
        network.y, network.sample_weight, activation, loss, network.params.get("loss_tol")
    )
    if found:
        remedy, sentence = loss.output_activation, range_sentence(found, network.y, activation)
        yield make_finding(network, "output_range", ERROR, sentence, output_activation=remedy)


def no_bias(exam):
    """Find data that need an intercept, by an F test on rays or by a copy with intercepts."""
    network, unit = exam.network, exam.network.loss_unit
    if network.architecture.bias:
        return
    data = network.X, network.y, network.sample_weight
    found = needs_intercept(*data, network.activations, network.loss)
    if found:
        sentence = intercept_sentence(found._replace(floor=found.floor * unit))
    elif not network.loss.least_squares or exam.explained > 0.99 or exam.n_rows < LEAST_ROWS:
        return
    else:
        without = max(explained_anew(exam), exam.explained, 0.0)
        within = explained_anew(exam, bias=True)
        if not within > without + LEAST_SHARE_OF_REST * (1.0 - without):
            return
        sentence = (
            f"bias=False: {network.score_name} is {format_r2(exam.explained)}, and a copy with "
            f"intercepts explains {within:.0%} of y on held-out rows."
        )
    yield make_finding(network, "no_bias", ERROR, sentence, bias=True)

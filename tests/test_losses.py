"""Each loss: its formulas agree with each other, with its kernel and with scikit-learn's."""

from dataclasses import fields

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import minimize_scalar

from sklearn_tinymlp._engine.objective import compiled_loss
from sklearn_tinymlp._losses.loss import Loss
from sklearn_tinymlp._losses.table import LOSSES
from sklearn_tinymlp._machine.compilation import call_from_python

OUTPUTS = ["identity", "exp", "softplus"]
by_name = pytest.mark.parametrize("loss", LOSSES.values(), ids=list(LOSSES))


def targets_and_predictions(loss, n=200):
    rng = np.random.default_rng(0)
    y, f = rng.standard_normal((2, n, 2))
    if loss.positive:
        y, f = rng.poisson(1.5, (n, 2)).astype(float), np.exp(f)
    return y, f


@by_name
def test_slope_and_curvature_are_the_derivatives_of_the_value(loss):
    y, f = targets_and_predictions(loss)
    step = 1e-5
    slope = (loss.value(y, f + step) - loss.value(y, f - step)) / (2 * step)
    assert_allclose(loss.slope(y, f), slope, rtol=1e-6, atol=1e-8)
    # The curvature is the expected one: that at y = f, where the slope is zero on average.
    bend = (loss.slope(f, f + step) - loss.slope(f, f - step)) / (2 * step)
    assert_allclose(loss.curvature(y, f), bend, rtol=1e-6)
    assert (loss.curvature(y, f) > 0).all()


@by_name
@pytest.mark.parametrize("weighted", [False, True])
def test_mean_is_that_of_the_values(loss, weighted):
    y, f = targets_and_predictions(loss)
    weight = np.random.default_rng(1).uniform(0, 2, len(y)) if weighted else None
    of_outputs = np.average(loss.value(y, f), axis=0, weights=weight)
    expected = of_outputs.mean() if loss.averages_outputs else of_outputs.sum()
    assert loss.mean(y, f, weight) == pytest.approx(expected, rel=1e-12)
    assert loss.factor(2) == (0.5 if loss.averages_outputs else 1.0)


@by_name
@pytest.mark.parametrize("weighted", [False, True])
def test_no_other_constant_has_a_smaller_loss(loss, weighted):
    y, _ = targets_and_predictions(loss)
    weight = np.random.default_rng(1).uniform(0, 2, len(y)) if weighted else None
    best = loss.best_constant(y, weight)
    for k in range(2):

        def mean(constant, k=k):
            return loss.mean(y[:, [k]], np.full((len(y), 1), constant), weight)

        found = minimize_scalar(mean, bounds=(1e-3, 5) if loss.positive else (-5, 5)).x
        assert best[k] == pytest.approx(found, abs=1e-4)


@by_name
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("output", OUTPUTS)
def test_kernel_writes_value_and_delta(loss, output, dtype):
    y, f = (np.ascontiguousarray(a[:, 0], dtype=dtype) for a in targets_and_predictions(loss))
    slopes = np.random.default_rng(2).uniform(0.1, 2.0, len(y)).astype(dtype)
    if output == "exp":
        slopes = f if loss.positive else np.exp(f)
    deltas, losses = np.empty_like(y), np.empty(len(y))
    arrays = (f.copy(), slopes, y, deltas, losses, np.array(loss.parameters))
    call_from_python(compiled_loss(loss.kernel_of(output), dtype), arrays, (len(y),))
    wide_y, wide_f = y.astype(np.float64), f.astype(np.float64)
    rounding = {"rtol": 0, "atol": 20 * np.finfo(dtype).eps * max(abs(f).max(), abs(y).max())}
    assert_allclose(losses, loss.value(wide_y, wide_f), **rounding)
    assert_allclose(deltas, loss.slope(wide_y, wide_f) * slopes, **rounding)


def test_poisson_takes_a_prediction_that_has_underflown():
    poisson = LOSSES["poisson"]
    f, y, deltas, losses = np.zeros(1), np.zeros(1), np.empty(1), np.empty(1)
    arrays = (f, f.copy(), y, deltas, losses, np.empty(0))
    call_from_python(compiled_loss(poisson.kernel_of("exp"), "float64"), arrays, (1,))
    assert deltas[0] == losses[0] == 0.0
    assert np.isfinite(poisson.curvature(y, f)).all()


@by_name
def test_targets_are_checked(loss):
    y = np.array([[-0.5, 1.0]])
    if loss.positive:
        with pytest.raises(ValueError, match=f"{loss.name}.* needs y_val .*-0.5"):
            loss.check_y(y, "y_val")
    else:
        loss.check_y(y, "y_val")


FUNCTIONS = "value slope curvature kernel mean best_constant check_y".split()


@pytest.mark.parametrize("missing", FUNCTIONS)
def test_a_loss_without_what_it_needs_is_refused(missing):
    whole = LOSSES["squared_error"]
    parts = {field.name: getattr(whole, field.name) for field in fields(Loss)}
    with pytest.raises(TypeError, match=f"'squared_error' needs a function as {missing}"):
        Loss(**{**parts, missing: None})
    del parts[missing]
    with pytest.raises(TypeError, match=missing):
        Loss(**parts)

"""Each loss: its formulas agree with each other, with its kernel and with scikit-learn's."""

from dataclasses import fields, replace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats
from scipy.optimize import minimize_scalar
from scipy.special import softmax
from sklearn.metrics import log_loss

from sklearn_tinymlp._engine.compiled import compiled_loss, kernel_of
from sklearn_tinymlp._losses.loss import Loss, quantiles
from sklearn_tinymlp._losses.table import LOSSES
from sklearn_tinymlp._machine.compilation import call_from_python
from sklearn_tinymlp._network.architecture import Architecture
from sklearn_tinymlp._network.network import network_of
from sklearn_tinymlp._objective.objective import Objective
from sklearn_tinymlp._objective.samples import Samples

OUTPUTS = ["identity", "exp", "softplus"]
by_name = pytest.mark.parametrize("loss", LOSSES.values(), ids=list(LOSSES))

# With other constants than those of the table: a scale found from data, a kink that is smoothed.
ADAPTED = [
    loss.with_scale(*np.random.default_rng(3).standard_normal((2, 100, 1)), None, 1.0)
    for loss in [*LOSSES.values(), LOSSES["quantile"].configured({"quantile": 0.1})]
    if loss.with_scale is not None
]
with_constants = pytest.mark.parametrize(
    "loss",
    [*LOSSES.values(), *ADAPTED],
    ids=[*LOSSES, *(f"{loss.name}{np.round(loss.parameters, 3)}" for loss in ADAPTED)],
)


def targets_and_predictions(loss, n=200):
    rng = np.random.default_rng(0)
    y, f = rng.standard_normal((2, n, 2))
    if loss.positive:
        least = 0.0 if loss.name == "poisson" else 0.2
        y, f = rng.poisson(1.5, (n, 2)) + least, np.exp(f)
    return y, f


@with_constants
def test_slope_and_curvature_are_the_derivatives_of_the_value(loss):
    y, f = targets_and_predictions(loss)
    step = 1e-5
    slope = (loss.value(y, f + step) - loss.value(y, f - step)) / (2 * step)
    assert_allclose(loss.slope(y, f), slope, rtol=1e-6, atol=1e-8)
    # The curvature is the expected one: that at y = f, where the slope is zero on average.
    assert (loss.curvature(y, f) > 0).all()
    if not loss.nonsmooth or loss.parameters[-1] > 0.0:
        bend = (loss.slope(f, f + step) - loss.slope(f, f - step)) / (2 * step)
        bends = loss.curvature(f, f) if loss.with_scale else loss.curvature(y, f)
        assert_allclose(bends, bend, rtol=1e-6)


@pytest.mark.parametrize("loss", ADAPTED, ids=lambda loss: loss.name)
def test_the_parabola_of_the_curvature_lies_above_the_loss(loss):
    # By which reweighting never raises it: at f + d it is value + slope d + curvature d^2 / 2.
    y, f = targets_and_predictions(loss)
    for step in np.linspace(-3, 3, 13):
        parabola = loss.value(y, f) + loss.slope(y, f) * step
        parabola += 0.5 * loss.curvature(y, f) * step**2
        assert (loss.value(y, f + step) <= parabola + 1e-12).all()


@pytest.mark.parametrize("loss", ADAPTED, ids=lambda loss: loss.name)
def test_expected_curvature_is_the_mean_one(loss):
    y, f = np.random.default_rng(4).standard_normal((2, 100_000, 1))
    step = 1e-3
    bend = (loss.slope(y, f + step) - loss.slope(y, f - step)) / (2 * step)
    expected = loss.expected_curvature(y, f, None)
    assert expected.shape == y.shape
    assert expected[0, 0] == pytest.approx(bend.mean(), rel=0.01)


@pytest.mark.parametrize("loss", ADAPTED, ids=lambda loss: loss.name)
def test_constants_grow_with_the_units_of_y(loss):
    y, f = targets_and_predictions(loss)
    one, ten = (loss.with_scale(unit * y, unit * f, None, 1.0) for unit in (1.0, 10.0))
    assert ten.parameters[-1] == pytest.approx(10.0 * one.parameters[-1], rel=1e-6)
    grown = 10.0**loss.degree * one.value(y, f)
    assert_allclose(ten.value(10.0 * y, 10.0 * f), grown, rtol=1e-6)
    assert one.remade(ten.parameters).parameters == ten.parameters
    assert one.remade(one.parameters) is one


def test_scales_are_those_of_the_equations():
    rng = np.random.default_rng(5)
    r, weight = rng.standard_t(3, (500, 1)), rng.integers(0, 4, 500).astype(float)
    zero = np.zeros_like(r)
    (threshold,) = LOSSES["huber"].with_scale(r, zero, weight, 1.0).parameters
    squares = np.minimum(np.abs(r) / (threshold / 1.35), 1.35) ** 2
    assert np.average(squares[:, 0], weights=weight) == pytest.approx(1.0, rel=1e-8)
    nu, scale = LOSSES["student_t"].with_scale(r, zero, weight, 1.0).parameters
    density = minimize_scalar(
        lambda log_scale: (
            -np.average(stats.t.logpdf(r[:, 0], nu, scale=np.exp(log_scale)), weights=weight)
        ),
        bounds=(-3, 3),
        options={"xatol": 1e-9},
    )
    assert scale == pytest.approx(np.exp(density.x), rel=1e-6)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.8])
def test_quantiles_hold_their_share(share, weighted):
    rng = np.random.default_rng(6)
    y, counts = rng.standard_normal((41, 2)), rng.integers(0, 4, 41)
    weight = counts.astype(float) if weighted else None
    copied = np.repeat(y, counts, axis=0) if weighted else y
    expected = np.quantile(copied, share, axis=0, method="averaged_inverted_cdf")
    assert_allclose(quantiles(y, share, weight), expected)


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
        least = mean(found)
        assert mean(best[k]) <= least + 1e-12 * abs(least)
        if not loss.nonsmooth:  # else all between two targets may be the best
            assert best[k] == pytest.approx(found, abs=1e-4)


@with_constants
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("output", OUTPUTS)
def test_kernel_writes_value_and_delta(loss, output, dtype):
    y, f = (np.ascontiguousarray(a[:, 0], dtype=dtype) for a in targets_and_predictions(loss))
    slopes = np.random.default_rng(2).uniform(0.1, 2.0, len(y)).astype(dtype)
    if output == "exp":
        slopes = f if loss.positive else np.exp(f)
    deltas, losses = np.empty_like(y), np.empty(len(y))
    arrays = (f.copy(), slopes, y, deltas, losses, np.array(loss.parameters))
    call_from_python(compiled_loss(kernel_of(loss, output), dtype), arrays, (len(y),))
    wide_y, wide_f = y.astype(np.float64), f.astype(np.float64)
    rounding = {
        "rtol": np.finfo(dtype).eps,
        "atol": 20 * np.finfo(dtype).eps * max(abs(f).max(), abs(y).max()),
    }
    assert_allclose(losses, loss.value(wide_y, wide_f), **rounding)
    assert_allclose(deltas, loss.slope(wide_y, wide_f) * slopes, **rounding)


def test_poisson_takes_a_prediction_that_has_underflown():
    poisson = LOSSES["poisson"]
    f, y, deltas, losses = np.zeros(1), np.zeros(1), np.empty(1), np.empty(1)
    arrays = (f, f.copy(), y, deltas, losses, np.empty(0))
    call_from_python(compiled_loss(kernel_of(poisson, "exp"), "float64"), arrays, (1,))
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


def test_a_loss_may_couple_the_outputs_of_a_row():
    def probabilities(f):
        return softmax(f, axis=1)

    cross_entropy = replace(
        LOSSES["huber"],
        name="cross_entropy",
        value=lambda y, f: -y * np.log(probabilities(f)),
        slope=lambda y, f: probabilities(f) - y,
        couples_outputs=True,
    )
    rng = np.random.default_rng(0)
    X, labels = rng.standard_normal((300, 2)), rng.integers(0, 3, 300)
    weight = rng.uniform(0.5, 2.0, 300)
    network = network_of(Architecture((2, 4, 3)), ("tanh", "identity"))
    samples = Samples.of(X, np.eye(3)[labels], weight)
    objective = Objective(network, samples, 0.0, loss=cross_entropy)
    theta = rng.standard_normal(network.architecture.n_parameters)
    value, gradient = objective.weighted_gradient(theta, np.ones(3))
    assert value == pytest.approx(
        log_loss(labels, probabilities(objective.predict(theta)), sample_weight=weight)
        * weight.sum(),
        rel=1e-12,
    )
    step = 1e-6
    differences = [
        objective.weighted_gradient(theta + h, np.ones(3))[0]
        - objective.weighted_gradient(theta - h, np.ones(3))[0]
        for h in step * np.eye(len(theta))
    ]
    np.testing.assert_allclose(gradient, np.divide(differences, 2 * step), rtol=1e-6, atol=1e-5)
    many = replace(objective, training=Samples.of(np.tile(X, (300, 1)), np.ones((90_000, 3))))
    assert not many.is_compiled and replace(many, loss=LOSSES["huber"]).is_compiled

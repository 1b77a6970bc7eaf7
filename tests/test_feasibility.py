"""What no weights can reach is proved from the data, in the loss that is trained on."""

import warnings

import numpy as np
import pytest
from diagnosis_cases import fit_quietly, make_net
from numpy.testing import assert_allclose
from scipy import sparse

from sklearn_tinymlp._data.data import Data
from sklearn_tinymlp._diagnosis.feasibility import (
    infeasible,
    intercept_sentence,
    needs_intercept,
    targets_out_of_range,
)
from sklearn_tinymlp._losses.table import LOSSES

SQUARED_ERROR, POISSON = LOSSES["squared_error"], LOSSES["poisson"]


@pytest.mark.parametrize("activation", ["relu", "identity", "leaky_relu"])
def test_noise_does_not_look_like_a_missing_intercept(activation):
    rng = np.random.RandomState(0)
    for seed in range(20):
        x = rng.standard_normal((30, 1))
        y = 2.0 * x + rng.standard_normal((30, 1))
        assert needs_intercept(x, y, None, (activation, "identity"), SQUARED_ERROR) is None, seed
    assert needs_intercept(x, y + 5.0, None, (activation, "identity"), SQUARED_ERROR).number == 30


def test_an_intercept_is_needed_at_zero_where_the_network_is_fixed():
    x = np.array([[0.0], [0.0], [0.0], [0.0], [1.0], [-1.0]])
    y = np.array([[3.0], [3.1], [3.0], [3.1], [4.0], [-4.0]])
    obstacle = needs_intercept(x, y, None, ("tanh", "identity"), SQUARED_ERROR)
    assert_allclose(obstacle.floor, (3.0**2 + 3.1**2) / 6)
    assert "predicts 0 at x = 0, whatever its weights" in intercept_sentence(obstacle)
    assert needs_intercept(x, y, None, ("logistic", "identity"), SQUARED_ERROR) is None
    assert needs_intercept(x, y, None, ("tanh", "logistic"), SQUARED_ERROR).number == 4


def test_rays_are_found_in_many_dimensions_and_in_sparse_rows():
    directions = np.random.RandomState(0).standard_normal((4, 3))
    X = np.vstack([directions * c for c in (0.5, 1.0, 2.0, 4.0)])
    y = np.full((16, 1), 2.0) + 0.01 * np.random.RandomState(1).standard_normal((16, 1))
    c = np.linalg.norm(X, axis=1)
    expected = 0.0
    for ray in range(4):
        rows = slice(ray, None, 4)
        slope = c[rows] @ y[rows, 0] / (c[rows] @ c[rows])
        expected += np.sum((y[rows, 0] - slope * c[rows]) ** 2) / 32
    for inputs in (X, sparse.csr_matrix(X)):
        obstacle = needs_intercept(inputs, y, None, ("relu", "identity"), SQUARED_ERROR)
        assert_allclose(obstacle.floor, expected)
        assert obstacle.number == 16


def test_few_targets_beyond_the_range_are_taken_for_noise():
    y = np.random.RandomState(0).uniform(size=(100, 1))
    y[:2] = -0.01
    assert targets_out_of_range(y, None, "relu", SQUARED_ERROR) is None
    assert targets_out_of_range(y, None, "relu", SQUARED_ERROR, loss_tol=1e-9).number == 2
    assert_allclose(
        targets_out_of_range(y - 0.5, None, "relu", SQUARED_ERROR).floor,
        0.5 * np.mean(np.minimum(y - 0.5, 0) ** 2),
    )
    assert targets_out_of_range(y, None, "identity", SQUARED_ERROR) is None


COUNTS = np.array([0.0, 1.0, 2.0, 5.0])
OUT_OF_RANGE = {
    name: (-2.0 + COUNTS, "relu") for name, loss in LOSSES.items() if not loss.positive
} | {"poisson": (COUNTS, "logistic"), "gamma": (0.5 + COUNTS, "logistic")}


@pytest.mark.parametrize("weight", [None, np.array([1.0, 0.5, 2.0, 0.0])], ids=["", "weighted"])
@pytest.mark.parametrize("name", LOSSES)
def test_the_floor_is_the_least_loss_of_any_predictions_in_the_range(name, weight):
    y, activation = OUT_OF_RANGE[name]
    loss = LOSSES[name]
    # Half of the range beyond each target is searched, one target by one.
    grid = np.linspace(0.0, 1.0 if activation == "logistic" else 10.0, 100_001)[1:-1]
    least = [loss.value(target, grid).min() for target in y]
    obstacle = targets_out_of_range(y[:, np.newaxis], weight, activation, loss)
    assert_allclose(obstacle.floor, np.average(least, weights=weight), rtol=1e-3)


def test_a_zero_at_the_open_end_of_the_range_is_reached_in_the_limit():
    y = np.array([[0.0], [0.0], [3.0]])
    obstacle = targets_out_of_range(y, None, "logistic", POISSON)
    assert_allclose(obstacle.floor, (1.0 - 3.0 + 3.0 * np.log(3.0)) / 3)
    assert obstacle.number == 1


def test_a_floor_is_compared_with_loss_tol_in_the_same_loss():
    y = np.arange(1000.0)[:, np.newaxis] % 2
    y[0] = 2.0  # 1 at best: a loss of 2 log 2 - 1 = 0.386, or of 0.5 by squared errors
    for loss, loss_tol, possible in (
        (POISSON, 0.00038, False),
        (POISSON, 0.00039, True),
        (SQUARED_ERROR, 0.00049, False),
        (SQUARED_ERROR, 0.00051, True),
    ):
        obstacle = targets_out_of_range(y, None, "logistic", loss, loss_tol)
        assert (obstacle is None) == possible


@pytest.mark.parametrize("name", LOSSES)
def test_the_remedy_for_targets_out_of_range_is_one_that_the_loss_accepts(name):
    y, activation = OUT_OF_RANGE[name]
    X = np.arange(4.0)[:, np.newaxis]
    net = make_net(loss=name, output_activation=activation)
    wanted = LOSSES[name].output_activation
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        net.fit(X, y)
    assert f'Try output_activation="{wanted}", or scale y' in str(caught[0].message)
    finding = net.diagnose(X, y)[0]
    assert (finding.code, finding.parameters) == ("output_range", {"output_activation": wanted})
    measure = "squared-error loss" if name == "squared_error" else "loss"
    loss = LOSSES[name].remade(net._loss_constants)  # at the scale that the fit has found
    floor = targets_out_of_range(y[:, np.newaxis], None, activation, loss).floor
    assert f"no weights bring the {measure} below {floor:.4g}" in finding.sentence
    mended = fit_quietly(net.set_params(**finding.parameters), X, y)
    assert "output_range" not in [finding.code for finding in mended.diagnose(X, y)]
    assert mended.loss_ < floor


def test_the_floor_of_a_network_fixed_at_zero_is_in_the_loss_trained_on():
    X = np.array([[0.0], [0.0], [0.0], [0.0], [1.0], [-1.0]])
    y = np.array([[3.0], [3.1], [3.0], [3.1], [4.0], [1.0]])
    weight = np.array([1.0, 2.0, 1.0, 1.0, 1.0, 2.0])
    # exp(0) = 1 is what it gives at x = 0.
    losses = 1.0 - y[:4, 0] + y[:4, 0] * np.log(y[:4, 0])
    obstacle = needs_intercept(X, y, weight, ("tanh", "exp"), POISSON)
    assert_allclose(obstacle.floor, weight[:4] @ losses / weight.sum())
    (sentence,) = infeasible(Data(X, y, weight), ("tanh", "exp"), loss=POISSON, bias=False)
    assert f"no weights bring the loss of these 4 rows below {obstacle.floor:.4g}" in sentence

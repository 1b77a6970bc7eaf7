"""The evidence where a curvature costs much: held for many steps, of all rows or of a sample."""

import signal
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning

from sklearn_tinymlp import TinyMLPRegressor
from sklearn_tinymlp._bayes import curvature as curvatures
from sklearn_tinymlp._bayes.curvature import Curvature
from sklearn_tinymlp._bayes.evidence import Hyperparameters, evidence
from sklearn_tinymlp._bayes.extrapolation import Extrapolation
from sklearn_tinymlp._bayes.groups import GROUPINGS
from sklearn_tinymlp._network.architecture import Architecture
from sklearn_tinymlp._network.derivatives import predict_moved
from sklearn_tinymlp._network.network import Network
from sklearn_tinymlp._objective.objective import Objective
from sklearn_tinymlp._objective.samples import Samples
from sklearn_tinymlp._solvers import held_curvature
from sklearn_tinymlp._solvers import levenberg_marquardt as lm
from sklearn_tinymlp._solvers.levenberg_marquardt import search_by_evidence
from sklearn_tinymlp._solvers.monitor import History, Monitor
from sklearn_tinymlp._training import input_selection

ACTIVATIONS = "tanh", "identity"

# By parameters and by residuals: of all rows, and of a sample of them.
ALL_ROWS = {
    "parameters": Curvature(by_residuals=False, n_rows=None, work=0.0),
    "residuals": Curvature(by_residuals=True, n_rows=None, work=0.0),
}
SAMPLED = {
    "parameters": Curvature(by_residuals=False, n_rows=2000, work=0.0),
    "residuals": Curvature(by_residuals=True, n_rows=1000, work=0.0),
}


def make_problem(n_rows=300, n_outputs=1, weighted=False, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n_rows, 2))
    y = np.sin(2 * X[:, :1]) + 0.5 * X[:, 1:] * np.arange(1, n_outputs + 1)
    y = y + 0.2 * rng.standard_normal(y.shape)
    weight = rng.uniform(0.5, 1.5, n_rows) if weighted else None
    architecture = Architecture((2, 5, n_outputs))
    network = Network(architecture, ACTIVATIONS)
    objective = Objective(network, Samples.of(X, y, weight), 0.0)
    theta = 0.5 * rng.standard_normal(architecture.n_parameters)
    return objective, theta, GROUPINGS["layer"](architecture)


def hyperparameters(groups, n_outputs):
    return Hyperparameters(
        np.linspace(0.1, 2.0, groups.max() + 1), np.linspace(5.0, 20.0, n_outputs)
    )


def estimate(objective, theta, hyper, curvature, groups):
    return held_curvature.estimate(
        objective,
        theta,
        hyper,
        curvature=curvature,
        groups=groups,
        random_state=np.random.RandomState(0),
    )


# ------------------------------------------------------------------------------ estimates


@pytest.mark.slow
@pytest.mark.parametrize("kind", ALL_ROWS)
def test_the_estimate_of_all_rows_is_that_of_the_evidence(kind):
    objective, theta, groups = make_problem(n_outputs=2, weighted=True)
    hyper, n_samples = hyperparameters(groups, 2), objective.training.weight_sum
    estimated = estimate(objective, theta, hyper, ALL_ROWS[kind], groups)
    model = ALL_ROWS[kind].gauss_newton(objective, theta, hyper.beta)
    for _ in range(held_curvature.RE_ESTIMATIONS):
        precision = model.product.factorised(hyper.alpha[groups], hyper.beta)
        variance = objective.variance()
        expected = evidence(theta, model.errors, precision, hyper, groups, n_samples, variance)
        hyper = expected.next
    assert_allclose(estimated.log_evidence, expected.log_evidence)
    assert_allclose(estimated.gamma, expected.gamma)
    for got, wanted in zip(estimated.next, hyper, strict=True):
        assert_allclose(got, wanted)
    precision = model.product.factorised(hyper.alpha[groups], hyper.beta)
    assert_allclose(estimated.precision.solve(theta), precision.solve(theta))


# A residual more or less moves the count of parameters more, where there are 1,000 of them.
@pytest.mark.parametrize("kind, rows, atol", [("parameters", 2000, 0.1), ("residuals", 1000, 0.2)])
def test_a_sample_says_nearly_what_all_rows_say(kind, rows, atol):
    objective, theta, groups = make_problem(20_000, weighted=True)
    hyper = hyperparameters(groups, 1)
    sample, times = curvatures.sample_of(objective, rows, np.random.RandomState(0))
    assert sample.training.n_samples == rows
    assert_allclose(times, 20_000 / rows, rtol=0.05)
    of_sample = estimate(objective, theta, hyper, SAMPLED[kind], groups)
    of_all = estimate(objective, theta, hyper, ALL_ROWS["parameters"], groups)
    assert_allclose(of_sample.gamma, of_all.gamma, atol=atol)
    assert_allclose(of_sample.next.beta, of_all.next.beta, rtol=1e-3)


# ------------------------------------------------------------------------------ descent


@pytest.mark.parametrize("n_outputs", [1, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_fall_is_that_of_s(n_outputs, weighted):
    objective, theta, groups = make_problem(200, n_outputs, weighted)
    hyper = hyperparameters(groups, n_outputs)

    def s(theta):
        return hyper.beta @ objective.errors(theta) + 0.5 * hyper.alpha[groups] @ theta**2

    def descend(theta, solve, n_steps):
        end, fall = held_curvature.steps_down(
            objective,
            theta,
            hyper,
            groups,
            solve,
            n_steps=n_steps,
            monitor=Monitor(9, History()),
        )
        assert_allclose(fall, s(theta) - s(end), rtol=1e-6)
        return end

    plain = np.copy  # A is the identity
    begun = descend(theta, plain, 30)
    assert s(begun) < s(theta)
    for curvature in ALL_ROWS.values():
        product = curvature.product(objective, begun, hyper.beta, np.random.RandomState(0))
        curved = product.certainly_factorised(hyper.alpha[groups], hyper.beta)
        assert s(descend(begun, curved.solve, 8)) < s(descend(begun, plain, 8))  # where S is round


@pytest.mark.parametrize("kind", ALL_ROWS)
@pytest.mark.parametrize("n_outputs", [1, 2])
def test_held_curvatures_lead_to_the_maximum_of_levenberg_marquardt(n_outputs, kind):
    objective, theta, groups = make_problem(400, n_outputs, seed=n_outputs % 2)
    exact = search_by_evidence(objective, theta, Monitor(200, History()), groups=groups, tol=1e-5)
    solution = held_curvature.search(
        objective,
        exact.theta + 0.05 * theta,
        Monitor(200, History()),
        curvature=ALL_ROWS[kind],
        groups=groups,
        tol=1e-5,
        random_state=np.random.RandomState(0),
    )
    assert abs(solution.log_evidence - exact.log_evidence) < 2.0
    assert_allclose(solution.state.hyper.beta, exact.state.hyper.beta, rtol=0.02)
    assert_allclose(objective.predict(solution.theta), objective.predict(exact.theta), atol=0.1)


def test_samples_grow_to_all_rows():
    def sizes(n_rows, n_parameters, kind="parameters"):
        return held_curvature.stage_sizes(n_rows, ALL_ROWS[kind], n_parameters)

    assert sizes(1500, 50) == [1500]
    assert sizes(100_000, 50) == [2000, 8000, 32000, 100_000]
    assert sizes(100_000, 1000) == [10_000, 40_000, 100_000]
    assert sizes(100_000, 10_000, "residuals") == [2000, 8000, 32000, 100_000]


# ------------------------------------------------------------------------------ whole fits


WAYS = {
    "all rows": {(lm, "MOST_WORK_PER_STEP"): 0},
    "sampled rows": {
        (lm, "MOST_WORK_PER_STEP"): 0,
        (curvatures, "MOST_WORK"): 300_000,
        (curvatures, "ROWS_PER_PARAMETER"): 1,
        (curvatures, "LEAST_SAMPLE_ROWS"): 150,
        (held_curvature, "ROWS_PER_PARAMETER"): 1,
        (held_curvature, "LEAST_SAMPLE_ROWS"): 150,
    },
    "rows of a Jacobian": {
        (lm, "MOST_WORK_PER_STEP"): 0,
        (curvatures, "MOST_WORK"): 0,
        (curvatures, "MOST_JACOBIAN_ROWS"): 300,
        (held_curvature, "MOST_JACOBIAN_ROWS"): 300,
        (held_curvature, "LEAST_SAMPLE_ROWS"): 150,
        (input_selection, "_can_be_selected"): lambda *_: False,  # pilots are meant to be quick
    },
}
# By residuals or not, and how many rows, of 700 with one output or two.
CHOSEN = {
    "all rows": (False, None),
    "sampled rows": (False, 150),
    "rows of a Jacobian": (True, 300),
}


@pytest.fixture(params=WAYS)
def way(request, monkeypatch):
    """Take small data for large ones."""
    for (module, name), value in WAYS[request.param].items():
        monkeypatch.setattr(module, name, value)
    for n_outputs in (1, 2):
        chosen = Curvature.cheapest(Architecture((2, 8, n_outputs)), 700)
        assert (chosen.by_residuals, chosen.n_rows) == CHOSEN[request.param]
    return request.param


def make_data(n_rows=700, n_outputs=1, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.uniform(-2, 2, (n_rows, 2))
    y = 10 * np.sin(2 * X[:, :1]) + 5 * X[:, 1:] * np.arange(1, n_outputs + 1)
    y = y + rng.standard_normal(y.shape)
    return X, y.ravel() if n_outputs == 1 else y


def make_net(**params):
    return TinyMLPRegressor(**{"hidden_layer_sizes": (8,), "random_state": 0, **params})


@pytest.mark.parametrize("n_outputs", [1, 2])
def test_it_learns_with_a_band_that_holds(way, n_outputs):
    X, y = make_data(n_outputs=n_outputs)
    new, truth = make_data(seed=1, n_outputs=n_outputs)
    net = make_net().fit(X, y)
    assert net.solver_ == "lm" and net.converged_
    assert net.stop_reason_ == "evidence"
    assert net.score(new, truth) > 0.95
    mean, std = net.predict(new, return_std=True)
    assert 0.9 < np.mean(np.abs(truth - mean) < 1.96 * std) < 0.99
    assert_allclose(net.noise_std_, 1.0, rtol=0.2)
    assert_allclose(2 * net.loss_, np.mean((y - net.predict(X)) ** 2), rtol=1e-6)
    draws = net.sample_y(new[:5], 3000)
    assert_allclose(draws.std(axis=-1), std[:5], rtol=0.15)
    again = make_net().fit(X, y)
    assert_array_equal(again.coefs_[0], net.coefs_[0])
    assert len(net.loss_curve_) == net.n_iter_


@pytest.mark.slow
def test_other_kinds_of_data_and_of_fits_go_the_same_way(way):
    X, y = make_data()
    weight = np.random.default_rng(2).uniform(0.5, 1.5, len(y))
    plain, weighted = make_net().fit(X, y), make_net().fit(X, y, sample_weight=weight)
    assert weighted.score(X, y) > 0.95
    assert not np.array_equal(weighted.coefs_[0], plain.coefs_[0])
    # A power of two is exact; by what rounds otherwise, a search by samples may end elsewhere.
    scaled = make_net().fit(X, y, sample_weight=2.0**20 * weight)
    assert_allclose(scaled.predict(X), weighted.predict(X), rtol=1e-9)
    assert make_net().fit(sparse.csr_matrix(X), y).score(sparse.csr_matrix(X), y) > 0.9
    assert make_net(bias=False).fit(X, y).score(X, y) > 0.9
    assert make_net(n_init=2).fit(X, y).starts_["loss"].shape == (2,)
    bounded = make_net(output_activation="logistic").fit(X, (y > 0).astype(float))
    assert 0.0 <= bounded.predict(X).min() < bounded.predict(X).max() <= 1.0
    single = make_net().fit(X.astype(np.float32), y)
    assert single.coefs_[0].dtype == np.float32 and single.score(X, y) > 0.95
    again = make_net(warm_start=True).fit(X, y)
    assert again.fit(X, y).score(X, y) > 0.95


def test_a_target_and_a_validation_set_are_heard(way):
    X, y = make_data()
    assert make_net(loss_tol=5.0).fit(X, y).stop_reason_ == "loss_tol"
    net = make_net(early_stopping=True, n_iter_no_change=2).fit(X, y)
    assert net.best_validation_score_ > 0.9
    assert len(net.validation_scores_) == net.n_iter_
    with pytest.warns(ConvergenceWarning, match="max_iter"):
        assert make_net(max_iter=1, alpha="one").fit(X, y).n_iter_ == 1


def test_ctrl_c_keeps_what_was_learned(way, monkeypatch):
    X, y = make_data()
    weighted_gradient, calls = Objective.weighted_gradient, []

    def press(self, theta, output_weights, between=None):
        calls.append(1)
        if len(calls) == 40:
            signal.raise_signal(signal.SIGINT)
        return weighted_gradient(self, theta, output_weights, between)

    monkeypatch.setattr(Objective, "weighted_gradient", press)
    with pytest.warns(UserWarning, match="interrupted by user"):
        net = make_net().fit(X, y)
    assert net.stop_reason_ == "interrupted" and len(calls) == 40
    assert net.score(X, y) > 0.5


def test_noise_is_taken_for_noise(way):
    rng = np.random.default_rng(0)
    X, y, new, truth = (rng.standard_normal(shape) for shape in ((600, 4), 600, (2000, 4), 2000))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net = make_net().fit(X, y)
    assert net.score(new, truth) > -0.1
    mean, std = net.predict(new, return_std=True)
    assert 0.92 < np.mean(np.abs(truth - mean) < 1.96 * std) < 0.98


# ------------------------------------------------------------------------------ beyond the data


def measured(predict, X, weight):
    """Measure the curvature of any function of the inputs."""

    def predict_moved(rows, j, values):
        moved = np.tile(rows, (len(values), 1, 1))
        moved[:, :, j] = np.asarray(values)[:, np.newaxis]
        return predict(moved.reshape(-1, rows.shape[1])).reshape(len(values), len(rows), -1)

    return Extrapolation.of(predict_moved, X, weight)


def test_predictions_with_one_input_moved_are_those_of_the_network():
    rng = np.random.default_rng(0)
    X, coefs = rng.standard_normal((7, 3)), [rng.normal(size=s) for s in ((3, 4), (4, 2))]
    intercepts, values = [rng.normal(size=4), rng.normal(size=2)], [-2.0, 0.5]
    found = predict_moved(coefs, intercepts, ("tanh", "identity"), X, 1, values)
    for value, predicted in zip(values, found, strict=True):
        moved = X.copy()
        moved[:, 1] = value
        expected = np.tanh(moved @ coefs[0] + intercepts[0]) @ coefs[1] + intercepts[1]
        assert_allclose(predicted, expected)


def test_the_curvature_beyond_the_data_is_that_within():
    def predict(X):
        return np.column_stack([X[:, 0] ** 2 + X[:, 1], 3 * X[:, 1] ** 2])

    X = np.random.default_rng(0).uniform(-1, 1, (50, 2))
    X[:2] = [-1, -1], [1, 1]
    known = measured(predict, X, np.ones(50))
    assert_allclose(known.curvature, 2 * [[[2, 0], [0, 6]]], atol=1e-8)
    points = np.array([[0.5, -0.5], [1.5, 0.0], [0.0, -3.0]])
    width = 1 + np.median(X[:, 1])  # beyond which the difference grows linearly
    assert_allclose(known.width[0], 1 + np.median(X, axis=0))
    expected = [[0, 0], [(2 * 0.25) ** 2, 0], [0, (6 * width * (4 - width)) ** 2]]
    assert_allclose(known.variance(points), expected, atol=1e-12)
    draws = known.draw(points, 4000, np.random.RandomState(0))
    assert_allclose(draws.var(axis=-1), expected, rtol=0.1, atol=1e-12)


def test_the_curvature_beyond_an_end_is_that_of_the_nearer_half():
    X = np.exp(np.random.default_rng(0).standard_normal((200, 1)))
    known = measured(np.log, X, np.ones(200))
    low, high = (known.variance(end)[0, 0] ** 0.5 for end in (known.lowest, known.highest))
    assert low == high == 0
    # A hundredth of the range beyond the largest value the logarithm hardly changes.
    beyond = known.highest + 0.01 * np.ptp(X)
    assert known.variance(beyond[None])[0, 0] ** 0.5 < 0.01 * np.std(np.log(X))


def test_rows_of_a_weight_count_for_the_curvature_as_often():
    def predict(X):
        return np.sin(X).sum(axis=1, keepdims=True)

    rng = np.random.default_rng(0)
    X, counts = rng.standard_normal((60, 2)), rng.integers(1, 4, 60)
    weighed = measured(predict, X, counts.astype(float))
    repeated = measured(predict, np.repeat(X, counts, axis=0), np.ones(counts.sum()))
    assert_allclose(weighed.curvature, repeated.curvature)
    assert not np.allclose(weighed.curvature, measured(predict, X, np.ones(60)).curvature)


def test_the_band_widens_beyond_the_data_as_a_parabola_leaves_it():
    held = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        x = rng.uniform(-1, 1, (100, 1))
        net = TinyMLPRegressor(random_state=seed).fit(x, x[:, 0] ** 2 + 0.05 * rng.normal(size=100))
        points = np.array([[-1.25], [1.25], [-1.5], [1.5]])
        mean, std = net.predict(points, return_std=True)
        held.append(np.abs(points[:, 0] ** 2 - mean) < 1.96 * std)
    assert np.mean(held) >= 0.8

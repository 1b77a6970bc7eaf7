"""What findings say and advise: of what was seen, in what is not set yet, and never twice."""

from dataclasses import replace

import numpy as np
import pytest
from diagnosis_cases import described, fit_quietly, ignore_convergence, make_net, noisy, wave
from numpy.testing import assert_allclose
from sklearn.base import clone

from sklearn_tinymlp import TinyMLPRegressor
from sklearn_tinymlp._diagnosis.ending import restarts_disagree, would_stop
from sklearn_tinymlp._diagnosis.examination import Examination, residual_pattern
from sklearn_tinymlp._diagnosis.finding import make_finding
from sklearn_tinymlp._diagnosis.remedies import (
    continue_training,
    explained_anew,
    larger,
    starts_to_try,
)
from sklearn_tinymlp._diagnosis.units import saturated_units
from sklearn_tinymlp._losses.table import LOSSES
from sklearn_tinymlp._training.candidate import Errors
from sklearn_tinymlp._training.divergence import has_diverged


def codes(found):
    return [finding.code for finding in found]


# --------------------------------------------------------------- a pattern in the residuals


@pytest.mark.slow
@pytest.mark.parametrize("n_features", [1, 3, 10])
def test_a_smoother_tells_a_pattern_from_noise(n_features):
    rng = np.random.RandomState(0)
    X = rng.standard_normal((200, n_features))
    noise = rng.standard_normal((200, 40))
    assert np.mean(residual_pattern(X, noise) > 0.0) <= 0.05
    curve = X[:, :1] ** 2
    for size, least in ((0.0, 0.5), (0.5, 0.3)):
        assert residual_pattern(X, curve + size * noise[:, :1])[0] > least


def test_a_pattern_is_looked_for_row_by_row_and_a_copy_is_no_pattern():
    rng = np.random.RandomState(0)
    X, noise = rng.standard_normal((60, 2)), rng.standard_normal((60, 1))
    assert residual_pattern(np.tile(X, (4, 1)), np.tile(noise, (4, 1)))[0] == 0.0
    assert np.isnan(residual_pattern(X[:5], noise[:5])).all()  # too few to tell
    assert np.isnan(residual_pattern(np.ones((60, 2)), noise)).all()


def test_the_first_row_of_a_held_input_is_no_pattern():
    rng = np.random.RandomState(0)
    held = np.repeat(rng.uniform(-1.0, 1.0, 60), 6)[:, np.newaxis]
    residuals = 0.1 * rng.standard_normal((360, 1))
    residuals[::6] += held[::6]  # the output lags behind the input
    assert residual_pattern(held, residuals)[0] < 0.2
    assert residual_pattern(held[::6], residuals[::6])[0] > 0.9


def test_a_pattern_is_what_a_regression_predicts_beyond_the_network():
    X, y = wave(100, noise=0.3)
    network = described(TinyMLPRegressor(random_state=0, standardize=False).fit(X, y), X, y)
    left = 1.0 - Examination(network).explained
    for share, pattern in ((0.5, 0.5), (1.0, 0.0), (1.2, 0.0)):
        errors = Errors(np.array([1.1 * left]), np.array([share * left]))
        assert_allclose(Examination(replace(network, errors=errors)).pattern, pattern, atol=1e-12)


def noisy_by_input(growth, seed, n=200):
    rng = np.random.RandomState(seed)
    X = rng.uniform(-2.0, 2.0, (n, 2))
    noise = 0.3 * np.exp(growth * X[:, 0]) * rng.standard_normal(n)
    return X, np.sin(2 * X[:, 0]) + 0.3 * X[:, 1] + noise


def log_density(net, X, y):
    mean, std = net.predict(X, return_std=True)
    return np.mean(-np.log(std) - 0.5 * ((y - mean) / std) ** 2)


@pytest.mark.slow
def test_noise_that_depends_on_the_inputs_is_found_and_varying_noise_is_better():
    new = noisy_by_input(0.5, seed=100, n=1000)
    for seed in range(3):
        X, y = noisy_by_input(0.5, seed)
        net = TinyMLPRegressor(random_state=0).fit(X, y)
        (found,) = net.diagnose(X, y)
        assert found.code == "heteroscedastic_noise"
        mended = clone(net).set_params(**found.parameters).fit(X, y)
        assert log_density(mended, *new) > log_density(net, *new) + 0.1
        X, y = noisy_by_input(0.0, seed)
        assert not codes(TinyMLPRegressor(random_state=0).fit(X, y).diagnose(X, y))


def test_skewed_residuals_are_not_advised_a_loss_of_the_median():
    rng = np.random.RandomState(0)
    X = rng.standard_normal((300, 3))
    y = 2.0 + X[:, 0] + np.exp(1.2 * rng.standard_normal(300)) * 0.5
    (found,) = (
        finding
        for finding in TinyMLPRegressor(random_state=0).fit(X, y).diagnose(X, y)
        if finding.code == "long_tails"
    )
    assert "about the median" in found.sentence and found.parameters.get("loss") != "student_t"
    robust = TinyMLPRegressor("student_t", random_state=0).fit(X, y)
    assert robust.predict(X).mean() < y.mean() - 0.2


# --------------------------------------------------------------------- more starts, more units


@ignore_convergence
@pytest.mark.parametrize(
    ("losses", "wanted"),
    [
        ([1.0], 10),  # one start tells nothing
        ([1.0, 3.0, 4.0, 5.0], 16),  # the best was alone
        ([1.0, 1.0, 1.0, 5.0], 0),  # all the same: more starts end there too
        ([1.0, 1.05, *[3.0] * 28], 45),  # two of thirty: 3 / p starts
        ([1.0, *[3.0] * 99], 0),  # a hundred were tried
    ],
)
def test_starts_are_advised_by_how_the_starts_ended(losses, wanted):
    X, y = wave()
    net = make_net(n_init=len(losses), max_iter=2).fit(X, y)
    net.starts_["loss"] = np.array(losses)
    exam = type("Exam", (), {"network": described(net, X, y)})
    assert starts_to_try(exam) == wanted


@pytest.mark.slow
@pytest.mark.parametrize("n_init", [10, 30, 160])
def test_who_has_many_starts_is_not_told_to_try_ten(n_init):
    x = wave(80)[0]
    y = np.sin(6 * x.ravel())
    params = {"hidden_layer_sizes": (2,), "solver": "lm", "alpha": "one"}
    params |= {"n_init": n_init, "max_iter": 500}
    net = fit_quietly(make_net(**params), x, y)
    finding = next(f for f in net.diagnose(x, y) if f.code != "saturated_units")
    assert finding.code in ("missed_pattern", "no_better_than_mean", "restarts_disagree")
    assert finding.parameters.get("n_init", 1000) > n_init
    assert f"of {n_init} starts" in finding.sentence or finding.code == "restarts_disagree"


@pytest.mark.parametrize(
    ("layers", "more"),
    [
        ((), (16, 16)),
        ((1,), (16, 16)),
        ((1, 1, 1), (16, 16)),
        ((16, 16), (32, 32)),
        ((50,), (100,)),
    ],
)
def test_more_units_are_more(layers, more):
    assert larger(layers) == more


# ------------------------------------------------------------------------- more iterations


@ignore_convergence
def test_more_iterations_are_not_advised_to_a_network_that_learns_noise_by_heart():
    X, y = noisy(40, 4, noise=2.0)
    params = {"hidden_layer_sizes": (30,), "alpha": 0.0, "max_iter": 40, "tol": 0.0}
    net = make_net(**params).fit(X, y)
    exam = Examination(described(net, X, y))
    assert exam.late_fall[1] > 0.01 and exam.continued[0] > 0.01  # it still improves, by heart
    assert exam.continued[1] < 0.0
    assert "max_iter" not in codes(net.diagnose(X, y))
    curve = wave(40)
    assert "max_iter" in codes(make_net(max_iter=20).fit(*curve).diagnose(*curve))


@pytest.mark.slow
@ignore_convergence
def test_tol_is_not_blamed_where_more_iterations_gain_nothing():
    rng = np.random.RandomState(0)
    X, y = rng.standard_normal((200, 3)), rng.standard_normal(200)
    net = make_net(solver="adam", learning_rate=0.05, tol=0.01, alpha=1.0, max_iter=500).fit(X, y)
    assert net.stop_reason_ == "tol" and net.score(X, y) < 0.2
    assert "stopped_by_tol" not in codes(net.diagnose(X, y))


@pytest.mark.parametrize(
    ("losses", "tol", "ends"),
    [
        ([1.0, 0.5, 0.6, 0.7, 0.8], 0.0, True),  # it swings: no tol would have gone on
        ([1.0, 0.9, 0.8, 0.7, 0.6], 0.0, False),
        ([1.0, 0.9, 0.8, 0.7, 0.6], 0.2, True),
        ([1.0, 1.1, 0.9, 1.1, 0.8], 0.0, False),
    ],
)
def test_patience_is_told_from_tol(losses, tol, ends):
    assert would_stop(losses, tol, patience=2) == ends


@pytest.mark.slow
@ignore_convergence
def test_of_many_rows_a_part_that_is_learned_by_heart_is_no_argument():
    X, y = noisy(20_000, 8, noise=1.0)
    for n_epochs, unfinished in ((2, True), (30, False)):
        net = make_net(solver="adam", hidden_layer_sizes=(40, 40), batch_size=500)
        network = described(net.set_params(max_iter=n_epochs).fit(X, y), X, y)
        few = Examination(network, most_values=20_000)  # as for a warning: 225 rows
        assert np.isnan(few.continued[1]) and few.continued[0] > 0.3
        assert few.unfinished == Examination(network).unfinished == unfinished


@ignore_convergence
@pytest.mark.parametrize("solver", ["lm", "lbfgs"])
def test_who_lets_the_evidence_find_the_penalty_is_not_told_to_set_one(solver):
    X, y = wave()
    network = described(make_net(max_iter=2).fit(X, y), X, y)
    network = replace(network, uses_evidence=solver == "lm", theta=1e3 * network.theta)
    (finding,) = saturated_units(Examination(network))
    assert ("alpha" in finding.parameters) == (solver == "lbfgs")


@ignore_convergence
def test_a_validation_loss_that_rises_speaks_against_more_iterations():
    X, y = wave()
    net = make_net(max_iter=20).fit(X, y)
    assert "max_iter" in codes(net.diagnose(X, y))
    net._record.columns["validation_loss"] = np.linspace(1.0, 2.0, 20).tolist()
    assert "max_iter" not in codes(net.diagnose(X, y))


def test_a_trial_leaves_the_network_as_it_is():
    X, y = wave()
    net = make_net(max_iter=2000).fit(X, y)
    exam = Examination(described(net, X, y))
    before = exam.network.theta.copy()
    assert explained_anew(exam) > 0.9
    assert explained_anew(exam, layers=(1,)) < 0.9
    continue_training(exam)
    assert (exam.network.theta == before).all()


# ------------------------------------------------------------------------------ divergence


@pytest.mark.parametrize(
    ("losses", "diverged"),
    [
        ([1.0, 5.8e22, 0.9], True),
        ([5.8e22, 0.9], True),  # in the first epoch already
        ([1.0, np.inf, 0.9], True),
        ([1.0, np.nan], True),
        ([1.0, 20.0, 0.9], False),
        ([1e-9, 1e-3, 1e-9], False),  # a step back from a good fit
        ([300.0, 1.0], False),  # start weights of another size
        ([], False),
    ],
)
def test_a_loss_beyond_all_start_weights_is_divergence(losses, diverged):
    y = np.linspace(-1.0, 1.0, 50)[:, np.newaxis]
    assert has_diverged(losses, LOSSES["squared_error"], y, y) is diverged


def test_a_fit_that_diverged_and_came_back_has_not_converged():
    X, y = wave()
    params = {"solver": "sgd", "learning_rate": "invscaling", "learning_rate_init": 2.0}
    params |= {"momentum": 0.0, "batch_size": 10, "max_iter": 1000, "hidden_layer_sizes": (20,)}
    net = make_net(**params)
    with pytest.warns(UserWarning, match="Training diverged at some iteration") as caught:
        net.fit(X, 3 * y)
    assert net.stop_reason_ == "tol" and not net.converged_
    assert "rate far below" not in str(caught[0].message)
    found = net.diagnose(X, 3 * y)
    assert found[0].code == "learning_rate_too_large"
    assert "learning_rate_too_small" not in codes(found)
    assert found[0].parameters["learning_rate_init"] < 2.0


# --------------------------------------------------------------------------------- outputs


def test_r2_is_told_by_output_where_outputs_differ():
    x = wave()[0]
    Y = np.column_stack([wave()[1], np.sin(12 * x.ravel())])
    found = fit_quietly(make_net(hidden_layer_sizes=(3,)), x, Y).diagnose(x, Y)
    assert "(by output " in found.summary
    many = np.column_stack([Y, Y, Y])
    found = fit_quietly(make_net(hidden_layer_sizes=(3,)), x, many).diagnose(x, many)
    assert "(from " in found.summary and " of output " in found.summary
    alike = np.column_stack([wave()[1], 2 * wave()[1]])
    found = fit_quietly(make_net(max_iter=2000), x, alike).diagnose(x, alike)
    assert "output" not in found.summary


# ------------------------------------------------------------------------- what is never said


@ignore_convergence
def test_scaling_is_not_advised_to_a_network_that_standardises():
    X, y = wave()
    for standardize in (True, False):
        net = make_net(max_iter=3, standardize=standardize)
        with pytest.warns(UserWarning) as caught:
            net.fit(X, y)
        assert ("scale the data" in str(caught[0].message)) == (not standardize)


def test_a_sentence_is_not_said_before_training_and_again_after_it():
    X, y = np.array([[1.0], [2.0], [3.0]]), np.array([5.0, 4.0, 3.0])
    net = make_net(activation="relu", bias=False, max_iter=1)
    with pytest.warns(UserWarning) as caught:
        net.fit(X, y)
    text = "\n".join(str(warning.message) for warning in caught)
    assert text.count("the data need an intercept") == 1 and "Try bias=True" in text


@pytest.mark.slow
@ignore_convergence
@pytest.mark.parametrize("solver", ["lm", "lbfgs", "sgd", "adam"])
def test_parameters_of_mlp_regressor_at_their_defaults_are_not_called_idle(solver):
    from sklearn.neural_network import MLPRegressor

    X, y = wave()
    theirs = MLPRegressor(hidden_layer_sizes=(5,), solver="lbfgs", random_state=0).get_params()
    net = TinyMLPRegressor(**theirs | {"solver": solver}).fit(X, y)
    assert "idle_parameters" not in codes(net.diagnose(X, y))
    assert "idle_parameters" in codes(
        clone(net).set_params(beta_1=0.8, power_t=0.7, max_fun=9).fit(X, y).diagnose(X, y)
    )


@ignore_convergence
def test_no_remedy_is_set_already():
    X, y = wave()
    network = described(make_net(n_init=10, max_iter=2).fit(X, y), X, y)
    assert make_finding(network, "x", "info", "", n_init=10, alpha=1.0).parameters == {"alpha": 1.0}


# ------------------------------------------------------------------------------ new inputs


def test_new_rows_outside_the_training_data_are_told_by_feature():
    X, y = noisy(50, 3)
    X[:, 2] = 1.0
    net = fit_quietly(make_net(max_iter=50), X, y)
    assert "0 of them outside" in net.diagnose(X).summary and not net.diagnose(X)
    new = X.copy()
    low, high = X[:, 1].min(), X[:, 1].max()
    new[:10, 1] = high + 2.0 * (high - low)
    (finding,) = net.diagnose(new)
    assert (finding.code, finding.severity) == ("extrapolation", "warning")
    assert "20% of the rows" in finding.sentence
    assert "feature 1 in 20%, by up to 2 times its range" in finding.sentence
    new[0, 2] = 7.0
    assert "feature 2 in 2%, which was constant in training" in net.diagnose(new)[0].sentence
    slightly = X.copy()
    slightly[0, 1] = high + 0.01 * (high - low)
    assert net.diagnose(slightly)[0].severity == "info"


def test_the_range_of_a_fit_that_continues_is_that_of_all_its_data():
    import pickle

    from scipy import sparse

    X, y = noisy(40)
    net = make_net(solver="adam")
    for rows in (slice(0, 20), slice(20, 40)):
        net.partial_fit(X[rows], y[rows])
    assert not net.diagnose(X) and not pickle.loads(pickle.dumps(net)).diagnose(X)
    assert net.diagnose(sparse.csr_array(3 * X))[0].sentence == net.diagnose(3 * X)[0].sentence
    del net._input_range
    with pytest.raises(ValueError, match="needs y"):
        net.diagnose(X)


@ignore_convergence
@pytest.mark.parametrize(
    ("losses", "near"),
    [([1.0, 1.05, 2.0], 2), ([-1e-17, 0.1, 0.2], 1), ([-10.0, -9.5, -4.0], 2), ([0.0, 0.0], 2)],
)
def test_starts_are_compared_where_losses_are_negative(losses, near):
    # A deviance may be negative by rounding.
    X, y = wave(60, 0.1)
    net = make_net(n_init=3, max_iter=5).fit(X, y)
    network = replace(described(net, X, y), restart_losses=losses)
    assert network.ends_of_starts[1] == near
    exam = Examination(network)
    assert starts_to_try(exam) >= 0
    assert [finding.code for finding in restarts_disagree(exam)] in ([], ["restarts_disagree"])

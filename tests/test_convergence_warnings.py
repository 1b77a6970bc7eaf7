"""A fit that does not converge warns, and says why."""

import threading
import time
import warnings

import numpy as np
import pytest
from diagnosis_cases import POINTS, fit_quietly, make_net, wave
from sklearn.exceptions import ConvergenceWarning

from sklearn_tinymlp import TinyMLPEnsembleRegressor, TinyMLPRegressor
from sklearn_tinymlp._diagnosis import diagnose as diagnosis


def caught_in(net, X, y):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        net.fit(X, y)
    assert all(w.category is ConvergenceWarning for w in caught)
    assert all(w.filename == __file__ for w in caught)
    return [str(w.message) for w in caught]


@pytest.mark.parametrize(
    "params, beginning",
    [
        ({"solver": "adam", "max_iter": 3}, "Stochastic Optimizer: Maximum iterations (3) reached"),
        ({"solver": "lbfgs", "max_iter": 3}, "lbfgs failed to converge after 3 iteration(s)"),
        ({"solver": "lm", "max_iter": 3}, "Levenberg-Marquardt: max_iter=3 iterations"),
        (
            {"loss_tol": 1e-9},
            "loss_tol=1e-09 was not reached. The training loss no longer improved",
        ),
    ],
)
def test_a_convergence_warning_says_why_in_three_lines(params, beginning):
    X, y = wave(noise=0.1)
    net = make_net(hidden_layer_sizes=(2,), **{"max_iter": 5000, **params})
    (message,) = caught_in(net, X, y)
    first, second, third = message.split("\n")
    assert first.startswith(beginning)
    asked = ", and loss_tol is 1e-09" if "loss_tol" in params else ""
    assert second == f"stop_reason_={net.stop_reason_!r}: loss_ is {net.loss_:.4g}{asked}."
    finding = net.diagnose(X, y)[0]
    assert third == f"{finding.sentence} Try {finding.remedy}."
    assert not net.converged_


@pytest.mark.parametrize(
    "params, word",
    [
        ({"output_activation": "tanh"}, "lie outside [-1, 1]"),
        ({"activation": "relu", "bias": False}, "need an intercept"),
    ],
)
def test_what_is_impossible_is_said_before_training(params, word, capsys):
    with pytest.raises(ConvergenceWarning) as caught:  # an error stops before the first iteration
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            make_net(solver="adam", verbose=True, **params).fit(*POINTS)
    assert word in str(caught.value)
    assert capsys.readouterr().out == ""


def test_an_ending_that_learned_nothing_is_no_silent_success():
    x = wave()[0]
    (message,) = caught_in(make_net(activation="identity"), x, x.ravel() ** 2)
    assert "no better than the mean" in message.split("\n")[0]
    assert "Try activation='tanh'" in message.split("\n")[2]


def test_a_missed_target_is_not_converged_and_a_reached_one_is():
    X, y = wave(noise=0.1)
    net = fit_quietly(make_net(hidden_layer_sizes=(2,), loss_tol=1e-9), X, y)
    assert (net.converged_, net.stop_reason_) != (True, "loss_tol")
    net.set_params(loss_tol=0.1).fit(X, y)
    assert (net.converged_, net.stop_reason_) == (True, "loss_tol")


def test_no_diagnosis_is_made_for_a_warning_that_is_ignored(monkeypatch):
    def fail(*_, **__):
        raise AssertionError

    monkeypatch.setattr(diagnosis, "diagnose_network", fail)
    X, y = wave()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        make_net(max_iter=3).fit(X, y)
        warnings.filterwarnings("default", module="nowhere")
        with pytest.raises(AssertionError):
            make_net(max_iter=3).fit(X, y)
        warnings.resetwarnings()
        with pytest.raises(AssertionError):
            make_net(max_iter=3).fit(X, y)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ensemble", "varying"])
def test_overlapping_fits_in_threads_leave_the_filters_of_warnings(kind):
    X = np.random.default_rng(0).normal(size=(60, 2))

    def fit():
        if kind == "varying":
            return TinyMLPRegressor(noise="varying", random_state=0).fit(X, X[:, 0])
        ensemble = TinyMLPEnsembleRegressor(hidden_layer_sizes=[(2,), (3,)], cv=2, random_state=0)
        return ensemble.fit(X, X[:, 0])

    before = list(warnings.filters)
    threads = [threading.Thread(target=fit) for _ in range(2)]
    for thread in threads:
        thread.start()
        time.sleep(0.02)
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert warnings.filters == before
    with pytest.warns(ConvergenceWarning):
        TinyMLPRegressor(solver="adam", max_iter=2).fit(X, X[:, 0])

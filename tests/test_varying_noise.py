"""Noise whose width depends on X: bands that are as wide, weights of rows, and what it refuses."""

import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone

from sklearn_tinymlp import TinyMLPEnsembleRegressor, TinyMLPRegressor, _network_estimator
from sklearn_tinymlp._training.heteroscedastic_noise import VaryingNoise

WIDTHS = {
    "step": lambda x: np.where(x > 0.5, 0.6, 0.1),
    "linear": lambda x: 0.1 + 0.5 * np.abs(x),
    "none": lambda x: np.full(x.shape, 0.3),
}


def curve(kind, n, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.uniform(-2, 2, (n, 2))
    truth, width = np.sin(2 * X[:, 0]) + X[:, 1] ** 2 / 2, WIDTHS[kind](X[:, 0])
    return X, truth + width * rng.standard_normal(n), truth, width


def network(**params):
    return TinyMLPRegressor(hidden_layer_sizes=(8,), noise="varying", random_state=0, **params)


@pytest.fixture(scope="module", params=list(WIDTHS))
def fitted(request):
    X, y, *_ = curve(request.param, 500)
    net = network().fit(X, y)
    return request.param, clone(net).set_params(noise="constant").fit(X, y), net


def negative_log_likelihood(net, X, y):
    mean, std = net.predict(X, return_std=True)
    return np.mean(np.log(std) + 0.5 * ((y - mean) / std) ** 2)


def test_the_noise_is_as_wide_as_it_is(fitted):
    kind, _, net = fitted
    X, _, _, width = curve(kind, 2000, seed=1)
    ratio = net.noise_std_(X) / width
    assert 0.85 < np.median(ratio) < 1.15
    assert np.quantile(np.abs(np.log(ratio)), 0.9) < 0.35


def test_bands_hold_where_the_noise_is_small_and_where_it_is_large(fitted):
    kind, constant, net = fitted
    X, y, *_ = curve(kind, 4000, seed=1)
    mean, std = net.predict(X, return_std=True)
    held = np.abs(y - mean) < 1.96 * std
    fifths = np.array_split(np.argsort(X[:, 0]), 5)
    assert all(0.9 <= held[rows].mean() <= 0.98 for rows in fifths)
    gained = negative_log_likelihood(constant, X, y) - negative_log_likelihood(net, X, y)
    assert gained > (-0.02 if kind == "none" else 0.1)
    lower, upper = net.predict_interval(X, 0.5).T
    assert 0.4 < np.mean((lower < y) & (y < upper)) < 0.6


@pytest.mark.slow
@pytest.mark.parametrize("inputs", ["normal", "log-normal", "t"])
def test_bands_of_few_rows_are_of_the_size_of_y(inputs):
    widest = []
    for seed, n in enumerate((20, 20, 35, 35, 60, 60)):
        rng = np.random.default_rng(seed)
        X = rng.standard_t(2, (n, 2)) if inputs == "t" else rng.standard_normal((n, 2))
        X = np.exp(X) if inputs == "log-normal" else X
        y = np.sin(X[:, 0]) + 0.1 * rng.standard_normal(n)
        net = TinyMLPRegressor(noise="varying", random_state=0).fit(X, y)
        widest.append(net.predict(X, return_std=True)[1].max() / y.std())
    assert np.median(widest) < 2 and max(widest) < 5


def test_rows_of_little_noise_tell_more_of_the_mean(fitted):
    kind, constant, net = fitted
    X, _, truth, _ = curve(kind, 2000, seed=1)
    errors = [np.mean((model.predict(X) - truth) ** 2) for model in (constant, net)]
    assert errors[1] < (1.2 if kind == "none" else 0.9) * errors[0]


def test_draws_are_as_wide_as_the_bands(fitted):
    _, _, net = fitted
    X = curve("step", 30)[0]
    mean, std = net.predict(X, return_std=True)
    draws = net.sample_y(X, 4000, random_state=0)
    assert_allclose(draws.std(axis=1), std, rtol=0.06)
    assert_allclose(draws.mean(axis=1), mean, atol=5 * std.max() / np.sqrt(4000))


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix, np.float32])
def test_kinds_of_data_weights_and_pickles(form):
    X, y, _, width = curve("step", 300)
    weight = np.random.default_rng(0).integers(0, 3, 300)
    net = network().fit(form(X), y, sample_weight=weight)
    assert_allclose(np.median(net.noise_std_(form(X)) / width), 1.0, atol=0.3)
    again = pickle.loads(pickle.dumps(net))
    for one, other in zip(
        net.predict(form(X), return_std=True), again.predict(form(X), return_std=True), strict=True
    ):
        assert_array_equal(one, other)
    assert_array_equal(again.noise_std_(form(X)), net.noise_std_(form(X)))


def test_a_weight_of_two_is_the_row_twice():
    X, y, _, _ = curve("step", 200)
    counts = np.random.default_rng(0).integers(1, 3, 200)
    rows = np.repeat(np.arange(200), counts)
    weighed = network(alpha="one").fit(X, y, sample_weight=counts)
    repeated = network(alpha="one").fit(X[rows], y[rows])
    assert_allclose(weighed.noise_std_(X), repeated.noise_std_(X), rtol=0.3)


def test_each_output_has_noise_of_its_own():
    X, y, truth, _ = curve("step", 600)
    rng = np.random.default_rng(1)
    other = truth + WIDTHS["step"](-X[:, 0]) * rng.standard_normal(600)
    net = network().fit(X, np.column_stack([y, 10 * other]))
    std = net.noise_std_(X)
    assert std.shape == (600, 2)
    ends = X[:, 0] > 1, X[:, 0] < -1
    assert std[ends[0], 0].mean() > 3 * std[ends[1], 0].mean()
    assert std[ends[1], 1].mean() > 3 * std[ends[0], 1].mean()


@pytest.mark.slow
def test_an_ensemble_mixes_the_noise_of_its_members():
    X, y, _, width = curve("step", 400)
    net = TinyMLPEnsembleRegressor(
        network(), hidden_layer_sizes=[(5,), (8,)], cv=2, n_refits=1, random_state=0
    ).fit(X, y)
    variance = sum(
        weight * member.noise_std_(X) ** 2
        for weight, member in zip(net.weights_, net.estimators_, strict=True)
    )
    assert_allclose(net.noise_std_(X), np.sqrt(variance))
    assert_allclose(np.median(net.noise_std_(X) / width), 1.0, atol=0.2)
    again = pickle.loads(pickle.dumps(net))
    assert_array_equal(again.predict(X, return_std=True), net.predict(X, return_std=True))
    assert isinstance(again.noise_std_, VaryingNoise) and "varies" in net._repr_html_()


@pytest.mark.parametrize(
    "params",
    [
        {"solver": "adam"},
        {"solver": "lm", "alpha": 0.1},
        {"loss": "poisson"},
        {"early_stopping": True},
    ],
)
def test_it_needs_the_evidence_of_squared_errors(params):
    X, y, *_ = curve("none", 50)
    with pytest.raises(ValueError, match="noise='varying' needs the evidence"):
        network(**params).fit(X, np.abs(y))


@pytest.mark.parametrize("fit_number", [1, 3])
def test_ctrl_c_within_the_rounds_leaves_a_network(fit_number, monkeypatch):
    X, y, *_ = curve("step", 100)
    counted, train = [], _network_estimator.train

    def interrupted(*arguments):
        counted.append(None)
        if len(counted) == fit_number:
            arguments[-1].set()
        return train(*arguments)

    monkeypatch.setattr(_network_estimator, "train", interrupted)
    frame, draw = pd.DataFrame(X, columns=["a", "b"]), np.random.RandomState(0)
    with pytest.warns(UserWarning, match="interrupted"):
        net = network().set_params(random_state=draw).fit(frame, y)
    assert net.random_state is draw and list(net.feature_names_in_) == ["a", "b"]
    assert net.stop_reason_ == "interrupted" and net.predict(frame).shape == (100,)
    assert len(counted) == fit_number

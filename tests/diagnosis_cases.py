"""Networks in trouble, one or more for each cause, and healthy ones close to each."""

import warnings
from typing import NamedTuple

import numpy as np
import pytest

from sklearn_tinymlp import TinyMLPRegressor
from sklearn_tinymlp._fit.data import Data
from sklearn_tinymlp._fit.description import describe

# What is diagnosed here are fits that fail on purpose, so they warn.
ignore_convergence = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

POINTS = np.array([[1.0], [2.0], [3.0]]), np.array([5.0, 4.0, 3.0])
FULL_BATCH = {
    "solver": "sgd",
    "batch_size": 10_000,
    "momentum": 0.0,
    "alpha": 0.0,
    "tol": 0.0,
    "n_iter_no_change": np.inf,
}


def wave(n=40, noise=0.0, seed=0):
    x = np.linspace(-2, 2, n)[:, np.newaxis]
    return x, np.sin(2 * x.ravel()) + noise * np.random.RandomState(seed).standard_normal(n)


def plane(n=100, d=2, intercept=0.0, seed=0):
    X = np.random.RandomState(seed).standard_normal((n, d))
    return X, intercept + X @ np.arange(1.0, d + 1)


def make_net(**params):
    defaults = {"hidden_layer_sizes": (6,), "solver": "lbfgs", "alpha": 0.0, "random_state": 0}
    return TinyMLPRegressor(**{**defaults, **params})


def described(net, X, y, sample_weight=None):
    """Describe a fitted network, not standardised, to the diagnosis."""
    data = Data(X, np.asarray(y, float).reshape(len(y), -1), sample_weight)
    theta = net._architecture().pack(net.coefs_, net.intercepts_, np.float64)
    return describe(vars(net), net.get_params(deep=False), theta, data)


def fit_quietly(net, X, y, **start):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return net.fit(X, y, **start)


class Case(NamedTuple):
    """A network in trouble, whose first finding has the code and the remedy that mends it."""

    code: str
    data: tuple
    params: dict
    severity: str = "error"
    number: str = ""  # what the sentence says, to the digit
    goal: float = 0.99  # R² after the remedy
    start: dict = {}


NEGATIVE = np.linspace(-10, -2, 30)[:, np.newaxis]
MANY = np.random.RandomState(0).uniform(size=(60, 40))

CASES = {
    "targets out of range": Case(
        "output_range",
        POINTS,
        {"output_activation": "tanh"},
        number="below 4.833",  # ((5 - 1)^2 + (4 - 1)^2 + (3 - 1)^2) / 6
    ),
    "some targets out of range": Case(
        "output_range", wave(), {"output_activation": "relu", "max_iter": 2000}, number="20 of 40"
    ),
    "no bias, on a ray": Case(
        "no_bias",
        POINTS,
        {
            "activation": "leaky_relu",
            "output_activation": "leaky_relu",
            "bias": False,
            "hidden_layer_sizes": (3,),
        },
        number="below 2.571",  # 108 / 7 / 6
    ),
    "no bias, odd network": Case(
        "no_bias", plane(intercept=3.0), {"activation": "tanh", "bias": False, "max_iter": 2000}
    ),
    "identical units": Case(
        "identical_units",
        wave(),
        {"max_iter": 2000},
        number="6 units of hidden layer 1 have only 1",
        start={
            "coefs_init": [np.full((1, 6), 0.5), np.full((6, 1), 0.5)],
            "intercepts_init": [np.zeros(6), np.zeros(1)],
        },
    ),
    "rate too large": Case(
        "learning_rate_too_large",
        wave(),
        {**FULL_BATCH, "learning_rate": 0.9, "max_iter": 3000},
        goal=0.9,
        number="learning rate of 0.9 is too large",
    ),
    "rate too large for adam": Case(
        "learning_rate_too_large",
        wave(),
        {
            "solver": "adam",
            "learning_rate": 3.0,
            "max_iter": 1000,
            "tol": 0.0,
            "n_iter_no_change": np.inf,
        },
        goal=0.9,
        number="learning rate of 3 is too large",
    ),
    "dead units": Case(
        "dead_units",
        (NEGATIVE, 0.1 * NEGATIVE.ravel() ** 2),
        {"activation": "relu", "init": "uniform", "max_iter": 5000},
        number="6 of 6 units",
        goal=0.9,
    ),
    "unscaled features": Case(
        "unscaled_features",
        (1000.0 + 100.0 * wave()[0], wave()[1]),
        {"solver": "adam", "learning_rate": 0.01, "max_iter": 5000},
        "warning",
        number="mean of 1000",
    ),
    "unscaled target": Case(
        "unscaled_target",
        (wave()[0], 1000.0 + 100.0 * wave()[1]),
        {"solver": "adam", "learning_rate": 0.01, "max_iter": 3000},
        "warning",
        number="mean of 1000",
    ),
    "saturated units": Case(
        "saturated_units",
        (MANY, np.sin(3 * MANY[:, 0])),
        {**FULL_BATCH, "init": "uniform", "learning_rate": 0.05, "max_iter": 5000},
        "warning",
        number="6 of 6 units",
        goal=0.9,
    ),
    "rate too small": Case(
        "learning_rate_too_small",
        plane(),
        {**FULL_BATCH, "learning_rate": 1e-4, "max_iter": 1000, "activation": "identity"},
        "warning",
        number="learning rate of 0.0001",
    ),
    "rate too small for adam": Case(
        "learning_rate_too_small",
        wave(),
        {
            "solver": "adam",
            "learning_rate": 1e-4,
            "max_iter": 2000,
            "tol": 0.0,
            "n_iter_no_change": np.inf,
        },
        "warning",
        number="in 2000 updates of adam no weight moves by much more than 0.2",
        goal=0.6,
    ),
    "stopped by tol": Case(
        "stopped_by_tol",
        wave(),
        {"solver": "adam", "learning_rate": 0.01, "tol": 0.01},
        "warning",
        number="tol=0.01",
        goal=0.9,
    ),
    "too few iterations of lbfgs": Case(
        "max_iter", wave(), {"max_iter": 20}, "warning", number="max_iter=20"
    ),
    "too few epochs of adam": Case(
        "max_iter",
        wave(),
        {"solver": "adam", "learning_rate": 0.01, "max_iter": 60, "tol": 1e-6},
        "warning",
        number="max_iter=60",
        goal=0.9,
    ),
    "too few iterations of lm": Case(
        "max_iter",
        wave(noise=0.1),
        {"solver": "lm", "alpha": "auto", "max_iter": 10},
        "warning",
        number="max_iter=10",
        goal=0.9,
    ),
    "a linear network": Case(
        "no_better_than_mean",
        (wave()[0], wave()[0].ravel() ** 2),
        {"activation": "identity"},
        number="R² is 0.000",
    ),
    "starts that disagree": Case(
        "restarts_disagree",
        (wave(80)[0], np.sin(4 * wave(80)[0].ravel())),
        {"n_init": 4, "max_iter": 3000, "activation": "relu"},
        "warning",
        number="4 starts ended at losses between 0.0793 and 0.177, 1 of them within",
        goal=0.98,
    ),
    "a local minimum": Case(
        "local_minimum",
        wave(),
        {"hidden_layer_sizes": (4,), "activation": "relu", "max_iter": 5000, "loss_tol": 0.01},
        "warning",
        goal=0.95,
    ),
}


class Healthy(NamedTuple):
    """A network that comes close to a trouble, but does not have it."""

    data: tuple
    params: dict
    start: dict = {}


TWINS = np.random.RandomState(0).uniform(-1, 1, (1, 6))
TWINS[0, 1] = TWINS[0, 0]
STEP = np.linspace(-2, 2, 40)[:, np.newaxis], np.tanh(20 * np.linspace(-2, 2, 40))

HEALTHY = {
    # Targets end just within the range of tanh.
    "output_range": Healthy((wave()[0], 0.98 * wave()[1]), {"output_activation": "tanh"}),
    # The plane goes through the origin.
    "no_bias": Healthy(plane(), {"activation": "leaky_relu", "bias": False}),
    # Two of six units are twins, the others are not.
    "identical_units": Healthy(
        wave(),
        {"max_iter": 2000},
        {
            "coefs_init": [TWINS, TWINS.T],
            "intercepts_init": [np.array([0.5, 0.5, 0.1, -0.1, 0.3, -0.3]), np.zeros(1)],
        },
    ),
    # Means of 5 and standard deviations around 5.
    "unscaled_features": Healthy((5.0 + 4.0 * wave()[0], wave()[1]), {"standardize": False}),
    "unscaled_target": Healthy((wave()[0], 5.0 + 4.0 * wave()[1]), {"standardize": False}),
    # Half the rate of the case above, and below the stable one.
    "learning_rate_too_large": Healthy(
        wave(), {**FULL_BATCH, "learning_rate": 0.45, "max_iter": 3000}
    ),
    # Each unit has the slope zero on some rows.
    "dead_units": Healthy(wave(), {"activation": "relu", "random_state": 6}),
    # To make a step, units are flat on most rows.
    "saturated_units": Healthy(STEP, {"alpha": 1e-3}),
    # A sixth of the stable rate, and still on the way when training ends.
    "learning_rate_too_small": Healthy(
        plane(),
        {**FULL_BATCH, "learning_rate": 0.05, "max_iter": 5, "activation": "identity"},
    ),
    # Noise of which one value in 200 is as far out as a normal one comes.
    "long_tails": Healthy(wave(200, noise=0.5), {"solver": "lm", "alpha": "auto"}),
    # Ended by the same tol, but where the fit is good.
    "stopped_by_tol": Healthy(
        wave(), {"solver": "adam", "learning_rate": 0.05, "tol": 1e-3, "max_iter": 2000}
    ),
    # The limit came when there was little left to gain.
    "max_iter": Healthy(wave(), {"max_iter": 100}),
    # Noise leaves a little to explain.
    "no_better_than_mean": Healthy(wave(200, noise=2.0), {"max_iter": 2000, "alpha": 1.0}),
    # All starts end in the only minimum.
    "restarts_disagree": Healthy(plane(), {"n_init": 4, "activation": "identity"}),
    # 19 weights for 20 targets.
    "more_weights_than_data": Healthy(wave(20), {"max_iter": 2000}),
    # Rows that are like one another, and none twice.
    "copied_rows": Healthy(wave(60, noise=0.1), {"solver": "lm", "alpha": "auto"}),
    # A minimum, but as low as was asked for.
    "local_minimum": Healthy(
        wave(),
        {"hidden_layer_sizes": (4,), "activation": "relu", "max_iter": 5000, "loss_tol": 0.2},
    ),
}

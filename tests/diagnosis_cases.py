"""Networks in trouble, one or more for each cause, and healthy ones close to each."""

import re
import warnings
from collections.abc import Collection
from typing import NamedTuple

import numpy as np
import pytest

from sklearn_tinymlp import TinyMLPRegressor
from sklearn_tinymlp._data.data import Data
from sklearn_tinymlp._diagnosis.trained_network import describe

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


def noise_of(n):
    return 0.1 * np.random.RandomState(0).standard_normal(n)


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
    return describe(vars(net), net.get_params(deep=False), theta, data, net._defaults())


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

PLANES = np.random.RandomState(0).standard_normal((150, 3))

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
        number="All 6 units of hidden layer 1 have the same weights and act as 1",
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
        (wave(80)[0], np.sin(5 * wave(80)[0].ravel()) + noise_of(80)),
        {"solver": "lm", "alpha": "auto", "max_iter": 8},
        "warning",
        number="max_iter=8",
        goal=0.95,
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
        number="4 starts ended at losses between 0.079",
        goal=0.98,
    ),
    "a penalty too strong": Case(
        "penalty_too_large",
        wave(),
        {"alpha": 1000.0, "hidden_layer_sizes": (8,), "max_iter": 2000},
        number="alpha=1000 is too strong",
    ),
    "a penalty too strong for lm": Case(
        "penalty_too_large",
        wave(),
        {"alpha": 1000.0, "hidden_layer_sizes": (8,), "solver": "lm"},
        number="the penalty is 0% of the loss, and R² is 0.000",
    ),
    "a penalty too strong for adam": Case(
        "penalty_too_large",
        wave(),
        {"alpha": 30.0, "solver": "adam", "learning_rate": 0.02, "max_iter": 5000, "tol": 1e-6},
        number="alpha=30 is too strong",
        goal=0.9,
    ),
    "one unit": Case(
        "missed_pattern",
        wave(),
        {"hidden_layer_sizes": (1,), "solver": "lm", "alpha": "auto"},
        "warning",
        number="in leave-one-out validation. A copy with 16 and 16 units explains",
    ),
    "straight lines": Case(
        "missed_pattern",
        (wave()[0], (wave()[0].ravel() + 1) ** 2),
        {"activation": "identity", "solver": "lm", "alpha": "auto"},
        "warning",
        number="All units are linear",
    ),
    "one bad start by the evidence": Case(
        "missed_pattern",
        (PLANES, np.column_stack([PLANES[:, 0] ** 2, np.tanh(PLANES[:, 1]) - PLANES[:, 2]])),
        {"hidden_layer_sizes": (8,), "activation": "softplus", "solver": "lm", "max_iter": 1000}
        | {"alpha": "input"},
        "warning",
        number="Output 0: the network misses a pattern",
    ),
    "one output hidden by another": Case(
        "uneven_outputs",
        (wave()[0], np.column_stack([5 * wave()[0].ravel(), 0.01 * wave()[1]])),
        {"solver": "adam", "learning_rate": 0.01, "max_iter": 3000, "standardize": False},
        "warning",
        number="Output 1: R² is",
        goal=0.9,
    ),
    "a loss that rose to the skies and came back": Case(
        "learning_rate_too_large",
        (wave()[0], 3.0 * wave()[1]),
        {"solver": "sgd", "learning_rate": "invscaling", "learning_rate_init": 2.0, "power_t": 0.5}
        | {"momentum": 0.0, "batch_size": 10, "max_iter": 1000, "hidden_layer_sizes": (20,)},
        number="Training diverged: the loss rose to",
        goal=0.5,
    ),
    "a local minimum": Case(
        "local_minimum",
        wave(),
        {"hidden_layer_sizes": (4,), "activation": "relu", "max_iter": 5000, "loss_tol": 0.01},
        "warning",
        goal=0.95,
    ),
}


class Known(NamedTuple):
    """A network that is well, and something about its data or parameters that is worth knowing."""

    code: str
    data: tuple
    params: dict
    number: str = ""
    sample_weight: np.ndarray | None = None


def noisy(n=100, d=3, seed=0, noise=0.3):
    rng = np.random.RandomState(seed)
    X = rng.standard_normal((n, d))
    return X, np.sin(X[:, 0]) + X[:, 1] + noise * rng.standard_normal(n)


NOISY, NOISY_Y = noisy()
BY_EVIDENCE = {"solver": "lm", "alpha": "auto"}
DRAWN = np.random.RandomState(0).randint(60, size=60)
FAR_OFF = NOISY_Y.copy()
FAR_OFF[7] = 500.0
WALK = np.convolve(np.random.RandomState(3).standard_normal(220), np.ones(20) / 6.0, "valid")
TIMED, TIMED_Y = noisy(201, noise=0.1)
REPEATED = np.repeat(NOISY[:50], 4, axis=0)
READINGS = 0.1 * np.random.RandomState(4).standard_normal(200)

KNOWN = {
    "noise that grows": Known(
        "heteroscedastic_noise",
        (wave(200)[0], wave(200)[1] + 3.0 * np.exp(0.5 * wave(200)[0].ravel()) * READINGS),
        BY_EVIDENCE,
        "of the ranks of the absolute residuals",
    ),
    "parameters of another solver": Known(
        "idle_parameters",
        wave(),
        {"learning_rate": 0.1, "momentum": 0.5, "max_iter": 2000},
        "learning_rate=0.1, momentum=0.5 have no effect with solver='lbfgs'",
    ),
    "early stopping where nothing is held out": Known(
        "idle_parameters",
        wave(),
        {"early_stopping": True, "max_iter": 2000},
        "early_stopping=True has no effect",
    ),
    "a bootstrap sample": Known(
        "copied_rows",
        (wave(60)[0][DRAWN], wave(60, noise=0.3)[1][DRAWN]),
        BY_EVIDENCE,
        f"{1 - len(np.unique(DRAWN)) / 60:.0%} of the rows",
    ),
    "four readings of each specimen": Known(
        "repeated_inputs",
        (REPEATED, np.repeat(NOISY_Y[:50], 4) + READINGS),
        BY_EVIDENCE,
        "200 rows have 50 different X",
    ),
    "a feature that is the target": Known(
        "leaked_target",
        (np.column_stack([NOISY, 3.0 - 2.0 * NOISY_Y]), NOISY_Y),
        BY_EVIDENCE,
        "Feature 3 is the target",
    ),
    "classes": Known(
        "few_target_values",
        (NOISY, np.digitize(NOISY_Y, [-0.5, 0.5])),
        BY_EVIDENCE,
        "3 different values in 100 rows",
    ),
    "a slip of the decimal point": Known(
        "outlying_rows", (NOISY, FAR_OFF), BY_EVIDENCE, "1 of 100 rows (row 7) has 99% of"
    ),
    "a measurement over time": Known(
        "ordered_rows",
        (TIMED, TIMED_Y + WALK),
        BY_EVIDENCE,
        "residuals of neighbouring rows have a correlation of 0.83",
    ),
    "a constant feature": Known(
        "constant_columns",
        (np.column_stack([NOISY, np.full(100, 7.0)]), NOISY_Y),
        BY_EVIDENCE,
        "Feature 3 is constant",
    ),
    "a feature in other units": Known(
        "duplicated_columns",
        (np.column_stack([NOISY, 32 + 1.8 * NOISY[:, 1]]), NOISY_Y),
        BY_EVIDENCE,
        "Feature 3 repeats 1,",
    ),
    "weights in millionths": Known(
        "strange_weight_sum",
        (NOISY, NOISY_Y),
        {"alpha": 0.01, "max_iter": 2000, "tol": 1e-3},
        "alpha=0.01 then acts as alpha=1e+04 would",
        np.full(100, 1e-6),
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
    "heteroscedastic_noise": Healthy(wave(200, noise=0.3), BY_EVIDENCE),
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
    # Replicates with independent noise.
    "repeated_inputs": Healthy((REPEATED, REPEATED[:, 0] + 3.0 * READINGS), BY_EVIDENCE),
    # A penalty that costs a hundredth of R².
    "penalty_too_large": Healthy(wave(), {"alpha": 0.05, "max_iter": 5000}),
    # Noise that no curve explains.
    "missed_pattern": Healthy(wave(80, noise=0.5), BY_EVIDENCE),
    # Outputs whose scales differ by a factor of 8.
    "uneven_outputs": Healthy(
        (wave()[0], np.column_stack([wave()[1], 0.12 * np.cos(wave()[0].ravel())])),
        {"max_iter": 3000},
    ),
    # All that is set is read.
    "idle_parameters": Healthy(wave(), {"tol": 1e-5, "max_fun": 20_000, "max_iter": 2000}),
    # A feature that is nearly the target.
    "leaked_target": Healthy(
        (np.column_stack([NOISY, NOISY_Y + 0.01 * NOISY[:, 2]]), NOISY_Y), BY_EVIDENCE
    ),
    # Twelve values.
    "few_target_values": Healthy((wave(240)[0], np.arange(240) // 20 + 0.0), BY_EVIDENCE),
    # A row five standard deviations off.
    "outlying_rows": Healthy((NOISY, np.where(np.arange(100) == 7, 5.0, NOISY_Y)), BY_EVIDENCE),
    # Rows in the order of a feature, which the network knows.
    "ordered_rows": Healthy(wave(200, noise=0.3), BY_EVIDENCE),
    # A feature that is the same in all rows but one.
    "constant_columns": Healthy(
        (np.column_stack([NOISY, np.arange(100) == 3]), NOISY_Y), BY_EVIDENCE
    ),
    # Two features that are nearly alike.
    "duplicated_columns": Healthy(
        (np.column_stack([NOISY, NOISY[:, 1] + 1e-3 * NOISY[:, 0]]), NOISY_Y), BY_EVIDENCE
    ),
    # Weights of ones.
    "strange_weight_sum": Healthy((NOISY, NOISY_Y), {"alpha": 0.01, "max_iter": 2000}),
    # A minimum, but as low as was asked for.
    "local_minimum": Healthy(
        wave(),
        {"hidden_layer_sizes": (4,), "activation": "relu", "max_iter": 5000, "loss_tol": 0.2},
    ),
}


def check_causes(causes, provoked: Collection, healthy: Collection, page: str) -> None:
    """Refuse causes that are not tested both ways, or that the page does not explain.

    Parameters
    ----------
    causes : iterable of callable
        The causes; their names are the codes.

    provoked, healthy : collection of str
        Codes of those that a test provokes, and of those that a test does not find in a network
        that is close to the trouble and yet healthy.

    page : str
        The text of docs/why_doesnt_my_network_converge.md.

    Raises
    ------
    ValueError
        When one is missing, or two causes have the same code.
    """
    explained, seen = explained_causes(page), set()
    for cause in causes:
        code = cause.__name__
        if code in seen:
            raise ValueError(f"Two causes have the code {code!r}. Give each its own.")
        seen.add(code)
        missing = [
            what
            for what, codes in (
                ("a test that provokes it", provoked),
                ("a test of a healthy network that it leaves alone", healthy),
                ("a section in docs/why_doesnt_my_network_converge.md", explained),
            )
            if code not in codes
        ]
        if missing:
            raise ValueError(f"The cause {code!r} needs {' and '.join(missing)}.")


def explained_causes(page: str) -> set[str]:
    """Return the codes that have a section: one whose program prints them as the first finding."""
    sections = re.split(r"^### ", page, flags=re.MULTILINE)[1:]
    first = re.compile(r"^1\. (?:error|warning|info): .*?\[([A-Za-z_]\w*)\]", re.M | re.DOTALL)
    return {match[1] for section in sections for match in first.finditer(section)}

"""Data on which defaults once failed silently, each with the R² that peers reach untuned.

A mark is what a Gaussian process, lasso, boosting or a network with the right penalty reaches on
new noise-free targets. `python -m benchmarks.hard_cases` runs them all, `test_hard_cases.py` some.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Data(NamedTuple):
    """Training rows and weights, new rows and their noise-free targets."""

    X: np.ndarray
    y: np.ndarray
    X_new: np.ndarray
    truth: np.ndarray
    weight: np.ndarray | None = None


class Case(NamedTuple):
    """The least R², how to draw the data, and parameters that are not the default."""

    mark: float
    draw: Callable[[np.random.Generator], Data]
    params: dict = {}


def worst_r2(data: Data, predicted) -> float:
    """Return R² of the worst output with a signal; without any, relative to the variance of y."""
    truth, predicted, y = (a.reshape(len(a), -1) for a in (data.truth, predicted, data.y))
    error, variance = np.mean((predicted - truth) ** 2, axis=0), np.var(truth, axis=0)
    if not variance.any():
        variance = np.var(y, axis=0)
    return float(np.min(1 - error[variance > 0] / variance[variance > 0]))


def split(rng, X, truth, n, noise) -> Data:
    """Train on the first n rows, with normal noise."""
    y = truth[:n] + noise * rng.standard_normal(truth[:n].shape)
    return Data(X[:n], y, X[n:], truth[n:])


def uniform(rng, n, d, truth_of, noise) -> Data:
    X = rng.random((n + 1500, d))
    return split(rng, X, truth_of(X), n, noise)


def normal(rng, n, d, truth_of, noise) -> Data:
    X = rng.standard_normal((n + 1500, d))
    return split(rng, X, truth_of(X), n, noise)


def product(X):
    return X[:, 0] * X[:, 1] + np.sin(2 * X[:, 2]) + X[:, 3]


def friedman(X):
    linear = 10 * X[:, 3] + 5 * X[:, 4]
    return 10 * np.sin(np.pi * X[:, 0] * X[:, 1]) + 20 * (X[:, 2] - 0.5) ** 2 + linear


def kinks(X):
    return np.sin(30 * X[:, 0]) + np.abs(np.sin(8 * X[:, 1]))


def bowl(X):
    return ((10 * X - 5) ** 2).sum(axis=1)


def two_waves(X):
    return np.sin(10 * X[:, 0]) * np.cos(7 * X[:, 1])


def three_periods(X):
    return np.sin(6 * np.pi * X[:, 0])


def distance(X):
    return np.sqrt(((2 * X - 1) ** 2).sum(axis=1))


def five_slopes(X):
    return X[:, :5].sum(axis=1)


def waves(rng, n, n_periods, noise) -> Data:
    length = 2 * np.pi * n_periods
    x = np.concatenate([rng.uniform(0, length, n), np.linspace(0, length, 500)])
    return split(rng, x[:, None], np.sin(x), n, noise)


def weighted_wave(rng, total) -> Data:
    """Draw weights with a given sum, whose scale must not count."""
    weight = rng.uniform(0.5, 1.5, 120)
    return waves(rng, 120, 1, 0.2)._replace(weight=total * weight / weight.sum())


def spectra(rng, n) -> Data:
    """Draw a function of six sources, seen as mixtures of their smooth spectra."""
    mixing, Z = np.cumsum(rng.standard_normal((6, 400)), 1) / 10, rng.standard_normal((n + 1500, 6))
    X = Z @ mixing + 0.02 * rng.standard_normal((len(Z), 400))
    return split(rng, X, np.tanh(Z[:, 0]) + 0.5 * Z[:, 1] + 0.3 * Z[:, 2], n, 0.05)


def channels(rng, n) -> Data:
    """Draw a function of five sources, seen as 200 noisy mixtures."""
    mixing, Z = rng.standard_normal((5, 200)), rng.standard_normal((n + 1500, 5))
    return split(rng, Z @ mixing + 0.3 * rng.standard_normal((len(Z), 200)), product(Z), n, 0.2)


def thirty_outputs(rng, n) -> Data:
    X = rng.uniform(-2, 2, (n + 1000, 5))
    parts = [np.sin(2 * X[:, 0]), X[:, 1] * X[:, 2], X[:, 3], np.cos(X[:, 4])]
    return split(rng, X, np.column_stack(parts) @ rng.standard_normal((4, 30)), n, 0.05)


def wave_beside(rng, second) -> Data:
    """Draw a noisy wave, and a second output without noise."""
    x = np.concatenate([np.linspace(0, 1, 240), np.linspace(0.002, 0.998, 500)])
    truth = np.column_stack([np.sin(8 * np.pi * x), second(x)])
    return split(rng, x[:, None], truth, 240, np.array([0.1, 0.0]))


def amounts(rng, n, draw) -> Data:
    """Draw amounts whose expected value is exponential in the inputs."""
    X = rng.standard_normal((n + 4000, 5))
    truth = np.exp(0.5 * X[:, 0] + 0.5 * X[:, 1] * X[:, 2])
    return Data(X[:n], draw(rng, truth[:n]), X[n:], truth[n:])


def lognormal(rng, mean):
    return mean * np.exp(1.2 * rng.standard_normal(len(mean)) - 0.72)


def claims(rng, mean):
    """Draw amounts of which three in four are zero."""
    return mean * (rng.random(len(mean)) < 0.25) * rng.gamma(2.0, 2.0, len(mean))


def pareto(rng, mean):
    """Draw multiplicative Pareto noise with an exponent of 2.5."""
    return mean * 0.6 * (1 + rng.pareto(2.5, len(mean)))


def counts(rng, mean):
    return rng.poisson(mean).astype(float)


def one_hot(rng, n) -> Data:
    """Draw dense one-hot columns of 50 and 30 levels, and a sine."""
    shop, good = rng.integers(0, 50, n + 1000), rng.integers(0, 30, n + 1000)
    x = rng.standard_normal(n + 1000)
    truth = rng.standard_normal(50)[shop] + 0.5 * rng.standard_normal(30)[good] + np.sin(2 * x)
    return split(rng, np.column_stack([np.eye(50)[shop], np.eye(30)[good], x]), truth, n, 0.1)


def specimens(rng, n, m) -> Data:
    """Draw n specimens that are measured m times each, with an effect of the specimen."""
    X = rng.uniform(-1, 1, (n + 500, 3))
    data = split(rng, X, np.sin(2 * X[:, 0]) + X[:, 1] * X[:, 2], n, 0.3)
    y = np.repeat(data.y, m) + 0.05 * rng.standard_normal(n * m)
    return data._replace(X=np.repeat(data.X, m, axis=0), y=y)


WIDE, WIDER = {"hidden_layer_sizes": (64, 64)}, {"hidden_layer_sizes": (100, 50)}
POISSON = {"loss": "poisson"}
CASES = {
    "waves_210_rows": Case(0.97, lambda rng: waves(rng, 210, 4, 0.1)),
    "waves_420_rows": Case(0.97, lambda rng: waves(rng, 420, 4, 0.1)),
    "weights_sum_to_one": Case(0.95, lambda rng: weighted_wave(rng, 1)),
    "weights_sum_to_ten_thousand": Case(0.95, lambda rng: weighted_wave(rng, 1e4)),
    "products_44_inputs": Case(0.90, lambda rng: normal(rng, 620, 44, product, 0.3)),
    "products_60_inputs": Case(0.85, lambda rng: normal(rng, 1000, 60, product, 0.3)),
    "slopes_60_rows_280_inputs": Case(0.90, lambda rng: normal(rng, 60, 280, five_slopes, 0.1)),
    "spectra_60_rows_400_inputs": Case(0.80, lambda rng: spectra(rng, 60)),
    "channels_200_inputs": Case(0.95, lambda rng: channels(rng, 1000)),
    "friedman_500_rows_25_inputs": Case(0.90, lambda rng: uniform(rng, 500, 25, friedman, 1)),
    "friedman_1000_rows_25_inputs": Case(0.97, lambda rng: uniform(rng, 1000, 25, friedman, 1)),
    "friedman_without_noise": Case(0.97, lambda rng: uniform(rng, 200, 10, friedman, 0)),
    "friedman_100_50": Case(0.97, lambda rng: uniform(rng, 1000, 10, friedman, 1), WIDER),
    "two_waves_64_64": Case(0.99, lambda rng: uniform(rng, 1000, 2, two_waves, 0), WIDE),
    "three_periods_64_64": Case(0.97, lambda rng: uniform(rng, 1000, 1, three_periods, 0.1), WIDE),
    "bowl_10_inputs": Case(0.75, lambda rng: uniform(rng, 200, 10, bowl, 0)),
    "distance_10_inputs": Case(0.70, lambda rng: uniform(rng, 200, 10, distance, 0)),
    "kinks_300_rows": Case(0.85, lambda rng: uniform(rng, 300, 2, kinks, 0)),
    "thirty_outputs": Case(0.98, lambda rng: thirty_outputs(rng, 500)),
    "wave_beside_a_constant": Case(0.97, lambda rng: wave_beside(rng, np.ones_like)),
    "wave_beside_an_exact_line": Case(0.97, lambda rng: wave_beside(rng, lambda x: 3 * x)),
    "lognormal_1000_rows": Case(0.10, lambda rng: amounts(rng, 1000, lognormal)),
    "lognormal_4000_rows": Case(0.38, lambda rng: amounts(rng, 4000, lognormal)),
    "claims_3000_rows": Case(0.20, lambda rng: amounts(rng, 3000, claims)),
    "pareto_1000_rows": Case(0.30, lambda rng: amounts(rng, 1000, pareto)),
    "counts_300_rows": Case(0.25, lambda rng: amounts(rng, 300, counts), POISSON),
    "counts_1000_rows": Case(0.45, lambda rng: amounts(rng, 1000, counts), POISSON),
    "one_hot_1000_rows": Case(0.85, lambda rng: one_hot(rng, 1000)),
    "sixty_specimens_six_times": Case(0.75, lambda rng: specimens(rng, 60, 6)),
}

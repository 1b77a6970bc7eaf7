"""Noise that varies with X: a second network for its variance, in rounds with the first.

With y = f(x) + s(x) e and a normal e each of the two is known by the other. Given s, f is fitted
with the weights 1 / s^2. Given f, the squared residual of a row left out, times 1 - h with the
leverage h, has the mean s^2 and a Gamma distribution of the shape 1/2: a network of the logarithm
of s^2 that minimises the Gamma deviance is the most likely one (Davidian and Carroll, "Variance
function estimation", JASA 82, 1987; Nix and Weigend, "Estimating the mean and variance of the
target probability distribution", ICNN 1994). Its penalty is found by the evidence, so that noise
that does not vary is found to be constant.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_array, check_random_state, column_or_1d

from .._data.validation import validate_training_data

# How often the variance is fitted, each time to the residuals of another f. More rounds changed the
# likelihood of new rows by less than 0.01 nats.
ROUNDS = 2

# Hidden units of the network of the variance: how noise grows with X is a simpler matter than y.
UNITS_OF_VARIANCE = (8,)

# Rows that the variance is fitted to at most: a leverage costs O(P^2).
MOST_ROWS = 20_000

# Squared residuals, over their mean, are at least this: the Gamma deviance of zero is infinite.
LEAST_SQUARE = 1e-6

# Variances, over their mean, are at least this, so that no row has all the weight.
LEAST_VARIANCE = 1e-6


@dataclass(frozen=True)
class VaryingNoise:
    """The standard deviation of the noise as a function of X; call it.

    It is that of a mixture: the root of the weighted mean of the variances that networks give.
    """

    networks: list[list]  # of each output: fitted networks of the variance
    weights: list[np.ndarray]  # of each output, (n_networks,)

    @classmethod
    def mixture(cls, noises: list["VaryingNoise"], weights) -> "VaryingNoise":
        """Give the noise of an ensemble, from that of its members and their weights."""
        n_outputs = range(len(noises[0].networks))
        networks = [[net for noise in noises for net in noise.networks[k]] for k in n_outputs]
        factors = [
            np.concatenate([w * n.weights[k] for w, n in zip(weights, noises, strict=True)])
            for k in n_outputs
        ]
        return cls(networks, factors)

    def __call__(self, X) -> np.ndarray:
        """Give the standard deviations at X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        std : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            In the units of y.
        """
        std = self.of_rows(check_array(X, accept_sparse="csr"))
        return std.ravel() if len(self.networks) == 1 else std

    def of_rows(self, X) -> np.ndarray:
        """Give the standard deviations at validated X, (n_samples, n_outputs)."""
        columns = [
            sum(
                weight * variance_of(network, X)
                for weight, network in zip(weights, networks, strict=True)
            )
            for weights, networks in zip(self.weights, self.networks, strict=True)
        ]
        return np.sqrt(np.column_stack(columns))


class Rounds(NamedTuple):
    """How the rounds ended."""

    noise: VaryingNoise | None
    interrupted: Any = None  # the network that Ctrl-C has left, else None


def fitted_noise(
    mean_network: Callable, variance_network: Callable, X, y, sample_weight, **options
) -> Rounds:
    """Go through the rounds.

    Parameters
    ----------
    mean_network : callable
        ``mean_network()`` gives an unfitted network for the mean.
    variance_network : callable
        ``variance_network(random_state)`` gives an unfitted network.
    X, y, sample_weight : array-like
        As for `fit`.
    **options : dict
        Further arguments of its `_fit`.
    """
    network = mean_network()
    X, y = validate_training_data(network, X, y, True)
    y = column_or_1d(y, warn=True) if y.ndim == 2 and y.shape[1] == 1 else y
    columns, draw = y.reshape(len(y), -1), check_random_state(network.random_state)
    counts = np.ones(len(y)) if sample_weight is None else np.asarray(sample_weight, np.float64)
    rows = np.flatnonzero(counts > 0.0)
    if len(rows) > MOST_ROWS:
        rows = np.sort(draw.permutation(rows)[:MOST_ROWS])
    weight = counts[rows]
    seeds = draw.randint(np.iinfo(np.int32).max, size=columns.shape[1])
    noise = None
    for _ in range(ROUNDS):
        with warnings.catch_warnings():  # the last fit, whose network is kept, warns
            warnings.simplefilter("ignore", ConvergenceWarning)
            network = mean_network()._fit(X, y, sample_weight, noise=noise, **options)
        if network.stop_reason_ == "interrupted":
            return Rounds(noise, network)
        squares = network._loo_squares(X[rows], columns[rows], weight)
        networks, factors = [], []
        for column, seed in zip(squares.T, seeds, strict=True):
            mean = np.average(column, weights=weight)
            mean = mean if mean > 0.0 else 1.0
            of_variance = variance_network(random_state=int(seed))
            of_variance.fit(X[rows], np.maximum(column / mean, LEAST_SQUARE), sample_weight=weight)
            if of_variance.stop_reason_ == "interrupted":
                return Rounds(noise, network)
            share = np.average(variance_of(of_variance, X[rows]), weights=weight)
            networks.append([of_variance])
            factors.append(np.array([mean / share]))
        noise = VaryingNoise(networks, factors)
    return Rounds(noise)


def variance_of(network, X) -> np.ndarray:
    """Give what a network says of the variance, over its mean."""
    return np.maximum(network.predict(X).astype(np.float64), LEAST_VARIANCE)

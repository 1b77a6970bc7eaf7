"""Noise that varies with X: a second network for its variance, both fitted alternately.

With y = f(x) + s(x) e and a normal e, f and s are each estimated given the other. Given s, f is
fitted with the weights 1 / s^2. Given f, the squared leave-one-out residual of a row, times 1 - h
with the leverage h, has the mean s^2 and a Gamma distribution of the shape 1/2: the network of the
logarithm of s^2 that minimises the Gamma deviance is the maximum likelihood estimate (Davidian and
Carroll, "Variance function estimation", JASA 82, 1987; Nix and Weigend, "Estimating the mean and
variance of the target probability distribution", ICNN 1994). A row has the weight 1 - h, its
degrees of freedom, as in restricted maximum likelihood (Smyth and Verbyla, "Adjusted likelihood
methods for modelling dispersion", Environmetrics 10, 1999): the residual of a row that alone
determines a parameter shows nothing of its noise. The penalty is found by the evidence, so that
noise that does not vary is found to be constant.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils import check_array, check_random_state, column_or_1d

from .._data.data import Data
from .._data.validation import validate_training_data
from .._machine.threads import blas_threads
from .ensemble_context import SINGLE_FIT

# Number of fits of the variance, each to the residuals of the preceding f. More fits changed the
# likelihood of new rows by less than 0.01 nats.
N_ROUNDS = 2

# Hidden units of the network of the variance; the variance is usually simpler than f.
UNITS_OF_VARIANCE = (8,)

# Maximum number of rows that the variance is fitted to: a leverage costs O(P^2).
MAX_VARIANCE_ROWS = 20_000

# Lower bounds of squared residuals and of variances, relative to their means: the Gamma deviance of
# zero is infinite, and no row should have all the weight.
MIN_SQUARE = MIN_VARIANCE = 1e-6


@dataclass(frozen=True)
class VaryingNoise:
    """Standard deviation of the noise as a function of X.

    It is the square root of a weighted mean of the variances that networks predict.
    """

    networks: list[list]  # of each output: fitted networks of the variance
    weights: list[np.ndarray]  # of each output, (n_networks,)

    @classmethod
    def mixture(cls, noises: list["VaryingNoise"], weights) -> "VaryingNoise":
        """Return the noise of an ensemble from the noise of its members and their weights."""
        n_outputs = range(len(noises[0].networks))
        networks = [[net for noise in noises for net in noise.networks[k]] for k in n_outputs]
        factors = [
            np.concatenate([w * n.weights[k] for w, n in zip(weights, noises, strict=True)])
            for k in n_outputs
        ]
        return cls(networks, factors)

    def __call__(self, X) -> np.ndarray:
        """Return the standard deviations at X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        std : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            In the units of y.
        """
        std = self.predict(check_array(X, accept_sparse="csr"))
        return std.ravel() if len(self.networks) == 1 else std

    def predict(self, X) -> np.ndarray:
        """Return the standard deviations at validated X, (n_samples, n_outputs)."""
        columns = [
            sum(
                weight * _relative_variance(network, X)
                for weight, network in zip(weights, networks, strict=True)
            )
            for weights, networks in zip(self.weights, self.networks, strict=True)
        ]
        return np.sqrt(np.column_stack(columns))


def fit_varying_noise(
    mean_network: Callable,
    variance_network: Callable,
    X,
    y,
    sample_weight,
    *,
    context=SINGLE_FIT,
    **options,
) -> tuple[VaryingNoise | None, Any]:
    """Fit mean and variance alternately; return the noise, and the network that Ctrl-C interrupted.

    ``mean_network()`` and ``variance_network(random_state=...)`` return unfitted networks, and
    `options` are arguments of `_fit`.
    """
    alone = SINGLE_FIT._replace(interruption=context.interruption)
    network = mean_network()
    X, y = validate_training_data(network, X, y, True)
    y = column_or_1d(y, warn=True) if y.ndim == 2 and y.shape[1] == 1 else y
    columns, draw = y.reshape(len(y), -1), check_random_state(network.random_state)
    counts = np.ones(len(y)) if sample_weight is None else np.asarray(sample_weight, np.float64)
    rows = np.flatnonzero(counts > 0.0)
    if len(rows) > MAX_VARIANCE_ROWS:
        rows = np.sort(draw.permutation(rows)[:MAX_VARIANCE_ROWS])
    training = Data(X[rows], columns[rows], counts[rows]).with_counts()
    if training.weights().sum() <= MAX_VARIANCE_ROWS:
        training = training.repeated()  # times 1 - h, counts would be relative weights
    seeds = draw.randint(np.iinfo(np.int32).max, size=columns.shape[1])
    noise = None
    for _ in range(N_ROUNDS):
        quiet = context._replace(warns=False)  # the last fit, whose network is kept, warns
        network = mean_network()._fit(X, y, sample_weight, noise=noise, context=quiet, **options)
        if network.stop_reason_ == "interrupted":
            return noise, network
        loo_squares, freedom = network._loo_squares(training)
        networks, factors = [], []
        for column, free, seed in zip(loo_squares.T, freedom.T, seeds, strict=True):
            weight = free * training.weights()
            mean = np.average(column, weights=weight)
            mean = mean if mean > 0.0 else 1.0
            variance = variance_network(random_state=int(seed))
            squares = np.maximum(column / mean, MIN_SQUARE)
            variance._fit(training.X, squares, weight, context=alone)
            if variance.stop_reason_ == "interrupted":
                return noise, network
            share = np.average(_relative_variance(variance, training.X), weights=weight)
            networks.append([variance])
            factors.append(np.array([mean / share]))
        noise = VaryingNoise(networks, factors)
    return noise, None


def _relative_variance(network, X) -> np.ndarray:
    with blas_threads(network.n_parameters_):  # these are the weights of the next fit
        return np.maximum(network.predict(X).astype(np.float64), MIN_VARIANCE)

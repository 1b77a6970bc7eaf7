"""Time to the same training loss: lm against lbfgs of MLPRegressor and against scipy.

Usage: OPENBLAS_NUM_THREADS=1 python -m benchmarks.second_order [--repeats 5]

MLPRegressor(solver="lbfgs") is run with its own max_iter, and the loss that it ends with is the
target of the others, from the same start weights, without penalty. Medians over starts of runs
paired in one process, one thread, warm cache.
"""

import argparse
import time
import warnings
from statistics import median

import numpy as np
from scipy.optimize import least_squares
from sklearn.datasets import load_diabetes
from sklearn.neural_network import MLPRegressor
from threadpoolctl import threadpool_limits

from sklearn_tinymlp import TinyMLPRegressor


def sine():
    """Draw sin(x) with noise of 0.1 at 200 points."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-3, 3, 200)
    return x[:, None], np.sin(x) + 0.1 * rng.standard_normal(200)


def diabetes(standardised):
    """Give the diabetes data."""
    X, y = load_diabetes(return_X_y=True)
    return (X / X.std(axis=0), (y - y.mean()) / y.std()) if standardised else (X, y)


class ReachedError(Exception):
    """The target loss has been reached."""


def scipy_seconds(X, y, start, target):
    """Time `least_squares(method="lm")` with an exact Jacobian to the target loss."""
    coefs, intercepts = start
    n_features, n_hidden = coefs[0].shape
    theta = np.concatenate([np.ravel(part) for part in [*coefs, *intercepts]])
    first, second = n_features * n_hidden, (n_features + 1) * n_hidden

    def split(theta):
        W = theta[:first].reshape(n_features, n_hidden)
        return W, theta[first:second], theta[second : second + n_hidden], theta[-1]

    def residuals(theta):
        W, v, b, c = split(theta)
        r = np.tanh(X @ W + b) @ v + c - y
        if 0.5 * np.mean(r * r) <= target:
            raise ReachedError
        return r

    def jacobian(theta):
        W, v, b, _ = split(theta)
        hidden = np.tanh(X @ W + b)
        slope = (1 - hidden**2) * v
        inner = (X[:, :, None] * slope[:, None, :]).reshape(len(X), -1)
        return np.hstack([inner, hidden, slope, np.ones((len(X), 1))])

    begun = time.perf_counter()
    try:
        least_squares(residuals, theta, jacobian, method="lm", max_nfev=2000)
    except ReachedError:
        return time.perf_counter() - begun
    return np.inf


def compare(name, X, y, n_starts):
    """Print the median times of one problem."""
    rows = []
    for seed in range(n_starts + 1):  # the first warms up
        params = {"hidden_layer_sizes": (10,), "activation": "tanh", "alpha": 0.0}
        theirs = MLPRegressor(solver="lbfgs", random_state=seed, **params)
        begun = time.perf_counter()
        theirs.fit(X, y)
        lbfgs = time.perf_counter() - begun
        ours = TinyMLPRegressor(
            solver="lm",
            standardize=False,
            loss_tol=theirs.loss_,
            max_iter=1000,
            random_state=seed,
            **params,
        )
        begun = time.perf_counter()
        ours.fit(X, y)
        lm = time.perf_counter() - begun
        if ours.stop_reason_ != "loss_tol":
            lm = np.inf
        first = MLPRegressor(solver="sgd", learning_rate_init=1e-300, random_state=seed, **params)
        first.partial_fit(X, y)
        start = first.coefs_, first.intercepts_
        rows.append((lbfgs, lm, scipy_seconds(X, y, start, theirs.loss_)))
    lbfgs, lm, scipy = zip(*rows[1:], strict=True)
    reached = [int(np.isfinite(times).sum()) for times in (lbfgs, lm, scipy)]
    ratios = [a / b for a, b in zip(lbfgs, lm, strict=True)]
    names = ("lbfgs of MLPRegressor", "lm", "scipy lm")
    print(name)
    for solver, times, n_reached in zip(names, (lbfgs, lm, scipy), reached, strict=True):
        print(
            f"  {solver:22s} {1e3 * median(times):8.2f} ms, from {n_reached} of {n_starts} starts"
        )
    print(f"  lm is {median(ratios):.1f}x as fast as lbfgs", flush=True)


def main():
    """Run both problems."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--starts", type=int, default=10)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    with threadpool_limits(1):
        compare("sine", *sine(), arguments.starts)
        compare("diabetes, raw", *diabetes(False), arguments.starts)
        compare("diabetes, standardised", *diabetes(True), arguments.starts)


if __name__ == "__main__":
    main()

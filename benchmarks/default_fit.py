"""The default fit and `MLPRegressor()` on the same data: time, R², coverage.

`python -m benchmarks.default_fit` prints a table. The two fits of a row run one after the other in
one process. The target is a sine, a product, two slopes and noise; further inputs are irrelevant.
"""

import argparse
import os
import time
import warnings

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read when NumPy is imported

import numpy as np
from sklearn.neural_network import MLPRegressor

from sklearn_tinymlp import TinyMLPRegressor

SIZES = (
    (200, 5),
    (1000, 25),
    (1000, 60),
    (2000, 400),
    (20_000, 10),
    (200_000, 20),
    (1_000_000, 20),
)
N_NEW, NOISE = 20_000, 0.3

# Smaller data are fitted three times, with different start weights.
REPEATED = 100_000


def make_data(n_rows, n_inputs, seed=0):
    """Draw inputs, targets, and noise-free targets."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n_rows, n_inputs))
    truth = np.sin(2 * X[:, 0]) + X[:, 1] * X[:, 2] + 0.5 * X[:, 3] + 0.5 * np.tanh(X[:, 4])
    return X, truth + NOISE * rng.standard_normal(n_rows), truth


def median_fit(make, X, y):
    """Return the last fitted estimator and the median time of a fit."""
    times = []
    for seed in range(3 if X.size <= REPEATED else 1):
        estimator = make(random_state=seed)
        begun = time.perf_counter()
        estimator.fit(X, y)
        times.append(time.perf_counter() - begun)
    return estimator, float(np.median(times))


def row_of(n_rows, n_inputs) -> str:
    """Measure one size."""
    X, y, _ = make_data(n_rows, n_inputs)
    new, targets, truth = make_data(N_NEW, n_inputs, seed=1)
    ours, seconds = median_fit(TinyMLPRegressor, X, y)
    theirs, their_seconds = median_fit(MLPRegressor, X, y)
    mean, std = ours.predict(new, return_std=True)
    held = np.mean(np.abs(targets - mean) < 1.96 * std)
    return (
        f"| {n_rows:,} x {n_inputs} | {seconds:.2f} | {their_seconds:.2f} "
        f"| {seconds / their_seconds:.2f} | {ours.score(new, truth):.3f} "
        f"| {theirs.score(new, truth):.3f} | {held:.3f} |"
    )


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--most-rows", type=int, default=SIZES[-1][0])
    most_rows = parser.parse_args().most_rows
    warnings.simplefilter("ignore")
    for size in ((300, 5), (9000, 5)):  # compile
        TinyMLPRegressor().fit(*make_data(*size)[:2])
    print("| rows x inputs | default, s | MLPRegressor, s | ratio | R² | its R² | within 95% |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for size in SIZES:
        if size[0] <= most_rows:
            print(row_of(*size), flush=True)


if __name__ == "__main__":
    main()

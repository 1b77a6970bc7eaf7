"""Time TinyMLPRegressor against MLPRegressor on the same work, and numba's three costs.

Usage: OPENBLAS_NUM_THREADS=1 python -m benchmarks.speed [--repeats 7] [--only NAME]

Every figure is the median of paired runs in one process, one thread, warm cache. The same weights
come out of both estimators, so the ratio of times is the ratio of speeds. The costs of starting
(import, first fit of a process on a cold and on a warm cache) are measured in fresh processes.
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
import warnings
from importlib.metadata import version
from statistics import median

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor
from threadpoolctl import threadpool_limits

from sklearn_tinymlp import TinyMLPRegressor


def random_data(n_samples, n_features):
    """Draw inputs and a smooth target."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n_samples, n_features))
    return X, np.sin(X).sum(axis=1) + 0.1 * rng.standard_normal(n_samples)


def three_points():
    """Give the three points of the question this package began with."""
    return np.array([[1.0], [2.0], [3.0]]), np.array([5.0, 4.0, 3.0])


ENDLESS = {"tol": 0.0, "n_iter_no_change": np.inf, "random_state": 0}

# name: (data, parameters, least ratio that is asked for)
CASES = {
    "three points, 1-3-1 tanh, single rows, 2,400 epochs": (
        three_points(),
        {
            "hidden_layer_sizes": (3,),
            "activation": "tanh",
            "solver": "sgd",
            "batch_size": 1,
            "shuffle": False,
            "momentum": 0.0,
            "alpha": 0.0,
            "max_iter": 2400,
        },
        250,
    ),
    "n=100, d=1, hidden 10, adam, full batch, 200 epochs": (
        random_data(100, 1),
        {"hidden_layer_sizes": (10,), "batch_size": 100, "max_iter": 200},
        10,
    ),
    "n=1,000, d=10, hidden 100, adam, batch 200, 20 epochs": (
        random_data(1000, 10),
        {"hidden_layer_sizes": (100,), "batch_size": 200, "max_iter": 20},
        4,
    ),
    "n=1,000, d=10, hidden 100, adam, batch 32, 20 epochs": (
        random_data(1000, 10),
        {"hidden_layer_sizes": (100,), "batch_size": 32, "max_iter": 20},
        9,
    ),
    "n=20,000, d=10, hidden 10, adam, batch 32, 2 epochs": (
        random_data(20000, 10),
        {"hidden_layer_sizes": (10,), "batch_size": 32, "max_iter": 2},
        25,
    ),
}


def seconds(estimator, X, y):
    """Time one fit."""
    start = time.perf_counter()
    estimator.fit(X, y)
    return time.perf_counter() - start


def compare(name, repeats):
    """Print the medians and the median ratio of one case."""
    (X, y), params, asked = CASES[name]
    theirs = MLPRegressor(**ENDLESS, **params)
    ours = TinyMLPRegressor(**theirs.get_params())
    theirs.fit(X, y)
    ours.fit(X, y)
    pairs = zip(theirs.coefs_, ours.coefs_, strict=True)
    difference = max(np.abs(a - b).max() for a, b in pairs)
    times = [(seconds(theirs, X, y), seconds(ours, X, y)) for _ in range(repeats)]
    ratio = median(a / b for a, b in times)
    their_ms, our_ms = (1e3 * median(column) for column in zip(*times, strict=True))
    print(
        f"{name:55s} {their_ms:9.2f} ms {our_ms:9.3f} ms  {ratio:6.1f}x (asked: {asked}x)"
        f"  weights differ by {difference:.0e}",
        flush=True,
    )


START = """
import time
start = time.perf_counter()
import sklearn.neural_network
loaded = time.perf_counter()
from sklearn_tinymlp import TinyMLPRegressor
imported = time.perf_counter()
import numpy as np, warnings
warnings.simplefilter("ignore")
X = np.random.default_rng(0).standard_normal((100, 3))
params = dict(solver={solver!r}, batch_size={batch_size!r}, max_iter=5)
times = []
for _ in range(2):
    start = time.perf_counter()
    TinyMLPRegressor(**params).fit(X, X[:, 0])
    times.append(time.perf_counter() - start)
print(imported - loaded, times[0] - times[1])
"""


def start_costs(repeats):
    """Print import time and what the first fit of a process adds, on a cold and a warm cache."""
    for solver, batch_size in (("adam", "auto"), ("sgd", 1), ("lbfgs", "auto")):
        code = START.format(solver=solver, batch_size=batch_size)
        with tempfile.TemporaryDirectory() as folder:
            environment = {**os.environ, "NUMBA_CACHE_DIR": folder}
            runs = []
            for _ in range(1 + repeats):
                output = subprocess.check_output([sys.executable, "-c", code], env=environment)
                runs.append([float(word) for word in output.split()])
        print(
            f"{solver}, batch_size={batch_size}: import {median(r[0] for r in runs):.2f} s beyond "
            f"scikit-learn's, the first fit adds {runs[0][1]:.2f} s on a cold cache and "
            f"{median(r[1] for r in runs[1:]):.2f} s on a warm one",
            flush=True,
        )


def main():
    """Run all cases, or those whose name contains --only."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    packages = ("numpy", "scipy", "scikit-learn", "numba")
    print(platform.machine(), *(f"{name} {version(name)}" for name in packages))
    with threadpool_limits(1):
        for name in CASES:
            if arguments.only in name:
                compare(name, arguments.repeats)
    if not arguments.only:
        start_costs(3)


if __name__ == "__main__":
    main()

"""Time of lm, lbfgs and adam to the same loss by N and P: the basis of solver="auto".

Usage: OPENBLAS_NUM_THREADS=1 python -m benchmarks.solver_choice [--seconds 5]

lbfgs runs for 200 iterations; lm and adam have at most `--seconds` to reach its loss, from the same
start weights, on standardised data, with alpha=1e-4. One thread; medians of three starts.
"""

import argparse
import time
import warnings
from statistics import median

import numpy as np
from threadpoolctl import threadpool_limits

from sklearn_tinymlp import TinyMLPRegressor

# (features, hidden layers): 31 to 3,201 parameters.
NETWORKS = [
    (1, (10,)),
    (4, (20,)),
    (10, (20,)),
    (10, (50,)),
    (20, (45,)),
    (30, (30, 30)),
    (30, (100,)),
]
SAMPLES = [100, 1_000, 10_000, 100_000]


def draw(n_samples, n_features):
    """Draw standard normal inputs and a smooth target with a tenth of noise."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n_samples, n_features))
    y = np.sin(X[:, 0] * 1.5) + np.tanh(X).sum(axis=1) / np.sqrt(n_features)
    y += 0.3 * X[:, 0] * X[:, -1] + 0.1 * rng.standard_normal(n_samples)
    return X, (y - y.mean()) / y.std()


def seconds_to(target, solver, X, y, hidden, seed, most):
    """Time a fit to the target loss; infinite if not reached within `most` seconds."""
    params = {
        "hidden_layer_sizes": hidden,
        "alpha": 1e-4,
        "standardize": False,
        "random_state": seed,
        "tol": 0.0,
        "n_iter_no_change": np.inf,
    }
    if target is None:
        begun = time.perf_counter()
        net = TinyMLPRegressor(solver=solver, max_iter=200, **params).fit(X, y)
        return time.perf_counter() - begun, net.loss_
    begun = time.perf_counter()
    TinyMLPRegressor(solver=solver, max_iter=2, **params).fit(X, y)
    n_iter = max(3, int(2 * most / (time.perf_counter() - begun)))
    begun = time.perf_counter()
    net = TinyMLPRegressor(
        solver=solver, max_iter=n_iter, loss_tol=target, learning_rate_init=0.005, **params
    ).fit(X, y)
    seconds = time.perf_counter() - begun
    return seconds if net.stop_reason_ == "loss_tol" else np.inf


def main():
    """Print a row for each problem."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=5.0)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    print(f"{'N':>8} {'P':>6} {'N P^2':>8} {'lbfgs s':>8} {'lm s':>8} {'adam s':>8}  fastest")
    with threadpool_limits(1):
        for n_features, hidden in NETWORKS:
            for n_samples in SAMPLES:
                X, y = draw(n_samples, n_features)
                rows = []
                for seed in range(3):
                    lbfgs, target = seconds_to(None, "lbfgs", X, y, hidden, seed, 0)
                    most = min(arguments.seconds, 4 * lbfgs + 0.1)
                    others = [
                        seconds_to(target, solver, X, y, hidden, seed, most)
                        for solver in ("lm", "adam")
                    ]
                    rows.append((lbfgs, *others))
                times = [median(column) for column in zip(*rows, strict=True)]
                sizes = (n_features, *hidden, 1)
                P = sum((a + 1) * b for a, b in zip(sizes, sizes[1:], strict=False))
                fastest = ("lbfgs", "lm", "adam")[int(np.argmin(times))]
                cells = " ".join(f"{value:8.3f}" for value in times)
                print(
                    f"{n_samples:8} {P:6} {n_samples * P * P:8.0e} {cells}  {fastest}", flush=True
                )


if __name__ == "__main__":
    main()

"""Time fits with a custom activation against the same built-in one, and the diagnosis.

Usage: OPENBLAS_NUM_THREADS=1 python -m benchmarks.own_activation [--repeats 9]

Numbers are medians of paired fits in one process with the same number of iterations. The last lines
compare fits whose ConvergenceWarning is ignored and shown: the difference is the cost of the
diagnosis in the warning.
"""

import argparse
import warnings
from statistics import median

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from sklearn_tinymlp import Activation, TinyMLPRegressor

from .timing import in_turn, median_ratio
from .works import ENDLESS, smooth, three_points


def value(z):
    """tanh, as a user would write it."""  # noqa: D403
    return np.tanh(z)


def derivative(z):
    """Compute its derivative."""
    return 1 - np.tanh(z) ** 2


def by_mask(z):
    """tanh, in a form that numba does not compile for single numbers."""  # noqa: D403
    z = np.array(z)
    z[:] = np.tanh(z)
    return z


SINGLE_ROWS = {"solver": "sgd", "batch_size": 1, "shuffle": False, "momentum": 0.0}

# name: (data, parameters)
CASES = {
    "three points, 1-3-1, single rows, 2,400 epochs": (
        three_points(),
        {"hidden_layer_sizes": (3,), "max_iter": 2400, **SINGLE_ROWS},
    ),
    "n=100, d=1, hidden 10, adam, full batch, 200 epochs": (
        smooth(100, 1),
        {"hidden_layer_sizes": (10,), "solver": "adam", "batch_size": 100, "max_iter": 200},
    ),
    "n=1,000, d=10, hidden 100, adam, batch 200, 20 epochs": (
        smooth(1000, 10),
        {"hidden_layer_sizes": (100,), "solver": "adam", "batch_size": 200, "max_iter": 20},
    ),
    "n=200, d=4, hidden 20, lbfgs, 200 iterations": (
        smooth(200, 4),
        {"hidden_layer_sizes": (20,), "solver": "lbfgs", "max_iter": 200},
    ),
}


def compare(name, nets, repeats):
    """Print the median times of each and the median ratio of the second to the first."""
    (X, y), params = CASES[name]
    one, other = nets(params)
    runs = in_turn({"one": lambda _: one.fit(X, y), "other": lambda _: other.fit(X, y)}, repeats)
    one, other = runs["one"], runs["other"]
    print(
        f"{name:55s} {1e3 * one.median:8.3f} ms {1e3 * other.median:8.3f} ms "
        f"{median_ratio(other, one):6.2f}x",
        flush=True,
    )


def shown_and_ignored(name, repeats):
    """Print the time that a visible warning adds to a fit."""
    (X, y), params = CASES[name]
    net = TinyMLPRegressor(activation="tanh", **ENDLESS, **params)

    def fit(action):
        with warnings.catch_warnings(record=True):
            warnings.simplefilter(action, ConvergenceWarning)
            return net.fit(X, y)

    runs = in_turn({action: lambda _, a=action: fit(a) for action in ("ignore", "always")}, repeats)
    ignored, shown = runs["ignore"], runs["always"]
    added = 1e3 * median(b - a for a, b in zip(ignored.seconds, shown.seconds, strict=True))
    print(f"{name:55s} {1e3 * ignored.median:8.3f} ms, a warning adds {added:.3f} ms")


def main():
    """Run all cases."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=9)
    repeats = parser.parse_args().repeats
    warnings.simplefilter("ignore")
    own = Activation(value, derivative, output_range=(-1, 1))
    slow = Activation(by_mask, derivative, output_range=(-1, 1))
    with threadpool_limits(1):
        for title, activation in (("compiled", own), ("through NumPy", slow)):
            print(f"built-in tanh, and one's own {title}")
            for name in CASES:
                compare(
                    name,
                    lambda params, mine=activation: [
                        TinyMLPRegressor(activation=a, **ENDLESS, **params) for a in ("tanh", mine)
                    ],
                    repeats,
                )
        print("the warning at the end of a fit")
        for name in CASES:
            shown_and_ignored(name, repeats)


if __name__ == "__main__":
    main()

"""Profiles of the works: the same fit without one part at a time.

Usage: python -m benchmarks.parts [--write-docs]
"""

import argparse
import cProfile
import os
import pstats
import warnings
from contextlib import nullcontext
from statistics import median
from unittest.mock import patch

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read when NumPy is imported

import numpy as np
from threadpoolctl import threadpool_limits

from sklearn_tinymlp import TinyMLPRegressor, _network_estimator
from sklearn_tinymlp._solvers import lbfgs

from . import report, timing, works

LAYERS = {"C": ((100,), 200), "C'": ((100,), 32), "D": ((100, 100), 200), "D'": ((100, 100), 32)}


def milliseconds(run, n_rounds=7):
    """Return the median time of a run, after an untimed first one."""
    return 1e3 * timing.in_turn({"run": lambda _: run()}, n_rounds)["run"].median


def fit_time(X, y, **params):
    """Time a fit."""
    return milliseconds(lambda: TinyMLPRegressor(**{"random_state": 0, **params}).fit(X, y))


def single_rows():
    """Work A: time of training, and the rest."""
    X, y = works.three_points()
    lines = []
    for activation in ("relu", "tanh"):
        params = {
            "hidden_layer_sizes": (3,),
            "activation": activation,
            "solver": "sgd",
            "learning_rate_init": 0.01,
            "batch_size": 1,
            "shuffle": False,
            "momentum": 0.0,
            **works.ENDLESS,
        }
        whole, one = (fit_time(X, y, max_iter=n, **params) for n in (2443, 1))
        lines.append(
            f"| A {activation} | {whole:.2f} ms | {one:.2f} ms not training, "
            f"{1e6 * (whole - one) / (3 * 2442):.0f} ns an update |"
        )
    return lines


def levenberg_marquardt():
    """Work B: time of training, and the rest."""
    X, y = works.sine()
    params = {
        "solver": "lm",
        "standardize": False,
        "alpha": 0.0,
        "tol": 0.0,
        "hidden_layer_sizes": (10,),
        "activation": "tanh",
    }
    one, fifty = (fit_time(X, y, max_iter=n, **params) for n in (1, 51))
    lines = []
    for name, mse in (("B", 0.0090), ("B'", 0.0080)):
        fits = [
            TinyMLPRegressor(random_state=k, max_iter=2000, loss_tol=mse / 2, **params).fit(X, y)
            for k in range(10)
        ]
        n_iter = median(fit.n_iter_ for fit in fits)
        each = (fifty - one) / 50
        whole = one + each * (n_iter - 1)
        lines.append(
            f"| {name} | {whole:.2f} ms | {one - each:.2f} ms not training, "
            f"{n_iter:.0f} iterations of {1e3 * each:.0f} us |"
        )
    return lines


def minibatches():
    """Works C and D: epochs without shuffling, without Adam, and with the forward pass only."""
    lines = []
    for name, (hidden, batch) in LAYERS.items():
        for dtype in (np.float64, np.float32):
            X, y = works.smooth(20_000, 10, dtype)
            params = {"hidden_layer_sizes": hidden, "activation": "relu", "batch_size": batch}

            def epochs(n, X=X, y=y, params=params, **others):
                options = {"solver": "adam", **params, **works.ENDLESS, **others}
                return TinyMLPRegressor(max_iter=n, **options).fit(X, y)

            plain = {"solver": "sgd", "momentum": 0.0, "learning_rate_init": 1e-4}
            net = epochs(1)
            runs = {"forward": lambda _, net=net, X=X: net.predict(X)}
            kinds = {"whole": {}, "in order": {"shuffle": False}, "sgd": plain}
            for kind, others in kinds.items():
                for n in (2, 12):
                    runs[kind, n] = lambda _, n=n, epochs=epochs, o=others: epochs(n, **o)
            times = {key: 1e3 * run.median for key, run in timing.in_turn(runs, 9).items()}
            whole, in_order, sgd = (times[kind, 12] - times[kind, 2] for kind in kinds)
            forward = 10 * times["forward"]
            shuffling, adam = whole - in_order, whole - sgd
            rest = whole - forward - shuffling - adam
            short = {np.float64: "f64", np.float32: "f32"}[dtype]
            lines.append(
                f"| {name} {short} | {whole:.0f} ms | forward {forward:.1f}, backward {rest:.1f}, "
                f"Adam {adam:.1f}, shuffling {shuffling:.1f} |"
            )
    return lines


def grid():
    """Work E: shares of time by file in a profile, and the number of iterations."""
    run = works.grid(False).contenders["ours"]
    n_iterations, go_on = [], lbfgs.Loop.go_on

    def counted(search, *arguments):
        n_iterations.append(go_on(search, *arguments))
        return n_iterations[-1]

    whole = milliseconds(lambda: run(0), 1)
    profile = cProfile.Profile()
    with patch.object(lbfgs.Loop, "go_on", counted):
        profile.runcall(run, 0)
    shares = dict.fromkeys(("the kernel", "ours in Python", "the rest"), 0.0)
    for (file, _, function), (_, _, seconds, _, _) in pstats.Stats(profile).stats.items():
        group = "ours in Python" if "sklearn_tinymlp" in file else "the rest"
        shares["the kernel" if function == "run_lbfgs" else group] += seconds
    total = sum(shares.values())
    text = ", ".join(f"{name} {100 * share / total:.0f}%" for name, share in shares.items())
    return [
        f"| E | {whole:.0f} ms | {sum(n_iterations):,} iterations of "
        f"{1e3 * whole / sum(n_iterations):.0f} us; {text} |"
    ]


def predictions():
    """Work F: the cost of a row and of a call."""
    lines = []
    X, y = works.smooth(2000, 10)
    params = {"hidden_layer_sizes": (100,), "activation": "relu", "solver": "adam"}
    net = TinyMLPRegressor(max_iter=1, **params, **works.ENDLESS).fit(X, y)
    runs = {n: lambda _, n=n: net.predict(X[:n]) for n in (1, 1000)}
    one, thousand = (1e6 * run.median for run in timing.in_turn(runs, 51).values())
    lines.append(
        f"| F | {one:.0f} and {thousand:.0f} us | {(thousand - one) / 999 * 1e3:.0f} ns a row, "
        f"{one:.0f} us a call |"
    )
    return lines


def callback_contexts():
    """Return the cost of scikit-learn's callback contexts for a fit without callbacks."""
    X, y = works.smooth(100, 3)
    params = {"solver": "adam", "hidden_layer_sizes": (20,), "max_iter": 1000, **works.ENDLESS}

    def with_contexts(_):
        return TinyMLPRegressor(**params).fit(X, y)

    def without(_):
        with (
            patch.object(_network_estimator, "managed", lambda estimator: nullcontext()),
            patch.object(_network_estimator.FitTasks, "begin", lambda *_: None),
        ):
            return TinyMLPRegressor(**params).fit(X, y)

    times = timing.in_turn({"with": with_contexts, "without": without}, 101)
    ratio = timing.median_ratio(times["with"], times["without"])
    return [
        f"| 1,000 epochs of adam on 100 rows | {1e3 * times['with'].median:.1f} ms | "
        f"callback contexts {100 * (ratio - 1):.2f}% (goal 1%) |"
    ]


def main():
    """Print the table, and update benchmarks/goals.md if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write-docs", action="store_true", help="write benchmarks/goals.md")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    timing.pin()
    lines = ["| work | whole | parts |", "| --- | --- | --- |"]
    print("\n".join(lines))
    with threadpool_limits(1):
        for part in (
            single_rows,
            levenberg_marquardt,
            minibatches,
            grid,
            predictions,
            callback_contexts,
        ):
            rows = part()
            lines += rows
            print("\n".join(rows), flush=True)
    if arguments.write_docs:
        report.write_between_markers("benchmarks/goals.md", "parts", "\n".join(lines))


if __name__ == "__main__":
    main()

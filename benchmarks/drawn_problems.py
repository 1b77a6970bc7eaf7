"""R² of the default fit and of plain references on drawn problems; the share of silent failures.

Usage: python -m benchmarks.drawn_problems [--n 300] [--seed 0] [--jobs 2] [--only K,K]
       [--references FILE] [--json FILE] [--package-only K]

A problem is a function x noise x number of rows and inputs x repeated rows. Problem K of a seed is
the same whatever else is run. R² is on 1,000 new noise-free targets, of the worst output, at least
-1; if the target is pure noise, 1 minus the squared error in units of the variance of y. Seconds
are processor time. Rows: number, function, noise, repeats, rows x inputs, R² and seconds of the
default, R² of the references (GP below 500 rows), verdict, `stop_reason_`.

Verdicts: a fit is short if it is worse than the best reference by more than 0.1 in R², and
healthy if it is worse by at most 0.02. It is told if there was a ConvergenceWarning or
`converged_` is False; "SILENT" is short and not told, "alarm" is told and not short.
"""

import argparse
import json
import os
import time
import warnings
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read at import, also by joblib's processes
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from joblib import Parallel, delayed
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import make_friedman1, make_friedman2, make_friedman3
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.linear_model import RidgeCV
from sklearn.multioutput import MultiOutputRegressor
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_tinymlp import TinyMLPRegressor

N_NEW, SHORT, HEALTHY, MOST_ROWS_OF_GP = 1000, 0.1, 0.02, 500


class Problem(NamedTuple):
    """Training rows, new rows and their noise-free targets."""

    title: tuple  # function, noise, repeats
    X: np.ndarray
    y: np.ndarray
    X_new: np.ndarray
    truth: np.ndarray


def inputs(rng, n, d):
    """Draw uniform or normal inputs."""
    return rng.uniform(-1, 1, (n, d)) if rng.random() < 0.5 else rng.standard_normal((n, d))


def linear(rng, n, d):
    """Draw a linear function of all inputs."""
    X = inputs(rng, n, d)
    return X, X @ rng.standard_normal(d)


def waves(rng, n, d):
    """Draw a sum of sines, one of each of at most three inputs."""
    X = rng.uniform(-1, 1, (n, d))
    some = X[:, :3]
    omega, phase = rng.uniform(1, 8, some.shape[1]), rng.uniform(0, 2 * np.pi, some.shape[1])
    return X, np.sin(omega * some + phase).sum(axis=1)


def products(rng, n, d):
    """Draw a product, a sine and a slope."""
    X = inputs(rng, n, max(d, 4))
    return X, X[:, 0] * X[:, 1] + np.sin(2 * X[:, 2]) + X[:, 3]


def friedman_1(rng, n, d):
    """Draw Friedman's first function."""
    return make_friedman1(n, max(d, 5), random_state=rng.integers(2**31))


def friedman_2(rng, n, d, make=make_friedman2):
    """Draw Friedman's second function, beside irrelevant inputs."""
    X, f = make(n, random_state=rng.integers(2**31))
    return np.hstack([X, rng.random((n, max(d - 4, 0)))]), f


def friedman_3(rng, n, d):
    """Draw Friedman's third function, beside irrelevant inputs."""
    return friedman_2(rng, n, d, make_friedman3)


def bowl(rng, n, d):
    """Draw a sum of squares."""
    X = rng.uniform(-5, 5, (n, min(d, 12)))
    return X, (X**2).sum(axis=1)


def distance(rng, n, d):
    """Draw the distance from the centre."""
    X = rng.uniform(-1, 1, (n, min(max(d, 2), 12)))
    return X, np.sqrt((X**2).sum(axis=1))


def even(rng, n, d):
    """Draw even functions of two inputs."""
    X = rng.uniform(-1, 1, (n, max(d, 2)))
    return X, np.abs(np.sin(rng.uniform(2, 6) * X[:, 0])) + np.abs(X[:, 1])


def steps(rng, n, d):
    """Draw a sum of steps, one of each of at most three inputs."""
    X = inputs(rng, n, d)
    at = rng.uniform(-0.5, 0.5, X[:, :3].shape[1])
    return X, (X[:, :3] > at) @ rng.uniform(0.5, 2, len(at)) + np.floor(2 * X[:, 0])


def one_hot(rng, n, d):
    """Draw two dense one-hot categories with as many levels as inputs, and a sine."""
    levels, x = rng.integers(0, max(d // 2, 3), (n, 2)), rng.standard_normal(n)
    codes = [np.eye(column.max() + 1)[column] for column in levels.T]
    effects = sum(code @ rng.standard_normal(code.shape[1]) for code in codes)
    return np.column_stack([*codes, x]), effects + np.sin(2 * x)


def sparse_linear(rng, n, d):
    """Draw a linear function of five of many inputs."""
    X = inputs(rng, n, max(d, 20))
    return X, X[:, :5] @ rng.uniform(0.5, 2, 5)


def high_frequency(rng, n, d):
    """Draw three to six periods along one input."""
    X = rng.random((n, min(d, 2)))
    f = np.sin(2 * np.pi * rng.uniform(3, 6) * X[:, 0])
    return X, f + np.abs(np.sin(8 * X[:, 1])) if X.shape[1] == 2 else f


def exact_output(rng, n, d):
    """Draw waves beside an output that is constant or an exact line."""
    X, f = waves(rng, n, min(d, 5))
    return X, np.column_stack([f, 3 * X[:, 0] if rng.random() < 0.5 else np.ones(n)])


def pure_noise(rng, n, d):
    """Draw inputs without any effect."""
    return inputs(rng, n, d), np.zeros(n)


# fmt: off
FUNCTIONS = (
    linear, waves, products, friedman_1, friedman_2, friedman_3, bowl, distance, even, steps,
    one_hot, sparse_linear, high_frequency, exact_output, pure_noise,
)
# fmt: on


def claims(rng, size):
    """Draw multipliers that are mostly zero, with a mean of 1."""
    share = rng.uniform(0.05, 0.3)
    return (rng.random(size) < share) * rng.gamma(2.0, 0.5, size) / share


def lognormal(rng, size):
    """Draw log-normal multipliers with a mean of 1."""
    sigma = rng.choice([0.3, 0.8, 1.2])
    return np.exp(sigma * rng.standard_normal(size) - sigma**2 / 2)


def pareto(rng, size):
    """Draw Pareto multipliers with a mean of 1."""
    shape = rng.uniform(1.5, 3)
    return (1 + rng.pareto(shape, size)) * (shape - 1) / shape


ADDED = {  # in units of the standard deviation of the noise-free target
    "none": lambda rng, size: np.zeros(size),
    "normal": lambda rng, size: rng.choice([0.03, 0.1, 0.3, 1, 2]) * rng.standard_normal(size),
    "student_t": lambda rng, size: 0.3 * rng.standard_t(rng.uniform(1.5, 4), size),
}
MULTIPLIED = {"lognormal": lognormal, "claims": claims, "pareto": pareto}
NOISES = ("none", "normal", "normal", "normal", "student_t", *MULTIPLIED)


def draw(seed: int, number: int) -> Problem:
    """Draw a problem; the functions take turns, everything else is random."""
    rng = np.random.default_rng([seed, number])
    function, noise = FUNCTIONS[number % len(FUNCTIONS)], str(rng.choice(NOISES))
    n_rows, n_inputs = np.exp(rng.uniform(np.log([40, 1]), np.log([2000, 61]))).astype(int)
    repeats = str(rng.choice(["single", "specimens", "replicates"], p=[0.7, 0.15, 0.15]))
    m = 1 if repeats == "single" else int(rng.integers(3, 9))
    n = max(n_rows // m, 10)
    if function is pure_noise and noise == "none":
        noise = "normal"
    X, f = function(rng, n + N_NEW, n_inputs)
    first = f.reshape(n + N_NEW, -1)[:, 0]
    if noise in MULTIPLIED:  # amounts are positive
        first = np.exp(0.7 * (first - first.mean()) / (first.std() or 1.0))
    spread = first.std() or 1.0
    rows = np.repeat(np.arange(n), m)
    # The noise of a specimen is the same in all its rows; each measurement adds a little.
    drawn = rows if repeats == "specimens" else np.arange(len(rows))
    if noise in MULTIPLIED:
        y = first[rows] * MULTIPLIED[noise](rng, len(rows))[drawn]
    else:
        y = first[rows] + spread * ADDED[noise](rng, len(rows))[drawn]
    if repeats == "specimens":
        y += 0.05 * spread * rng.standard_normal(len(rows))
    truth = first[n:]
    if f.ndim == 2:
        y, truth = np.column_stack([y, f[rows, 1]]), np.column_stack([truth, f[n:, 1]])
    return Problem((function.__name__, noise, f"{repeats}*{m}"), X[rows], y, X[n:], truth)


def score(problem: Problem, estimator) -> float:
    """Return R² of the worst output with a signal."""
    truth, y = (a.reshape(len(a), -1) for a in (problem.truth, problem.y))
    error = np.mean((estimator.predict(problem.X_new).reshape(truth.shape) - truth) ** 2, axis=0)
    variance = np.var(truth if np.var(truth, axis=0).any() else y, axis=0)
    return max(-1.0, float(np.min(1 - error[variance > 0] / variance[variance > 0])))


def references(problem: Problem) -> dict:
    """Return an estimator of each kind."""
    n, d = problem.X.shape
    boosting = HistGradientBoostingRegressor(random_state=0)
    network = MLPRegressor(early_stopping=True, max_iter=500, random_state=0)
    kinds = {
        "constant": DummyRegressor(),
        "ridge": RidgeCV(np.logspace(-3, 4, 15)),
        "boosting": MultiOutputRegressor(boosting) if problem.y.ndim == 2 else boosting,
        "MLPRegressor": TransformedTargetRegressor(network, transformer=StandardScaler()),
    }
    if n < MOST_ROWS_OF_GP:  # a length scale for each input costs minutes beyond some ten
        kernel = ConstantKernel() * RBF(np.ones(d) if d <= 10 else 1.0) + WhiteKernel(0.1)
        kinds["GP"] = GaussianProcessRegressor(kernel, normalize_y=True, random_state=0)
    return {name: make_pipeline(StandardScaler(), kind) for name, kind in kinds.items()}


def run(seed, number, known) -> tuple[str, dict, dict]:
    """Fit the default, and the references unless they are known, to a problem."""
    problem = draw(seed, number)
    key = f"{seed}:{number}:{crc32(problem.y.tobytes()):08x}"  # other data have another key
    scores = known.get(key)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if scores is None:
            scores = {
                name: score(problem, kind.fit(problem.X, problem.y))
                for name, kind in references(problem).items()
            }
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        net, begun = TinyMLPRegressor(random_state=0), time.process_time()
        net.fit(problem.X, problem.y)
        seconds = time.process_time() - begun
    result = {
        "number": number,
        **dict(zip(("function", "noise", "repeats"), problem.title, strict=True)),
        "shape": problem.X.shape,
        "r2": score(problem, net),
        "seconds": seconds,
        "told": not net.converged_
        or any(issubclass(warning.category, ConvergenceWarning) for warning in caught),
        "warnings": [f"{w.category.__name__}: {str(w.message)[:200]}" for w in caught],
        "stop_reason": net.stop_reason_,
        "best": max(scores, key=scores.get),
        "gap": max(scores.values()) - score(problem, net),
        "references": scores,
    }
    return key, scores, result


def verdict(result) -> str:
    """Return ok, told, alarm or SILENT."""
    if result["gap"] > SHORT:
        return "told" if result["told"] else "SILENT"
    return "alarm" if result["told"] else "ok"


def line(result) -> str:
    """Format a result as a row."""
    names = " ".join(f"{result[name]:14}" for name in ("function", "noise", "repeats"))
    peers = " ".join(f"{name} {r2:.3f}" for name, r2 in result["references"].items())
    return (
        f"{result['number']:4} {names} {'{}x{}'.format(*result['shape']):8} R2 {result['r2']:6.3f} "
        f"{result['seconds']:6.2f} s  {verdict(result):6} {result['stop_reason']:16} {peers}"
    )


def summary(results) -> str:
    """Format the shares of silent fits and false alarms, the times, and the worst twenty."""

    def share(some, of):
        of = list(of)
        n = sum(map(some, of))
        return f"{n} of {len(of)} ({100 * n / max(len(of), 1):.1f}%)"

    def told(result):
        return result["told"]

    noise = [r for r in results if r["function"] == "pure_noise" and r["gap"] <= SHORT]
    healthy = [r for r in results if r["function"] != "pure_noise" and r["gap"] <= HEALTHY]
    silent = [r for r in results if verdict(r) == "SILENT"]
    return "\n".join(
        [
            f"silent and short by more than {SHORT}: {share(silent.__contains__, results)}",
            f"told and short: {share(lambda r: verdict(r) == 'told', results)}",
            f"false alarms on pure noise: {share(told, noise)}",
            f"false alarms on healthy fits: {share(told, healthy)}",
            f"median time: {np.median([r['seconds'] for r in results]):.2f} s, sum: "
            f"{sum(r['seconds'] for r in results):.0f} s",
            "the worst silent fits:",
            *(
                f"{r['gap']:6.3f} below {r['best']:12} {line(r)}"
                for r in sorted(silent, key=lambda r: -r["gap"])[:20]
            ),
        ]
    )


def show(seed, number):
    """Fit the default alone to a problem; print its messages, results and findings."""
    problem = draw(seed, number)
    print(*problem.title, problem.X.shape)
    net = TinyMLPRegressor(random_state=0, verbose=True).fit(problem.X, problem.y)
    for name in ("solver_", "converged_", "stop_reason_", "noise_std_", "alpha_"):
        print(name, getattr(net, name))
    print(f"{net.n_effective_parameters_:.1f} of {net.n_parameters_} parameters")
    print(*net.diagnose(problem.X, problem.y), sep="\n")
    print(f"training R2 {net.score(problem.X, problem.y):.3f}, R2 {score(problem, net):.3f}")


def main():
    """Print the rows and the summary."""
    about = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=about)
    parser.add_argument("--n", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", metavar="K,K", help="numbers of problems")
    parser.add_argument("--json", metavar="FILE", help="write all results")
    parser.add_argument(
        "--references",
        metavar="FILE",
        help="JSON with R² of the references by seed, number and checksum of y: read if it exists, "
        "so that only the default is fitted; what is missing is added",
    )
    parser.add_argument("--package-only", type=int, metavar="K", help="problem K, verbosely")
    given = parser.parse_args()
    if given.package_only is not None:
        return show(given.seed, given.package_only)
    cache = Path(given.references) if given.references else None
    known = json.loads(cache.read_text()) if cache and cache.exists() else {}
    numbers = [int(k) for k in given.only.split(",")] if given.only else range(given.n)
    work = Parallel(given.jobs, return_as="generator")
    results = []
    for key, scores, result in work(delayed(run)(given.seed, k, known) for k in numbers):
        results.append(result)
        print(line(result), flush=True)
        if cache and known.get(key) is None:
            known[key] = scores
            cache.write_text(json.dumps(known, indent=0))
    print(summary(results))
    if given.json:
        Path(given.json).write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()

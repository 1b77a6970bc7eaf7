"""R² of the default fit and of plain references on drawn problems; the share of silent failures.

Usage: python -m benchmarks.drawn_problems [--n 300] [--seed 0] [--jobs 2] [--only K,K]
       [--references FILE] [--choice] [--json FILE] [--package-only K]

A problem is a function x noise x number of rows and inputs x repeated rows. Problem K of a seed is
the same whatever else is run. R² is on 1,000 new noise-free targets, of the worst output, at least
-1; if the target is pure noise, 1 minus the squared error in units of the variance of y. Seconds
are processor time. Rows: number, function, noise, repeats, rows x inputs, R² and seconds of the
default, R² of the references (GP below 500 rows), verdict, `stop_reason_`.

Verdicts: a fit is short if it is worse than the best reference by more than 0.1 in R², and
healthy if it is worse by at most 0.02. It is told if there was a ConvergenceWarning or
`converged_` is False; "SILENT" is short and not told, "alarm" is told and not short.

The best reference is known in hindsight only: `--choice` counts how often the one with the least
cross-validated error is as short of it.
"""

import argparse
import json
import os
import time
import warnings
from functools import partial
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
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.multioutput import MultiOutputRegressor
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_tinymlp import TinyMLPRegressor
from tests.hard_cases import product, worst_r2

N_NEW, SHORT, HEALTHY, MOST_ROWS_OF_GP = 1000, 0.1, 0.02, 500


class Problem(NamedTuple):
    """Training rows, new rows and their noise-free targets."""

    title: tuple  # function, noise, repeats
    X: np.ndarray
    y: np.ndarray
    X_new: np.ndarray
    truth: np.ndarray


class Watched(NamedTuple):
    """A fit as its user sees it."""

    seconds: float
    told: bool
    warnings: list


def mixed(rng, n, d):
    """Draw uniform or normal inputs."""
    return rng.uniform(-1, 1, (n, d)) if rng.random() < 0.5 else rng.standard_normal((n, d))


def box(rng, n, d, low=-1, high=1):
    """Draw uniform inputs."""
    return rng.uniform(low, high, (n, d))


def waves(rng, X):
    """Return a sum of sines, one of each of at most three inputs."""
    some = X[:, :3]
    omega, phase = rng.uniform(1, 8, some.shape[1]), rng.uniform(0, 2 * np.pi, some.shape[1])
    return np.sin(omega * some + phase).sum(axis=1)


def even(rng, X):
    """Return even functions of two inputs."""
    return np.abs(np.sin(rng.uniform(2, 6) * X[:, 0])) + np.abs(X[:, 1])


def steps(rng, X):
    """Return a sum of steps, one of each of at most three inputs."""
    at = rng.uniform(-0.5, 0.5, X[:, :3].shape[1])
    return (X[:, :3] > at) @ rng.uniform(0.5, 2, len(at)) + np.floor(2 * X[:, 0])


def high_frequency(rng, X):
    """Return three to six periods along one input, and kinks along a second."""
    f = np.sin(2 * np.pi * rng.uniform(3, 6) * X[:, 0])
    return f + np.abs(np.sin(8 * X[:, 1])) if X.shape[1] == 2 else f


def exact_output(rng, X):
    """Return waves, and a second output that is constant or an exact line."""
    return np.column_stack([waves(rng, X), 3 * X[:, 0] if rng.random() < 0.5 else np.ones(len(X))])


def friedman_1(rng, n, d):
    """Draw Friedman's first function."""
    return make_friedman1(n, max(d, 5), random_state=rng.integers(2**31))


def friedman(make, rng, n, d):
    """Draw Friedman's second or third function, beside irrelevant inputs."""
    X, f = make(n, random_state=rng.integers(2**31))
    return np.hstack([X, rng.random((n, max(d - 4, 0)))]), f


def one_hot(rng, n, d):
    """Draw two dense one-hot categories with as many levels as inputs, and a sine."""
    levels, x = rng.integers(0, max(d // 2, 3), (n, 2)), rng.standard_normal(n)
    codes = [np.eye(column.max() + 1)[column] for column in levels.T]
    effects = sum(code @ rng.standard_normal(code.shape[1]) for code in codes)
    return np.column_stack([*codes, x]), effects + np.sin(2 * x)


def of(f, inputs=mixed, least=1, most=60):
    """Return a function that draws inputs, as many as are within the limits, and f of them."""

    def draw(rng, n, d):
        X = inputs(rng, n, min(max(d, least), most))
        return X, f(rng, X)

    return draw


FUNCTIONS = {
    "linear": of(lambda rng, X: X @ rng.standard_normal(X.shape[1])),
    "waves": of(waves, box),
    "products": of(lambda rng, X: product(X), least=4),
    "friedman_1": friedman_1,
    "friedman_2": partial(friedman, make_friedman2),
    "friedman_3": partial(friedman, make_friedman3),
    "bowl": of(lambda rng, X: (X**2).sum(axis=1), partial(box, low=-5, high=5), most=12),
    "distance": of(lambda rng, X: np.sqrt((X**2).sum(axis=1)), box, 2, 12),
    "even": of(even, box, least=2),
    "steps": of(steps),
    "one_hot": one_hot,
    "sparse_linear": of(lambda rng, X: X[:, :5] @ rng.uniform(0.5, 2, 5), least=20),
    "high_frequency": of(high_frequency, partial(box, low=0), most=2),
    "exact_output": of(exact_output, box, most=5),
    "pure_noise": of(lambda rng, X: np.zeros(len(X))),
}


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
    name, noise = list(FUNCTIONS)[number % len(FUNCTIONS)], str(rng.choice(NOISES))
    n_rows, n_inputs = np.exp(rng.uniform(np.log([40, 1]), np.log([2000, 61]))).astype(int)
    repeats = str(rng.choice(["single", "specimens", "replicates"], p=[0.7, 0.15, 0.15]))
    m = 1 if repeats == "single" else int(rng.integers(3, 9))
    n = max(n_rows // m, 10)
    if name == "pure_noise" and noise == "none":
        noise = "normal"
    X, f = FUNCTIONS[name](rng, n + N_NEW, n_inputs)
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
    return Problem((name, noise, f"{repeats}*{m}"), X[rows], y, X[n:], truth)


def score(problem: Problem, estimator) -> float:
    """Return R² of the worst output, at least -1."""
    return max(-1.0, worst_r2(problem, estimator.predict(problem.X_new)))


def references(problem) -> dict:
    """Return a reference of each kind."""
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


def reference_scores(problem) -> dict[str, float]:
    """Return R² of a reference of each kind."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {
            name: score(problem, kind.fit(problem.X, problem.y))
            for name, kind in references(problem).items()
        }


def chosen_reference(problem) -> str:
    """Return the reference, Gaussian processes apart, with the least cross-validated error."""
    X, y = problem.X, problem.y.reshape(len(problem.y), -1)
    same_X = np.unique(X, axis=0, return_inverse=True)[1].ravel()
    folds = list(GroupKFold(5, shuffle=True, random_state=0).split(X, groups=same_X))
    spread = np.maximum(y.var(axis=0), np.finfo(float).tiny)
    errors = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, kind in references(problem).items():
            if name != "GP":
                predicted = cross_val_predict(kind, X, problem.y, cv=folds).reshape(y.shape)
                errors[name] = np.max(np.mean((predicted - y) ** 2, axis=0) / spread)
    return min(errors, key=errors.get)


def watched_fit(estimator, data) -> Watched:
    """Fit, and return what a user sees of it."""
    weight = getattr(data, "weight", None)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        begun = time.process_time()
        estimator.fit(data.X, data.y, **({} if weight is None else {"sample_weight": weight}))
        seconds = time.process_time() - begun
    told = any(issubclass(warning.category, ConvergenceWarning) for warning in caught)
    messages = [f"{w.category.__name__}: {str(w.message)[:200]}" for w in caught]
    return Watched(seconds, told or not getattr(estimator, "converged_", True), messages)


def run(seed, number, known, chooses) -> tuple[str, dict, dict]:
    """Fit the default, and the references unless they are known, to a problem."""
    problem = draw(seed, number)
    key = f"{seed}:{number}:{crc32(problem.y.tobytes()):08x}"  # other data have another key
    scores = known.get(key) or reference_scores(problem)
    net = TinyMLPRegressor(random_state=0)
    fit = watched_fit(net, problem)
    r2 = score(problem, net)
    result = {
        "number": number,
        **dict(zip(("function", "noise", "repeats"), problem.title, strict=True)),
        "repeated": problem.title[2].partition("*")[0],
        "shape": problem.X.shape,
        "r2": r2,
        **fit._asdict(),
        "stop_reason": net.stop_reason_,
        "best": max(scores, key=scores.get),
        "gap": max(scores.values()) - r2,
        "references": scores,
        "chosen": chosen_reference(problem) if chooses else None,
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

    def by(name):
        for value in dict.fromkeys(r[name] for r in results):
            of = [r for r in results if r[name] == value]
            yield f"{value} {sum(map(silent.__contains__, of))}/{len(of)}"

    noise = [r for r in results if r["function"] == "pure_noise" and r["gap"] <= SHORT]
    healthy = [r for r in results if r["function"] != "pure_noise" and r["gap"] <= HEALTHY]
    silent = [r for r in results if verdict(r) == "SILENT"]
    chosen = [r for r in results if r["chosen"]]
    missed = [
        r for r in chosen if max(r["references"].values()) - r["references"][r["chosen"]] > SHORT
    ]
    return "\n".join(
        [
            f"silent and short by more than {SHORT}: {share(silent.__contains__, results)}",
            f"cross-validation chose a reference that is as short: {len(missed)} of {len(chosen)}",
            f"told and short: {share(lambda r: verdict(r) == 'told', results)}",
            f"false alarms on pure noise: {share(told, noise)}",
            f"false alarms on healthy fits: {share(told, healthy)}",
            f"median time: {np.median([r['seconds'] for r in results]):.2f} s, sum: "
            f"{sum(r['seconds'] for r in results):.0f} s",
            *(
                f"silent by {name}: {', '.join(by(name))}"
                for name in ("function", "noise", "repeated")
            ),
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
    parser.add_argument("--choice", action="store_true", help="cross-validate the references, too")
    parser.add_argument("--package-only", type=int, metavar="K", help="problem K, verbosely")
    given = parser.parse_args()
    if given.package_only is not None:
        return show(given.seed, given.package_only)
    cache = Path(given.references) if given.references else None
    known = json.loads(cache.read_text()) if cache and cache.exists() else {}
    numbers = [int(k) for k in given.only.split(",")] if given.only else range(given.n)
    work = Parallel(given.jobs, return_as="generator")
    results = []
    for key, scores, result in work(
        delayed(run)(given.seed, k, known, given.choice) for k in numbers
    ):
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

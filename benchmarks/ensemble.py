"""Ensemble, network and their peers: test error, coverage, time of a fit.

`python -m benchmarks.ensemble` prints a table for data that need no download. `python -m
benchmarks.ensemble DIRECTORY` reads its sets from there: .npz files with X, y and test, which has a
boolean column for each split. The fits to a split run one after the other in one process. All peers
have their defaults; CatBoost is included if installed.
"""

import argparse
import importlib.util
import os
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read when NumPy is imported

import numpy as np
from sklearn.datasets import load_diabetes, make_friedman1, make_friedman2, make_friedman3
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import ShuffleSplit
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_tinymlp import TinyMLPEnsembleRegressor, TinyMLPRegressor

YACHT = Path(__file__).parents[1] / "examples" / "data" / "yacht.csv"

# Maximum rows for a Gaussian process, whose time grows with their cube; more take minutes.
MOST_ROWS_OF_GP = 1500


class Split(NamedTuple):
    """Training and test rows."""

    X: np.ndarray
    y: np.ndarray
    X_new: np.ndarray
    y_new: np.ndarray


class Fit(NamedTuple):
    """The result of one fit."""

    error: float  # RMSE over the standard deviation of y
    held: float  # of 95% intervals on test targets; NaN if there are none
    seconds: float


def contenders(split: Split, seed: int, n_jobs) -> dict:
    """Return an estimator of each kind, with its defaults."""
    scaled = StandardScaler()
    kinds = {
        "network": TinyMLPRegressor(random_state=seed),
        "ensemble": TinyMLPEnsembleRegressor(random_state=seed, n_jobs=n_jobs),
        "ridge": make_pipeline(scaled, RidgeCV(np.logspace(-3, 3, 13))),
        "MLPRegressor": make_pipeline(scaled, MLPRegressor(random_state=seed)),
        "random forest": RandomForestRegressor(random_state=seed),
        "hist. boosting": HistGradientBoostingRegressor(random_state=seed),
    }
    if len(split.y) <= MOST_ROWS_OF_GP:
        kernel = ConstantKernel() * RBF(np.ones(split.X.shape[1])) + WhiteKernel(0.1)
        process = GaussianProcessRegressor(kernel, normalize_y=True, random_state=seed)
        kinds["Gaussian process"] = make_pipeline(scaled, process)
    if importlib.util.find_spec("catboost") is not None:
        from catboost import CatBoostRegressor

        threads = -1 if n_jobs is None else n_jobs
        kinds["CatBoost"] = CatBoostRegressor(
            random_seed=seed, verbose=0, allow_writing_files=False, thread_count=max(threads, 1)
        )
    return kinds


def embedded(n_splits: int) -> dict[str, list[Split]]:
    """Return data that need no download: those of scikit-learn and the examples, and Friedman's."""
    yacht = np.loadtxt(YACHT, delimiter=",", skiprows=1)
    friedman = {
        "Friedman 1, 400 rows": make_friedman1(400, noise=1.0, random_state=0),
        "Friedman 2, 400 rows": make_friedman2(400, noise=100.0, random_state=0),
        "Friedman 3, 400 rows": make_friedman3(400, noise=0.1, random_state=0),
        "Friedman 1, 3000 rows": make_friedman1(3000, noise=1.0, random_state=0),
    }
    sets = {
        "diabetes": load_diabetes(return_X_y=True),
        "yacht": (yacht[:, :-1], yacht[:, -1]),
        **friedman,
    }
    cut = ShuffleSplit(n_splits, test_size=0.2, random_state=0)
    return {
        name: [Split(X[rows], y[rows], X[new], y[new]) for rows, new in cut.split(X)]
        for name, (X, y) in sets.items()
    }


def from_directory(directory: Path, n_splits: int) -> Iterator[tuple[str, list[Split]]]:
    """Read the data sets, the smallest first.

    A file has X, y, and either `test`, with a boolean column for each split, or the numbers of the
    test rows of each split as `test_0`, `test_1`, and so on.
    """
    for path in sorted(directory.glob("*.npz"), key=lambda path: path.stat().st_size):
        with np.load(path) as data:
            X, y = data["X"].astype(float), data["y"].astype(float)
            if "test" in data:
                columns = data["test"].reshape(len(y), -1).T.astype(bool)[:n_splits]
            else:
                tests = [data[f"test_{k}"] for k in range(n_splits) if f"test_{k}" in data]
                columns = [np.isin(np.arange(len(y)), test) for test in tests]
        yield path.stem, [Split(X[~new], y[~new], X[new], y[new]) for new in columns]


def fit_of(estimator, split: Split) -> Fit:
    """Fit, and evaluate on the test rows."""
    begun = time.perf_counter()
    estimator.fit(split.X, split.y)
    seconds = time.perf_counter() - begun
    held = np.nan
    if isinstance(estimator, (TinyMLPRegressor, TinyMLPEnsembleRegressor)):
        mean, std = estimator.predict(split.X_new, return_std=True)
        held = np.mean(np.abs(split.y_new - mean) <= 1.96 * std)
    error = split.y_new - estimator.predict(split.X_new)
    return Fit(float(np.sqrt(np.mean(error**2)) / np.std(split.y)), float(held), seconds)


def report(table: dict[str, dict[str, list[Fit]]]) -> None:
    """Print errors and seconds for each set, and mean ratios."""
    names = list(dict.fromkeys(name for row in table.values() for name in row))
    print("| set | " + " | ".join(names) + " | held by ensemble |")
    print("| --- " * (len(names) + 2) + "|")
    for of_set, row in table.items():
        cells = [
            f"{np.mean([fit.error for fit in row[name]]):.3f}, "
            f"{np.median([fit.seconds for fit in row[name]]):.2f} s"
            if name in row
            else "-"
            for name in names
        ]
        held = np.mean([fit.held for fit in row["ensemble"]])
        print(f"| {of_set} | " + " | ".join(cells) + f" | {held:.3f} |")
    for name in names:
        if name == "ensemble":
            continue
        ratios = []
        for row in table.values():
            if name in row:
                pairs = zip(row["ensemble"], row[name], strict=True)
                ratios.append(np.mean([np.log(us.error / them.error) for us, them in pairs]))
        better, geometric = np.sum(np.array(ratios) < 0.0), np.exp(np.mean(ratios))
        print(f"ensemble / {name}: {geometric:.2f}, better on {better} of {len(ratios)}")


def main():
    """Fit all estimators to all sets, and print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.ensemble", description=__doc__.splitlines()[0]
    )
    parser.add_argument("directory", type=Path, nargs="?")
    parser.add_argument("--splits", type=int, default=2)
    parser.add_argument("--jobs", type=int, help="threads of the ensemble and of CatBoost")
    parser.add_argument("--only", help="names of sets, with commas between them")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    sets = (
        from_directory(options.directory, options.splits)
        if options.directory
        else embedded(options.splits).items()
    )
    table: dict[str, dict[str, list[Fit]]] = {}
    for of_set, splits in sets:
        if options.only and of_set not in options.only.split(","):
            continue
        for seed, split in enumerate(splits):
            for name, estimator in contenders(split, seed, options.jobs).items():
                fits = table.setdefault(of_set, {}).setdefault(name, [])
                fits.append(fit_of(estimator, split))
    report(table)


if __name__ == "__main__":
    main()

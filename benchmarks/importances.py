"""Rank correlation of measures of feature importance with permutation importance.

`python -m benchmarks.importances` prints a table: Spearman's correlation with the fall of R² on
held-out rows when a column is shuffled (`sklearn.inspection.permutation_importance`), the mean over
the seeds. A folder of .npz files with X and y, or of .csv files whose last column is y, replaces
the ten sets.
"""

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr
from sklearn import datasets
from sklearn.inspection import permutation_importance
from sklearn.model_selection import train_test_split

from sklearn_tinymlp import TinyMLPRegressor

from .hard_data import every_input, products

DATA = Path(__file__).parents[1] / "examples" / "data"
MOST_ROWS = 2000


def target_among(loaded, column):
    """Predict a column of a data set from the others."""
    return np.delete(loaded.data, column, axis=1), loaded.data[:, column]


def yacht(rng):
    """Draw six inputs, one of them far more important than the others."""
    table = np.loadtxt(DATA / "yacht.csv", delimiter=",", skiprows=1)
    return table[:, :-1], table[:, -1]


def penguins(rng):
    """Return the penguins: species, island, sex, four measurements and the year."""
    with open(DATA / "penguins.csv", encoding="utf-8") as file:
        rows = [line.strip().split(",") for line in file][1:]
    columns = list(zip(*(row for row in rows if "NA" not in row), strict=True))
    coded = [np.unique(column, return_inverse=True)[1] for column in columns[:2]]
    measures = [np.array(columns[k], dtype=float) for k in (2, 3, 4, 7)]
    X = np.column_stack([*coded, *measures, np.array(columns[6]) == "male"])
    return X, np.array(columns[5], dtype=float)


def correlated(rng):
    """Draw eight inputs in correlated pairs, five of them relevant."""
    shared = rng.standard_normal((600, 4))
    X = np.repeat(shared, 2, axis=1) + 0.5 * rng.standard_normal((600, 8))
    y = X[:, 0] + np.sin(2 * X[:, 2]) + X[:, 4] * X[:, 5] + 0.3 * X[:, 6]
    return X, y + 0.2 * rng.standard_normal(600)


def seed_of(rng):
    """Draw a seed for scikit-learn."""
    return int(rng.integers(2**31))


SETS = {
    "diabetes": lambda rng: datasets.load_diabetes(return_X_y=True),
    "yacht": yacht,
    "penguins": penguins,
    "wine, its alcohol": lambda rng: target_among(datasets.load_wine(), 0),
    "breast cancer, its worst symmetry": lambda rng: target_among(
        datasets.load_breast_cancer(), 28
    ),
    "Friedman 1 among 10 inputs": lambda rng: datasets.make_friedman1(
        400, 10, noise=1.0, random_state=seed_of(rng)
    ),
    "Friedman 2": lambda rng: datasets.make_friedman2(400, noise=50.0, random_state=seed_of(rng)),
    "eight inputs in pairs": correlated,
    "products among 50 inputs": lambda rng: products(rng)[:2],
    "three directions among 20 inputs": lambda rng: every_input(rng)[:2],
}


def sets_of(folder):
    """Read the tables of a folder."""
    sets = {}
    for path in sorted(Path(folder).glob("*.npz")):
        sets[path.stem] = lambda rng, path=path: [np.load(path)[name] for name in ("X", "y")]
    for path in sorted(Path(folder).glob("*.csv")):

        def read(rng, path=path):
            table = np.genfromtxt(path, delimiter=",", skip_header=1)
            return table[:, :-1], table[:, -1]

        sets[path.stem] = read
    return sets


def by_weights(net, X):
    """Compute the root mean square of the first-layer weights of each standardised input."""
    return np.sqrt(np.mean((net.coefs_[0] * X.std(axis=0)[:, None]) ** 2, axis=1))


def by_gradient(net, X):
    """Compute the root mean square of the derivative by each standardised input."""
    return np.sqrt(np.mean(net.predict_gradient(X) ** 2, axis=0)) * X.std(axis=0)


def by_mean(net, X):
    """Compute the mean squared change when an input is set to its mean."""
    here, changes = net.predict(X), []
    for j in range(X.shape[1]):
        moved = X.copy()
        moved[:, j] = X[:, j].mean()
        changes.append(np.mean((net.predict(moved) - here) ** 2))
    return np.array(changes)


def by_shuffling(net, X):
    """Compute the mean squared change when an input takes the values of other rows."""
    return net.feature_importances_


MEASURES = {
    "first weights": by_weights,
    "gradient": by_gradient,
    "set to the mean": by_mean,
    "`feature_importances_`": by_shuffling,
}


def correlations(make, seeds):
    """Return a row for each seed and a column for each measure, and the time of ours in ms."""
    found, times = [], []
    for seed in range(seeds):
        X, y = make(np.random.default_rng(seed))
        rows = np.random.default_rng(seed).permutation(len(y))[:MOST_ROWS]
        parts = train_test_split(X[rows], y[rows], test_size=1 / 3, random_state=seed)
        X_train, X_test, y_train, y_test = parts
        net = TinyMLPRegressor(random_state=seed).fit(X_train, y_train)
        truth = permutation_importance(net, X_test, y_test, n_repeats=20, random_state=seed)
        begun = time.perf_counter()
        by_shuffling(net, X_train)
        times.append(1e3 * (time.perf_counter() - begun))
        importances = [measure(net, X_train) for measure in MEASURES.values()]
        found.append([spearmanr(i, truth.importances_mean).statistic for i in importances])
    return np.array(found), float(np.median(times))


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.importances", description=__doc__.splitlines()[0]
    )
    parser.add_argument("folder", nargs="?", help="of .npz or .csv files, in place of the ten sets")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    print(f"| data | {' | '.join(MEASURES)} | ms |\n| --- |{' ---: |' * (len(MEASURES) + 1)}")
    means = []
    for name, make in (sets_of(arguments.folder) if arguments.folder else SETS).items():
        found, milliseconds = correlations(make, arguments.seeds)
        means.append(np.nanmean(found, axis=0))
        print(f"| {name} | {' | '.join(f'{c:.2f}' for c in means[-1])} | {milliseconds:.1f} |")
    print(f"| mean | {' | '.join(f'{c:.2f}' for c in np.mean(means, axis=0))} | |")


if __name__ == "__main__":
    main()

"""Coverage and width of 95% intervals on new rows, for kinds of data where they are hard to get.

`python -m benchmarks.interval_coverage` prints a table: the number of fits, the share of new
targets within the intervals, the mean over fits of their median width in standard deviations of y,
the largest such width, and the share of fits where it exceeds 8: a normal constant's is 3.9. With
`--sets DIR` it adds the sets in DIR, files NAME.npz of X, y and test, true for the test rows of
each split.
"""

import argparse
import warnings
from pathlib import Path

import numpy as np
from sklearn.datasets import make_friedman1

from sklearn_tinymlp import TinyMLPRegressor

N_NEW = 300

NOISES = {
    "normal": lambda rng, n: rng.standard_normal(n),
    "t2": lambda rng, n: rng.standard_t(2, n),
    "skewed": lambda rng, n: np.exp(rng.standard_normal(n)) - np.exp(0.5),
}
FUNCTIONS = {
    "sine": (1, lambda X: np.sin(1.5 * X[:, 0])),
    "product": (2, lambda X: np.sin(X[:, 0]) * X[:, 1]),
    "line": (3, lambda X: X[:, 0] - 0.5 * X[:, 1]),
    "bowl": (4, lambda X: (X**2).sum(axis=1) / 2),
}


def drawn(noise, n_rows):
    """Return a kind of data: four functions of 1 to 4 normal inputs in turn."""

    def kind(rng, seed):
        n_inputs, function = list(FUNCTIONS.values())[seed % len(FUNCTIONS)]
        X = rng.standard_normal((n_rows + N_NEW, n_inputs))
        y = function(X) + 0.3 * NOISES[noise](rng, len(X))
        return X, y, None, n_rows

    return kind


def weighted(spread, n_rows):
    """Return a kind of data with relative weights."""

    def kind(rng, seed):
        X, y = make_friedman1(n_rows + N_NEW, 5, noise=0.5, random_state=seed)
        even = rng.uniform(0.5, 1.5, n_rows)
        return X, y, even if spread == "even" else np.exp(rng.standard_normal(n_rows)), n_rows

    return kind


def zero_weights(rng, seed):
    """Draw 30 rows, and 300 of weight 0."""
    X = rng.uniform(-2, 2, (330 + N_NEW, 2))
    y = np.sin(2 * X[:, 0]) * X[:, 1] + 0.1 * rng.standard_normal(len(X))
    return X, y, np.r_[np.ones(30), np.zeros(300)], 330


def lags(series, n_lags, n_new):
    """Return the lags of a series as inputs, its last rows as new."""
    n_rows = len(series) - n_lags
    X = np.column_stack([series[n_lags - 1 - k : len(series) - 1 - k] for k in range(n_lags)])
    return X, series[n_lags:], None, n_rows - n_new


def growing_series(rng, seed):
    """Draw 12 lags of a monthly series with trend and season; the last two years are new."""
    t = np.arange(144)
    season = 0.2 * np.sin(2 * np.pi * t / 12) + 0.1 * np.cos(4 * np.pi * t / 12)
    level = 120 * np.exp(0.0095 * t) * (1 + season)
    return lags(level * np.exp(0.03 * rng.standard_normal(144)), 12, 24)


def stationary_series(rng, seed):
    """Draw 3 lags of an autoregressive series, whose last 100 rows are new."""
    y = np.zeros(400)
    for t in range(2, 400):
        y[t] = 1.2 * y[t - 1] - 0.5 * y[t - 2] + rng.standard_normal()
    return lags(y, 3, 100)


def drifting(rng, seed):
    """Draw rows in time order, whose level is a random walk that no input shows."""
    X = rng.standard_normal((250, 3))
    return X, X[:, 0] + np.sin(X[:, 1]) + 0.15 * np.cumsum(rng.standard_normal(250)), None, 200


def grid_in_order(rng, seed):
    """Draw a curve whose training rows are sorted by their input."""
    x = np.r_[np.sort(rng.uniform(-3, 3, 100)), rng.uniform(-3, 3, N_NEW)]
    return x[:, None], np.sin(2 * x) + 0.2 * rng.standard_normal(len(x)), None, 100


def thermistor(rng, seed):
    """Draw temperatures, and the resistance of a thermistor as the input."""
    celsius = rng.uniform(-40, 125, 200 + N_NEW)
    celsius[200:] = rng.uniform(-45, 130, N_NEW)  # up to 3% beyond the range
    ohm = 10_000 * np.exp(3950 * (1 / (celsius + 273.15) - 1 / 298.15))
    return ohm[:, None], celsius + 0.2 * rng.standard_normal(len(celsius)), None, 200


def gas_sensor(rng, seed):
    """Draw concentrations over four decades, and what a sensor shows of them."""
    n = 200 + N_NEW
    c, humidity, celsius = (
        10 ** rng.uniform(0, 4, n),
        rng.uniform(20, 90, n),
        rng.uniform(0, 50, n),
    )
    shown = 5 * c**-0.6 * (1 + 0.005 * (humidity - 50)) * (1 - 0.01 * (celsius - 20))
    shown *= np.exp(0.02 * rng.standard_normal(n))
    return np.column_stack([shown, humidity, celsius]), c, None, 200


def skewed_inputs(rng, seed):
    """Draw log-normal inputs."""
    X = np.exp(rng.standard_normal((200 + N_NEW, 2)))
    return X, np.log(X).sum(axis=1) + 0.1 * rng.standard_normal(len(X)), None, 200


def normal_inputs(rng, seed):
    """Draw normal inputs: in 200 rows the most extreme new ones lie beyond the range."""
    X = rng.standard_normal((200 + N_NEW, 4))
    return X, np.sin(X[:, 0]) + X[:, 1] ** 2 + 0.2 * rng.standard_normal(len(X)), None, 200


def wide(rng, seed):
    """Draw 100 rows of 1,000 inputs, of which three have an effect."""
    X = rng.standard_normal((100 + N_NEW, 1000))
    return X, X[:, :3].sum(axis=1) + 0.3 * rng.standard_normal(len(X)), None, 100


def beyond(rng, seed):
    """Draw a parabola; new rows lie a tenth of the range beyond it on either side."""
    x = np.r_[rng.uniform(-1, 1, 100), rng.uniform(1, 1.2, N_NEW) * rng.choice([-1, 1], N_NEW)]
    return x[:, None], x**2 + 0.05 * rng.standard_normal(len(x)), None, 100


def varying(inputs):
    """Return a kind of data for noise='varying': 20 to 150 rows in turn."""

    def kind(rng, seed):
        n_rows = (20, 35, 60, 150)[seed % 4]
        X = {"normal": rng.standard_normal, "log-normal": rng.standard_normal}.get(inputs)
        X = rng.standard_t(2, (n_rows + N_NEW, 2)) if X is None else X((n_rows + N_NEW, 2))
        X = np.exp(X) if inputs == "log-normal" else X
        y = np.sin(X[:, 0]) + 0.1 * rng.standard_normal(len(X))
        return X, y, None, n_rows

    return kind


KINDS = {
    **{
        f"{n} rows, {noise} noise": (drawn(noise, n), 30 * len(FUNCTIONS), {})
        for noise in NOISES
        for n in (20, 30, 40, 60)
    },
    **{
        f"weights {spread}, {n} rows": (weighted(spread, n), 15, {})
        for spread in ("even", "log-normal")
        for n in (30, 60, 120, 250)
    },
    "30 rows, and 300 of weight 0": (zero_weights, 20, {}),
    "growing series, last two years": (growing_series, 20, {}),
    "stationary series": (stationary_series, 10, {}),
    "random walk that no input shows": (drifting, 20, {}),
    "curve, rows sorted by input": (grid_in_order, 20, {}),
    "thermistor": (thermistor, 15, {}),
    "gas sensor": (gas_sensor, 15, {}),
    "log-normal inputs": (skewed_inputs, 15, {}),
    "normal inputs": (normal_inputs, 15, {}),
    "parabola, a tenth beyond": (beyond, 20, {}),
    "1,000 inputs, 100 rows": (wide, 10, {}),
    **{
        f"varying noise, {inputs} inputs": (varying(inputs), 24, {"noise": "varying"})
        for inputs in ("normal", "log-normal", "t2")
    },
}


def covered(X, y, weight, X_new, y_new, params) -> tuple[float, float, float]:
    """Return coverage, and median and largest width in standard deviations of y."""
    net = TinyMLPRegressor(random_state=0, **params).fit(X, y, weight)
    lower, upper = net.predict_interval(X_new).T
    width = (upper - lower) / np.std(y)
    return np.mean((lower <= y_new) & (y_new <= upper)), np.median(width), np.max(width)


def row_of(name, fits) -> str:
    """Return a row of the table."""
    held, width, widest = np.array(fits).T
    return (
        f"| {name} | {len(fits)} | {np.mean(held):.3f} | {np.mean(width):.2f} | "
        f"{np.max(width):.1f} | {np.max(widest):.3g} | {np.mean(width > 8.0):.0%} |"
    )


def splits_of(path, n_splits, n_rows=1500):
    """Yield training and test rows of a set's first splits, of at most `n_rows` training rows."""
    found = np.load(path)
    for split in range(n_splits):
        test = found["test"][:, split].astype(bool)
        rows = np.random.default_rng(split).permutation(np.flatnonzero(~test))[:n_rows]
        yield found["X"][rows], found["y"][rows], None, found["X"][test], found["y"][test], {}


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.interval_coverage", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--only", default="", help="kinds whose name contains this")
    parser.add_argument("--sets", type=Path, help="directory of further sets")
    parser.add_argument("--fits", type=float, default=1.0, help="share of the fits")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    print("| data | fits | coverage | width | largest median | largest | median above 8 |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, (kind, n_fits, params) in KINDS.items():
        if options.only in name:
            fits = []
            for seed in range(max(2, round(options.fits * n_fits))):
                X, y, weight, n = kind(np.random.default_rng(seed), seed)
                fits.append(covered(X[:n], y[:n], weight, X[n:], y[n:], params))
            print(row_of(name, fits), flush=True)
    for path in sorted(options.sets.glob("*.npz")) if options.sets else ():
        print(row_of(path.stem, [covered(*split) for split in splits_of(path, 2)]), flush=True)


if __name__ == "__main__":
    main()

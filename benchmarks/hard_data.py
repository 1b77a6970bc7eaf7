"""R² of the default and of `alpha="one"` on data that are hard with one start and penalty.

`python -m benchmarks.hard_data` prints a table: least and greatest R² over the seeds, on new
noise-free targets, and the median time of a fit.
"""

import argparse
import time
import warnings

import numpy as np
from sklearn.datasets import make_friedman1

from sklearn_tinymlp import TinyMLPRegressor

N_NEW = 1000


def waves(rng):
    """Draw rows, targets, new rows and their targets without noise."""
    x, new = rng.uniform(0, 25, (250, 1)), np.linspace(0, 25, N_NEW)[:, None]
    return x, np.sin(x[:, 0]) + 0.1 * rng.standard_normal(250), new, np.sin(new[:, 0])


def products(rng):
    """Draw rows, targets, new rows and their targets without noise."""
    X = rng.standard_normal((700 + N_NEW, 50))
    y = X[:, 0] * X[:, 1] + np.sin(2 * X[:, 2]) + X[:, 3]
    return X[:700], y[:700] + 0.3 * rng.standard_normal(700), X[700:], y[700:]


def friedman(rng):
    """Draw rows, targets, new rows and their targets without noise."""
    X, y = make_friedman1(400 + N_NEW, 20, noise=0.0, random_state=rng.integers(2**31))
    return X[:400], y[:400] + rng.standard_normal(400), X[400:], y[400:]


def more_inputs_than_rows(rng):
    """Draw rows, targets, new rows and their targets without noise."""
    X = rng.standard_normal((60 + N_NEW, 250))
    y = X[:, :5].sum(axis=1)
    return X[:60], y[:60] + 0.1 * rng.standard_normal(60), X[60:], y[60:]


def spectra(rng):
    """Draw rows, targets, new rows and their targets without noise."""
    channels = np.cumsum(rng.standard_normal((6, 300)), axis=1) / 10
    sources = rng.standard_normal((60 + N_NEW, 6))
    X = sources @ channels + 0.02 * rng.standard_normal((len(sources), 300))
    y = np.tanh(sources[:, 0]) + 0.5 * sources[:, 1] + 0.3 * sources[:, 2]
    return X[:60], y[:60] + 0.05 * rng.standard_normal(60), X[60:], y[60:]


def every_input(rng):
    """Draw rows, targets, new rows and their targets without noise."""
    X = rng.standard_normal((800 + N_NEW, 20))
    one, two, three = (X @ rng.standard_normal((20, 3)) / np.sqrt(20)).T
    y = np.tanh(one) + two * np.sin(three)
    return X[:800], y[:800] + 0.2 * rng.standard_normal(800), X[800:], y[800:]


KINDS = {
    "Four waves of a sine in 250 rows": waves,
    "A product, a sine and a slope among 50 inputs, in 700 rows": products,
    "Friedman's first function among 20 inputs, in 400 rows": friedman,
    "Five of 250 inputs, in 60 rows": more_inputs_than_rows,
    "Six sources in 300 channels, in 60 rows": spectra,
    "Three directions among 20 inputs, all of them relevant, in 800 rows": every_input,
}


def measured(kind, alpha, seeds) -> str:
    """Return the cells of a row."""
    scores, times = [], []
    for seed in range(seeds):
        X, y, new, truth = kind(np.random.default_rng(seed))
        begun = time.perf_counter()
        net = TinyMLPRegressor(alpha=alpha, random_state=seed).fit(X, y)
        times.append(time.perf_counter() - begun)
        scores.append(net.score(new, truth))
    return f"{min(scores):.3f} to {max(scores):.3f} | {np.median(times):.2f}"


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.hard_data", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--seeds", type=int, default=5)
    seeds = parser.parse_args().seeds
    warnings.simplefilter("ignore")
    print('| data | `alpha="one"` | s | default | s |\n| --- | --- | --- | --- | --- |')
    for name, kind in KINDS.items():
        print(f"| {name} | {measured(kind, 'one', seeds)} | {measured(kind, 'auto', seeds)} |")


if __name__ == "__main__":
    main()

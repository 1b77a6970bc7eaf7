"""Predictive densities on new rows: log density, CRPS, quantiles, processor time.

`python -m benchmarks.density DIRECTORY` reads .npz files with X, y and the test rows of each split
(see `ensemble.from_directory`), and compares a network, an ensemble and, where it is installed,
NGBoost. All have their defaults. Negative log densities are in nats, for y in its own units; the
continuous ranked probability score is in standard deviations of y. The last columns are the shares
of new targets below the quantiles 0.05, 0.25, 0.5, 0.75 and 0.95, in per cent.
"""

import argparse
import importlib.util
import os
import time
import warnings
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read when NumPy is imported

import numpy as np

from sklearn_tinymlp import TinyMLPEnsembleRegressor, TinyMLPRegressor

from .ensemble import Split, from_directory

# The score is twice the mean pinball loss over all levels (Gneiting and Raftery, "Strictly proper
# scoring rules, prediction, and estimation", JASA 102, 2007); the midpoint rule over 200.
LEVELS = (np.arange(200) + 0.5) / 200
SHOWN = np.array([0.05, 0.25, 0.5, 0.75, 0.95])


class Scores(NamedTuple):
    """Means over the new rows of one split."""

    nll: float
    crps: float
    below: np.ndarray  # the share of targets below each quantile in SHOWN
    seconds: float  # of the processor, for the fit


class NGBoost:
    """NGBoost with its defaults, a normal distribution from 500 trees."""

    def __init__(self, random_state):
        from ngboost import NGBRegressor

        self.model = NGBRegressor(random_state=random_state, verbose=False)

    def fit(self, X, y):
        """Fit the model."""
        self.model.fit(X, y)

    def log_density(self, X, y):
        """Return the log density of each target."""
        return self.model.pred_dist(X).logpdf(y)

    def predict_quantiles(self, X, quantiles):
        """Return quantiles, (n_samples, n_quantiles)."""
        return self.model.pred_dist(X).ppf(np.reshape(quantiles, (-1, 1))).T


CONTENDERS = {"network": TinyMLPRegressor, "ensemble": TinyMLPEnsembleRegressor}
if importlib.util.find_spec("ngboost") is not None:
    CONTENDERS["NGBoost"] = NGBoost


def scores_of(model, split: Split) -> Scores:
    """Fit a model, and evaluate its density on the new rows."""
    begun = time.process_time()
    model.fit(split.X, split.y)
    seconds = time.process_time() - begun
    y = split.y_new[:, None]
    deviations = y - model.predict_quantiles(split.X_new, LEVELS)
    pinball = np.maximum(LEVELS * deviations, (LEVELS - 1.0) * deviations)
    return Scores(
        -model.log_density(split.X_new, split.y_new).mean(),
        2.0 * pinball.mean() / split.y.std(),
        (y <= model.predict_quantiles(split.X_new, SHOWN)).mean(axis=0),
        seconds,
    )


def row(of_set, table) -> str:
    """Return the line of a set: the means over its splits."""
    cells = [of_set]
    for scores in table.values():
        nll, crps, below, seconds = (np.mean(part, axis=0) for part in zip(*scores, strict=True))
        shares = " ".join(f"{100 * share:.0f}" for share in below)
        cells.append(f"{nll:.3f}, {crps:.4f}, {seconds:.1f} s, {shares}")
    return "| " + " | ".join(cells) + " |"


def main():
    """Fit all models to all sets, and print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.density", description=__doc__.splitlines()[0]
    )
    parser.add_argument("directory", type=Path)
    parser.add_argument("--splits", type=int, default=3)
    parser.add_argument("--only", help="names of sets, with commas between them")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    print("| set | " + " | ".join(CONTENDERS) + " |\n" + "| --- " * (len(CONTENDERS) + 1) + "|")
    for of_set, splits in from_directory(options.directory, options.splits):
        if options.only and of_set not in options.only.split(","):
            continue
        table = {
            name: [scores_of(kind(random_state=k), split) for k, split in enumerate(splits)]
            for name, kind in CONTENDERS.items()
        }
        print(row(of_set, table), flush=True)


if __name__ == "__main__":
    main()

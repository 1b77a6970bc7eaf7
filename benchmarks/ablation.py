"""Ablation: accuracy, coverage and time of the default fit without each rule of thumb.

`python -m benchmarks.ablation` prints a table with a row for each rule switched off: the geometric
mean of test errors relative to the default, the worst data set, the mean coverage of 95%
intervals and the ratio of processor times. `--data DIR` adds data sets: `.npz` files with
X, y and `test`, which has a column for each split.
"""

import argparse
import time
import warnings
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import patch

import numpy as np
from sklearn.datasets import load_diabetes

from benchmarks.hard_data import KINDS
from sklearn_tinymlp import TinyMLPRegressor
from sklearn_tinymlp._relevance import pilots
from sklearn_tinymlp._solvers import evidence_restarts, held_curvature, levenberg_marquardt
from sklearn_tinymlp._training import calibration, input_selection

SPLITS = 3

# The patch that disables each rule: object, name, value.
RULES = {
    "default": [],
    "no pilot networks": [(input_selection, "_is_left_open", lambda *_: False)],
    "pilots choose inputs and penalties, no restart from them": [
        (input_selection, "_can_be_embedded", lambda *_: False)
    ],
    "pilots: no search for residual inputs": [(pilots, "FURTHER_ATTEMPTS", 0)],
    "pilots: rest for 20 iterations": [(pilots, "PLATEAU_ITERATIONS", 20)],
    "pilots: no margin for ARD": [(pilots, "MIN_NATS", 0.0), (pilots, "MIN_NATS_PER_ROW", 0.0)],
    "no restart from random features": [(evidence_restarts, "DOUBTFUL", 0.0)],
    "no second beginning on few rows": [(evidence_restarts, "FEW_SAMPLES", 0)],
    "no careful damping": [(levenberg_marquardt, "CAREFUL_DAMPING", 1e-2)],
    "no stages on samples of rows": [(held_curvature, "stage_sizes", lambda n_rows, *_: [n_rows])],
    "curvature held for 20 steps from the beginning": [(held_curvature, "FIRST_STEPS", 20)],
    "no refits for intervals": [(calibration, "_needs_refits", lambda *_: False)],
}


def data_sets(folder) -> dict:
    """Return the splits, (X, y, new X, new y), of each data set by name."""
    diabetes = load_diabetes(return_X_y=True)
    sets = {"diabetes": [_split(*diabetes, seed) for seed in range(SPLITS)]}
    for name, kind in KINDS.items():
        sets[name] = [kind(np.random.default_rng(seed)) for seed in range(SPLITS)]
    for path in sorted(Path(folder).glob("*.npz")) if folder else ():
        with np.load(path) as file:
            X, y, test = file["X"].astype(float), file["y"].astype(float), file["test"]
        sets[path.stem] = [(X[~t], y[~t], X[t], y[t]) for t in test.T[:SPLITS]]
    return sets


def _split(X, y, seed):
    test = np.random.RandomState(seed).permutation(len(y)) < len(y) // 5
    return X[~test], y[~test], X[test], y[test]


def measured(sets) -> dict:
    """Fit all splits; return error, coverage and seconds by data set."""
    found = {}
    for name, splits in sets.items():
        rows = []
        for seed, (X, y, new, target) in enumerate(splits):
            begun = time.process_time()
            net = TinyMLPRegressor(random_state=seed).fit(X, y)
            seconds = time.process_time() - begun
            error = np.sqrt(np.mean((net.predict(new) - target) ** 2)) / target.std()
            low, high = net.predict_interval(new).T
            rows.append((error, np.mean((low <= target) & (target <= high)), seconds))
        found[name] = np.mean(rows, axis=0)
    return found


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.ablation", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--data", help="folder of further data sets")
    parser.add_argument("--rules", default="", help="only rules that contain this text")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    sets = data_sets(arguments.data)
    measured({"diabetes": sets["diabetes"][:1]})  # imports
    default = measured(sets)
    print("| without | error | worst set | coverage | time |\n| --- | --- | --- | --- | --- |")
    for rule, patches in RULES.items():
        if arguments.rules not in rule:
            continue
        with ExitStack() as stack:
            for where, name, value in patches:
                stack.enter_context(patch.object(where, name, value))
            found = measured(sets) if patches else default
        ratios = {name: found[name] / default[name] for name in sets}
        errors = {name: ratio[0] for name, ratio in ratios.items()}
        worst = max(errors, key=errors.get)
        seconds = np.exp(np.mean([np.log(ratio[2]) for ratio in ratios.values()]))
        print(
            f"| {rule} | {np.exp(np.mean(np.log(list(errors.values())))):.3f} "
            f"| {errors[worst]:.2f} ({worst}) "
            f"| {np.mean([values[1] for values in found.values()]):.3f} | {seconds:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()

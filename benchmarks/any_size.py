"""The default fit over widths, inputs, outputs and rows, compared with two first-order fits.

`python -m benchmarks.any_size` prints a table: the default solver, the same network with
`solver="lbfgs"`, and an `MLPRegressor` of its size after scalers, fitted one after the other in one
process. `--quick` runs the first row of each kind. Times are processor times; R² is on new,
noise-free rows.
"""

import argparse
import os
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read when NumPy is imported

import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.metrics import r2_score
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_tinymlp import TinyMLPRegressor

from .default_fit import make_data

N_NEW, N_TIMED = 2000, 200

HEADER = (
    "data",
    "hidden units",
    "parameters",
    "default, s",
    "R²",
    "within 95%",
    "`stop_reason_`",
    "std of 200 rows, s",
    "lbfgs, s",
    "its R²",
    "MLPRegressor, s",
    "its R²",
)


class Drawn(NamedTuple):
    """Inputs, and targets with and without noise."""

    X: np.ndarray
    y: np.ndarray
    truth: np.ndarray


class Case(NamedTuple):
    """A row of the table."""

    title: str
    hidden: tuple[int, ...]
    n_rows: int
    draw: Callable[[int], Drawn]


def one_output(n_inputs, n_rows) -> Drawn:
    """Draw data with the target of `default_fit`: five relevant inputs, noise of 0.3."""
    return Drawn(*make_data(n_rows, n_inputs))


def several_outputs(n_outputs, n_rows) -> Drawn:
    """Draw outputs that are mixtures of four functions of five inputs, with noise of 0.05."""
    rng = np.random.default_rng(0)
    X = rng.uniform(-2.0, 2.0, (n_rows, 5))
    functions = np.sin(2 * X[:, 0]), X[:, 1] * X[:, 2], X[:, 3], np.cos(X[:, 4])
    truth = np.column_stack(functions) @ rng.standard_normal((4, n_outputs))
    truth = truth.squeeze()  # one output is one-dimensional, as in predictions
    return Drawn(X, truth + 0.05 * rng.standard_normal(truth.shape), truth)


def function_of(inputs, function, noise, n_rows) -> Drawn:
    """Draw inputs, and compute targets by a function of them."""
    rng = np.random.default_rng(0)
    X = inputs(rng, n_rows)
    truth = function(X)
    return Drawn(X, truth + noise * rng.standard_normal(n_rows), truth)


def uniform(n_inputs, low, high, rng, n_rows):
    """Draw uniform inputs."""
    return rng.uniform(low, high, (n_rows, n_inputs))


def normal(n_inputs, rng, n_rows):
    """Draw normal inputs."""
    return rng.standard_normal((n_rows, n_inputs))


FUNCTIONS = {
    "sin 20a cos 14b": (
        partial(uniform, 2, 0.0, 1.0),
        lambda X: np.sin(20 * X[:, 0]) * np.cos(14 * X[:, 1]),
        0.0,
    ),
    "sin 10a cos 7b": (
        partial(uniform, 2, 0.0, 1.0),
        lambda X: np.sin(10 * X[:, 0]) * np.cos(7 * X[:, 1]),
        0.0,
    ),
    "three waves, noise 0.1": (
        partial(uniform, 1, 0.0, 1.0),
        lambda X: np.sin(6 * np.pi * X[:, 0]),
        0.1,
    ),
    "an arm of four joints": (
        partial(uniform, 4, -np.pi, np.pi),
        lambda X: np.cos(np.cumsum(X, axis=1)).sum(axis=1),
        0.0,
    ),
    "a bowl, 10 inputs": (partial(normal, 10), lambda X: (X**2).sum(axis=1), 0.0),
}

CASES = {
    "width": [
        Case("1,000 rows, 10 inputs", (n_units,) * 2, 1000, partial(one_output, 10))
        for n_units in (16, 64, 128, 256)
    ],
    "inputs": [
        Case(f"1,000 rows, {n_inputs} inputs", (16, 16), 1000, partial(one_output, n_inputs))
        for n_inputs in (100, 700)
    ],
    "outputs": [
        Case(f"500 rows, outputs: {n_outputs}", (16, 16), 500, partial(several_outputs, n_outputs))
        for n_outputs in (1, 10, 30, 100, 200)
    ],
    "rows": [
        Case(f"{n_rows:,} rows, 10 inputs", (64, 64), n_rows, partial(one_output, 10))
        for n_rows in (5000, 10_000)
    ],
    "functions": [
        Case(name, (64, 64), 1000, partial(function_of, *function))
        for name, function in FUNCTIONS.items()
    ],
}


def fitted(estimator, data: Drawn):
    """Fit; return the estimator and the processor time in seconds."""
    begun = time.process_time()
    estimator.fit(data.X, data.y)
    return estimator, time.process_time() - begun


def row_of(case: Case) -> str:
    """Measure one size."""
    both = case.draw(case.n_rows + N_NEW)
    data = Drawn(*(part[: case.n_rows] for part in both))
    new = Drawn(*(part[case.n_rows :] for part in both))
    shape = {"hidden_layer_sizes": case.hidden, "random_state": 0}
    ours, seconds = fitted(TinyMLPRegressor(**shape), data)
    lbfgs = TinyMLPRegressor(solver="lbfgs", standardize=True, max_iter=2000, **shape)
    lbfgs, lbfgs_seconds = fitted(lbfgs, data)
    pipeline = make_pipeline(StandardScaler(), MLPRegressor(max_iter=1000, **shape))
    mlp = TransformedTargetRegressor(pipeline, transformer=StandardScaler())
    mlp, mlp_seconds = fitted(mlp, data)
    begun = time.process_time()
    ours.predict(new.X[:N_TIMED], return_std=True)
    std_seconds = time.process_time() - begun
    mean, std = ours.predict(new.X, return_std=True)
    held = np.mean(np.abs(new.y - mean) < 1.96 * std)
    cells = (
        case.title,
        " ".join(map(str, case.hidden)),
        f"{ours.n_parameters_:,}",
        f"{seconds:.2f}",
        f"{r2_score(new.truth, mean):.4f}",
        f"{held:.3f}",
        ours.stop_reason_,
        f"{std_seconds:.3f}",
        f"{lbfgs_seconds:.2f}",
        f"{r2_score(new.truth, lbfgs.predict(new.X)):.4f}",
        f"{mlp_seconds:.2f}",
        f"{r2_score(new.truth, mlp.predict(new.X)):.4f}",
    )
    return "| " + " | ".join(cells) + " |"


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="the first row of each kind")
    quick = parser.parse_args().quick
    warnings.simplefilter("ignore")
    for case in (CASES["rows"][0], CASES["outputs"][1]):  # compile
        X, y, _ = case.draw(case.n_rows)
        for solver in ("auto", "lbfgs"):
            TinyMLPRegressor(hidden_layer_sizes=(64,), solver=solver, max_iter=2).fit(X, y)
    print("| " + " | ".join(HEADER) + " |")
    print("| " + " | ".join(["---"] * len(HEADER)) + " |")
    for kind in CASES.values():
        for case in kind[:1] if quick else kind:
            print(row_of(case), flush=True)


if __name__ == "__main__":
    main()

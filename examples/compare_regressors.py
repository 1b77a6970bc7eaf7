"""Compare ridge, MLPRegressor, boosted trees, TinyMLPRegressor and its ensemble on real data.

Three data sets that need no download, three-fold cross-validation, nothing tuned but what the
estimators tune themselves. Prints a table and saves a figure.
"""

import argparse
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import numpy as np
from joblib import Parallel, delayed
from matplotlib.figure import Figure
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_diabetes
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import RidgeCV
from sklearn.metrics import r2_score
from sklearn.model_selection import KFold
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from sklearn_tinymlp import TinyMLPEnsembleRegressor, TinyMLPRegressor

DATA = Path(__file__).parent / "data"
COLORS = ["0.6", "#8CC6EC", "#3F88C5", "#C8553D", "#8A2B06"]  # one for each model
TARGETS = {  # with their units
    "diabetes": "disease progression",
    "penguins": "body mass in g",
    "yacht": "residuary resistance",
}


class Result(NamedTuple):
    """Predictions for rows that a model was not fitted to."""

    predictions: np.ndarray  # (n_samples,)
    interval: np.ndarray | None  # (n_samples, 2), of 95%
    seconds: float  # median time of a fit


def load_problems():
    """Return X and y by name."""
    yacht = np.loadtxt(DATA / "yacht.csv", delimiter=",", skiprows=1)
    table = np.loadtxt(DATA / "penguins.csv", delimiter=",", dtype=str, skiprows=1)
    table = table[(table != "NA").all(axis=1)]
    # Species, island and sex; bill length, bill depth, flipper length and body mass.
    levels = OneHotEncoder(sparse_output=False).fit_transform(table[:, [0, 1, 6]])
    measures = table[:, 2:6].astype(float)
    return {
        "diabetes": load_diabetes(return_X_y=True),
        "penguins": (np.column_stack([measures[:, :-1], levels]), measures[:, -1]),
        "yacht": (yacht[:, :-1], yacht[:, -1]),
    }


def make_models():
    """Return the models by name. scikit-learn's linear model and network need scaled data."""
    mlp = make_pipeline(StandardScaler(), MLPRegressor(max_iter=2000, random_state=0))
    return {
        "ridge": make_pipeline(StandardScaler(), RidgeCV(np.logspace(-3, 3, 13))),
        "MLPRegressor, scaled": TransformedTargetRegressor(mlp, transformer=StandardScaler()),
        "boosted trees": HistGradientBoostingRegressor(random_state=0),
        "TinyMLPRegressor": TinyMLPRegressor(random_state=0),
        "TinyMLPEnsembleRegressor": TinyMLPEnsembleRegressor(random_state=0),
    }


def fit_and_predict(model, X, y, train, test):
    """Fit a model to some rows; return predictions and interval of the others, and seconds."""
    start = perf_counter()
    model = clone(model).fit(X[train], y[train])
    seconds = perf_counter() - start
    has_interval = hasattr(model, "predict_interval")
    interval = model.predict_interval(X[test], coverage=0.95) if has_interval else None
    return model.predict(X[test]), interval, seconds


def cross_validate(models, X, y, parallel):
    """Return a Result for each model, from the same three folds."""
    folds = list(KFold(3, shuffle=True, random_state=0).split(X))
    parts = parallel(
        delayed(fit_and_predict)(model, X, y, *fold) for model in models.values() for fold in folds
    )
    order = np.argsort(np.concatenate([test for _, test in folds]))
    results = {}
    for number, name in enumerate(models):
        predictions, intervals, seconds = zip(*parts[3 * number : 3 * number + 3], strict=True)
        interval = None if intervals[0] is None else np.concatenate(intervals)[order]
        results[name] = Result(np.concatenate(predictions)[order], interval, np.median(seconds))
    return results


def share_within(interval, y):
    """Return the share of targets in their intervals."""
    return np.mean((interval[:, 0] <= y) & (y <= interval[:, 1]))


def print_table(results, y):
    """Print a row for each model, and which is the most accurate."""
    print(f"{'':26}{'R²':>8}{'RMSE':>9}{'in 95% interval':>18}{'s a fit':>10}")
    scores = {name: r2_score(y, result.predictions) for name, result in results.items()}
    for name, (predictions, interval, seconds) in results.items():
        rmse = np.sqrt(np.mean((y - predictions) ** 2))
        held = "" if interval is None else f"{share_within(interval, y):.1%}"
        print(f"{name:26}{scores[name]:8.3f}{rmse:9.4g}{held:>18}{seconds:10.2f}")
    first, second = sorted(scores, key=scores.get, reverse=True)[:2]
    print(f"Most accurate: {first}, before {second}.")


def plot_scores(ax, results, y, title):
    """Plot the error of each model as a bar, with the time of a fit beside it."""
    errors = [
        np.sqrt(np.mean((y - result.predictions) ** 2)) / y.std() for result in results.values()
    ]
    labels = [name.replace("TinyMLP", "TinyMLP\n").replace(", ", ",\n") for name in results]
    ax.barh(labels, errors, color=COLORS)
    for label, error, result in zip(labels, errors, results.values(), strict=True):
        ax.text(error, label, f" {error:.2f}   ({result.seconds:.2f} s)", va="center")
    ax.invert_yaxis()
    ax.set(xlim=(0, 1.5 * max(errors)), xlabel="RMSE / standard deviation of y", title=title)


def plot_intervals(ax, result, y, target):
    """Plot targets against predictions, with 95% intervals, of rows not fitted to."""
    order = np.argsort(result.predictions)
    at, (low, high) = result.predictions[order], result.interval[order].T
    ax.fill_between(at, low, high, color=COLORS[-1], alpha=0.2, label="95% interval")
    ax.plot(at, at, color=COLORS[-1], label="prediction")
    ax.plot(at, y[order], ".", color="0.2", markersize=4, label="measured")
    held = share_within(result.interval, y)
    ax.set(xlabel="prediction", ylabel=target, title=f"Intervals hold {held:.1%} of new targets")


def main():
    """Fit, print and plot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", default="compare_regressors.png", help="the figure")
    parser.add_argument("--n-jobs", type=int, default=-1, help="processes; -1: all cores")
    args = parser.parse_args()

    print("Three-fold cross-validation: R², RMSE, share of targets in their 95% interval, and")
    print("median seconds of a fit on one core. Raw data but for ridge and MLPRegressor.")
    figure = Figure(figsize=(15, 8.5), layout="constrained")
    axes, models = figure.subplots(2, 3), make_models()
    with Parallel(args.n_jobs) as parallel:
        for (name, (X, y)), (above, below) in zip(load_problems().items(), axes.T, strict=True):
            title = f"{name.capitalize()}: {len(X)} rows, {X.shape[1]} inputs"
            print(f"\n{title}", flush=True)
            results = cross_validate(models, X, y, parallel)
            print_table(results, y)
            plot_scores(above, results, y, title)
            plot_intervals(below, results["TinyMLPRegressor"], y, TARGETS[name])
    axes[1, 0].legend()
    figure.suptitle("Rows that the models were not fitted to (above: error and seconds of a fit)")
    figure.savefig(args.output, dpi=110)
    print(f"\nFigure: {args.output}")


if __name__ == "__main__":
    main()

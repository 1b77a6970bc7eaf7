"""Compare TinyMLPRegressor with MLPRegressor on real data: same weights, less time.

For each data set four models are fitted to the same rows: both estimators with the same parameters
after a scaler, and each with its defaults on raw data. It prints a table and saves a figure.
"""

import argparse
import warnings
from pathlib import Path
from time import perf_counter

import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import load_diabetes
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from sklearn_tinymlp import TinyMLPRegressor

THEIRS, OURS = "MLPRegressor, same settings", "TinyMLPRegressor, same settings"
COLORS = {"MLPRegressor": "#8CC6EC", "TinyMLPRegressor": "#8A2B06"}  # distinguishable in greyscale


def load_problems():
    """Return (X, y, alpha) by name, with an alpha that suits the data."""
    yacht = np.loadtxt(Path(__file__).parent / "data" / "yacht.csv", delimiter=",", skiprows=1)
    return {
        "diabetes": (*load_diabetes(return_X_y=True), 1000.0),
        "yacht": (yacht[:, :-1], yacht[:, -1], 1e-4),
    }


def make_models(alpha):
    """Return the models by name: scalers and equal parameters, or raw data and defaults."""
    settings = {"hidden_layer_sizes": (20,), "learning_rate_init": 0.01, "max_iter": 2000}
    mlp = MLPRegressor(alpha=alpha, random_state=0, **settings)
    return {
        THEIRS: make_pipeline(StandardScaler(), mlp),
        OURS: make_pipeline(StandardScaler(), TinyMLPRegressor(**mlp.get_params())),
        "MLPRegressor, defaults, raw": make_pipeline(MLPRegressor(random_state=0)),
        "TinyMLPRegressor, defaults, raw": make_pipeline(TinyMLPRegressor(random_state=0)),
    }


def fit_in_turn(models, X, y, repeats):
    """Fit all models once as a warm-up, then `repeats` times in turn, on one thread.

    Returns
    -------
    times : dict of float
        Median time of a fit in milliseconds, without the warm-up.
    """
    times = {name: [] for name in models}
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)  # the table shows which fits converged
        for _ in range(1 + repeats):
            for name, model in models.items():
                start = perf_counter()
                model.fit(X, y)
                times[name].append(1e3 * (perf_counter() - start))
    return {name: np.median(values[1:]) for name, values in times.items()}


def print_table(models, times, train, test):
    """Print a row for each model, and the largest difference of weights for equal parameters."""
    line = "{:32}{:>9}{:>9}{:>9}{:>10}{:>8}{:>11}"
    print(line.format("", "R² train", "R² test", "fit ms", "speed-up", "n_iter", "converged"))
    for name, model in models.items():
        mlp = model[-1]
        cells = (f"{model.score(*train):.3f}", f"{model.score(*test):.3f}", f"{times[name]:.1f}")
        speed_up = f"{times[name.removeprefix('Tiny')] / times[name]:.1f}x"
        converged = "yes" if mlp.n_iter_ < mlp.max_iter else "no"
        print(line.format(name, *cells, speed_up, mlp.n_iter_, converged))
    ours, theirs = (
        models[name][-1].coefs_ + models[name][-1].intercepts_ for name in (OURS, THEIRS)
    )
    difference = max(np.abs(a - b).max() for a, b in zip(ours, theirs, strict=True))
    print(f"Same settings: largest difference of the weights {difference:.1e}")


def plot_losses(ax, models, title):
    """Plot the loss curves for equal parameters, ours thin and on top."""
    for name, width, dashes in ((THEIRS, 6, "-"), (OURS, 1.5, "--")):
        estimator, loss_curve = name.split(",")[0], models[name][-1].loss_curve_
        ax.semilogy(loss_curve, dashes, linewidth=width, color=COLORS[estimator], label=estimator)
    ax.set(xlabel="epoch", ylabel="training loss")
    ax.set_title(f"{title}\nSame parameters, same weights")
    ax.legend()


def plot_times(ax, models, times, test):
    """Plot the time of each fit as a bar, with the score beside it."""
    for name, model in models.items():
        label = name.replace(", ", "\n", 1)
        ax.barh(label, times[name], color=COLORS[name.split(",")[0]])
        note = f" {times[name]:.0f} ms, test R² {model.score(*test):.2f}"
        ax.text(times[name], label, note, va="center")
    ax.invert_yaxis()
    ax.set(xlabel="time of a fit in ms", xlim=(0, 1.7 * max(times.values())))
    ax.set_title(f"Same settings: {times[THEIRS] / times[OURS]:.0f} times faster")


def plot_predictions(ax, models, X, y):
    """Plot predictions against true values for equal parameters, ours on top."""
    ax.axline((y.mean(), y.mean()), slope=1, color="0.6", linewidth=1)
    for name, size in ((THEIRS, 60), (OURS, 8)):
        estimator = name.split(",")[0]
        ax.scatter(y, models[name].predict(X), size, COLORS[estimator], label=estimator)
    ax.set(xlabel="true value", ylabel="prediction", title="Test rows: same predictions")
    ax.legend()


def main():
    """Fit, print and plot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", default="compare_with_mlpregressor.png", help="the figure")
    parser.add_argument("--repeats", type=int, default=5, help="timed fits of each model")
    args = parser.parse_args()

    print(f"fit ms: median of {args.repeats} fits, all models in turn, after a warm-up.")
    print("speed-up: against MLPRegressor with the same data. All on one thread.")
    figure = Figure(figsize=(15, 8.5), layout="constrained")
    problems = load_problems()
    for (name, (X, y, alpha)), axes in zip(problems.items(), figure.subplots(2, 3), strict=True):
        X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
        models = make_models(alpha)
        times = fit_in_turn(models, X_train, y_train, args.repeats)
        title = f"{name.capitalize()}: {len(X)} rows, {X.shape[1]} features, alpha {alpha:g}"
        print(f"\n{title}")
        print_table(models, times, (X_train, y_train), (X_test, y_test))
        plot_losses(axes[0], models, title)
        plot_times(axes[1], models, times, (X_test, y_test))
        plot_predictions(axes[2], models, X_test, y_test)
    figure.savefig(args.output, dpi=110)
    print(f"\nFigure: {args.output}")


if __name__ == "__main__":
    main()

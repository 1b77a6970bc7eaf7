"""A noisy curve with a gap: the standard deviation of the prediction widens where data are missing.

Usage: python examples/noisy_curve_with_gap.py [--output noisy_curve_with_gap.png]
"""

import argparse

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from sklearn_tinymlp import TinyMLPRegressor


def main():
    """Fit, print what the evidence estimates, and plot the prediction interval."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", default="noisy_curve_with_gap.png")
    arguments = parser.parse_args()

    rng = np.random.default_rng(0)
    x = np.concatenate([rng.uniform(-3, -0.8, 40), rng.uniform(0.8, 3, 40)])
    y = np.sin(2 * x) + 0.15 * rng.standard_normal(x.size)

    net = TinyMLPRegressor(solver="lm", random_state=0).fit(x[:, None], y)
    print(f"noise_std_ {net.noise_std_:.3f} (true: 0.15)")
    print(f"effective parameters {net.n_effective_parameters_:.1f} of {net.n_parameters_}")

    grid = np.linspace(-4, 4, 400)
    mean, std = net.predict(grid[:, None], return_std=True)
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    axes.fill_between(
        grid, mean - 1.96 * std, mean + 1.96 * std, color="#a6cee3", label="95% interval"
    )
    axes.plot(grid, mean, color="#1f4e79", label="prediction")
    axes.plot(grid, np.sin(2 * grid), "--", color="#d95f02", linewidth=1, label="truth")
    axes.plot(x, y, ".", color="black", markersize=5, label="data")
    axes.set(xlabel="x", ylabel="y", ylim=(-3, 3), title="No data, no certainty")
    axes.legend(loc="upper left", ncols=2)
    figure.savefig(arguments.output, dpi=120)
    print(f"saved {arguments.output}")


if __name__ == "__main__":
    main()

"""
Active learning with few measurements
=====================================

Each measurement costs a day in the laboratory. The next one is most informative where the
prediction interval is widest. Fourteen evenly spaced measurements all miss the peak; six, followed
by eight chosen in this way, find it.
"""

import matplotlib.pyplot as plt
import numpy as np

from sklearn_tinymlp import TinyMLPRegressor


def measure(x):
    """Measure a narrow peak on a slope, with little noise."""
    noise = 0.03 * np.cos(1e4 * x)  # always the same, so that this page is reproducible
    return np.exp(-((x - 1) ** 2) / 0.08) + 0.2 * x + noise


def fitted(x):
    """Fit a small network."""
    return TinyMLPRegressor(hidden_layer_sizes=(10,), random_state=0).fit(x[:, None], measure(x))


grid = np.linspace(-2, 2, 401)
chosen = np.linspace(-2, 2, 6)
while len(chosen) < 14:
    std = fitted(chosen).predict(grid[:, None], return_std=True)[1]
    chosen = np.append(chosen, grid[std.argmax()])
evenly = np.linspace(-2, 2, 14)

figure, axes = plt.subplots(1, 2, figsize=(6.8, 3.2), sharey=True, layout="constrained")
for ax, x, title in zip(
    axes, (evenly, chosen), ("evenly", "where the interval is widest"), strict=True
):
    mean, std = fitted(x).predict(grid[:, None], return_std=True)
    error = np.sqrt(np.mean((mean - measure(grid)) ** 2))
    print(f"{title}: error {error:.3f}")
    ax.fill_between(grid, mean - 1.96 * std, mean + 1.96 * std, color="#a6cee3")
    ax.plot(grid, measure(grid), "--", color="#d95f02", linewidth=1)
    ax.plot(grid, mean, color="#1f4e79")
    ax.plot(x, measure(x), "o", color="black")
    ax.set(title=f"{title}:\nerror {error:.2f}", xlabel="x", ylim=(-0.8, 1.5))
plt.show()

"""Draw the first picture of the README: a curve of 40 points, and both estimators' defaults on it.

Usage: python docs/first_picture.py docs/images/first_picture.png
"""

import sys
import warnings

import numpy as np
from matplotlib.figure import Figure
from sklearn.neural_network import MLPRegressor

from sklearn_tinymlp import TinyMLPRegressor

rng = np.random.default_rng(0)
x = np.sort(np.concatenate([rng.uniform(0, 45, 25), rng.uniform(70, 100, 15)]))
y = 400 + 80 * np.sin(x / 9) + x + 8 * rng.standard_normal(x.size)
X, grid = x[:, np.newaxis], np.linspace(-8, 108, 400)[:, np.newaxis]
truth = 400 + 80 * np.sin(grid[:, 0] / 9) + grid[:, 0]

figure = Figure(figsize=(9, 3.4), layout="constrained")
left, right = figure.subplots(1, 2, sharey=True)
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # MLPRegressor says that it did not converge
    theirs = MLPRegressor(random_state=0).fit(X, y)
net = TinyMLPRegressor(random_state=0).fit(X, y)
mean, std = net.predict(grid, return_std=True)
right.fill_between(grid[:, 0], mean - 1.96 * std, mean + 1.96 * std, color="#a6cee3", label="95%")
left.plot(grid, theirs.predict(grid), color="#1f4e79")
right.plot(grid, mean, color="#1f4e79", label="prediction")
for ax, title in ((left, "MLPRegressor()"), (right, "TinyMLPRegressor()")):
    ax.plot(grid, truth, "--", color="#d95f02", linewidth=1, label="truth")
    ax.plot(x, y, ".", color="black", label="data")
    ax.set(title=title, ylim=(150, 750))
    ax.spines[["top", "right"]].set_visible(False)
right.legend(loc="upper left", ncols=2, frameon=False)
figure.savefig(sys.argv[1], dpi=100)

"""
Three points with and without bias
==================================

Why does a network of three leaky ReLU units not learn 1 → 5, 2 → 4, 3 → 3? This question was the
origin of the package. The points lie on y = 6 - x, and a leaky ReLU network without bias is a line
through the origin for all x > 0, whatever its weights.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np

from sklearn_tinymlp import TinyMLPRegressor

X, y = np.array([[1.0], [2.0], [3.0]]), np.array([5.0, 4.0, 3.0])
settings = {
    "hidden_layer_sizes": (3,),
    "activation": "leaky_relu",
    "output_activation": "leaky_relu",
    "solver": "sgd",
    "learning_rate": 1e-3,
    "momentum": 0.0,
    "alpha": 0.0,
    "batch_size": 1,
    "shuffle": False,
    "max_iter": 4000,
    "tol": 0,
    "n_iter_no_change": 4000,
    "init": "uniform",
    "random_state": 0,
}
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the same text as diagnose prints below
    stuck = TinyMLPRegressor(bias=False, **settings).fit(X, y)
solved = TinyMLPRegressor(bias=True, loss_tol=1e-5, **settings).fit(X, y)

# %%
# `diagnose` names the cause, and the remedy works.

print(stuck.diagnose(X, y))

# %%
print(solved.stop_reason_, solved.n_iter_, solved.predict(X).round(2))

# %%
# The best line through the origin has a summed loss of 7.71. No learning rate gives a lower loss.

figure, axes = plt.subplots(1, 2, figsize=(6.8, 3.2), layout="constrained")
grid = np.linspace(0, 4, 100)[:, np.newaxis]
for net, label, colour in ((stuck, "bias=False", "#d95f02"), (solved, "bias=True", "#1f4e79")):
    axes[0].loglog(np.arange(1, net.n_iter_ + 1), 3 * np.array(net.loss_curve_), color=colour)
    axes[1].plot(grid, net.predict(grid), color=colour, label=label)
axes[0].axhline(7.71, color="0.5", linestyle=":", label="best line through the origin")
axes[1].plot(X, y, "o", color="black", label="the three points")
axes[0].set(xlabel="epoch", ylabel="summed loss")
axes[1].set(xlabel="x", ylabel="y")
axes[0].legend()
axes[1].legend()
plt.show()

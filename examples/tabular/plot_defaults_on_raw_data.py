"""
Defaults on raw data
====================

The resistance of sailing yachts by hull shape and speed: 308 towing-tank experiments, with features
on very different scales, no scaler and no tuning. With a scaler and a thousand epochs the error of
`MLPRegressor` is several times as large.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_tinymlp import TinyMLPRegressor

warnings.simplefilter("ignore", ConvergenceWarning)  # n_iter_ is printed instead

data = np.loadtxt("../data/yacht.csv", delimiter=",", skiprows=1)
X_train, X_test, y_train, y_test = train_test_split(data[:, :-1], data[:, -1], random_state=0)

# %%
# `MLPRegressor` has one layer of 100 units, `TinyMLPRegressor` two of 16. The first two models are
# fitted on raw data.

models = {
    "MLPRegressor()": MLPRegressor(random_state=0),
    "TinyMLPRegressor()": TinyMLPRegressor(random_state=0),
    "StandardScaler, MLPRegressor(max_iter=1000)": make_pipeline(
        StandardScaler(), MLPRegressor(max_iter=1000, random_state=0)
    ),
}
print(f"{'':44}{'RMSE':>7}{'n_iter':>8}")
for name, model in models.items():
    model.fit(X_train, y_train)
    error = np.sqrt(np.mean((model.predict(X_test) - y_test) ** 2))
    n_iter = getattr(model, "n_iter_", None) or model[-1].n_iter_
    print(f"{name:44}{error:7.2f}{n_iter:8}")

# %%
# Predictions of both on the test rows. The bars are 95% intervals: every prediction of the default
# has a standard deviation.

figure, axes = plt.subplots(1, 2, figsize=(6.8, 3.4), layout="constrained", sharey=True)
theirs, ours = models["MLPRegressor()"], models["TinyMLPRegressor()"]
axes[0].plot(y_test, theirs.predict(X_test), "o", color="#d95f02", markersize=4)
mean, std = ours.predict(X_test, return_std=True)
axes[1].errorbar(y_test, mean, 1.96 * std, fmt="o", color="#1f4e79", markersize=4, elinewidth=1)
for ax, title in zip(axes, ("MLPRegressor()", "TinyMLPRegressor()"), strict=True):
    ax.axline((0, 0), slope=1, color="0.6", linewidth=1, zorder=0)
    ax.set(xlabel="measured resistance", title=title)
axes[0].set_ylabel("prediction")
plt.show()

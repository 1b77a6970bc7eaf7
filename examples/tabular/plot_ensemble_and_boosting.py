"""
Ensemble and gradient boosting
==============================

Resistance of yacht hulls (Gerritsma, Onnink and Versluis 1981; UCI repository): 308 runs in a
towing tank, six inputs and a smooth function, which trees approximate by steps. Both models have
their defaults.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.model_selection import train_test_split

from sklearn_tinymlp import TinyMLPEnsembleRegressor

table = np.loadtxt("../data/yacht.csv", delimiter=",", skiprows=1)
X, new, y, y_new = train_test_split(table[:, :-1], table[:, -1], random_state=0)

net = TinyMLPEnsembleRegressor(random_state=0).fit(X, y)
trees = HistGradientBoostingRegressor(random_state=0).fit(X, y)
for name, model in (("ensemble", net), ("boosting", trees)):
    error = np.sqrt(np.mean((model.predict(new) - y_new) ** 2))
    print(f"{name}: test error {error:.2f}")
print(f"out-of-fold R²: {net.out_of_fold_r2_:.4f}")

# %%
# Predictions over the Froude number, for the median hull:

grid = np.tile(np.median(X, axis=0), (200, 1))
grid[:, -1] = np.linspace(X[:, -1].min(), X[:, -1].max(), 200)
low, high = net.predict_interval(grid, 0.95).T

figure, ax = plt.subplots(figsize=(5, 3.4), layout="constrained")
ax.plot(table[:, -2], table[:, -1], ".", color="0.75", markersize=4, label="all hulls")
ax.plot(grid[:, -1], trees.predict(grid), color="#d95f02", linewidth=1, label="boosting")
ax.fill_between(grid[:, -1], low, high, color="#a6cee3", label="95% interval")
ax.plot(grid[:, -1], net.predict(grid), color="#1f4e79", label="ensemble")
ax.set(xlabel="Froude number", ylabel="resistance per weight")
ax.legend()
plt.show()

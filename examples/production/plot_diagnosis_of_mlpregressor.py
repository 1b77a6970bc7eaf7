"""
Diagnosis of an MLPRegressor
============================

`diagnose` also accepts scikit-learn's `MLPRegressor`, alone, in a pipeline or in a
`TransformedTargetRegressor`. With its defaults and raw yacht data it stops with a poor fit. Each
step below applies the remedy of the first finding.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor
from sklearn.preprocessing import StandardScaler

from sklearn_tinymlp import TinyMLPRegressor, diagnose

warnings.simplefilter("ignore", ConvergenceWarning)  # the findings are more specific

data = np.loadtxt("../data/yacht.csv", delimiter=",", skiprows=1)
X, y = data[:, :-1], data[:, -1]

raw = MLPRegressor(random_state=0).fit(X, y)
diagnose(raw, X, y)

# %%
# The target is not standardised. Standardise it.

mlp = MLPRegressor(random_state=0)
scaled = TransformedTargetRegressor(mlp, transformer=StandardScaler()).fit(X, y)
diagnose(scaled, X, y)

# %%
# The network misses a pattern. Train one by the evidence, without a scaler.

net = TinyMLPRegressor(solver="lm", random_state=0).fit(X, y)
diagnose(net, X, y)

# %%
models = {"raw": raw, "target scaled": scaled, "solver='lm'": net}
figure, axes = plt.subplots(1, 3, figsize=(6.8, 2.8), layout="constrained", sharey=True)
for ax, (name, model) in zip(axes, models.items(), strict=True):
    ax.plot(y, model.predict(X), ".", color="#1f4e79")
    ax.axline((0, 0), slope=1, color="0.6", linewidth=1, zorder=0)
    ax.set(title=f"{name}\nR² {model.score(X, y):.3f}", xlabel="measured")
axes[0].set_ylabel("prediction")
plt.show()

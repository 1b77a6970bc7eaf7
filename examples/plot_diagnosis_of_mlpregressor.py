"""
Asking an MLPRegressor what is wrong
====================================

`diagnose` takes scikit-learn's `MLPRegressor` too, alone or within a pipeline or a transformer of
the target. Given raw yacht data and its defaults, that one stops far from what is possible. Each
step below does what the first finding says.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor
from sklearn.preprocessing import StandardScaler

from sklearn_tinymlp import TinyMLPRegressor, diagnose

warnings.simplefilter("ignore", ConvergenceWarning)  # the findings say more

data = np.loadtxt("data/yacht.csv", delimiter=",", skiprows=1)
X, y = data[:, :-1], data[:, -1]

raw = MLPRegressor(random_state=0).fit(X, y)
diagnose(raw, X, y)

# %%
# The target is not standardised, so it is.

mlp = MLPRegressor(random_state=0)
scaled = TransformedTargetRegressor(mlp, transformer=StandardScaler()).fit(X, y)
diagnose(scaled, X, y)

# %%
# It was still improving, so it may go on.

mlp = MLPRegressor(max_iter=2000, random_state=0)
longer = TransformedTargetRegressor(mlp, transformer=StandardScaler()).fit(X, y)
diagnose(longer, X, y)

# %%
# Nothing is left that is called an error or a warning. The last finding names the solver that
# decides by the evidence how many of the weights are determined.

net = TinyMLPRegressor(solver="lm", random_state=0).fit(X, y)
diagnose(net, X, y)

# %%
models = {"raw": raw, "target scaled": scaled, "more iterations": longer, "solver='lm'": net}
figure, axes = plt.subplots(1, 4, figsize=(10, 3), layout="constrained", sharey=True)
for ax, (name, model) in zip(axes, models.items(), strict=True):
    ax.plot(y, model.predict(X), ".", color="#1f4e79")
    ax.axline((0, 0), slope=1, color="0.6", linewidth=1, zorder=0)
    ax.set(title=f"{name}\nR² {model.score(X, y):.3f}", xlabel="measured")
axes[0].set_ylabel("prediction")
plt.show()

"""
Asking an MLPRegressor what is wrong
====================================

`diagnose` takes scikit-learn's `MLPRegressor` too. Given raw yacht data and its defaults, that one
stops far from what is possible. What `diagnose` finds is mended step by step.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_tinymlp import diagnose

warnings.simplefilter("ignore", ConvergenceWarning)  # the findings say more

data = np.loadtxt("data/yacht.csv", delimiter=",", skiprows=1)
X, y = data[:, :-1], data[:, -1]

raw = MLPRegressor(random_state=0).fit(X, y)
diagnose(raw, X, y)

# %%
# The first finding asks for a scaler, so it gets one.

scaled = make_pipeline(StandardScaler(), MLPRegressor(random_state=0)).fit(X, y)
diagnose(scaled, X, y)

# %%
# The rest is a matter of iterations.

longer = make_pipeline(
    StandardScaler(), MLPRegressor(learning_rate_init=0.01, max_iter=2000, random_state=0)
).fit(X, y)
diagnose(longer, X, y)

# %%
figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
for name, model, colour in (
    ("raw", raw, "#d95f02"),
    ("scaled", scaled[-1], "#7570b3"),
    ("scaled, with a larger rate and more epochs", longer[-1], "#1f4e79"),
):
    ax.loglog(model.loss_curve_, color=colour, label=name)
ax.set(xlabel="epoch", ylabel="training loss")
ax.legend()
plt.show()

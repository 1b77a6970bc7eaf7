"""
What a training went through
============================

The five displays of the package, on the yacht data. Each has `from_estimator`, and takes `ax=`.
"""

import matplotlib.pyplot as plt
import pandas as pd

from sklearn_tinymlp import (
    LossCurveDisplay,
    NetworkDisplay,
    PredictionBandDisplay,
    RelevanceDisplay,
    TinyMLPRegressor,
    TrainingStateDisplay,
)

X = pd.read_csv("data/yacht.csv")
y = X.pop("residuary_resistance")
net = TinyMLPRegressor(hidden_layer_sizes=(6,), random_state=0).fit(X, y)

# %%
# The loss of two solvers on one axis. The last point says how each ended.

adam = TinyMLPRegressor(hidden_layer_sizes=(6,), solver="adam", standardize=True, random_state=0)
adam.set_params(learning_rate=0.01, max_iter=1000).fit(X, y)
curves = LossCurveDisplay.from_estimator(net, name="lm")
LossCurveDisplay.from_estimator(adam, name="adam", ax=curves.ax_)
curves.ax_.set(xscale="log")
plt.show()

# %%
# What Levenberg-Marquardt and the evidence did, iteration by iteration.

TrainingStateDisplay.from_estimator(net)
plt.show()

# %%
# The network: lines are weights, nodes are units.

NetworkDisplay.from_estimator(net, X)
plt.show()

# %%
# The prediction over the speed, the other features at their medians.

PredictionBandDisplay.from_estimator(net, X, y, feature="froude_number")
plt.show()

# %%
# How large the weights are that leave each feature.

RelevanceDisplay.from_estimator(net)
plt.show()

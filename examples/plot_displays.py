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
# The losses of two sizes on one axis, and what ended each training.

larger = TinyMLPRegressor(hidden_layer_sizes=(20,), random_state=0).fit(X, y)
curves = LossCurveDisplay.from_estimator(net, name="6 units")
LossCurveDisplay.from_estimator(larger, name="20 units", ax=curves.ax_)
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
# How large the weights are that leave each feature. That is about weights, not about the error: the
# speed, which decides most of the resistance, comes fourth. `sklearn.inspection` asks the error.

RelevanceDisplay.from_estimator(net)
plt.show()

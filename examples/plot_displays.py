"""
What a training went through
============================

The six displays of the package, on the yacht data. Each has `from_estimator`, and takes `ax=`.
"""

import matplotlib.pyplot as plt
import pandas as pd

from sklearn_tinymlp import (
    EffectDisplay,
    ImportanceDisplay,
    LossCurveDisplay,
    NetworkDisplay,
    PredictionBandDisplay,
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
# How much the predictions change with each feature: the speed decides most of the resistance.

ImportanceDisplay.from_estimator(net)
plt.show()

# %%
# What each does on average over the data, with a band about this mean.

EffectDisplay.from_estimator(net, X, most_features=3)
plt.show()

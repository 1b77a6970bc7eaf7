"""
Displays of a network
=====================

The displays for a single network, on the yacht data. Each has `from_estimator`, with `ax=`.
"""

# sphinx_gallery_thumbnail_number = 4
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

X = pd.read_csv("../data/yacht.csv")
y = X.pop("residuary_resistance")
net = TinyMLPRegressor(hidden_layer_sizes=(6,), random_state=0).fit(X, y)

# %%
# The losses of two network sizes on one axis, with the reason why each training stopped.

larger = TinyMLPRegressor(hidden_layer_sizes=(20,), random_state=0).fit(X, y)
curves = LossCurveDisplay.from_estimator(net, name="6 units")
LossCurveDisplay.from_estimator(larger, name="20 units", ax=curves.ax_)
plt.show()

# %%
# The state of Levenberg-Marquardt and the evidence after each iteration.

TrainingStateDisplay.from_estimator(net)
plt.show()

# %%
# The network: lines are weights, nodes are units.

NetworkDisplay.from_estimator(net, X)
plt.show()

# %%
# The prediction over the speed, with the other features at their medians.

PredictionBandDisplay.from_estimator(net, X, y, feature="froude_number")
plt.show()

# %%
# Feature importances: the resistance depends mostly on the speed.

ImportanceDisplay.from_estimator(net)
plt.show()

# %%
# The mean prediction over each feature (partial dependence), with its 95% interval.

EffectDisplay.from_estimator(net, X, most_features=3)
plt.show()

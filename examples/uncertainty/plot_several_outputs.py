"""
Several outputs with their noise levels
=======================================

Weight, waist and pulse of twenty men, predicted from their chin-ups, sit-ups and jumps. One network
has three outputs, each with its own noise level and therefore its own interval width: the exercises
explain part of the variance in waist, a little of that in weight, and none in pulse.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_linnerud
from sklearn.model_selection import LeaveOneOut

from sklearn_tinymlp import TinyMLPRegressor

data = load_linnerud()
net = TinyMLPRegressor(hidden_layer_sizes=(5,), random_state=0).fit(data.data, data.target)
print(f"{net.n_effective_parameters_:.1f} of {net.n_parameters_} parameters are determined")
for name, noise, spread in zip(
    data.target_names, net.noise_std_, data.target.std(axis=0), strict=True
):
    print(f"{name:7} noise {noise:5.1f}, spread of the target {spread:5.1f}")

# %%
# Leave-one-out predictions.

predicted, std = np.empty((2, *data.target.shape))
for others, one in LeaveOneOut().split(data.data):
    net.fit(data.data[others], data.target[others])
    predicted[one], std[one] = net.predict(data.data[one], return_std=True)

figure, axes = plt.subplots(1, 3, figsize=(6.8, 3), layout="constrained")
for k, ax in enumerate(axes):
    true = data.target[:, k]
    ax.errorbar(true, predicted[:, k], 1.96 * std[:, k], fmt="o", color="#1f4e79", markersize=4)
    ax.axline((true.mean(), true.mean()), slope=1, color="0.6", linewidth=1, zorder=0)
    ax.set(xlabel="measured", title=data.target_names[k])
axes[0].set_ylabel("prediction, 95% interval")
plt.show()

"""
Comparison of activations
=========================

Any differentiable function can be an activation. Its derivative is compared with finite differences
before training. The sixth activation below is a custom one.
"""

import matplotlib.pyplot as plt
import numpy as np

from sklearn_tinymlp import Activation, TinyMLPRegressor, activations


def bump(z):
    """Compute a bell curve."""
    return np.exp(-z * z)


def bump_slope(z):
    """Compute the derivative of the bell curve."""
    return -2 * z * np.exp(-z * z)


choices = {
    "tanh": "tanh",
    "relu": "relu",
    "leaky_relu(0.2)": activations.leaky_relu(0.2),
    "softplus": "softplus",
    "sin": "sin",
    "custom bump": Activation(bump, bump_slope, output_range=(0, 1)),
}

# %%
# One hull of the yacht data: every other of its 14 speeds is used for training (black), the others
# are held out (white). Titles give the log evidence, computed from the black points, and the RMSE
# on the white ones. Shaded: the 95% prediction interval.

data = np.loadtxt("../data/yacht.csv", delimiter=",", skiprows=1)
speed, resistance = data[14:28, 5], data[14:28, 6]
grid = np.linspace(0.12, 0.46, 200)

figure, axes = plt.subplots(
    2, 3, figsize=(6.8, 4.6), layout="constrained", sharex=True, sharey=True
)
for ax, (name, activation) in zip(axes.flat, choices.items(), strict=True):
    net = TinyMLPRegressor(
        hidden_layer_sizes=(8,), activation=activation, n_init=5, max_iter=1000, random_state=0
    )
    net.fit(speed[1::2, np.newaxis], resistance[1::2])
    error = np.sqrt(np.mean((net.predict(speed[::2, np.newaxis]) - resistance[::2]) ** 2))
    mean, std = net.predict(grid[:, np.newaxis], return_std=True)
    low, high = mean - 1.96 * std, mean + 1.96 * std
    ax.fill_between(grid, low, high, color="#a6cee3")
    ax.plot(grid, mean, color="#1f4e79")
    ax.plot(speed[1::2], resistance[1::2], "o", color="black", markersize=4)
    ax.plot(speed[::2], resistance[::2], "o", color="black", markersize=4, fillstyle="none")
    ax.set(title=f"{name}\n{net.log_evidence_:.1f}, RMSE {error:.2f}", ylim=(-12, 62))
figure.supxlabel("Froude number")
figure.supylabel("resistance")
plt.show()

# %%
# With seven points the evidence is a weak guide: for the custom activation, whose error is the
# smallest, it is next to the lowest.

"""
Animation of a training
=======================

A network of five tanh units learns a curve, epoch by epoch. Its prediction is the sum of a constant
and five smooth steps, one for each unit: watch them move into place while the loss falls.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.animation import FuncAnimation

from sklearn_tinymlp import TinyMLPRegressor

rng = np.random.default_rng(0)
X = np.sort(rng.uniform(-3, 3, (60, 1)), axis=0)
y = np.sin(2 * X.ravel()) + 0.1 * X.ravel() ** 2 + 0.1 * rng.standard_normal(60)
grid = np.linspace(-3, 3, 200)[:, np.newaxis]

# Epochs shown: most changes happen in the first ones.
epochs = np.unique(np.geomspace(1, 600, 10).astype(int))


def watched(net, X, y, grid):
    """Train epoch by epoch; return the weights and losses at the epochs shown."""
    snapshots = []
    for epoch in range(1, epochs[-1] + 1):
        net.partial_fit(X, y)
        if epoch in epochs:
            weights = [array.copy() for array in (*net.coefs_, *net.intercepts_)]
            snapshots.append((weights, net.predict(grid)))
    return snapshots, np.array(net.loss_curve_)


# %%
# The whole training
# ------------------
# Each call of `partial_fit` is one epoch. The contribution of a unit is its activation times the
# weight to the output (thin lines). The thick line is their sum plus the output's intercept.

net = TinyMLPRegressor(
    hidden_layer_sizes=(5,), solver="adam", learning_rate=0.05, batch_size=20, standardize=True,
    random_state=3,
)  # fmt: skip
snapshots, losses = watched(net, X, y, grid)


def shares(weights):
    """Compute the contribution of each hidden unit to the prediction on the grid."""
    coefs_1, coefs_2, intercepts_1, _ = weights
    return np.tanh(grid @ coefs_1 + intercepts_1) * coefs_2.T


weights, prediction = snapshots[-1]
np.testing.assert_allclose(shares(weights).sum(axis=1) + weights[-1], prediction)  # nothing else

figure, (left, right) = plt.subplots(1, 2, figsize=(6.4, 3), dpi=80)
left.plot(X, y, ".", color="0.6")
units = [left.plot(grid, 0 * grid, lw=1, alpha=0.7)[0] for _ in range(5)]
(fit,) = left.plot(grid, 0 * grid, color="black", lw=2.5)
left.set(xlabel="x", ylabel="y", ylim=(-2.5, 3.0), title="after epoch 1")
right.loglog(np.arange(1, len(losses) + 1), losses, color="0.8")
(path,) = right.loglog([], [], color="#1f4e79")
right.set(xlabel="epoch", ylabel="loss")
figure.tight_layout()  # once, not for each frame


def draw(frame):
    """Show the network after an epoch."""
    weights, prediction = snapshots[frame]
    for unit, share in zip(units, shares(weights).T, strict=True):
        unit.set_ydata(share)
    fit.set_ydata(prediction)
    path.set_data(np.arange(1, epochs[frame] + 1), losses[: epochs[frame]])
    left.set_title(f"after epoch {epochs[frame]}")
    return [*units, fit, path]


animation = FuncAnimation(figure, draw, frames=len(epochs), interval=300)
plt.show()

# %%
# Three points, with and without bias
# -----------------------------------
# The same for three leaky ReLU units trained on one point at a time. Without bias the prediction is
# a line through the origin, and rotates to the best such line. With bias it can leave the origin,
# and fits the points. :ref:`One of these steps by hand
# <sphx_glr_auto_examples_teaching_plot_step_by_hand.py>`.

points, values = np.array([[1.0], [2.0], [3.0]]), np.array([5.0, 4.0, 3.0])
line_x = np.linspace(-0.5, 4, 100)[:, np.newaxis]
runs = {}
for bias in (False, True):
    net = TinyMLPRegressor(
        hidden_layer_sizes=(3,), activation="leaky_relu", output_activation="leaky_relu", bias=bias,
        solver="sgd", learning_rate=0.01, momentum=0.0, alpha=0.0, batch_size=1, shuffle=False,
        init="uniform", random_state=0,
    )  # fmt: skip
    runs[bias] = watched(net, points, values, line_x)

figure, (plane, curve) = plt.subplots(1, 2, figsize=(6.4, 3), dpi=80)
plane.plot(points, values, "o", color="black")
plane.axhline(0, color="0.8", lw=0.8)
plane.axvline(0, color="0.8", lw=0.8)
plane.set(xlabel="x", ylabel="y", ylim=(-1, 7), title="after epoch 1")
curve.set(xlabel="epoch", ylabel="loss")
lines = {}
for bias, colour in ((False, "#d95f02"), (True, "#1f4e79")):
    (line,) = plane.plot(line_x, 0 * line_x, color=colour, lw=2, label=f"bias={bias}")
    curve.loglog(np.arange(1, epochs[-1] + 1), runs[bias][1], color=colour, alpha=0.2)
    lines[bias] = line, curve.loglog([], [], color=colour)[0]
plane.legend(loc="lower right")
figure.tight_layout()


def draw_both(frame):
    """Show both networks after an epoch."""
    for bias, (line, path) in lines.items():
        snapshots, losses = runs[bias]
        line.set_ydata(snapshots[frame][1])
        path.set_data(np.arange(1, epochs[frame] + 1), losses[: epochs[frame]])
    plane.set_title(f"after epoch {epochs[frame]}")
    return [artist for pair in lines.values() for artist in pair]


animation_of_both = FuncAnimation(figure, draw_both, frames=len(epochs), interval=300)
plt.show()

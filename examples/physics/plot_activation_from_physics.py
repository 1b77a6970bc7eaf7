"""
Activation from physics
=======================

Turbulent flow through a pipe is proportional to the square root of the pressure: steep at zero,
never flat. A tanh network has to learn this shape; a network with a square root as activation has
it built in, and extrapolates better. An activation is a Python function and its derivative.
"""

import matplotlib.pyplot as plt
import numpy as np

from sklearn_tinymlp import Activation, TinyMLPRegressor


def root(z):
    """Compute a signed square root, smooth at zero."""
    return z / (1.0 + z * z) ** 0.25


def slope(z):
    """Compute its derivative."""
    return (1.0 + 0.5 * z * z) / (1.0 + z * z) ** 1.25


turbulent = Activation(root, slope, name="root")

rng = np.random.default_rng(0)
pressure = rng.uniform(-3, 3, 40)
flow = np.sign(pressure) * np.sqrt(np.abs(pressure)) + 0.03 * rng.standard_normal(40)
grid = np.linspace(-9, 9, 300)

figure, ax = plt.subplots(figsize=(5, 3.4), layout="constrained")
ax.axvspan(-3, 3, color="0.93")
ax.plot(grid, np.sign(grid) * np.sqrt(np.abs(grid)), "--", color="0.3", label="truth")
for activation, colour in (("tanh", "#d95f02"), (turbulent, "#1f4e79")):
    net = TinyMLPRegressor(hidden_layer_sizes=(4,), activation=activation, random_state=0)
    net.fit(pressure[:, np.newaxis], flow)
    curve = net.predict(grid[:, np.newaxis])
    name = getattr(activation, "name", activation)
    truth = np.sign(grid) * np.sqrt(np.abs(grid))
    print(f"{name}: error {np.sqrt(np.mean((curve - truth) ** 2)):.2f} up to three times the range")
    ax.plot(grid, curve, color=colour, label=name)
ax.plot(pressure, flow, ".", color="black", label="data")
ax.set(xlabel="pressure", ylabel="flow")
ax.legend(loc="upper left")
plt.show()

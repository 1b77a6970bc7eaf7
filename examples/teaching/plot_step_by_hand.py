"""
Training step by hand
=====================

A network with one input, three leaky ReLU units and one output learns 1 → 5, 2 → 4, 3 → 3, one
point after the other. This page shows a complete training step in a dozen lines of NumPy, with all
intermediate numbers, and compares it with the package.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np

from sklearn_tinymlp import TinyMLPRegressor

X, y = np.array([[1.0], [2.0], [3.0]]), np.array([5.0, 4.0, 3.0])

# Weights simple enough to follow with a pencil: W1 connects the input to the units, W2 the units to
# the output.
W1, b1 = np.array([[0.5, -0.4, 0.2]]), np.array([0.1, 0.2, -0.3])
W2, b2 = np.array([[0.6], [-0.5], [0.3]]), np.array([0.4])
rate = 0.01


def f(z):
    """Compute the leaky ReLU."""
    return np.where(z > 0, z, 0.01 * z)


def df(z):
    """Compute its slope."""
    return np.where(z > 0, 1.0, 0.01)


# %%
# Forward
# -------
# A unit computes the weighted sum of its inputs plus its bias, :math:`z_1 = x W_1 + b_1`, and from
# it the activation :math:`a_1 = f(z_1)`. The output unit does the same with the activations of the
# hidden units.

x, target = X[0], y[0]
z1 = x @ W1 + b1
a1 = f(z1)
z2 = a1 @ W2 + b2
a2 = f(z2)
print(f"x  = {x}")
print(f"z1 = {z1}    x W1 + b1")
print(f"a1 = {a1}    f(z1)")
print(f"z2 = {z2}    a1 W2 + b2")
print(f"a2 = {a2}    f(z2), the prediction; it should be {target}")
print(f"loss = {0.5 * (a2[0] - target) ** 2:.4f}    (a2 - y)² / 2")

# %%
# Backward
# --------
# The delta of a unit is the derivative of the loss by its z. At the output it is the error times
# the slope of the activation. For a hidden unit it is the delta of the output, times the weight
# between the two, times the slope of the hidden unit.

delta2 = (a2 - target) * df(z2)
delta1 = (W2 @ delta2) * df(z1)
print(f"delta2 = {delta2}    (a2 - y) f'(z2)")
print(f"delta1 = {delta1}    (W2 delta2) f'(z1)")

# %%
# The derivative of the loss by a weight is the value before the weight times the delta after it; by
# a bias it is the delta.

slopes = {"W1": np.outer(x, delta1), "b1": delta1, "W2": np.outer(a1, delta2), "b2": delta2}
for name, slope in slopes.items():
    print(f"slope by {name} = {slope.ravel()}")

# %%
# Update
# ------
# The learning rate times its derivative is subtracted from each weight. All derivatives are
# computed **before** any weight changes; `delta1` computed from the new `W2` would be wrong.

stepped = [old - rate * slopes[name] for name, old in zip(slopes, (W1, b1, W2, b2), strict=True)]
for name, new in zip(slopes, stepped, strict=True):
    print(f"new {name} = {new.ravel()}")

# %%
# From the same weights, one epoch of the package on the first point gives the same step.

settings = {
    "hidden_layer_sizes": (3,),
    "activation": "leaky_relu",
    "output_activation": "leaky_relu",
    "solver": "sgd",
    "learning_rate": rate,
    "batch_size": 1,
    "shuffle": False,
    "momentum": 0.0,
    "alpha": 0.0,
    "tol": 0.0,
    "n_iter_no_change": np.inf,
}


def by_package(X, y, n_epochs, bias=True):
    """Train the same network from the same weights."""
    net = TinyMLPRegressor(max_iter=n_epochs, bias=bias, **settings)
    intercepts = [b1, b2] if bias else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a ConvergenceWarning
        return net.fit(X, y, coefs_init=[W1, W2], intercepts_init=intercepts)


net = by_package(X[:1], y[:1], 1)
weights = [net.coefs_[0], net.intercepts_[0], net.coefs_[1], net.intercepts_[1]]
for name, mine, its in zip(slopes, stepped, weights, strict=True):
    print(f"{name}: largest difference {np.abs(mine - its).max():.1e}")
    np.testing.assert_allclose(mine, its, rtol=1e-12)

# %%
# Many epochs
# -----------
# An epoch is one pass over the three points. The lines above, in a loop:


def train(n_epochs, bias=True):
    """Train by hand; return the predictions and the loss after each epoch."""
    w1, w2, losses = W1.copy(), W2.copy(), []
    c1, c2 = (b1.copy(), b2.copy()) if bias else (np.zeros(3), np.zeros(1))
    for _ in range(n_epochs):
        loss = 0.0
        for x, target in zip(X, y, strict=True):
            z1 = x @ w1 + c1
            a1 = f(z1)
            z2 = a1 @ w2 + c2
            a2 = f(z2)
            delta2 = (a2 - target) * df(z2)
            delta1 = (w2 @ delta2) * df(z1)
            w1 -= rate * np.outer(x, delta1)
            w2 -= rate * np.outer(a1, delta2)
            if bias:
                c1 -= rate * delta1
                c2 -= rate * delta2
            loss += 0.5 * (a2[0] - target) ** 2
        losses.append(loss)
    return f(f(X @ w1 + c1) @ w2 + c2).ravel(), losses


curves = {}
for bias in (True, False):
    for n_epochs in (1, 10, 300):
        predictions, curves[bias] = train(n_epochs, bias)
        net = by_package(X, y, n_epochs, bias)
        np.testing.assert_allclose(predictions, net.predict(X), rtol=1e-9)
        np.testing.assert_allclose(curves[bias], 3 * np.array(net.loss_curve_), rtol=1e-6)
        print(
            f"bias={bias!s:5} {n_epochs:3} epochs: loss {curves[bias][-1]:.4f}",
            predictions.round(3),
        )

# %%
# With bias the loss goes to zero. Without bias it does not: the three points lie on y = 6 - x, and
# a leaky ReLU network without bias is a line through the origin for x > 0. The best such line has a
# loss of 7.71.

figure, (left, right) = plt.subplots(
    1, 2, figsize=(7.6, 3.4), width_ratios=(1.4, 1), layout="constrained"
)
places = {"x": (0, 1), "a2": (2, 1)} | {f"unit {j}": (1, 2 - j) for j in range(3)}
for j in range(3):
    for start, end, weight in (("x", f"unit {j}", W1[0, j]), (f"unit {j}", "a2", W2[j, 0])):
        (x0, y0), (x1, y1) = places[start], places[end]
        left.plot([x0, x1], [y0, y1], color="0.7", zorder=0)
        label = {"color": "#1f4e79", "ha": "center", "va": "center", "backgroundcolor": "white"}
        left.text(0.55 * x0 + 0.45 * x1, 0.55 * y0 + 0.45 * y1, f"{weight:g}", **label)
labels = [f"x = {x[0]:g}", f"{a2[0]:.3f}", *(f"{value:.3f}" for value in a1)]
deltas = ["", *(f"delta {delta:.3f}" for delta in (*delta2, *delta1))]
for (px, py), label, delta in zip(places.values(), labels, deltas, strict=True):
    left.scatter(px, py, s=1500, color="white", edgecolor="black")
    left.text(px, py, label, ha="center", va="center", fontsize=9)
    left.text(px, py - 0.48, delta, ha="center", color="#d95f02", fontsize=9)
left.set(xlim=(-0.3, 2.3), ylim=(-0.7, 2.4), title="1 → 5: forward, and the deltas back")
left.set_axis_off()
for bias, colour in ((True, "#1f4e79"), (False, "#d95f02")):
    right.loglog(np.arange(1, 301), curves[bias], color=colour, label=f"bias={bias}")
right.axhline(7.71, color="0.5", linestyle=":", label="best line through the origin")
right.set(xlabel="epoch", ylabel="summed loss", title="300 epochs")
right.legend()
plt.show()

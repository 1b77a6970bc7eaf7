"""
Noise of varying size
=====================

A sensor is accurate near zero and noisy far from it. Intervals of constant width are too wide near
zero and too narrow elsewhere; ``noise="varying"`` also fits their width.
"""

import matplotlib.pyplot as plt
import numpy as np

from sklearn_tinymlp import TinyMLPRegressor

rng = np.random.default_rng(0)
x = np.sort(rng.uniform(0, 4, 400))
width = 0.03 + 0.12 * x**1.5
y = np.cos(2 * x) + width * rng.standard_normal(x.size)
X = x[:, np.newaxis]

figure, axes = plt.subplots(1, 2, figsize=(6.8, 3.2), sharey=True, layout="constrained")
for ax, noise in zip(axes, ("constant", "varying"), strict=True):
    net = TinyMLPRegressor(noise=noise, random_state=0).fit(X, y)
    low, high = net.predict_interval(X, coverage=0.9).T
    held = (low <= y) & (y <= high)
    print(f"{noise}: {held[:200].mean():.2f} of the left half held, {held[200:].mean():.2f} right")
    ax.fill_between(x, low, high, color="#a6cee3", label="90% interval")
    ax.plot(x, net.predict(X), color="#1f4e79", label="prediction")
    ax.plot(x, y, ".", color="black", markersize=3)
    ax.set(title=f"noise={noise!r}", xlabel="x")
axes[0].legend(loc="upper left")
plt.show()

# %%
# The estimated noise level is a function of X, shown with the truth:

for at in (0.5, 2.0, 3.5):
    print(f"x = {at}: {net.noise_std_([[at]])[0]:.3f}, the truth is {0.03 + 0.12 * at**1.5:.3f}")

"""
Prediction interval in a gap
============================

By default each prediction has a standard deviation, which combines the noise with the uncertainty
of the curve. It is larger where data are missing. The data are synthetic, so the truth is known.
"""

import matplotlib.pyplot as plt
import numpy as np

from sklearn_tinymlp import TinyMLPRegressor

rng = np.random.default_rng(0)
x = np.concatenate([rng.uniform(-3, -0.8, 40), rng.uniform(0.8, 3, 40)])
y = np.sin(2 * x) + 0.15 * rng.standard_normal(x.size)

net = TinyMLPRegressor(random_state=0).fit(x[:, np.newaxis], y)
print(f"noise_std_ {net.noise_std_:.3f}, the truth is 0.15")
print(f"{net.n_effective_parameters_:.1f} of {net.n_parameters_} parameters are determined")

# %%
# Thin lines are draws from the posterior, each from one network, with its noise.

grid = np.linspace(-4, 4, 300)
mean, std = net.predict(grid[:, np.newaxis], return_std=True)
draws = net.sample_y(grid[:, np.newaxis], n_samples=3)

figure, ax = plt.subplots(figsize=(5, 3.4), layout="constrained")
low, high = mean - 1.96 * std, mean + 1.96 * std
ax.fill_between(grid, low, high, color="#a6cee3", label="95% interval")
ax.plot(grid, draws, color="0.5", linewidth=0.4)
ax.plot(grid, mean, color="#1f4e79", label="prediction")
ax.plot(grid, np.sin(2 * grid), "--", color="#d95f02", linewidth=1, label="truth")
ax.plot(x, y, ".", color="black", label="data")
ax.set(xlabel="x", ylabel="y", ylim=(-3, 3))
ax.legend(loc="upper left", ncols=2)
plt.show()

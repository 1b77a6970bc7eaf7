"""
Quantile regression
===================

Delivery times are seldom much shorter than usual, and sometimes much longer. Networks for several
quantiles describe the distribution without assumptions on its shape.
"""

import matplotlib.pyplot as plt
import numpy as np

from sklearn_tinymlp import TinyMLPRegressor

rng = np.random.default_rng(0)
hour = rng.uniform(6, 22, 1500)
usual = 30 + 12 * np.exp(-((hour - 8) ** 2) / 2) + 18 * np.exp(-((hour - 17) ** 2) / 4)
minutes = usual * np.exp(0.25 * rng.standard_normal(hour.size) + 0.02 * (usual - 30))
X, new = hour[:1000, np.newaxis], hour[1000:, np.newaxis]

grid = np.linspace(6, 22, 200)[:, np.newaxis]
figure, ax = plt.subplots(figsize=(5, 3.4), layout="constrained")
ax.plot(hour[:1000], minutes[:1000], ".", color="0.7", markersize=3)
for quantile, colour in ((0.05, "#1b9e77"), (0.5, "#1f4e79"), (0.95, "#d95f02")):
    net = TinyMLPRegressor("quantile", (10,), quantile=quantile, random_state=0)
    net.fit(X, minutes[:1000])
    below = np.mean(minutes[1000:] <= net.predict(new))
    print(f"quantile {quantile}: {below:.3f} of 500 new deliveries are below")
    ax.plot(grid, net.predict(grid), color=colour, label=f"{quantile:.0%} are faster")
ax.set(xlabel="hour of the day", ylabel="minutes")
ax.legend()
plt.show()

"""
Forecasts from lagged values
============================

Sunspot numbers have an irregular cycle of about eleven years. The inputs are the last nine years;
each forecast is an input of the next one, and draws from the posterior show how quickly the
uncertainty grows.

Data: yearly means, 1900 to 2008, from the World Data Center SILSO, Royal Observatory of Belgium, in
the version used before 2015.
"""

import matplotlib.pyplot as plt
import numpy as np

from sklearn_tinymlp import TinyMLPRegressor

table = """
    9.5 2.7 5.0 24.4 42.0 63.5 53.8 62.0 48.5 43.9 18.6 5.7 3.6 1.4 9.6 47.4 57.1 103.9 80.6 63.6
    37.6 26.1 14.2 5.8 16.7 44.3 63.9 69.0 77.8 64.9 35.7 21.2 11.1 5.7 8.7 36.1 79.7 114.4 109.6
    88.8 67.8 47.5 30.6 16.3 9.6 33.2 92.6 151.6 136.3 134.7 83.9 69.4 31.5 13.9 4.4 38.0 141.7
    190.2 184.8 159.0 112.3 53.9 37.5 27.9 10.2 15.1 47.0 93.8 105.9 105.5 104.5 66.6 68.9 38.0
    34.5 15.5 12.6 27.5 92.5 155.4 154.6 140.4 115.9 66.6 45.9 17.9 13.4 29.4 100.2 157.6 142.6
    145.7 94.3 54.6 29.9 17.5 8.6 21.5 64.3 93.3 119.6 111.0 104.0 63.7 40.4 29.8 15.2 7.5 2.9
"""
series = np.sqrt(np.array(table.split(), dtype=float))  # stabilises the variance
year, lags, known = 1900 + np.arange(len(series)), 9, 92

rows = np.lib.stride_tricks.sliding_window_view(series, lags + 1)
X, y = rows[: known - lags, :-1], rows[: known - lags, -1]
net = TinyMLPRegressor(hidden_layer_sizes=(6,), random_state=0).fit(X, y)
print(f"noise_std_ {net.noise_std_:.2f}, {net.n_effective_parameters_:.0f} parameters determined")

# %%
# Two hundred simulated futures: each year is a draw, and an input of the next.

past = np.tile(series[known - lags : known], (200, 1))
for step in range(len(series) - known):
    mean, std = net.predict(past[:, -lags:], return_std=True)
    draw = mean + std * np.random.default_rng(step).standard_normal(len(past))
    past = np.column_stack([past, np.maximum(draw, 0.0)])
low, middle, high = np.quantile(past[:, lags:] ** 2, [0.05, 0.5, 0.95], axis=0)

figure, ax = plt.subplots(figsize=(5.5, 3.4), layout="constrained")
ax.plot(year, series**2, ".-", color="0.4", linewidth=0.8, label="counted")
ax.fill_between(year[known:], low, high, color="#a6cee3", label="90% of the futures")
ax.plot(year[known:], middle, color="#1f4e79", label="their median")
ax.axvline(year[known] - 0.5, color="#d95f02", linewidth=1)
ax.set(xlabel="year", ylabel="sunspots")
ax.legend(loc="upper left")
plt.show()
held = np.mean((low <= series[known:] ** 2) & (series[known:] ** 2 <= high))
print(f"{held:.0%} of the {len(series) - known} years held back lie within")

"""
Spectra with 400 channels and 60 samples
========================================

Near-infrared spectra have many channels and few samples. Pilot networks drop irrelevant channels
and the evidence sets the penalty, so nothing needs tuning. The spectra are synthetic, three
absorption bands on a drifting baseline. (With as many weights as samples the predictions are more
reliable than their intervals.)
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.cross_decomposition import PLSRegression

from sklearn_tinymlp import TinyMLPRegressor

rng = np.random.default_rng(0)
channel = np.linspace(0, 1, 400)
amounts = rng.uniform(0, 1, (360, 3))
bands = np.exp(-((channel - np.array([[0.25], [0.5], [0.8]])) ** 2) / 0.004)
baseline = rng.uniform(0, 0.3, (360, 1)) + rng.uniform(-0.2, 0.2, (360, 1)) * channel
spectra = amounts @ bands + baseline + 0.01 * rng.standard_normal((360, 400))
fat = amounts[:, 0] ** 1.5 * (1 + 0.5 * amounts[:, 1]) + 0.03 * rng.standard_normal(360)

X, new, y, y_new = spectra[:60], spectra[60:], fat[:60], fat[60:]
net = TinyMLPRegressor(random_state=0).fit(X, y)
pls = PLSRegression(n_components=8).fit(X, y)
mean = net.predict(new)
print(f"network: R² {net.score(new, y_new):.4f} on 300 new samples")
print(f"partial least squares, 8 components: R² {pls.score(new, y_new):.4f}")

figure, (left, right) = plt.subplots(1, 2, figsize=(6.8, 3.2), layout="constrained")
left.plot(channel, X[:8].T, linewidth=0.8)
left.set(title="eight of the spectra", xlabel="channel")
right.plot(y_new, pls.predict(new).ravel(), ".", color="0.6", label="partial least squares")
right.plot(y_new, mean, ".", color="#1f4e79", label="network")
right.axline((0, 0), slope=1, color="#d95f02", linewidth=1)
right.set(title="300 new samples", xlabel="fat", ylabel="predicted")
right.legend()
plt.show()

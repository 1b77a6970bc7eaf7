"""
Robust loss for outliers
========================

One row in ten is grossly wrong: a misplaced decimal point, a broken sensor. With squared errors
such rows dominate the fit. The loss of Student's t is robust to them, and the evidence also finds
its penalty. `diagnose` recommends it when residuals have long tails.
"""

import matplotlib.pyplot as plt
import numpy as np

from sklearn_tinymlp import TinyMLPRegressor

rng = np.random.default_rng(0)
x = np.sort(rng.uniform(-3, 3, 200))
truth = np.sin(1.5 * x) + 0.3 * x
y = truth + 0.1 * rng.standard_normal(x.size)
wrong = rng.random(x.size) < 0.1
y[wrong] += 2.0 * rng.standard_normal(wrong.sum())
X = x[:, np.newaxis]

squared = TinyMLPRegressor(random_state=0).fit(X, y)
print(squared.diagnose(X, y))

# %%
# Apply the remedy.

robust = TinyMLPRegressor(loss="student_t", random_state=0).fit(X, y)
for name, net in (("squared_error", squared), ("student_t", robust)):
    error = np.sqrt(np.mean((net.predict(X) - truth) ** 2))
    print(f"{name}: error {error:.3f} against the truth, noise_std_ {net.noise_std_:.2f}")

figure, axes = plt.subplots(1, 2, figsize=(6.8, 3.2), sharey=True, layout="constrained")
for ax, name, net in zip(axes, ("squared_error", "student_t"), (squared, robust), strict=True):
    mean, std = net.predict(X, return_std=True)
    ax.fill_between(x, mean - 1.96 * std, mean + 1.96 * std, color="#a6cee3", label="95% interval")
    ax.plot(x, truth, "--", color="#d95f02", label="truth")
    ax.plot(x, mean, color="#1f4e79", label="prediction")
    ax.plot(x, y, ".", color="black", markersize=3)
    ax.set(title=f"loss={name!r}", xlabel="x", ylim=(-3.5, 3.5))
axes[0].legend(loc="lower right")
plt.show()

"""
Early stopping on held-out groups
=================================

The yacht experiments cover 22 hulls at 14 speeds each. To measure how well new hulls are predicted,
the validation set must consist of whole hulls; a random tenth of the rows, as `MLPRegressor` holds
out, contains the same hulls as the training rows. Here the validation set is an argument of `fit`.
"""

import matplotlib.pyplot as plt
import numpy as np

from sklearn_tinymlp import TinyMLPRegressor

data = np.loadtxt("../data/yacht.csv", delimiter=",", skiprows=1)
X, y = data[:, :-1], data[:, -1]
hull = np.arange(len(X)) // 14
held_out = hull % 4 == 0
print(f"{len(np.unique(hull[held_out]))} of {hull.max() + 1} hulls are held out")

net = TinyMLPRegressor(
    hidden_layer_sizes=(20,),
    solver="adam",
    learning_rate=0.01,
    standardize=True,
    early_stopping=True,
    n_iter_no_change=100,
    max_iter=5000,
    random_state=0,
)
net.fit(X[~held_out], y[~held_out], X_val=X[held_out], y_val=y[held_out])
print(net.converged_, net.stop_reason_, f"R² {net.best_validation_score_:.4f}")

# %%
# `history_` has both losses for each epoch. The weights of the best score are kept.

best = int(np.argmax(net.history_["validation_score"]))
figure, ax = plt.subplots(figsize=(5, 3.4), layout="constrained")
ax.loglog(net.history_["loss"], color="#1f4e79", label="training rows")
ax.loglog(net.history_["validation_loss"], color="#d95f02", label="hulls held out")
ax.axvline(best, color="0.5", linestyle=":", label=f"best score, epoch {best + 1}")
ax.set(xlabel="epoch", ylabel="loss")
ax.legend()
plt.show()

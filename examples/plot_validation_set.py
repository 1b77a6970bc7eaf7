"""
Early stopping with a validation set of one's own
=================================================

The yacht experiments come from 22 hulls, 14 speeds each. To predict hulls that were never towed,
the validation set must be whole hulls; a random tenth of the rows, as `MLPRegressor` takes, has the
same hulls as the training rows. Here the set is handed to `fit`.
"""

import matplotlib.pyplot as plt
import numpy as np

from sklearn_tinymlp import TinyMLPRegressor

data = np.loadtxt("data/yacht.csv", delimiter=",", skiprows=1)
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
# `history_` has both losses, epoch by epoch. The weights kept are those of the best score.

best = int(np.argmax(net.history_["validation_score"]))
figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
ax.loglog(net.history_["loss"], color="#1f4e79", label="training rows")
ax.loglog(net.history_["validation_loss"], color="#d95f02", label="hulls held out")
ax.axvline(best, color="0.5", linestyle=":", label=f"best score, epoch {best + 1}")
ax.set(xlabel="epoch", ylabel="loss")
ax.legend()
plt.show()

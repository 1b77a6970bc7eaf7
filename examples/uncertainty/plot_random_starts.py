"""
Evidence and test error of random starts
========================================

Training from different start weights rarely ends in the same network. `n_init` trains several and
keeps the one of greatest evidence, without a hold-out. Does greater evidence mean smaller test
error? Here the networks from eight starts are compared on test rows.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import train_test_split

from sklearn_tinymlp import TinyMLPRegressor

data = np.loadtxt("../data/yacht.csv", delimiter=",", skiprows=1)
X_train, X_test, y_train, y_test = train_test_split(data[:, :-1], data[:, -1], random_state=0)

evidence, error = [], []
for seed in range(8):
    net = TinyMLPRegressor(random_state=seed).fit(X_train, y_train)
    evidence.append(net.log_evidence_)
    error.append(np.sqrt(np.mean((net.predict(X_test) - y_test) ** 2)))
print(f"correlation {np.corrcoef(evidence, error)[0, 1]:.2f}")

# %%
# The same within one estimator: `starts_` has a row for each start.

best = TinyMLPRegressor(n_init=8, random_state=0).fit(X_train, y_train)
print("iterations:", best.starts_["n_iter"])
kept = np.sqrt(np.mean((best.predict(X_test) - y_test) ** 2))
print(f"test RMSE {kept:.2f}; of single starts {np.median(error):.2f} in the median")

figure, ax = plt.subplots(figsize=(5, 3.4), layout="constrained")
ax.plot(evidence, error, "o", color="#1f4e79", label="single starts")
ax.plot(best.log_evidence_, kept, "*", color="#d95f02", markersize=14, label="n_init=8")
ax.set(xlabel="log evidence on the training rows", ylabel="RMSE on test rows")
ax.legend()
plt.show()

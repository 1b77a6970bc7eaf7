"""
Target loss for four solvers
============================

`loss_tol` is a target: training ends as soon as the loss reaches it. Solvers can then be compared
by the number of iterations to the same loss.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.exceptions import ConvergenceWarning

from sklearn_tinymlp import TinyMLPRegressor

warnings.simplefilter("ignore", ConvergenceWarning)  # stop_reason_ is printed instead

data = np.loadtxt("../data/yacht.csv", delimiter=",", skiprows=1)
X, y = data[:, :-1], data[:, -1] / data[:, -1].std()
target = 1e-3

# %%
# Four solvers minimise the same loss (`alpha` is fixed) from the same start weights. `tol=0` and a
# large `n_iter_no_change` disable all other stopping rules.

figure, ax = plt.subplots(figsize=(5, 3.4), layout="constrained")
for solver, options, colour in (
    ("lm", {}, "#1f4e79"),
    ("lbfgs", {"max_iter": 2000}, "#1b9e77"),
    ("adam", {"learning_rate": 0.01, "max_iter": 3000}, "#d95f02"),
    ("sgd", {"learning_rate": 0.05, "max_iter": 3000}, "#7570b3"),
):
    net = TinyMLPRegressor(
        solver=solver,
        alpha=1e-4,
        standardize=True,
        loss_tol=target,
        tol=0,
        n_iter_no_change=np.inf,
        random_state=0,
    )
    net.set_params(**options).fit(X, y)
    print(f"{solver:6} {net.stop_reason_:10} {net.n_iter_:5} iterations, loss {net.loss_:.5f}")
    ax.loglog(np.arange(1, net.n_iter_ + 1), net.loss_curve_, color=colour, label=solver)
ax.axhline(target, color="0.5", linestyle=":", label="loss_tol")
ax.set(xlabel="iteration or epoch", ylabel="loss")
ax.legend()
plt.show()

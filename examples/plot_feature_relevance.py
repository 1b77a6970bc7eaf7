"""
Which features matter
=====================

Progress of diabetes after a year, from ten measurements of 442 patients. `feature_relevance_` is
the size of the weights that leave each standardised input. Beside it, for comparison, how much R²
is lost on held-out patients when a column is shuffled: that asks the predictions, not the weights.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.inspection import permutation_importance
from sklearn.model_selection import train_test_split

from sklearn_tinymlp import TinyMLPRegressor

data = load_diabetes()
X_train, X_test, y_train, y_test = train_test_split(data.data, data.target, random_state=0)

net = TinyMLPRegressor(hidden_layer_sizes=(5,), random_state=0).fit(X_train, y_train)
print(f"R² {net.score(X_test, y_test):.3f} on {len(X_test)} held-out patients")
print(f"{net.n_effective_parameters_:.1f} of {net.n_parameters_} parameters are determined")

# %%
# Both agree on the first two. They are not the same question: six of the features are blood values
# that go together (s1 to s6), so that the weights of one can make good for those of another.

shuffled = permutation_importance(net, X_test, y_test, n_repeats=10, random_state=0)
order = np.argsort(net.feature_relevance_)
names = np.array(data.feature_names)[order]

figure, axes = plt.subplots(1, 2, figsize=(9, 4), layout="constrained", sharey=True)
axes[0].barh(names, net.feature_relevance_[order], color="#1f4e79")
axes[0].set_xlabel("feature_relevance_")
spread = shuffled.importances_std[order]
axes[1].barh(names, shuffled.importances_mean[order], xerr=spread, color="#8cc6ec")
axes[1].set_xlabel("loss of R² when shuffled")
plt.show()

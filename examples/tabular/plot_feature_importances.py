"""
Feature importances and effects
===============================

Disease progression one year after ten measurements of 442 diabetes patients.
`feature_importances_` measures how much predictions change when a feature takes the values of other
patients. `permutation_importance` measures how much R² on held-out patients falls when the feature
is shuffled.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.feature_selection import SelectFromModel
from sklearn.inspection import permutation_importance
from sklearn.model_selection import train_test_split

from sklearn_tinymlp import EffectDisplay, TinyMLPRegressor

data = load_diabetes(as_frame=True)
X_train, X_test, y_train, y_test = train_test_split(data.data, data.target, random_state=0)

net = TinyMLPRegressor(hidden_layer_sizes=(5,), random_state=0).fit(X_train, y_train)
print(f"R² {net.score(X_test, y_test):.3f} on {len(X_test)} held-out patients")
print(f"{net.n_effective_parameters_:.1f} of {net.n_parameters_} parameters are determined")

# %%
# Six of the features are correlated blood values (s1 to s6), which can replace each other: another
# fit may rank them differently.

shuffled = permutation_importance(net, X_test, y_test, n_repeats=10, random_state=0)
order = np.argsort(net.feature_importances_)
names = np.array(data.feature_names)[order]

figure, axes = plt.subplots(1, 2, figsize=(6.8, 3.4), layout="constrained", sharey=True)
axes[0].barh(names, net.feature_importances_[order], color="#1f4e79")
axes[0].set_xlabel("feature_importances_")
spread = shuffled.importances_std[order]
axes[1].barh(names, shuffled.importances_mean[order], xerr=spread, color="#8cc6ec")
axes[1].set_xlabel("loss of R² when shuffled")
plt.show()

# %%
# Partial dependence: the mean prediction over each, with 95% intervals. Ticks mark deciles.

EffectDisplay.from_estimator(
    net, X_train, features=np.argsort(-net.feature_importances_)[:3], target_name="progress"
)
plt.show()

# %%
# scikit-learn's feature selection accepts the network without further arguments.

chosen = SelectFromModel(net, prefit=True).get_support()
print("more important than the mean:", *np.array(data.feature_names)[chosen])

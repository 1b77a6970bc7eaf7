"""
Which features matter
=====================

Progress of diabetes after a year, from ten measurements of 442 patients. `feature_importances_` is
how much the predictions change where a feature takes the values of other patients. Beside it, how
much R² is lost on held-out patients when a column is shuffled: the same question, put to the error.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.feature_selection import SelectFromModel
from sklearn.inspection import permutation_importance
from sklearn.model_selection import train_test_split

from sklearn_tinymlp import EffectDisplay, TinyMLPRegressor

data = load_diabetes()
X_train, X_test, y_train, y_test = train_test_split(data.data, data.target, random_state=0)

net = TinyMLPRegressor(hidden_layer_sizes=(5,), random_state=0).fit(X_train, y_train)
print(f"R² {net.score(X_test, y_test):.3f} on {len(X_test)} held-out patients")
print(f"{net.n_effective_parameters_:.1f} of {net.n_parameters_} parameters are determined")

# %%
# Six of the features are blood values that go together (s1 to s6), so that one can make good for
# another: their order is that of this fit.

shuffled = permutation_importance(net, X_test, y_test, n_repeats=10, random_state=0)
order = np.argsort(net.feature_importances_)
names = np.array(data.feature_names)[order]

figure, axes = plt.subplots(1, 2, figsize=(9, 4), layout="constrained", sharey=True)
axes[0].barh(names, net.feature_importances_[order], color="#1f4e79")
axes[0].set_xlabel("feature_importances_")
spread = shuffled.importances_std[order]
axes[1].barh(names, shuffled.importances_mean[order], xerr=spread, color="#8cc6ec")
axes[1].set_xlabel("loss of R² when shuffled")
plt.show()

# %%
# What they do: the mean prediction over each, with 95% bands. The ticks are deciles of the data.

EffectDisplay.from_estimator(
    net, X_train, features=np.argsort(-net.feature_importances_)[:3], target_name="progress"
)
plt.show()

# %%
# scikit-learn's selection of features takes the network as it is.

chosen = SelectFromModel(net, prefit=True).get_support()
print("more important than the mean:", *np.array(data.feature_names)[chosen])

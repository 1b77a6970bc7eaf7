"""
Grid search in a pipeline
=========================

`TinyMLPRegressor` works wherever a scikit-learn regressor does. With the evidence (`alpha="auto"`)
there is little to search: on the diabetes data all sizes score nearly the same, because the penalty
adapts. With `solver="lm"` a number is a fixed penalty. It has to be tuned, and the best one is no
better.
"""

import matplotlib.pyplot as plt
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_diabetes
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_tinymlp import TinyMLPRegressor

X, y = load_diabetes(return_X_y=True, as_frame=True, scaled=False)
scaler = make_column_transformer(("passthrough", ["sex"]), remainder=StandardScaler())
pipeline = make_pipeline(scaler, TinyMLPRegressor(solver="lm", random_state=0))

sizes = [(2,), (5,), (10,), (20,)]
alphas = ["auto", 1.0, 10.0, 100.0]
grid = {"tinymlpregressor__hidden_layer_sizes": sizes, "tinymlpregressor__alpha": alphas}
search = GridSearchCV(pipeline, grid, cv=3).fit(X, y)
print(search.best_params_, round(search.best_score_, 3))

# %%
# One line for each `alpha`. Too weak a penalty does more harm in larger networks.

scores = search.cv_results_["mean_test_score"].reshape(len(alphas), len(sizes))
figure, ax = plt.subplots(figsize=(5, 3.4), layout="constrained")
styles = (("-", "#1f4e79"), (":", "#d95f02"), ("--", "#1b9e77"), ("-.", "#7570b3"))
for alpha, row, (style, colour) in zip(alphas, scores, styles, strict=True):
    ax.plot(row, style, marker="o", color=colour, label=f"alpha={alpha}")
ax.set(xticks=range(len(sizes)), xticklabels=[size[0] for size in sizes])
ax.set(xlabel="hidden units", ylabel="R², three folds")
ax.legend()
plt.show()

"""
Strings and missing values
==========================

The mass of 342 penguins, predicted from species, island and sex (strings), three lengths in
millimetres, and the year. The sex of nine is missing. A scikit-learn pipeline imputes and encodes,
so that the network receives numbers.
"""

# sphinx_gallery_thumbnail_number = 2
import matplotlib.pyplot as plt
import pandas as pd
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.impute import SimpleImputer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from sklearn_tinymlp import EffectDisplay, PredictionBandDisplay, TinyMLPRegressor

X = pd.read_csv("../data/penguins.csv").dropna(subset="body_mass_g")
y = X.pop("body_mass_g")
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)

# %%
# The network itself raises an error for such a table, which shows what to do.

try:
    TinyMLPRegressor().fit(X_train, y_train)
except ValueError as error:
    print(error)

# %%
# These lines, with the columns selected by type. A missing sex becomes a separate category; missing
# numbers would be replaced by the mean.

numbers = make_column_selector(dtype_include="number")
strings = make_column_selector(dtype_exclude="number")
encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
prepared = ColumnTransformer([("numbers", SimpleImputer(), numbers), ("strings", encoder, strings)])
model = make_pipeline(prepared, TinyMLPRegressor(random_state=0)).fit(X_train, y_train)
mean, std = model.predict(X_test, return_std=True)
print(f"R² {model.score(X_test, y_test):.3f} on {len(X_test)} held-out penguins")
without_bill = X_test[:1].assign(bill_length_mm=float("nan"))
print(f"a penguin whose bill was not measured: {model.predict(without_bill)[0]:.0f} g")
print(f"{(abs(mean - y_test) < 1.96 * std).mean():.0%} of them are within the 95% interval")

# %%
# Partial dependence on the columns of the table: the mean prediction over each, with its 95%
# interval.

EffectDisplay.from_estimator(model, X_train, target_name="mass in g")
plt.show()

# %%
# The predicted mass over the flipper length, with other numbers at their medians and strings at
# their most frequent values. The prediction intervals include noise.

PredictionBandDisplay.from_estimator(model, X_train, y_train, feature="flipper_length_mm")
plt.show()

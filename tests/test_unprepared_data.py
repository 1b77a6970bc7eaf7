"""Missing values and strings are refused in scikit-learn's words, and with lines that mend it."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from sklearn import compose, impute, pipeline, preprocessing
from sklearn.base import clone
from sklearn.linear_model import Ridge

import sklearn_tinymlp
from sklearn_tinymlp import TinyMLPEnsembleRegressor, TinyMLPRegressor

RNG = np.random.default_rng(0)
y = RNG.standard_normal(40)
NUMBERS = RNG.standard_normal((40, 3))
HOLES = np.where(RNG.random((40, 3)) < 0.1, np.nan, NUMBERS)


def in_polars(frame):
    """Return the same data frame in polars; `polars.from_pandas` asks for a recent pyarrow."""
    columns = {name: [None if pd.isna(value) else value for value in frame[name]] for name in frame}
    return pl.DataFrame(columns)


FRAME = pd.DataFrame(HOLES, columns=["a", "b", "c"]).assign(
    kind=np.array(["x", "y"])[np.arange(40) % 2]
)
WIDE = pd.concat([FRAME.add_suffix(str(k)) for k in range(6)], axis=1)
UNPREPARED = {
    "array with NaN": HOLES,
    "list with None": [[None, 1.0], *[[float(k), 2.0] for k in range(39)]],
    "array of objects": FRAME.to_numpy(dtype=object),
    "array of strings": np.column_stack([np.full(40, "u"), NUMBERS.astype(str)]),
    "frame with NaN": FRAME[["a", "b", "c"]],
    "frame with strings": FRAME,
    "frame with strings alone": FRAME[["kind"]],
    "wide frame": WIDE,
}
if not sklearn.__version__.startswith("1.7"):  # which cannot read the names of polars 2
    UNPREPARED["polars"] = in_polars(FRAME)
ESTIMATORS = {
    "network": TinyMLPRegressor(hidden_layer_sizes=(2,), solver="adam", max_iter=2),
    "ensemble": TinyMLPEnsembleRegressor(
        TinyMLPRegressor(solver="adam", max_iter=2), hidden_layer_sizes=[(2,)], cv=2, n_refits=0
    ),
}

# Networks are trained for two iterations: it is the data that are refused, or taken.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def mended_by(message, X):
    """Run the lines that an error shows."""
    place = message.index("    numbers, strings = ")
    lines = [line.strip() for line in message[place:].splitlines()]
    assert len(lines) == 3
    space = {"X": X, "y": y}
    for module in (compose, impute, pipeline, preprocessing, sklearn_tinymlp):
        space |= {name: getattr(module, name) for name in module.__all__}
    exec("\n".join([*lines[:2], f"model = {lines[2]}"]), space)
    return space["model"]


@pytest.mark.parametrize("kind", UNPREPARED)
@pytest.mark.parametrize("name", ESTIMATORS)
def test_the_lines_in_the_error_of_fit_mend_it(name, kind, monkeypatch):
    X, estimator = UNPREPARED[kind], clone(ESTIMATORS[name])
    with pytest.raises(ValueError) as of_sklearn:
        Ridge().fit(X, y)
    with pytest.raises(ValueError) as refused:
        estimator.fit(X, y)
    message = str(refused.value)
    assert message.splitlines()[0] == str(of_sklearn.value).splitlines()[0]
    assert f"{type(estimator).__name__}()).fit(X, y)" in message
    assert not hasattr(estimator, "n_features_in_")
    quick = type(estimator).__name__, lambda: estimator
    monkeypatch.setattr(sklearn_tinymlp, *quick)
    model = mended_by(message, np.asarray(X, dtype=object) if isinstance(X, list) else X)
    assert np.isfinite(model.predict(X)).all()


@pytest.mark.parametrize("kind", ["array with NaN", "array of objects", "frame with strings"])
@pytest.mark.parametrize("name", ESTIMATORS)
def test_predict_shows_them_too(name, kind):
    X = UNPREPARED[kind]
    fitted = clone(ESTIMATORS[name])
    columns = getattr(X, "columns", None)
    clean = RNG.standard_normal((40, X.shape[1]))
    fitted.fit(clean if columns is None else pd.DataFrame(clean, columns=columns), y)
    with pytest.raises(ValueError, match="contains NaN|could not convert string") as refused:
        fitted.predict(X)
    assert "ColumnTransformer" in str(refused.value)


@pytest.mark.parametrize(
    ("X", "target", "message"),
    [
        (NUMBERS, np.where(y > 1, np.nan, y), "Input y contains NaN"),
        (NUMBERS, np.full(40, "a"), "could not convert string to float"),
        (np.where(NUMBERS > 2, np.inf, NUMBERS), y, "Input X contains infinity"),
        (np.full(40, "a"), y, "could not convert string to float|Expected 2D array"),
    ],
)
@pytest.mark.parametrize("name", ESTIMATORS)
def test_errors_that_they_do_not_mend_are_left_alone(name, X, target, message):
    estimator = clone(ESTIMATORS[name])
    with pytest.raises(ValueError, match=message) as refused:
        estimator.fit(X, target)
    assert "ColumnTransformer" not in str(refused.value)


def test_columns_of_a_wide_frame_are_selected_by_kind():
    with pytest.raises(ValueError) as refused:
        TinyMLPRegressor().fit(WIDE, y)
    assert 'make_column_selector(dtype_include="number")' in str(refused.value)

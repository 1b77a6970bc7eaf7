"""Effects of inputs, and tables of every kind: what pictures read of arrays and data frames."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.inspection import partial_dependence
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from sklearn_tinymlp import (
    EffectDisplay,
    PredictionBandDisplay,
    TinyMLPEnsembleRegressor,
    TinyMLPRegressor,
)
from sklearn_tinymlp._displays import frames

matplotlib = pytest.importorskip("matplotlib", reason="pictures need matplotlib")
matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

pytestmark = [
    pytest.mark.slow,
    # At most some 50 iterations: what is drawn of a network does not depend on convergence.
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]

RNG = np.random.default_rng(0)
N = 80
KINDS = np.array(["cod", "eel", "bass", "trout"])[RNG.integers(4, size=N)]
WET = RNG.random(N) < 0.5
LEGS = RNG.integers(1, 4, N)
LENGTH, IDLE = RNG.uniform(1, 5, N), RNG.standard_normal(N)
y = LENGTH + 2.0 * (KINDS == "eel") + LEGS - 1.0 * WET + 0.1 * RNG.standard_normal(N)


def in_polars(frame):
    """Return the same data frame in polars; `polars.from_pandas` asks for a recent pyarrow."""
    columns = {name: [None if pd.isna(value) else value for value in frame[name]] for name in frame}
    return pl.DataFrame(columns)


FRAME = pd.DataFrame(
    {
        "kind": pd.Series(KINDS).mask(np.arange(N) % 9 == 3, None),
        "length": pd.Series(LENGTH).mask(np.arange(N) % 10 == 0),
        "legs": LEGS,
        "wet": WET,
        "idle": IDLE,
    }
)
TABLES = {
    "pandas": FRAME,
    "pandas' own types": FRAME.astype(
        {"kind": "category", "length": "Float64", "legs": "Int64", "wet": "boolean"}
    ),
    "objects": FRAME.to_numpy(dtype=object),
}
if not sklearn.__version__.startswith("1.7"):  # which cannot read the names of polars 2
    TABLES["polars"] = in_polars(FRAME)
    TABLES["polars' categories"] = TABLES["polars"].with_columns(
        pl.col("kind").cast(pl.Categorical)
    )
STRINGS = {"kind", "wet"}


@pytest.fixture(autouse=True)
def no_figures_left():
    yield
    plt.close("all")


def pipeline_for(X, network=None):
    names = getattr(X, "columns", range(X.shape[1]))
    strings = [name for name, known in zip(names, FRAME.columns, strict=True) if known in STRINGS]
    encoded = make_column_transformer(
        (OneHotEncoder(sparse_output=False, handle_unknown="ignore"), strings),
        remainder=SimpleImputer(),
    )
    network = network or TinyMLPRegressor(hidden_layer_sizes=(3,), max_iter=50, random_state=0)
    return make_pipeline(encoded, network)


def drawn(display):
    display.figure_.canvas.draw()
    return display


# ------------------------------------------------------------------------------------ tables


@pytest.mark.parametrize("kind", TABLES)
def test_columns_are_numbers_or_categories_and_keep_their_kind(kind):
    X = TABLES[kind]
    table = frames.indexable(X)
    numeric = [frames.numbers_of(frames.take_column(table, k)) is not None for k in range(5)]
    assert numeric == [False, True, True, False, True]
    length = frames.numbers_of(frames.take_column(table, 1))
    assert_array_equal(np.isnan(length), FRAME["length"].isna())
    assert_allclose(length[~np.isnan(length)], FRAME["length"].dropna())
    column = frames.take_column(table, 0)
    names, examples = frames.categories_of(column)
    counts = FRAME["kind"].value_counts()
    assert set(names) == set(counts.index)
    assert list(counts[names]) == sorted(counts, reverse=True)
    assert list(FRAME["kind"].iloc[examples]) == names
    rows = frames.take_rows(table, np.arange(6))
    moved = frames.replace_column(rows, 0, frames.take_rows(column, np.repeat(examples[:1], 6)))
    assert type(moved) is type(rows)
    if hasattr(rows, "columns"):
        assert list(moved.dtypes) == list(rows.dtypes) and list(moved.columns) == list(rows.columns)
    assert frames.categories_of(frames.take_column(moved, 0))[0] == names[:1]
    assert_array_equal(frames.is_missing(frames.take_column(rows, 0)), FRAME["kind"][:6].isna())


def test_columns_are_found_by_name_and_number():
    assert frames.column_index("legs", FRAME) == frames.column_index(2, FRAME) == 2
    assert frames.column_index(-1, IDLE[:, np.newaxis]) == 0
    for feature, X, message in (
        ("legs", IDLE[:, np.newaxis], "feature='legs' is not a column of X, which has no names"),
        ("arms", FRAME, r"feature='arms' is not a column of X, which has \['kind'"),
        (5, FRAME, "feature=5 is not a column of X, which has 5"),
    ):
        with pytest.raises(ValueError, match=message):
            frames.column_index(feature, X)


# ----------------------------------------------------------------------------------- effects


@pytest.mark.parametrize("kind", TABLES)
def test_effects_of_every_kind_of_table(kind):
    X = TABLES[kind]
    model = pipeline_for(X).fit(X, y)
    display = drawn(EffectDisplay.from_estimator(model, X, most_features=4, n_rows=N))
    names = list(FRAME.columns) if kind != "objects" else ["x0", "x1", "x2", "x3", "x4"]
    found = [names.index(effect.name) for effect in display.effects]
    assert set(found) == {0, 1, 2, 3}  # not the idle one
    effects = dict(zip(found, display.effects, strict=True))
    assert [effects[k].is_categorical for k in range(4)] == [True, False, False, True]
    assert set(effects[0].values) == set(KINDS)
    assert_array_equal(effects[2].values, [1, 2, 3])  # as they are, not between
    assert len(effects[1].values) == 40
    assert effects[0].values[effects[0].mean.argmax()] == "eel"
    assert np.diff(effects[2].mean).min() > 0.5
    assert all((effect.std > 0).all() for effect in display.effects)
    assert len(display.axes_) == len(display.lines_) == len(display.bands_) == 4


def test_the_effect_is_scikit_learns_partial_dependence():
    X = np.column_stack([LENGTH, IDLE, LEGS])
    net = TinyMLPRegressor(hidden_layer_sizes=(3,), random_state=0).fit(X, y)
    display = EffectDisplay.from_estimator(net, X, [0, 2], n_rows=N)
    for effect, feature in zip(display.effects, (0, 2), strict=True):
        expected = partial_dependence(
            net, X, [feature], custom_values={feature: effect.values}, kind="average"
        )
        assert_allclose(effect.mean, expected["average"][0])
    thin = EffectDisplay.from_estimator(net, sparse.csr_array(X), [0, 2], n_rows=N)
    assert_allclose(thin.effects[0].mean, display.effects[0].mean)
    assert_allclose(thin.effects[0].std, display.effects[0].std)


def test_the_band_is_that_of_means_of_draws():
    X = np.column_stack([LENGTH, IDLE, LEGS])
    Y = np.column_stack([y, 10.0 * IDLE**2])
    net = TinyMLPRegressor(hidden_layer_sizes=(3,), random_state=0).fit(X, Y)
    X = X.copy()
    X[:20, 0] += 10.0  # beyond the data, where the bends of the function are in the draws
    mean, std = net._averages(X, 20)
    assert mean.shape == std.shape == (4, 2)
    assert_allclose(mean, net.predict(X).reshape(4, 20, 2).mean(axis=1))
    draws = net.sample_y(X, 4000).reshape(4, 20, 2, -1).mean(axis=1)
    noise = net._posterior.widening * net.noise_std_ / np.sqrt(20)
    assert_allclose(draws.std(axis=-1), np.sqrt(std**2 + noise**2), rtol=0.05)
    # A mean over one row is the prediction, without its noise.
    _, one = net._averages(X, 1)
    _, std = net.predict(X, return_std=True)
    assert_allclose(one**2, std**2 - 20 * noise**2, rtol=1e-6, atol=1e-9)


def test_the_band_of_an_ensemble_holds_what_members_differ_by():
    X = np.column_stack([LENGTH, IDLE, LEGS])
    ensemble = TinyMLPEnsembleRegressor(
        hidden_layer_sizes=[(2,), (4,)], cv=2, n_refits=1, random_state=0
    ).fit(X, y)
    mean, std = ensemble._averages(X, 20)
    parts = [member._averages(X, 20) for member in ensemble.estimators_]
    assert_allclose(mean, ensemble.predict(X).reshape(4, 20, 1).mean(axis=1))
    variance = sum(
        weight * (of**2 + (one - mean) ** 2)
        for weight, (one, of) in zip(ensemble.weights_, parts, strict=True)
    )
    assert_allclose(std, ensemble.band_scale_ * np.sqrt(variance))
    display = drawn(EffectDisplay.from_estimator(ensemble, X))
    assert [effect.name for effect in display.effects][-1] == "x1"
    template = TinyMLPRegressor(solver="lbfgs", max_iter=20)  # members without a band
    ensemble.set_params(estimator=template, n_refits=0)
    _, spread = ensemble.fit(X, y)._averages(X, 20)
    assert (spread > 0).all()


def test_effects_of_what_has_no_band_or_is_a_search():
    X = np.column_stack([LENGTH, IDLE, LEGS])
    for estimator in (LinearRegression(), make_pipeline(StandardScaler(), LinearRegression())):
        display = drawn(EffectDisplay.from_estimator(estimator.fit(X, y), X))
        assert display.bands_ == [None] * 3 and display.effects[0].std is None
    search = GridSearchCV(pipeline_for(FRAME), {"tinymlpregressor__max_iter": [20]}, cv=2)
    display = drawn(EffectDisplay.from_estimator(search.fit(FRAME, y), FRAME, ["kind", "length"]))
    assert all(effect.std is not None for effect in display.effects)


def test_panels_share_axes_that_are_given_and_refuse_too_few():
    X = np.column_stack([LENGTH, IDLE, LEGS])
    net = TinyMLPRegressor(hidden_layer_sizes=(3,), random_state=0).fit(X, y)
    _, axes = plt.subplots(1, 2)
    display = EffectDisplay.from_estimator(net, X, [0, 1], ax=axes, target_name="mass", color="k")
    assert list(display.axes_) == list(axes) and display.bounding_ax_ is None
    assert display.axes_[0].get_ylabel() == "mass" and display.lines_[1].get_color() == "k"
    with pytest.raises(ValueError, match="ax has 2 axes, but there are 3 panels"):
        EffectDisplay.from_estimator(net, X, ax=axes)
    whole = EffectDisplay.from_estimator(net, X, [0, 1, 2, 0])
    assert len(whole.axes_) == 4 and len(whole.figure_.axes) == 6
    half = whole.effects[0].std * 1.959964
    vertices = whole.bands_[0].get_paths()[0].vertices[:, 1]
    assert vertices.max() == pytest.approx((whole.effects[0].mean + half).max(), rel=1e-6)


def test_rare_categories_are_not_shown_and_counted():
    words = np.array([f"w{k}" for k in [*range(20), *range(12)] * 2], dtype=object)[:, np.newaxis]
    target = np.arange(len(words), dtype=float)
    encoder = OneHotEncoder(sparse_output=False)
    model = make_pipeline(encoder, LinearRegression()).fit(words, target)
    display = drawn(EffectDisplay.from_estimator(model, words))
    assert len(display.effects[0].values) == 12
    assert set(display.effects[0].values) == {f"w{k}" for k in range(12)}
    assert display.axes_[0].get_xlabel() == "x0 (8 rarer ones not shown)"


# ------------------------------------------------------------------------------- predictions


@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.parametrize("fixed", ["median", "mean"])
def test_the_band_over_a_number_of_every_kind_of_table(kind, fixed):
    X = TABLES[kind]
    model = pipeline_for(X).fit(X, y)
    display = drawn(PredictionBandDisplay.from_estimator(model, X, y, feature=1, fixed=fixed))
    known = FRAME["length"].notna()
    value = FRAME[["length", "legs", "idle"]].agg(fixed)
    row = FRAME.iloc[[0] * 200].assign(
        kind=FRAME["kind"].mode()[0],
        length=display.x,
        legs=value["legs"],
        wet=bool(FRAME["wet"].mode()[0]),
        idle=value["idle"],
    )
    expected = pipeline_for(FRAME).fit(FRAME, y).predict(row, return_std=True)
    assert_allclose(display.y_mean, expected[0])
    assert_allclose(display.y_std, expected[1])
    assert_allclose(display.x_data, FRAME["length"][known])
    assert_allclose(display.points_.get_xdata(), FRAME["length"][known])
    ticks = [segment[0, 0] for segment in display.ticks_.get_segments()]
    assert_allclose(ticks, np.sort(FRAME["length"][known]))


def test_ticks_show_where_data_lie_without_targets_and_are_not_too_many():
    X = np.column_stack([RNG.standard_normal(3000), RNG.standard_normal(3000)])
    model = LinearRegression().fit(X, X[:, 0])
    display = drawn(PredictionBandDisplay.from_estimator(model, X, levels=()))
    ticks = [segment[0, 0] for segment in display.ticks_.get_segments()]
    assert len(ticks) == 200 and display.points_ is None
    assert (ticks[0], ticks[-1]) == (X[:, 0].min(), X[:, 0].max())
    assert PredictionBandDisplay.from_predictions([1.0, 2.0], [1.0, 2.0]).ticks_ is None


def test_a_column_without_any_value_stays_so():
    empty = FRAME.assign(nothing=np.nan, none=None)
    encoded = make_column_transformer((SimpleImputer(), ["length", "idle"]))
    model = make_pipeline(encoded, LinearRegression()).fit(empty, y)
    display = PredictionBandDisplay.from_estimator(model, empty, feature="length", levels=())
    assert np.isfinite(display.y_mean).all()


def test_the_band_over_categories_is_refused_and_fixed_rows_may_hold_them():
    model = pipeline_for(FRAME).fit(FRAME, y)
    with pytest.raises(ValueError, match="feature='kind' is not a numeric column. EffectDisplay"):
        PredictionBandDisplay.from_estimator(model, FRAME, feature="kind")
    fixed = ["eel", np.nan, 3, True, 0.0]
    display = PredictionBandDisplay.from_estimator(model, FRAME, feature="idle", fixed=fixed)
    row = pd.DataFrame([fixed] * 200, columns=FRAME.columns).assign(idle=display.x)
    assert_allclose(display.y_mean, model.predict(row))

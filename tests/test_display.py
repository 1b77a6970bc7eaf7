"""Displays, and the HTML block: what is drawn, where, and that it follows scikit-learn's habits."""

import doctest
import importlib
import inspect
import itertools
import warnings
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse
from sklearn import config_context
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import NotFittedError
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, StandardScaler

import sklearn_tinymlp
from sklearn_tinymlp import (
    Activation,
    CandidatesDisplay,
    EffectDisplay,
    ImportanceDisplay,
    LossCurveDisplay,
    NetworkDisplay,
    PiecewiseLinearEncoder,
    PredictionBandDisplay,
    TinyMLPEnsembleRegressor,
    TinyMLPRegressor,
    TrainingStateDisplay,
)
from sklearn_tinymlp._displays import base, diagram, html
from sklearn_tinymlp._displays.diagram import diagram_of

matplotlib = pytest.importorskip("matplotlib", reason="pictures need matplotlib")
matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

pytestmark = pytest.mark.slow


rng = np.random.default_rng(0)
X = rng.uniform(-2, 2, (60, 3))
y = np.sin(2 * X[:, 0]) + 0.3 * X[:, 1] + 0.05 * rng.standard_normal(60)
FRAME = pd.DataFrame(X, columns=["speed", "height", "<age & co>"])


@pytest.fixture(autouse=True)
def no_figures_left():
    yield
    plt.close("all")


def fitted(data=FRAME, target=y, **params):
    params = {
        "hidden_layer_sizes": (4,),
        "max_iter": 100,
        "random_state": 0,
        "alpha": "one",
    } | params
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return TinyMLPRegressor(**params).fit(data, target)


@pytest.fixture(scope="module")
def net():
    return fitted()


def small_ensemble(**params):
    params = {
        "hidden_layer_sizes": [(3,), (2, 2)],
        "cv": 2,
        "n_refits": 0,
        "random_state": 0,
    } | params
    return TinyMLPEnsembleRegressor(**params)


@pytest.fixture(scope="module")
def ensemble():
    return small_ensemble().fit(FRAME, y)


def labels(display):
    return [text.get_text() for text in display.ax_.get_legend().get_texts()]


def drawn(display):
    """Draw for good; constrained layout warns where things do not fit."""
    display.figure_.canvas.draw()
    return display


DISPLAYS = [
    getattr(sklearn_tinymlp, name) for name in sklearn_tinymlp.__all__ if name.endswith("Display")
]
# Those that need no data beside the estimator.
WITH_DATA = (EffectDisplay, PredictionBandDisplay)
WITHOUT_DATA = [display for display in DISPLAYS if display not in WITH_DATA]


def missing_from(display) -> list[str]:
    """Return what a class lacks of scikit-learn's protocol of displays."""
    missing = []
    if not display.__name__.endswith("Display"):
        missing.append("a name that ends in Display")
    if not isinstance(inspect.getattr_static(display, "from_estimator", None), classmethod):
        missing.append("a class method from_estimator")
    for name in ("from_estimator", "plot"):
        method = getattr(display, name, None)
        if not callable(method) or "ax" not in inspect.signature(method).parameters:
            missing.append(f"a method {name} that takes ax")
    if "Examples\n--------" not in (inspect.getdoc(display) or ""):
        missing.append("an example in its docstring")
    return missing


@pytest.mark.parametrize("display", DISPLAYS)
def test_display_has_what_the_contract_asks(display):
    assert not missing_from(display)


def test_every_display_of_the_folder_is_public():
    found = set()
    for path in Path(base.__file__).parent.glob("*.py"):
        module = importlib.import_module(f"sklearn_tinymlp._displays.{path.stem}")
        found |= {
            thing
            for name, thing in vars(module).items()
            if name.endswith("Display") and thing.__module__ == module.__name__
        }
    assert found == set(DISPLAYS)


def test_what_lacks_something_is_no_display():
    class Sketch:
        """Draws."""

        def from_estimator(self, ax=None):
            pass

        def plot(self):
            pass

    said = missing_from(Sketch)
    assert said == [
        "a name that ends in Display",
        "a class method from_estimator",
        "a method plot that takes ax",
        "an example in its docstring",
    ]


@pytest.mark.parametrize("display", WITHOUT_DATA)
def test_from_estimator_takes_what_it_draws_pipelines_and_searches(display, net, ensemble):
    alone = ensemble if display is CandidatesDisplay else net
    pipeline = make_pipeline(StandardScaler(), alone)
    search = GridSearchCV(pipeline, {f"{pipeline.steps[-1][0]}__random_state": [1]}, cv=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        search.fit(FRAME, y)
    for estimator in (alone, make_pipeline(FunctionTransformer(), alone), search):
        made = drawn(display.from_estimator(estimator))
        assert isinstance(made, display)
        assert isinstance(made.figure_, matplotlib.figure.Figure)


@pytest.mark.parametrize("display", WITHOUT_DATA)
def test_an_estimator_that_is_not_fitted_is_refused(display):
    for kind in (TinyMLPRegressor, TinyMLPEnsembleRegressor):
        with pytest.raises(NotFittedError):
            display.from_estimator(kind())


@pytest.mark.parametrize("display", DISPLAYS)
def test_matplotlib_is_asked_for_by_name(display, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(ImportError, match=f"{display.__name__}.from_estimator requires matplotlib"):
        display.from_estimator(TinyMLPRegressor(), *([X] if display in WITH_DATA else []))


@pytest.mark.parametrize("display", DISPLAYS)
def test_display_is_exported_and_draws_where_it_is_told(display, net, ensemble):
    assert display.__name__ in sklearn_tinymlp.__all__
    _, ax = plt.subplots()
    data = [FRAME] if display in WITH_DATA else []
    estimator = ensemble if display is CandidatesDisplay else net
    made = display.from_estimator(estimator, *data, ax=ax)
    if display in (EffectDisplay, TrainingStateDisplay):
        assert made.bounding_ax_ is ax
    else:
        assert made.ax_ is ax
    assert made.figure_ is ax.figure
    again = made.plot()  # once more, on a new figure
    assert again is made and made.figure_ is not ax.figure


@pytest.mark.parametrize("display", DISPLAYS)
def test_examples_in_the_docstrings_run(display):
    finder = doctest.DocTestFinder(recurse=False)
    (test,) = finder.find(display, display.__name__)
    runner = doctest.DocTestRunner()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Agg cannot show
        runner.run(test)
    assert test.examples and runner.summarize().failed == 0


# ------------------------------------------------------------------------------- loss curves


def test_loss_curve_has_both_curves_the_tolerance_and_the_reason():
    est = TinyMLPRegressor(
        solver="adam", early_stopping=True, loss_tol=1e-3, random_state=0, max_iter=500
    ).fit(X[::2], y[::2], X_val=X[1::2], y_val=y[1::2])
    display = drawn(LossCurveDisplay.from_estimator(est, name="net"))
    np.testing.assert_array_equal(display.line_.get_ydata(), est.history_["loss"])
    assert display.line_.get_xdata()[0] == 1 and display.line_.get_xdata()[-1] == est.n_iter_
    np.testing.assert_array_equal(
        display.validation_line_.get_ydata(), est.history_["validation_loss"]
    )
    assert set(display.loss_tol_line_.get_ydata()) == {1e-3}
    assert labels(display) == [
        f"net, training (ended by {est.stop_reason_})",
        "net, validation",
        f"kept: epoch {est.best_epoch_}",
        "loss_tol = 0.001",
    ]
    assert display.ax_.get_yscale() == "log"


def test_several_estimators_on_one_axis_have_colours_and_markers_of_their_own(net):
    adam = fitted(solver="adam", max_iter=5)
    first = LossCurveDisplay.from_estimator(net)
    second = drawn(LossCurveDisplay.from_estimator(adam, ax=first.ax_))
    assert first.line_.get_color() != second.line_.get_color()
    assert first.line_.get_marker() != second.line_.get_marker()
    assert len(labels(second)) == 2
    # Full where it converged, hollow where it did not.
    assert net.converged_ is (first.line_.get_markerfacecolor() != "white")
    assert not adam.converged_ and second.line_.get_markerfacecolor() == "white"


def test_loss_curve_of_mlp_regressor_and_of_a_kept_history(net):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlp = MLPRegressor(max_iter=5, random_state=0).fit(X, y)
    display = LossCurveDisplay.from_estimator(mlp, color="black", linewidth=3)
    np.testing.assert_array_equal(display.line_.get_ydata(), mlp.loss_curve_)
    assert (display.line_.get_color(), display.line_.get_linewidth()) == ("black", 3)
    kept = LossCurveDisplay.from_history(pd.DataFrame(net.history_))
    np.testing.assert_array_equal(kept.line_.get_ydata(), net.history_["loss"])
    assert kept.validation_line_ is kept.loss_tol_line_ is None


def test_loss_of_zero_or_below_is_drawn_on_a_linear_axis():
    assert LossCurveDisplay.from_history({"loss": [1.0, 0.0]}).ax_.get_yscale() == "linear"


# ----------------------------------------------------------------------------- training state


def test_training_state_has_a_panel_a_column(net):
    display = drawn(TrainingStateDisplay.from_estimator(net))
    assert list(display.lines_) == [
        "loss",
        "gradient_norm",
        "damping",
        "alpha",
        "log_evidence",
        "n_effective_parameters",
    ]
    for name, line in display.lines_.items():
        np.testing.assert_array_equal(line.get_ydata(), net.history_[name])
    assert len(display.axes_) == 6 and display.bounding_ax_ is None
    assert f"of {net.n_parameters_}" in display.axes_[-1].get_title(loc="right")


def test_training_state_of_other_solvers():
    for solver, expected in (("lbfgs", ["loss"]), ("sgd", ["loss", "learning_rate"])):
        display = TrainingStateDisplay.from_estimator(fitted(solver=solver))
        assert list(display.lines_) == expected


def test_training_state_of_chosen_columns_on_given_axes(net):
    _, axes = plt.subplots(1, 2)
    columns = ["damping", "log_evidence"]
    display = TrainingStateDisplay.from_history(net.history_, columns=columns, ax=axes)
    assert list(display.axes_) == list(axes) and list(display.lines_) == columns
    with pytest.raises(ValueError, match="2 axes, but there are 1 panels"):
        TrainingStateDisplay.from_history(net.history_, columns=["loss"], ax=axes)
    with pytest.raises(ValueError, match="no column 'momentum'"):
        TrainingStateDisplay.from_history(net.history_, columns=["momentum"])


def test_a_steep_beginning_does_not_flatten_the_panel():
    values = np.r_[-5000.0, np.linspace(400, 500, 60)]
    display = TrainingStateDisplay.from_history({"log_evidence": values})
    assert display.axes_[0].get_ylim()[0] > 300
    alpha = TrainingStateDisplay.from_history({"alpha": np.r_[1e-9, np.linspace(1, 2, 60)]})
    assert 0.5 < alpha.axes_[0].get_ylim()[0] < 1
    falling = TrainingStateDisplay.from_history({"gradient_norm": np.r_[np.ones(60), 1e-9]})
    assert falling.axes_[0].get_ylim()[0] < 1e-9  # an end is not left out
    even = TrainingStateDisplay.from_history({"log_evidence": np.linspace(0, 1, 60)})
    assert even.axes_[0].get_ylim()[0] < 0


# -------------------------------------------------------------------------------- the network


def test_network_has_all_weights_and_names(net):
    display = drawn(NetworkDisplay.from_estimator(net, output_names=["force"]))
    n_lines = sum(len(lines.get_segments()) for lines in display.lines_)
    assert n_lines == net.n_parameters_
    assert len(display.nodes_[0].get_offsets()) == 3 + 4 + 1
    assert len(display.nodes_[1].get_offsets()) == 2  # intercepts of two layers
    texts = [text.get_text() for text in display.texts_]
    for expected in ("speed", "height", "<age & co>", "force", "tanh", "identity"):
        assert expected in texts


@pytest.mark.parametrize(("n_inputs", "n_outputs", "width"), [(3, 1, 6.4), (13, 10, 5), (30, 2, 9)])
def test_names_do_not_overlap_and_stay_within_the_axes(n_inputs, n_outputs, width):
    rows = np.random.default_rng(0).standard_normal((40, n_inputs))
    target = rows[:, :1] @ np.ones((1, n_outputs))
    est = fitted(rows, target.squeeze())
    axes = plt.subplots(figsize=(width, 4))[1]
    names = [f"length_of_part_{number}" for number in range(n_inputs)]
    display = drawn(NetworkDisplay.from_estimator(est, feature_names=names, most_units=30, ax=axes))
    display.figure_.canvas.draw()
    frame = axes.get_window_extent()
    for side, n_names in (("right", n_inputs), ("left", n_outputs)):
        boxes = [t.get_window_extent() for t in display.texts_ if t.get_ha() == side]
        assert len(boxes) == n_names
        assert all(upper.y0 >= lower.y1 - 1 for upper, lower in itertools.pairwise(boxes))
        assert all(box.x0 > frame.x0 - 3 and box.x1 < frame.x1 + 3 for box in boxes)


def test_line_widths_and_signs_are_those_of_the_standardised_weights():
    est = fitted(FRAME * [1.0, 1e6, 1.0], bias=False, hidden_layer_sizes=())
    picture = diagram.diagram_of(est)
    weights = [link.weight for link in sorted(picture.links, key=lambda link: -link.start[1])]
    standardised = est.coefs_[0].ravel() * est._scaling.x_scale
    np.testing.assert_allclose(weights, standardised / np.abs(standardised).max())
    assert not [node for node in picture.nodes if node.kind == "bias"]


def test_the_network_drawn_predicts_standardised_targets(net):
    """The weights before they are made relative give, by hand, the standardised prediction."""
    seen = {}

    def keep(coefs, intercepts, *rest, **options):
        seen.update(coefs=coefs, intercepts=intercepts)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(diagram, "network_diagram", keep)
        diagram.diagram_of(net)
    scaling = net._scaling
    hidden = np.tanh(
        (X - scaling.x_mean) / scaling.x_scale @ seen["coefs"][0] + seen["intercepts"][0]
    )
    predicted = (hidden @ seen["coefs"][1] + seen["intercepts"][1]).ravel()
    np.testing.assert_allclose(predicted * scaling.y_scale + scaling.y_mean, net.predict(FRAME))


def test_without_bias_there_are_no_squares():
    display = NetworkDisplay.from_estimator(fitted(bias=False))
    assert len(display.nodes_[1].get_offsets()) == 0
    assert labels(display) == ["positive weight", "negative"]


@pytest.mark.parametrize("standardize", [False, True])
def test_nodes_are_the_darker_the_higher_their_activation(standardize):
    est = fitted(standardize=standardize)
    picture = diagram.diagram_of(est, FRAME[:1])
    hidden = np.tanh(X[:1] @ est.coefs_[0] + est.intercepts_[0]).ravel()
    shades = [node.shade for node in picture.nodes if node.kind == "unit" and node.x == 1]
    np.testing.assert_allclose(shades, (hidden - hidden.min()) / np.ptp(hidden))
    display = NetworkDisplay.from_estimator(est, FRAME[:1])
    assert "high activation" in labels(display)
    greys = display.nodes_[0].get_facecolor()[3:7, 0]
    assert list(np.argsort(greys)) == list(np.argsort(-hidden))


def test_large_layers_show_the_units_with_the_largest_weights():
    coefs = [np.ones((30, 40)), np.ones((40, 1))]
    coefs[0][[3, 17]] *= 5
    coefs[1][[8, 9, 30]] *= 5
    names = [f"x{k}" for k in range(30)]
    picture = diagram.network_diagram(
        coefs, [np.ones(40), np.ones(1)], names, ["y"], ["relu", "identity"], most_units=2
    )
    assert [node.label for node in picture.nodes if node.x == 0] == ["1", "x3", "x17", "28 more"]
    assert [node.label for node in picture.nodes if node.x == 1] == ["1", "", "", "38 more"]
    assert picture.most == 4
    assert all(0 < node.y < 1 for node in picture.nodes)
    assert len(picture.links) == (2 + 1) * 2 + (2 + 1)


@pytest.mark.parametrize("hidden", [(), (1,), (60, 30)])
@pytest.mark.parametrize("outputs", [1, 2])
def test_networks_of_all_shapes_are_drawn(hidden, outputs):
    target = y if outputs == 1 else np.column_stack([y, -y])
    est = fitted(X, target, hidden_layer_sizes=hidden, solver="lbfgs", max_iter=3)
    drawn(NetworkDisplay.from_estimator(est, X))
    drawn(NetworkDisplay.from_estimator(est, sparse.csr_matrix(X), most_units=3))


def test_network_of_mlp_regressor_in_a_pipeline_has_its_names():
    mlp = MLPRegressor(hidden_layer_sizes=(5,), max_iter=3, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = make_pipeline(StandardScaler(), mlp).fit(FRAME, y)
    display = NetworkDisplay.from_estimator(model, FRAME)
    texts = [text.get_text() for text in display.texts_]
    assert "height" in texts and "relu" in texts
    named = NetworkDisplay.from_estimator(model, feature_names=["a", "b", "c"])
    assert "b" in [text.get_text() for text in named.texts_]


def test_inputs_are_numbered_where_a_transformer_does_not_know_their_names():
    mlp = MLPRegressor(hidden_layer_sizes=(5,), max_iter=3, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = make_pipeline(FunctionTransformer(np.square), mlp).fit(X, y)
    picture = diagram.diagram_of(model, X)
    labels = [node.label for node in picture.nodes if node.x == 0 and node.kind == "unit"]
    assert labels == ["x0", "x1", "x2"]


def test_network_with_an_activation_of_ones_own():
    bump = Activation(lambda z: np.exp(-z * z), lambda z: -2 * z * np.exp(-z * z), name="bump")
    est = fitted(activation=bump, standardize=False)
    picture = diagram.diagram_of(est, FRAME)
    hidden = np.exp(-((X @ est.coefs_[0] + est.intercepts_[0]) ** 2)).mean(axis=0)
    shades = [node.shade for node in picture.nodes if node.kind == "unit" and node.x == 1]
    np.testing.assert_allclose(shades, (hidden - hidden.min()) / np.ptp(hidden))
    assert picture.captions == ["inputs", "bump", "identity"]
    assert "bump" in est._repr_html_()


def test_network_refuses_what_does_not_fit(net):
    with pytest.raises(ValueError, match="feature_names has 1 entries, but the network has 3"):
        NetworkDisplay.from_estimator(net, feature_names=["a"])
    with pytest.raises(ValueError, match="but the network has 3 inputs"):
        NetworkDisplay.from_estimator(net, X[:, :2])


# ------------------------------------------------------------------------------ the prediction


def test_bands_hold_y_with_their_probability(net):
    display = drawn(PredictionBandDisplay.from_estimator(net, FRAME, y, feature="height"))
    rows = np.tile(np.median(X, axis=0), (200, 1))
    rows[:, 1] = display.x
    mean, std = net.predict(pd.DataFrame(rows, columns=FRAME.columns), return_std=True)
    np.testing.assert_allclose(display.line_.get_ydata(), mean)
    assert labels(display) == ["95% interval", "68% interval", "prediction", "partial residuals"]
    for band, factor in zip(display.bands_, (1.959964, 0.994458), strict=True):
        vertices = band.get_paths()[0].vertices
        assert vertices[:, 1].max() == pytest.approx((mean + factor * std).max(), rel=1e-6)
    assert display.ax_.get_xlabel() == "height"
    assert display.x[0] < X[:, 1].min() and display.x[-1] > X[:, 1].max()
    # A point lies as far from the curve as its row from its prediction.
    curve = np.interp(X[:, 1], display.x, mean)
    left = display.points_.get_ydata() - curve
    np.testing.assert_allclose(left, y - net.predict(FRAME), atol=1e-2)


def test_band_of_one_feature_shows_the_data_themselves():
    est = fitted(X[:, :1])
    display = PredictionBandDisplay.from_estimator(est, X[:, :1], y)
    np.testing.assert_allclose(display.points_.get_ydata(), y)
    assert labels(display)[-1] == "data"
    assert display.ax_.get_xlabel() == "x0"


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame, np.asarray])
def test_band_of_every_kind_of_table(frame):
    data = frame(X, schema=["a", "b", "c"]) if frame is pl.DataFrame else frame(X)
    if frame is pd.DataFrame:
        data.columns = ["a", "b", "c"]
    est = make_pipeline(StandardScaler(), fitted(data)).fit(data, y)
    display = PredictionBandDisplay.from_estimator(
        est, data, feature=2, fixed=[0.0, 0.0, 0.0], levels=(0.5,)
    )
    assert len(display.bands_) == 1


def test_prediction_of_estimators_without_bands_and_of_a_gaussian_process():
    linear = LinearRegression().fit(X, y)
    display = PredictionBandDisplay.from_estimator(linear, X, levels=())
    assert display.bands_ == [] and display.points_ is None
    process = GaussianProcessRegressor(alpha=0.1).fit(X, y)
    assert len(PredictionBandDisplay.from_estimator(process, X, fixed="mean").bands_) == 2
    adam = fitted(X, solver="adam")
    with pytest.raises(ValueError, match="needs the evidence"):
        PredictionBandDisplay.from_estimator(adam, X)


def test_band_of_the_second_output():
    target = np.column_stack([y, 10 + y])
    est = fitted(X, target)
    display = PredictionBandDisplay.from_estimator(est, X, target, output=1)
    assert display.line_.get_ydata().min() > 5
    assert display.points_.get_ydata().min() > 5


def test_band_refuses_what_does_not_fit(net):
    with pytest.raises(ValueError, match="feature='width' is not a column of X"):
        PredictionBandDisplay.from_estimator(net, FRAME, feature="width")
    with pytest.raises(ValueError, match="fixed must be 'median'"):
        PredictionBandDisplay.from_estimator(net, FRAME, fixed="mode")


def test_band_from_predictions_sorts_x():
    display = PredictionBandDisplay.from_predictions([2.0, 1.0], [20.0, 10.0], [1.0, 1.0])
    np.testing.assert_array_equal(display.line_.get_xdata(), [1.0, 2.0])
    np.testing.assert_array_equal(display.line_.get_ydata(), [10.0, 20.0])
    assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == ("x", "y")


# ------------------------------------------------------------------------------- importances


def test_importances_show_the_largest_first(net):
    display = drawn(ImportanceDisplay.from_estimator(net, most_features=2))
    widths = [bar.get_width() for bar in display.bars_]
    np.testing.assert_allclose(widths, np.sort(net.feature_importances_)[::-1][:2])
    names = [label.get_text() for label in display.ax_.get_yticklabels()]
    assert names == list(FRAME.columns[np.argsort(-net.feature_importances_)[:2]])
    assert "1 smaller ones not shown" in display.ax_.get_xlabel()
    kept = ImportanceDisplay.from_importances([0.2, 0.8])
    assert [label.get_text() for label in kept.ax_.get_yticklabels()] == ["x1", "x0"]


def test_importances_of_every_solver_are_drawn():
    net = fitted(solver="adam")
    display = ImportanceDisplay.from_estimator(net)
    assert sum(bar.get_width() for bar in display.bars_) == pytest.approx(1.0)


# -------------------------------------------------------------------------------- ensembles


RESULTS = {
    "hidden_layer_sizes": [(5,), (10, 10), (20,), (5,), ()],
    "activation": ["tanh", "tanh", "silu", "silu", "tanh"],
    "error": [0.05, 0.4, 0.06, 0.3, np.inf],
    "weight": [0.7, 0.0, 0.3, 0.0, 0.0],
}


def test_candidates_stand_at_their_error_and_weight_with_their_shape():
    display = drawn(CandidatesDisplay.from_results(RESULTS))
    assert list(display.points_) == ["tanh", "silu"]
    np.testing.assert_array_equal(display.points_["tanh"].get_offsets(), [[0.05, 0.7], [0.4, 0.0]])
    np.testing.assert_array_equal(display.points_["silu"].get_offsets(), [[0.06, 0.3], [0.3, 0.0]])
    for points in display.points_.values():  # full where there is weight, hollow where not
        full, hollow = points.get_facecolors()
        np.testing.assert_array_equal(full, points.get_edgecolors()[0])
        np.testing.assert_array_equal(hollow, [1.0, 1.0, 1.0, 1.0])
    assert [text.get_text() for text in display.texts_] == ["5", "10, 10", "20", "5"]
    assert labels(display) == ["tanh", "silu", "no weight"]
    assert display.ax_.get_xscale() == "log"
    pd.testing.assert_frame_equal(pd.DataFrame(display.results), pd.DataFrame(RESULTS))


def test_candidates_of_different_inputs_are_marked_by_these():
    inputs = ["raw", "ramps", "raw", "clipped", "raw"]
    display = drawn(CandidatesDisplay.from_results(RESULTS | {"inputs": inputs}))
    assert {name: len(p.get_offsets()) for name, p in display.points_.items()} == {
        "raw": 2,
        "ramps": 1,
        "clipped": 1,
    }
    alike = RESULTS | {"inputs": ["raw"] * 5}
    assert list(CandidatesDisplay.from_results(alike).points_) == ["tanh", "silu"]


def test_errors_near_each_other_are_on_a_linear_axis():
    near = RESULTS | {"error": [0.2, 0.5, 0.3, 0.25, 0.2]}
    assert CandidatesDisplay.from_results(near).ax_.get_xscale() == "linear"
    exact = RESULTS | {"error": [0.0, 0.5, 0.3, 0.25, 0.2]}
    assert CandidatesDisplay.from_results(exact).ax_.get_xscale() == "linear"


def test_names_of_candidates_hide_no_point_and_no_other_name():
    close = {
        "hidden_layer_sizes": [(5,), (10,), (16, 16)],
        "activation": ["tanh", "silu", "sin"],
        "error": [0.2, 0.205, 0.3],
        "weight": [0.5, 0.5, 0.0],
    }
    display = drawn(CandidatesDisplay.from_results(pd.DataFrame(close), s=20))
    assert display.points_["sin"].get_sizes() == 20
    boxes = [text.get_window_extent() for text in display.texts_]
    points = np.column_stack([close["error"], close["weight"]])
    points = display.ax_.transData.transform(points)
    for k, box in enumerate(boxes):
        assert box.count_contains(points) == 0
        assert box.count_overlaps(boxes[k + 1 :]) == 0


def test_candidates_of_an_ensemble(ensemble):
    display = drawn(CandidatesDisplay.from_estimator(ensemble))
    (points,) = display.points_.values()
    results = ensemble.results_
    np.testing.assert_array_equal(
        points.get_offsets(), np.column_stack([results["error"], results["weight"]])
    )
    with pytest.raises(TypeError, match="takes a TinyMLPEnsembleRegressor, .*got LinearRegression"):
        CandidatesDisplay.from_estimator(LinearRegression().fit(X, y))


@pytest.mark.parametrize("display", [LossCurveDisplay, NetworkDisplay, TrainingStateDisplay])
def test_what_draws_one_network_says_which_of_an_ensemble_to_give(display, ensemble):
    needed = r"contains \d networks.*estimators_\[weights_.argmax\(\)\]"
    with pytest.raises(TypeError, match=needed):
        display.from_estimator(make_pipeline(FunctionTransformer(), ensemble))
    drawn(display.from_estimator(ensemble.estimators_[ensemble.weights_.argmax()]))


def test_band_and_importances_of_an_ensemble(ensemble):
    display = drawn(PredictionBandDisplay.from_estimator(ensemble, FRAME, y, feature="height"))
    rows = pd.DataFrame(np.tile(np.median(X, axis=0), (200, 1)), columns=FRAME.columns)
    rows["height"] = display.x
    mean, std = ensemble.predict(rows, return_std=True)
    np.testing.assert_allclose(display.y_mean, mean)
    np.testing.assert_allclose(display.y_std, std)
    bars = drawn(ImportanceDisplay.from_estimator(make_pipeline(FunctionTransformer(), ensemble)))
    np.testing.assert_array_equal(bars.importances, ensemble.feature_importances_)


# ------------------------------------------------------------------------------------- HTML


def test_html_keeps_scikit_learns_block_and_links_to_our_documentation(net):
    block = net._repr_html_()
    assert "sk-estimator" in block or "sk-container" in block
    assert net._get_doc_link() in block
    assert "sklearn_tinymlp.TinyMLPRegressor" in net._get_doc_link()
    assert "scikit-learn.org" not in net._get_doc_link()
    assert "{" not in net._get_doc_link()
    assert net._repr_mimebundle_()["text/html"]
    with config_context(display="text"):
        assert "text/html" not in net._repr_mimebundle_()


def test_fitted_network_is_in_a_closed_block_of_its_own(net):
    assert "sklearn-tinymlp-network" not in TinyMLPRegressor()._repr_html_()
    block = net._repr_html_()
    start = block.index('<details class="sklearn-tinymlp-network"')
    ours = block[start : block.index("</details>", start)] + "</details>"
    assert " open" not in ours[: ours.index(">")]
    tree = ElementTree.fromstring(ours)  # well formed, names escaped
    svg = tree.find("{http://www.w3.org/2000/svg}svg")
    lines = svg.findall("{http://www.w3.org/2000/svg}line")
    assert len(lines) == net.n_parameters_
    texts = [text.text for text in svg.iter("{http://www.w3.org/2000/svg}text")]
    assert "<age & co>" in texts and "tanh" in texts
    cells = {row[0].text: row[1].text for row in tree.iter("tr")}
    assert cells["stop_reason_"].startswith(f"{net.stop_reason_}: ")
    assert cells["converged_"] == str(net.converged_)
    assert "starts_" not in cells
    assert "http" not in ours.replace("http://www.w3.org/2000/svg", "")


HOLDERS = {
    "pipeline": lambda net: make_pipeline(StandardScaler(), net),
    "search": lambda net: GridSearchCV(net, {"hidden_layer_sizes": [(2,), (3,)]}, cv=2),
    "pipeline in a pipeline": lambda net: make_pipeline(
        MinMaxScaler(), make_pipeline(StandardScaler(), net)
    ),
    "search in a pipeline": lambda net: make_pipeline(
        StandardScaler(), GridSearchCV(net, {"hidden_layer_sizes": [(2,), (3,)]}, cv=2)
    ),
    "search over a pipeline": lambda net: GridSearchCV(
        make_pipeline(StandardScaler(), net), {"tinymlpregressor__alpha": ["one", "layer"]}, cv=2
    ),
}


def network_in(holder):
    while not isinstance(holder, TinyMLPRegressor):
        holder = holder.best_estimator_ if isinstance(holder, GridSearchCV) else holder[-1]
    return holder


@pytest.mark.parametrize("kind", HOLDERS)
def test_network_is_shown_once_within_what_holds_it(kind):
    holder = HOLDERS[kind](TinyMLPRegressor("squared_error", (2,), alpha="one", random_state=0))
    assert "sklearn-tinymlp-network" not in holder._repr_html_()
    holder.fit(X, y)
    net = network_in(holder)
    shown = holder._repr_html_()
    block = html.trained_network(net)
    assert shown.count(block) == shown.count("sklearn-tinymlp-network") == 1
    assert net._repr_html_().count(block) == 1
    assert shown.index("Parameters") < shown.index(block) < shown.index("<script>")
    with config_context(display="text"):
        assert "text/html" not in holder._repr_mimebundle_()


@pytest.mark.parametrize("kind", HOLDERS)
def test_network_of_what_holds_it_is_drawn(kind):
    net = TinyMLPRegressor(hidden_layer_sizes=(2,), alpha="one", random_state=0)
    holder = HOLDERS[kind](net).fit(FRAME, y)
    display = drawn(NetworkDisplay.from_estimator(holder, FRAME[:20]))
    net, rows = network_in(holder), FRAME.to_numpy()
    if kind != "search":
        rows = (rows - rows.mean(axis=0)) / rows.std(axis=0)  # also after a MinMaxScaler
    expected = diagram_of(net, rows[:20], feature_names=list(FRAME.columns))
    assert display.diagram.links == expected.links
    assert [node.label for node in display.diagram.nodes] == [n.label for n in expected.nodes]
    np.testing.assert_allclose(
        [node.shade for node in display.diagram.nodes], [node.shade for node in expected.nodes]
    )


def test_block_names_diagnose_where_the_fit_did_not_converge(net):
    assert net.converged_ == ("diagnose(X, y)" not in net._repr_html_())
    unfinished = fitted(solver="adam", max_iter=2)
    assert "<code>diagnose(X, y)</code>" in unfinished._repr_html_()


def test_outcome_of_starts_validation_and_partial_fit():
    assert "2 starts, losses" in fitted(n_init=2)._repr_html_()
    early = fitted(solver="adam", early_stopping=True)
    assert "best_validation_score_" in early._repr_html_()
    partial = TinyMLPRegressor(solver="sgd", random_state=0).partial_fit(X, y)
    assert "partial_fit: One epoch was done." in partial._repr_html_()
    two = fitted(X, np.column_stack([y, y**2]))
    assert len(html.outcome_table(two).split("noise_std_")[1].split("</td>")[0].split(",")) == 2


ENSEMBLE_HOLDERS = {
    "alone": lambda net: net,
    "pipeline": lambda net: make_pipeline(StandardScaler(), net),
    "search": lambda net: GridSearchCV(net, {"n_refits": [0]}, cv=2),
    "search over a pipeline": lambda net: GridSearchCV(
        make_pipeline(StandardScaler(), net), {"tinymlpensembleregressor__n_refits": [0]}, cv=2
    ),
}


def ensemble_in(holder):
    while not isinstance(holder, TinyMLPEnsembleRegressor):
        holder = holder.best_estimator_ if isinstance(holder, GridSearchCV) else holder[-1]
    return holder


@pytest.mark.parametrize("template", [None, TinyMLPRegressor(activation="sin")], ids=repr)
@pytest.mark.parametrize("kind", ENSEMBLE_HOLDERS)
def test_ensemble_is_shown_once_within_what_holds_it(kind, template):
    holder = ENSEMBLE_HOLDERS[kind](small_ensemble(estimator=template))
    assert "sklearn-tinymlp-" not in holder._repr_html_()
    holder.fit(FRAME, y)
    shown, block = holder._repr_html_(), ensemble_in(holder)._trained_html()
    assert shown.count(block) == shown.count("sklearn-tinymlp-ensemble") == 1
    assert shown.index("Parameters") < shown.index(block) < shown.index("<script>")


def test_block_of_an_ensemble_has_its_candidates_weights_and_a_network(ensemble):
    tree = ElementTree.fromstring(ensemble._trained_html())
    assert "open" not in tree.attrib
    rows = [[cell.text for cell in row] for row in tree.find("table").iter("tr")]
    assert rows[0][0] == "hidden_layer_sizes" and rows[0][-1] == "weight"
    results = ensemble.results_
    assert [row[0] for row in rows[1:]] == ["(3,)", "(2, 2)"]
    for row, error, weight in zip(rows[1:], results["error"], results["weight"], strict=True):
        assert float(row[-2]) == pytest.approx(error, rel=1e-3)
        number, bar = row[-1].split(" ")
        assert float(number) == pytest.approx(weight, abs=5e-4)
        assert len(bar) == pytest.approx(20 * weight, abs=0.51)
    cells = {row[0].text: row[1].text for row in tree.iter("tr")}
    assert cells["out_of_fold_r2_"] == f"{ensemble.out_of_fold_r2_:.4g}"
    assert cells["members"].startswith(f"{len(ensemble.estimators_)}, {ensemble.n_parameters_} ")
    network = tree.find("details")
    heaviest = ensemble.estimators_[ensemble.weights_.argmax()]
    lines = list(network.iter("{http://www.w3.org/2000/svg}line"))
    assert len(lines) == heaviest.n_parameters_
    texts = [text.text for text in network.iter("{http://www.w3.org/2000/svg}text")]
    assert "<age & co>" in texts  # the member has not seen the names
    assert "sklearn_tinymlp.TinyMLPEnsembleRegressor" in ensemble._get_doc_link()


def test_a_band_of_a_search_is_that_of_what_it_found_and_others_are_told_the_way_out():
    net = TinyMLPRegressor(random_state=0)
    search = GridSearchCV(net, {"n_init": [1]}, cv=2).fit(X, y)
    band = PredictionBandDisplay.from_estimator(search, X)
    alone = PredictionBandDisplay.from_estimator(search.best_estimator_, X)
    np.testing.assert_array_equal(band.y_std, alone.y_std)
    for other in (
        TransformedTargetRegressor(net, transformer=StandardScaler()).fit(X, y),
        LinearRegression().fit(X, y),
    ):
        with pytest.raises(TypeError, match=r"has the option return_std, got .*levels=\(\) draws"):
            PredictionBandDisplay.from_estimator(other, X)
        assert PredictionBandDisplay.from_estimator(other, X, levels=()).y_std is None


def test_the_state_of_one_epoch_is_a_point():
    net = TinyMLPRegressor(solver="adam", random_state=0).partial_fit(X, y)
    display = TrainingStateDisplay.from_estimator(net)
    assert display.lines_["loss"].get_marker() == "o"


def test_losses_of_degree_1_are_drawn_in_the_units_of_y():
    X = np.linspace(-1.0, 1.0, 40)[:, np.newaxis]
    y = 1000.0 * np.sin(3.0 * X[:, 0])
    net = TinyMLPRegressor(loss="absolute_error", solver="adam", standardize=True)
    net.set_params(hidden_layer_sizes=(3,), max_iter=30, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net.fit(X, y, X_val=X, y_val=y)
    drawn = LossCurveDisplay.from_estimator(net).validation_loss
    np.testing.assert_allclose(drawn[-1], np.mean(np.abs(net.predict(X) - y)), rtol=1e-6)


def test_the_effect_of_a_column_without_values_is_not_drawn():
    rng = np.random.RandomState(0)
    X = rng.standard_normal((80, 3))
    X[:, 1] = np.nan
    model = make_pipeline(SimpleImputer(keep_empty_features=True), LinearRegression())
    effects = EffectDisplay.from_estimator(model.fit(X, X[:, 0]), X).effects
    assert [effect.name for effect in effects] == ["x0", "x2"]


@pytest.mark.parametrize("rows", [None, 5])
def test_a_network_of_ramps_is_drawn_as_one_behind_the_encoder(rows):
    params = {"alpha": "layer", "hidden_layer_sizes": (4,), "random_state": 0}
    encoded = make_pipeline(PiecewiseLinearEncoder(n_bins=5), TinyMLPRegressor(**params))
    models = TinyMLPRegressor(inputs="ramps", **params).fit(X, y), encoded.fit(X, y)
    diagrams = [diagram_of(model, None if rows is None else X[:rows]) for model in models]
    for ours, theirs in zip(*(each.nodes for each in diagrams), strict=True):
        np.testing.assert_allclose(ours.shade, theirs.shade, atol=1e-9)
        assert ours._replace(shade=0.0) == theirs._replace(shade=0.0)
    weights = [[link.weight for link in each.links] for each in diagrams]
    np.testing.assert_allclose(*weights, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("inputs", ["clipped", "ramps"])
@pytest.mark.parametrize("solver", ["lm", "adam"])
def test_networks_with_a_first_layer_are_represented_and_drawn(inputs, solver):
    net = fitted(inputs=inputs, solver=solver, max_iter=5)
    assert "<svg" in net._repr_html_()
    for X in (None, FRAME):
        drawn(NetworkDisplay.from_estimator(net, X))
    ensemble = TinyMLPEnsembleRegressor.from_members([net], FRAME, y)
    assert "<svg" in ensemble._repr_html_()

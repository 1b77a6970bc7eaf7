"""The worked examples of docs/extending.md run, one after the other, in one program."""

import importlib
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
from diagnosis_cases import check_causes
from formulas import compiled_value_and_slope
from sklearn.exceptions import ConvergenceWarning

from sklearn_tinymlp import TinyMLPRegressor
from sklearn_tinymlp._activations.lookup import value_and_slope
from sklearn_tinymlp._activations.table import BUILT_IN, HIDDEN_ACTIVATIONS, ROW_OF
from sklearn_tinymlp._diagnosis import diagnose
from sklearn_tinymlp._losses.table import LOSSES
from sklearn_tinymlp._network.architecture import Architecture
from sklearn_tinymlp._network.network import network_of
from sklearn_tinymlp._objective.objective import Objective
from sklearn_tinymlp._objective.samples import Samples
from sklearn_tinymlp._solvers.table import SOLVERS

pytestmark = pytest.mark.slow


matplotlib = pytest.importorskip("matplotlib", reason="one example draws")
matplotlib.use("Agg")

PAGE = Path(__file__).parents[1] / "docs" / "extending.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.DOTALL)
TABLES = (LOSSES, SOLVERS, BUILT_IN, HIDDEN_ACTIVATIONS, ROW_OF)


@pytest.fixture(scope="module")
def examples():
    """The names that the page defines; the package's tables are put back afterwards."""
    before, causes = [dict(table) for table in TABLES], diagnose.CAUSES
    names = {"__name__": "extending"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for block in BLOCKS:
            exec(compile(block, "<docs/extending.md>", "exec"), names)  # no file: numba keeps none
    yield names
    importlib.import_module("matplotlib.pyplot").close("all")
    diagnose.CAUSES = causes
    for table, entries in zip(TABLES, before, strict=True):
        table.clear()
        table.update(entries)


def test_the_page_has_its_examples(examples):
    assert len(BLOCKS) >= 10
    assert {
        "MISH",
        "LOG_COSH",
        "GRADIENT_DESCENT",
        "idle_units",
        "ResidualDisplay",
    } <= examples.keys()


def test_kernel_and_formula_of_the_activation_agree(examples):
    z = np.linspace(-4.0, 4.0, 101)
    value, slope = compiled_value_and_slope("mish", z)
    by_numpy = value_and_slope("mish", z)
    np.testing.assert_allclose(value, by_numpy[0], rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(slope, by_numpy[1], rtol=1e-12, atol=1e-15)
    assert examples["MISH"].least == pytest.approx(value.min(), abs=1e-3)


@pytest.mark.parametrize("solver", ["lm", "lbfgs", "adam", "sgd", "gradient_descent"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_each_solver_trains_with_the_activation(examples, solver):
    net = TinyMLPRegressor(activation="mish", solver=solver, standardize=True, random_state=0)
    net.set_params(learning_rate=0.1, batch_size=20).fit(examples["X"], examples["y"])
    assert net.score(examples["X"], examples["y"]) > 0.5


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_activation_goes_to_onnx(examples):
    skl2onnx = pytest.importorskip("skl2onnx", reason="skl2onnx is not installed")
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    importlib.import_module("sklearn_tinymlp.onnx")
    X = examples["X"].astype(np.float32)  # onnxruntime has Softplus in float32 alone
    net = TinyMLPRegressor(activation="mish", solver="lbfgs", random_state=0)
    net.fit(X, examples["y"].astype(np.float32))
    net.coefs_ = [coef.astype(np.float32) for coef in net.coefs_]
    net.intercepts_ = [intercept.astype(np.float32) for intercept in net.intercepts_]
    model = skl2onnx.to_onnx(net, X[:1]).SerializeToString()
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    predictions = session.run(None, {"X": X})[0].ravel()
    np.testing.assert_allclose(predictions, net.predict(X), rtol=1e-4, atol=1e-5)


def test_slope_and_curvature_of_the_loss_are_derivatives(examples):
    loss, rng, step = examples["LOG_COSH"], np.random.default_rng(0), 1e-5
    y, f = rng.standard_normal((2, 50, 1))
    slope = (loss.value(y, f + step) - loss.value(y, f - step)) / (2 * step)
    np.testing.assert_allclose(loss.slope(y, f), slope, rtol=1e-7, atol=1e-9)
    bend = (loss.slope(y, f + step) - loss.slope(y, f - step)) / (2 * step)
    np.testing.assert_allclose(loss.curvature(y, f), bend, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("solver", ["auto", "lbfgs", "adam", "sgd", "gradient_descent"])
@pytest.mark.parametrize("loss", ["squared_error", "log_cosh"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_each_solver_trains_each_loss(examples, solver, loss):
    net = TinyMLPRegressor(loss, solver=solver, max_iter=300, batch_size=20, random_state=0)
    net.set_params(learning_rate=0.3 if solver == "gradient_descent" else 0.02)
    net.fit(examples["X"], examples["y"])
    assert net.score(examples["X"], examples["y"]) > 0.5
    assert net.diagnose(examples["X"], examples["y"]).summary


def test_the_loss_is_refused_by_least_squares(examples):
    with pytest.raises(ValueError, match="solver='lm' .* cannot take loss='log_cosh'"):
        TinyMLPRegressor("log_cosh", solver="lm").fit(examples["X"], examples["y"])


def test_a_solver_that_ends_at_max_iter_warns(examples):
    net = TinyMLPRegressor(solver="gradient_descent", max_iter=3, random_state=0)
    with pytest.warns(ConvergenceWarning, match="max_iter"):
        net.fit(examples["X"], examples["y"])
    assert net.n_iter_ == 3 and not net.converged_


def test_the_cause_is_refused_until_it_is_tested_and_explained(examples):
    with pytest.raises(ValueError, match="'idle_units' needs a test that provokes it"):
        check_causes([examples["idle_units"]], provoked=(), healthy=(), page="")


def test_the_gradient_of_the_reparametrised_objective_is_that_of_its_loss(examples):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((30, 2)), rng.standard_normal((30, 1))
    network = network_of(Architecture((2, 4, 1)), ("tanh", "identity"))
    monotone = examples["Monotone"](Objective(network, Samples.of(X, y), 0.1), inputs=[0])
    free = monotone.free(rng.standard_normal(17))
    _, gradient = monotone.loss_gradient(free)
    step = 1e-6
    differences = [
        (monotone.loss_gradient(free + h)[0] - monotone.loss_gradient(free - h)[0]) / (2 * step)
        for h in step * np.eye(17)
    ]
    np.testing.assert_allclose(gradient, differences, rtol=1e-6, atol=1e-9)
    assert (monotone.weights(free)[monotone.positive] > 0).all()
    coefs, _ = network.architecture.unpack(monotone.positive)
    np.testing.assert_array_equal(coefs[0], [[True] * 4, [False] * 4])


LONG = {"max_iter": 10**6, "tol": 0, "n_iter_no_change": 10**6}
TIMED = {
    "sgd": {"solver": "sgd", **LONG},
    "adam": {"solver": "adam", **LONG},
    "lbfgs": {"solver": "lbfgs", "max_iter": 10**6, "tol": 0, "max_fun": 10**6},
    "lm, fixed alpha": {"solver": "lm", "alpha": 1e-3, "max_iter": 10**6, "tol": 0},
    "evidence": {"n_init": 10**4},
    "varying noise": {"noise": "varying", "n_init": 10**4},
    "another loss": {"loss": "huber", "n_init": 10**4},
}


@pytest.mark.parametrize("name", TIMED)
def test_a_limit_on_time_ends_every_solver(examples, name):
    rng = np.random.default_rng(1)
    X = rng.uniform(-2, 2, (300, 2))
    y = np.sin(2 * X[:, 0]) + 0.1 * rng.standard_normal(300)
    net = examples["TimedRegressor"](random_state=0, **TIMED[name])
    net.max_seconds = 0.5  # no bound on the time is asserted: without the limit it takes minutes
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        net.fit(X, y)
    assert net.stop_reason_ == "interrupted"
    assert np.isfinite(net.predict(X)).all()

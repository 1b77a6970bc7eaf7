"""Exported source against `predict`: Python as it stands, C as gcc or clang compiles it."""

import ctypes
import pickle
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from functools import cache, partial
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from problems import READY_MADE
from sklearn.exceptions import NotFittedError
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_tinymlp import (
    Activation,
    TinyMLPEnsembleRegressor,
    TinyMLPRegressor,
    activations,
    to_c,
    to_python,
)
from sklearn_tinymlp._activations.table import HIDDEN_ACTIVATIONS, OUTPUT_ACTIVATIONS

RNG = np.random.RandomState(0)
X = RNG.standard_normal((300, 3)) * [1.0, 30.0, 0.01] + [0.0, 200.0, 1.0]  # raw units
Z = (X - X.mean(axis=0)) / X.std(axis=0)
Y = np.column_stack([Z[:, 0] ** 2 + 10.0, np.tanh(Z[:, 1]) - Z[:, 2]])
COUNTS = RNG.poisson(np.exp(0.5 * Z[:, 0])).astype(float)

COMPILER = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="no C compiler is installed")
STRICT = ["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror", "-Wdouble-promotion"]

NUMBERS = count()

pytestmark = [
    pytest.mark.slow,
    # A few iterations: whether exports agree with a network does not depend on convergence.
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]


def net(**parameters):
    defaults = {"hidden_layer_sizes": (5,), "max_iter": 15, "random_state": 0}
    return TinyMLPRegressor(**(defaults | parameters))


@cache
def ensemble(n_outputs=1, dtype="float64", **parameters):
    """Two members of each of two shapes, so two parts of the source, with weights of their own."""
    rows = X[:80] if dtype == "float64" else Z[:80].astype(dtype)
    both, other = (
        TinyMLPEnsembleRegressor(
            net(**parameters), hidden_layer_sizes=[shape], cv=2, n_refits=0, random_state=0
        ).fit(rows, Y[:80, 0] if n_outputs == 1 else Y[:80])
        for shape in ((3,), (2, 2))
    )
    both.estimators_ = [*both.estimators_, *other.estimators_]
    both.weights_ = np.array([0.1, 0.2, 0.3, 0.4])  # no float32 is one of these
    return both


def members_of(estimator):
    return getattr(estimator, "estimators_", [estimator])


def hidden(activation):
    return net(activation=activation).fit(X, Y[:, 0])


def output(activation):
    # Targets that the output can take; predictions well away from zero test every function.
    target = 0.25 + 0.5 / (1.0 + np.exp(-Z[:, 0]))
    return net(output_activation=activation, standardize=True, solver="lbfgs").fit(X, target)


CASES = {
    **{f"hidden {name}": lambda name=name: hidden(name) for name in HIDDEN_ACTIVATIONS},
    **{f"output {name}": lambda name=name: output(name) for name in OUTPUT_ACTIVATIONS},
    **{f"hidden {name}": lambda made=made: hidden(made) for name, made in READY_MADE.items()},
    **{f"output {name}": lambda made=made: output(made) for name, made in READY_MADE.items()},
    "deep, a constant a layer": lambda: net(
        hidden_layer_sizes=(7, 4, 5, 6, 4),
        activation=[
            "leaky_relu",
            activations.leaky_relu(0.2),
            activations.leaky_relu(0.2 + 1e-9),  # of the same name
            "silu",
            activations.swish(1.0),
        ],
        output_activation=activations.softplus(3.0),
        solver="lbfgs",
        standardize=True,
    ).fit(X, 1.0 + Y**2),
    "several outputs": lambda: net().fit(X, Y),
    "no hidden layer": lambda: net(hidden_layer_sizes=()).fit(X, Y),
    "one input": lambda: net(hidden_layer_sizes=(1,)).fit(X[:, :1], Y[:, 0]),
    "deep, an activation a layer": lambda: net(
        hidden_layer_sizes=(7, 30, 4, 5, 6),
        activation=["gelu", "sin", "tanh", "leaky_relu", "gelu"],
        solver="lbfgs",
        standardize=True,
    ).fit(X, Y),
    "poisson": lambda: net(loss="poisson", solver="lbfgs", standardize=True).fit(X, COUNTS),
    "no bias": lambda: net(bias=False).fit(X, Y),
    "raw units": lambda: net(solver="adam", standardize=False).fit(Z, Y),
    "wide": lambda: net(hidden_layer_sizes=(300,), solver="lbfgs", standardize=True).fit(X, Y),
    "ensemble": ensemble,
    "ensemble of several outputs": lambda: ensemble(2),
    "ensemble of an activation with a constant": lambda: ensemble(
        2, activation=activations.leaky_relu(0.2)
    ),
    "ensemble of gelu": lambda: ensemble(activation="gelu", output_activation="softplus"),
}

SINGLE = {
    f"float32 {name}": lambda activation=activation: net(
        activation=activation, solver="lbfgs", hidden_layer_sizes=(5, 4)
    ).fit(Z.astype(np.float32), Y)
    for name, activation in ({name: name for name in HIDDEN_ACTIVATIONS} | READY_MADE).items()
}
SINGLE["float32 ensemble"] = lambda: ensemble(2, "float32", solver="lbfgs", activation="silu")


def inputs(case, network):
    rows = Z if case.startswith(("float32", "raw")) else X
    return rows[:, : network.n_features_in_]


def run_python(source, rows, name="predict"):
    module = {}
    exec(compile(source, "exported", "exec"), module)
    return module[name](rows)


def run_c(source, rows, n_outputs, folder, dtype=np.float64, name="predict"):
    """Compile as strictly as it goes, call for each row."""
    (folder / "net.c").write_text(source, encoding="ascii")
    library = folder / f"net{next(NUMBERS)}.so"  # a process loads a path once
    command = [COMPILER, *STRICT, "-O2", "-shared", "-fPIC", "net.c", "-o", str(library), "-lm"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=600)
    function = getattr(ctypes.CDLL(str(library)), name)
    function.restype = None
    real = ctypes.POINTER(ctypes.c_double if dtype == np.float64 else ctypes.c_float)
    rows = np.ascontiguousarray(rows, dtype=dtype)
    out = np.empty((len(rows), n_outputs), dtype)
    for x, y in zip(rows, out, strict=True):
        function(x.ctypes.data_as(real), y.ctypes.data_as(real))
    return out


def tolerances(expected, eps, units):
    """Rounding: sums of `units` terms, that may cancel, each a few units in the last place."""
    return {"rtol": 0, "atol": 4 * units * eps * max(1.0, np.abs(expected).max())}


def cancellation(network):
    """Bound the sums of the first layer's terms; the sums that matter are about 1."""
    largest = np.abs(X).max(axis=0)[: network.n_features_in_]
    return 1.0 + max(
        float(np.abs(member.coefs_[0]).T.dot(largest).max()) for member in members_of(network)
    )


@pytest.mark.parametrize("case", CASES)
def test_python_gives_what_predict_gives(case):
    network = CASES[case]()
    rows = inputs(case, network)
    expected = network.predict(rows)
    result = run_python(to_python(network), rows)
    assert result.dtype == expected.dtype and result.shape == expected.shape
    assert_allclose(result, expected, **tolerances(expected, 2.0**-52, cancellation(network)))


@pytest.mark.parametrize("case", SINGLE)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_python_keeps_single_precision_as_predict_does(case, dtype):
    network = SINGLE[case]()
    rows = (100 * Z if dtype == np.int64 else Z).astype(dtype)
    expected = network.predict(rows)
    result = run_python(to_python(network), rows)
    assert result.dtype == expected.dtype and result.shape == expected.shape
    eps = np.finfo(expected.dtype).eps
    units = 100 if dtype == np.int64 else 1
    assert_allclose(result, expected, **tolerances(expected, eps, units))


@needs_compiler
@pytest.mark.parametrize("case", CASES)
def test_c_gives_what_predict_gives(case, tmp_path):
    network = CASES[case]()
    rows = inputs(case, network)
    expected = network.predict(rows)
    result = run_c(to_c(network), rows, network.n_outputs_, tmp_path)
    result = result.reshape(expected.shape)
    assert_allclose(result, expected, **tolerances(expected, 2.0**-52, cancellation(network)))


@needs_compiler
@pytest.mark.parametrize("case", SINGLE)
def test_c_in_single_precision(case, tmp_path):
    network = SINGLE[case]()
    source = to_c(network)
    assert "double" not in source
    rows = Z.astype(np.float32)
    result = run_c(source, rows, network.n_outputs_, tmp_path, np.float32)
    expected = network.predict(rows)
    assert_allclose(result, expected, **tolerances(expected, 2.0**-23, 1))


@needs_compiler
def test_c_in_another_precision_than_the_weights(tmp_path):
    network = net().fit(Z, Y)
    expected = network.predict(Z)
    source = to_c(network, dtype="float32")
    assert "double" not in source
    result = run_c(source, Z, 2, tmp_path, np.float32)
    assert_allclose(result, expected, **tolerances(expected, 2.0**-23, cancellation(network)))
    single = net(solver="lbfgs").fit(Z.astype(np.float32), Y)
    for network in (single, ensemble(2, "float32", solver="lbfgs", activation="silu")):
        result = run_c(to_c(network, dtype="float64"), Z, 2, tmp_path)
        assert_allclose(result, network.predict(Z), rtol=1e-12, atol=1e-12)


@pytest.mark.slow
@needs_compiler
def test_two_networks_and_an_ensemble_in_one_c_file(tmp_path):
    first, second, third = net().fit(X, Y), net(activation="sin").fit(X, Y), ensemble(2)
    source = to_c(first, name="first") + to_c(second, name="second") + to_c(third, name="third")
    for name, network in (("first", first), ("second", second), ("third", third)):
        result = run_c(source, X[:10], 2, tmp_path, name=name)
        assert_allclose(result, network.predict(X[:10]), rtol=1e-10)


@needs_compiler
@pytest.mark.parametrize(
    "make", [lambda: net(activation="gelu").fit(X, Y), CASES["ensemble of gelu"]]
)
def test_c_takes_no_memory(make, tmp_path):
    network = make()
    (tmp_path / "net.c").write_text(to_c(network), encoding="ascii")
    subprocess.run([COMPILER, "-std=c99", "-c", "net.c"], cwd=tmp_path, check=True, timeout=600)
    symbols = subprocess.run(
        ["nm", "-u", "net.o"], cwd=tmp_path, check=True, capture_output=True, text=True, timeout=600
    ).stdout
    allowed = {"U", "erf", "exp", "log1p", "_GLOBAL_OFFSET_TABLE_", "__stack_chk_fail"}
    assert set(symbols.split()) <= allowed


@pytest.mark.parametrize("activation", ["logistic", "silu", "softplus", "elu", "tanh", "gelu"])
def test_large_inputs_do_not_overflow(activation):
    network = net(activation=activation, solver="lbfgs").fit(Z, Y[:, 0])
    rows = 1e6 * Z
    expected = network.predict(rows)
    result = run_python(to_python(network), rows)  # warnings are errors here
    assert_allclose(result, expected, rtol=1e-10, atol=1e-6)


@pytest.mark.parametrize(
    "make", [lambda: net(activation="gelu").fit(X, Y[:, 0]), CASES["ensemble of gelu"]]
)
def test_the_exported_module_needs_numpy_alone(make, tmp_path):
    network = make()
    (tmp_path / "exported.py").write_text(to_python(network, name="tank_level"), encoding="ascii")
    np.save(tmp_path / "rows.npy", X)
    code = (
        "import sys\n"
        "sys.modules.update(sklearn=None, scipy=None, numba=None, sklearn_tinymlp=None)\n"
        "import numpy as np, exported\n"
        "np.save('out.npy', exported.tank_level(np.load('rows.npy')))\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, timeout=600)
    assert_allclose(np.load(tmp_path / "out.npy"), network.predict(X), rtol=1e-10)


@pytest.mark.slow
@needs_compiler
def test_the_example_runs(tmp_path):
    script = Path(__file__).parents[1] / "examples" / "network_in_c.py"
    result = subprocess.run(
        [sys.executable, script],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
        timeout=600,
    )
    difference = float(result.stdout.splitlines()[-1].partition("predict: ")[2])
    assert difference < 1e-11
    assert "void resistance(const double x[6], double y[1]);" in (tmp_path / "yacht.c").read_text()


def test_the_exported_function_checks_the_shape():
    source = to_python(net().fit(X, Y))
    with pytest.raises(ValueError, match=r"n_samples, 3"):
        run_python(source, X[0])


def test_lines_of_the_source_are_short():
    for network in (net(hidden_layer_sizes=(40, 40), solver="lbfgs").fit(X, Y), ensemble(2)):
        for source in (to_python(network), to_c(network), to_c(network, dtype="float32")):
            assert max(map(len, source.splitlines())) < 100


def test_inputs_that_members_leave_out():
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((200, 6))
    fitted = TinyMLPEnsembleRegressor(
        hidden_layer_sizes=[(3,)], cv=2, n_refits=0, random_state=0
    ).fit(rows, np.sin(2 * rows[:, 0]) + 0.05 * rng.standard_normal(200))
    assert any(member._posterior.inputs is not None for member in fitted.estimators_)
    result = run_python(to_python(fitted), rows)
    assert_allclose(result, fitted.predict(rows), rtol=0, atol=1e-13)


def test_members_of_one_shape_share_tables_and_a_function():
    network = ensemble(2)
    source = to_c(network)
    for shape, part in (("[3][3]", 1), ("[2][3]", 2)):
        assert f"static const double predict_{part}_coefs_1[2]{shape} =" in source
        assert source.count(f"static void predict_{part}(") == 1
    assert source.startswith("/* An ensemble of 4 networks, by sklearn-tinymlp.")
    module = {}
    exec(to_python(network), module)
    assert [*module["PREDICT_1_WEIGHTS"], *module["PREDICT_2_WEIGHTS"]] == [0.1, 0.2, 0.3, 0.4]


@pytest.mark.slow
@pytest.mark.parametrize("export", [to_c, to_python])
def test_errors(export):
    for kind in (TinyMLPRegressor, TinyMLPEnsembleRegressor):
        with pytest.raises(NotFittedError):
            export(kind())
    pipeline = make_pipeline(StandardScaler(), net()).fit(X, Y)
    with pytest.raises(TypeError, match="got Pipeline. Pass the last step of a pipeline"):
        export(pipeline)
    with pytest.raises(TypeError, match="got MLPRegressor"):
        export(MLPRegressor())
    for name in ("two words", "1st", "while", ""):
        with pytest.raises(ValueError, match="name must be"):
            export(pipeline[-1], name=name)
    with pytest.raises(ValueError, match="name must be"):
        export(pipeline[-1], name="np" if export is to_python else "tanh")
    if export is to_python:
        for name in ("__debug__", "enumerate", "ValueError"):
            with pytest.raises(ValueError, match="name must be"):
                export(pipeline[-1], name=name)
    network = net().fit(X, Y)
    network.coefs_[0][0, 0] = np.inf
    with pytest.raises(ValueError, match="not finite"):
        export(network)
    several = through_pickle(ensemble(2))
    several.estimators_[-1].coefs_[0][0, 0] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        export(several)


def leak(z, negative_slope):
    return z if z > 0.0 else negative_slope * z


def leak_slope(z, negative_slope):
    return 1.0 if z > 0.0 else negative_slope


OWN = {
    "bump": Activation(np.sin, np.cos, name="bump"),
    "leaky_relu(0.2)": Activation(
        partial(leak, negative_slope=0.2),
        partial(leak_slope, negative_slope=0.2),
        name="leaky_relu(0.2)",
    ),
}


@pytest.mark.parametrize("own", OWN)
@pytest.mark.parametrize("export", [to_c, to_python])
def test_an_activation_of_the_users_own_is_refused(own, export):
    network = net(activation=OWN[own]).fit(Z, Y)
    sentence = (
        f"The activation {own!r} is a function of your own, which {export.__name__} cannot export. "
        f"Built-in activations can be exported: {', '.join(OUTPUT_ACTIVATIONS)}; and the "
        "functions of sklearn_tinymlp.activations."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        export(network)
    several = through_pickle(ensemble(2))
    several.estimators_[1] = network
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        export(several)


def through_pickle(network):
    return pickle.loads(pickle.dumps(network))


def through_skops(network):
    skops = pytest.importorskip("skops.io", reason="skops is not installed")
    file = skops.dumps(network)
    return skops.loads(file, trusted=skops.get_untrusted_types(data=file))


@pytest.mark.parametrize("way", [through_pickle, through_skops])
def test_a_loaded_network_is_exported_like_the_one_saved(way):
    network = net(
        hidden_layer_sizes=(3,) * len(READY_MADE), activation=list(READY_MADE.values())
    ).fit(Z, Y)
    for saved in (network, ensemble(2)):
        for export in (to_c, to_python):
            assert export(way(saved)) == export(saved)


def test_each_constant_has_a_function_of_its_own_with_all_digits():
    network = CASES["deep, a constant a layer"]()
    for source, first in ((to_c(network), "predict"), (to_python(network), "_predict")):
        names = re.findall(rf"(?:static double|def) ({first}_[a-z]\w*)\(", source)
        suffixes = ("leaky_relu", "leaky_relu_2", "leaky_relu_3", "silu", "swish", "softplus")
        assert names == [f"{first}_{suffix}" for suffix in suffixes]
        for constant in ("0.01 * z", "0.2 * z", "0.200000001 * z", "3.0 * z"):
            assert constant in source
        assert "leaky_relu(0.200000001)" in source.splitlines()[0]  # the name has six digits
        assert "1.0 *" not in source


def test_layers_of_one_constant_share_a_function():
    network = net(
        hidden_layer_sizes=(3, 3), activation=[activations.elu(0.5), activations.elu(0.5)]
    ).fit(Z, Y)
    assert to_c(network).count("static double predict_elu") == 1
    assert to_python(network).count("def _predict_elu") == 1


def test_the_name_of_an_activation_is_not_written():
    # A file of skops may hold any name.
    own = replace(activations.elu(0.5), name='*/ int evil; /*"""')
    network = net(activation=own).fit(Z, Y)
    for export in (to_c, to_python):
        assert "evil" not in export(network)
        assert "(elu(0.5), identity)" in export(network)


@pytest.mark.parametrize("beta", [1e-50, 1e50])
def test_a_constant_that_does_not_fit_is_refused(beta):
    network = net(activation=activations.swish(beta)).fit(Z, Y)
    to_c(network), to_python(network)
    with pytest.raises(ValueError, match=r"beta=1e[+-]50 of .* does not fit into float32"):
        to_c(network, dtype="float32")


def test_what_only_c_refuses():
    network = net().fit(X, Y)
    with pytest.raises(ValueError, match="dtype must be"):
        to_c(network, dtype="float16")
    network.coefs_[0][0, 0] = 1e300
    with pytest.raises(ValueError, match="not finite"), np.errstate(over="ignore"):
        to_c(network, dtype="float32")

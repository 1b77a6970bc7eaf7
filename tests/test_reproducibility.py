"""The same random_state gives the same weights: in any process, and from release to release.

`python tests/test_reproducibility.py --write` brings `data/weights.json` up to date: it writes what
is missing or no longer within the tolerance, and leaves the rest to the bit. A change of it is a
change that users see: it belongs into the changelog.
"""

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.model_selection import GridSearchCV, cross_val_predict

import sklearn_tinymlp
from sklearn_tinymlp import TinyMLPRegressor
from sklearn_tinymlp._activations.table import HIDDEN_ACTIVATIONS
from sklearn_tinymlp._data import scaling
from sklearn_tinymlp._network.initialization import INITIALIZERS

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

STORED = Path(__file__).parent / "data" / "weights.json"

# Binary fractions, and sums and products of them: the same numbers on every machine.
N = 24
X = np.array([[(7 * i) % 16 - 8, (5 * i + 3) % 16 - 8, (3 * i) % 8 - 4] for i in range(N)]) / 8
Y = np.column_stack([X[:, 0] * X[:, 1] - X[:, 2] / 2, X[:, 2] ** 2 + X[:, 0] / 4])
COUNTS = np.array([i * i % 7 for i in range(N)], dtype=float)
WEIGHT = np.array([i % 4 for i in range(N)]) / 2
SOLVERS = ("lm", "lbfgs", "adam", "sgd")


def configurations():
    """Name, parameters, and what the data are, of small networks that meet every path."""
    for name in HIDDEN_ACTIVATIONS:
        for solver in SOLVERS:
            yield f"{solver}, {name}", {"solver": solver, "activation": name}, {}
    for init in INITIALIZERS:
        yield f"adam, {init}", {"solver": "adam", "init": init}, {}
    for name in ("softplus", "logistic", "exp"):
        params = {"solver": "lbfgs", "loss": "poisson", "output_activation": name}
        yield f"lbfgs, counts by {name}", params, {"y": COUNTS / 8}
    for solver in SOLVERS:
        yield f"{solver}, two outputs", {"solver": solver}, {"y": Y}
        yield f"{solver}, weighted", {"solver": solver}, {"sample_weight": WEIGHT}
        yield f"{solver}, sparse", {"solver": solver}, {"X": sparse.csr_matrix(X)}
        yield f"{solver}, no bias", {"solver": solver, "bias": False}, {}
        yield f"{solver}, three starts", {"solver": solver, "n_init": 3}, {}
        standardize = {"solver": solver, "standardize": solver != "lm"}
        yield f"{solver}, standardize={standardize['standardize']}", standardize, {}
        yield f"{solver}, float32", {"solver": solver}, {"X": X.astype(np.float32)}
    for solver in ("lm", "adam", "sgd"):
        yield f"{solver}, early stopping", {"solver": solver, "early_stopping": True}, {}
    yield "lm, alpha=0.01", {"solver": "lm", "alpha": 0.01}, {}
    # 24 rows and 25 parameters or more are solved for in the space of rows, 17 in that of weights.
    yield "lm, few parameters", {"solver": "lm", "hidden_layer_sizes": (3,)}, {}
    for kind, params in {
        "plain": {"momentum": 0.0},
        "momentum": {"nesterovs_momentum": False},
        "invscaling": {"learning_rate": "invscaling", "learning_rate_init": 0.1},
        "adaptive": {"learning_rate": "adaptive", "tol": 10.0, "n_iter_no_change": 1},
        "single rows": {"batch_size": 1},
        "single rows in order": {"batch_size": 1, "shuffle": False, "momentum": 0.0},
        "one batch": {"batch_size": N},
    }.items():
        yield f"sgd, {kind}", {"solver": "sgd", **params}, {}
    yield "adam, other rates", {"solver": "adam", "beta_1": 0.5, "beta_2": 0.9, "epsilon": 0.01}, {}


CONFIGURATIONS = {name: (params, data) for name, params, data in configurations()}


def fit(name):
    params, data = CONFIGURATIONS[name]
    params = {"hidden_layer_sizes": (4, 3), "max_iter": 5, "batch_size": 7, **params}
    if params["solver"] == "sgd":
        params = {"learning_rate_init": 0.05} | params
    net = TinyMLPRegressor(random_state=0, **params)
    return net.fit(**{"X": X, "y": Y[:, 0], **data})


def numbers(net):
    """Loss and weights, in double precision."""
    parts = [[net.loss_], *map(np.ravel, (*net.coefs_, *net.intercepts_))]
    return np.concatenate(parts).astype(float)


def tolerance(name) -> float:
    """Of the loss, and of the largest weight: a hundred times what has been seen.

    Compilers and processors of other kinds add in another order and fuse other products, which
    changes last bits: 1e-16, in single precision 1e-7. Five iterations make little more of them.
    Between code for AVX-512, for SSE alone, and NumPy 1.26 with numba 0.59 the weights of the first
    order methods differed by up to 8e-15, those in single precision by 1.2e-7. lm divides by the
    squares of small singular values: 1.5e-11.
    """
    if "float32" in name:
        return 1e-5
    return 1e-9 if name.startswith("lm") else 1e-12


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_the_weights_are_those_of_the_release_before(name):
    stored = json.loads(STORED.read_text())[name]
    assert_as_stored(name, numbers(fit(name)), stored)


def assert_as_stored(name, got, stored):
    expected = np.array([float.fromhex(number) for number in stored])
    assert_allclose(got[0], expected[0], rtol=tolerance(name))
    assert_allclose(got[1:], expected[1:], rtol=0, atol=tolerance(name) * np.abs(expected).max())


def brought_up_to_date(stored, found):
    """Keep what is stored where it agrees with what was found, and that alone."""
    updated = {}
    for name, got in found.items():
        updated[name] = stored.get(name)
        try:
            assert_as_stored(name, got, updated[name])
        except (AssertionError, TypeError):  # another result, or none yet
            updated[name] = [float(number).hex() for number in got]
    return updated


def test_what_is_stored_is_replaced_only_where_it_is_another():
    stored = {"adam": [(1.0).hex(), (2.0).hex()], "lm": [(1.0).hex(), (3.0).hex()], "old": []}
    last_bit = np.array([1.0, np.nextafter(2.0, 3.0)])
    found = {"adam": last_bit, "lm": np.array([1.0, 3.1]), "new": np.array([0.5])}
    updated = brought_up_to_date(stored, found)
    assert updated.keys() == {"adam", "lm", "new"}
    assert updated["adam"] == stored["adam"]
    assert updated["lm"] == [(1.0).hex(), (3.1).hex()]
    assert updated["new"] == [(0.5).hex()]


def test_every_stored_network_is_compared():
    assert json.loads(STORED.read_text()).keys() == CONFIGURATIONS.keys()


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_second_fit_has_the_same_bits(name):
    assert_array_equal(numbers(fit(name)), numbers(fit(name)))


def test_partial_fit_has_the_same_bits():
    for solver in ("adam", "sgd"):
        nets = [TinyMLPRegressor(solver=solver, random_state=0) for _ in range(2)]
        for _ in range(3):
            for net in nets:
                net.partial_fit(X, Y)
        assert_array_equal(numbers(nets[0]), numbers(nets[1]))


@pytest.mark.slow
@pytest.mark.parametrize("solver", SOLVERS)
def test_n_jobs_changes_nothing(solver):
    net = TinyMLPRegressor(hidden_layer_sizes=(4,), solver=solver, max_iter=20, random_state=0)
    alone, together = (cross_val_predict(net, X, Y, cv=4, n_jobs=n_jobs) for n_jobs in (None, 2))
    assert_array_equal(alone, together)
    searches = [
        GridSearchCV(net, {"hidden_layer_sizes": [(2,), (3,)]}, cv=3, n_jobs=n_jobs).fit(X, Y)
        for n_jobs in (None, 2)
    ]
    for ours, theirs in zip(*(s.best_estimator_.coefs_ for s in searches), strict=True):
        assert_array_equal(ours, theirs)


@pytest.mark.parametrize("shape", [(1, 1), (1000, 1), (5, 2), (1000, 7), (3, 1000)], ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("centre", [False, True])
def test_standardising_in_blocks_has_the_bits_of_doing_it_at_once(
    monkeypatch, shape, dtype, weighted, centre
):
    rng = np.random.RandomState(0)
    values = (rng.standard_normal(shape) + 1.0).astype(dtype)
    weight = rng.uniform(0.1, 2, shape[0]).astype(dtype) if weighted else None
    monkeypatch.setattr(scaling, "BLOCK_VALUES", 100)
    mean, scale = scaling._moments(values, weight, centre)
    wide = values.astype(np.float64)
    assert_array_equal(mean, np.average(wide, axis=0, weights=weight) if centre else 0.0)
    deviation = np.abs(wide - mean)
    largest = np.where(deviation.max(axis=0) == 0, 1.0, deviation.max(axis=0))
    squares = np.average((deviation / largest) ** 2, axis=0, weights=weight)
    if shape[0] > 1:
        assert_array_equal(scale, largest * np.sqrt(squares))
    scaled = scaling._scaled(values, mean, scale)
    assert scaled.dtype == dtype
    assert_array_equal(scaled, ((values - mean) / scale).astype(dtype))


CHILD = """
import sys, warnings
import numpy as np
from threadpoolctl import threadpool_info
from sklearn_tinymlp import TinyMLPRegressor
warnings.simplefilter("ignore")
rng = np.random.RandomState(0)
X = rng.standard_normal((300, 400))
y = np.sin(X[:, :3].sum(axis=1))
print(max(p["num_threads"] for p in threadpool_info() if p["user_api"] == "blas"))
for solver, units in (("lm", 4), ("lbfgs", 20), ("adam", 20), ("lbfgs", 300), ("adam", 300)):
    columns = X[:, :20] if units < 300 else X
    net = TinyMLPRegressor(hidden_layer_sizes=(units,), solver=solver, max_iter=3, random_state=0)
    net.fit(columns, y)
    print(*[number.hex() for coef in net.coefs_ for number in coef.ravel().tolist()])
    if solver == "lm":
        print(*[number.hex() for number in net.predict(columns, return_std=True)[1].tolist()])
"""


def in_child(n_threads):
    folder = str(Path(sklearn_tinymlp.__file__).parents[1])
    names = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "OMP_NUM_THREADS")
    environment = {
        **os.environ,
        **dict.fromkeys(names, str(n_threads)),
        "PYTHONPATH": os.pathsep.join([folder, os.environ.get("PYTHONPATH", "")]),
        "PYTHONHASHSEED": str(n_threads),
    }
    lines = subprocess.check_output(
        [sys.executable, "-c", CHILD], env=environment, text=True, timeout=600
    )
    n, *rest = lines.splitlines()
    return int(n), [np.array([float.fromhex(number) for number in line.split()]) for line in rest]


@pytest.mark.slow
def test_threads_of_blas():
    (_, one), (n_threads, two) = in_child(1), in_child(2)
    if n_threads != 2:
        pytest.skip("this BLAS has no second thread here")
    lm, std, *small = one[:4]
    for ours, theirs in zip([lm, std, *small], two[:4], strict=True):
        assert_array_equal(ours, theirs)  # up to 100,000 parameters there is one thread anyhow
    # A product of matrices that two threads share may add in another order: 400 numbers a sum here.
    for ours, theirs in zip(one[4:], two[4:], strict=True):
        assert_allclose(ours, theirs, rtol=0, atol=1e-10 * np.abs(ours).max())


def main():
    """Write the weights of the configurations that are new or others."""
    warnings.simplefilter("ignore")
    if sys.argv[1:] != ["--write"]:
        raise SystemExit(__doc__)
    before = json.loads(STORED.read_text()) if STORED.exists() else {}
    stored = brought_up_to_date(before, {name: numbers(fit(name)) for name in CONFIGURATIONS})
    STORED.parent.mkdir(exist_ok=True)
    lines = (f"{json.dumps(name)}: {json.dumps(numbers)}" for name, numbers in stored.items())
    STORED.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()

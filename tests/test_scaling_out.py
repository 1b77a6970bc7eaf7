"""Grid searches and ensembles on Dask and Ray, and Dask's chunked arrays."""

import os
import subprocess
import sys
from pathlib import Path

import joblib
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.model_selection import GridSearchCV

from sklearn_tinymlp import TinyMLPEnsembleRegressor, TinyMLPRegressor

RNG = np.random.RandomState(0)
X = RNG.standard_normal((240, 3))
Y = np.column_stack([X[:, 0] ** 2, np.tanh(X[:, 1]) - X[:, 2]])

EXAMPLES = Path(__file__).parents[1] / "examples"

# A process that has just compiled a kernel and one that took it from the disk cache have been seen
# to differ in the last bit (adam).
ROUNDING = {"rtol": 1e-9, "atol": 1e-12}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings(
        "ignore::sklearn.exceptions.ConvergenceWarning"  # training is cut short on purpose
    ),
]


@pytest.fixture(scope="module")
def cluster():
    """Return a client of a local cluster in two processes."""
    distributed = pytest.importorskip("dask.distributed", reason="dask.distributed is missing")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as local,
        distributed.Client(local) as client,
    ):
        yield client


def search():
    net = TinyMLPRegressor(max_iter=30, random_state=0)
    grid = {"hidden_layer_sizes": [(2,), (4,)], "solver": ["lm", "lbfgs", "adam"]}
    return GridSearchCV(net, grid, cv=3, error_score="raise")


def assert_same_search(found):
    expected = search().fit(X, Y)
    assert found.best_params_ == expected.best_params_
    assert_array_equal(
        found.cv_results_["rank_test_score"], expected.cv_results_["rank_test_score"]
    )
    for column in ("mean_test_score", "std_test_score"):
        # lbfgs amplifies rounding.
        assert_allclose(found.cv_results_[column], expected.cv_results_[column], rtol=1e-4)
    assert_allclose(found.predict(X), expected.predict(X), **ROUNDING)


def test_the_cluster_has_two_processes_of_its_own(cluster):
    processes = set(cluster.run(os.getpid).values())
    assert len(processes) == 2 and os.getpid() not in processes


def test_grid_search_on_dask(cluster):
    with joblib.parallel_config("dask"):
        found = search().fit(X, Y)
    assert_same_search(found)


def ensemble():
    return TinyMLPEnsembleRegressor(
        hidden_layer_sizes=[(2,), (4,)], cv=3, n_refits=1, random_state=0
    )


def assert_same_ensemble(found):
    expected = ensemble().fit(X, Y)
    assert_array_equal(found.predict(X, return_std=True), expected.predict(X, return_std=True))
    assert_array_equal(found.out_of_fold_predictions_, expected.out_of_fold_predictions_)


def test_ensemble_on_dask(cluster):
    with joblib.parallel_config("dask"):
        found = ensemble().fit(X, Y)
    assert_same_ensemble(found)


def test_a_fitted_network_travels_to_the_workers(cluster):
    net = TinyMLPRegressor(random_state=0, max_iter=30).fit(X, Y)
    (mean, std) = cluster.submit(net.predict, X, return_std=True).result()
    expected = net.predict(X, return_std=True)
    assert_allclose(mean, expected[0], **ROUNDING)
    assert_allclose(std, expected[1], **ROUNDING)


def by_blocks(net, y):
    """Three times over all blocks of 60 rows, in order."""
    for _ in range(3):
        for start in range(0, len(X), 60):
            net.partial_fit(X[start : start + 60], y[start : start + 60])
    return net


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_incremental_is_partial_fit_block_by_block(cluster, solver):
    da = pytest.importorskip("dask.array", reason="dask is missing")
    wrappers = pytest.importorskip("dask_ml.wrappers", reason="dask-ml is missing")
    net = TinyMLPRegressor(solver=solver, standardize=True, random_state=0)
    rows, targets = da.from_array(X, chunks=(60, 3)), da.from_array(Y[:, 0], chunks=60)

    incremental = wrappers.Incremental(net, shuffle_blocks=False).fit(rows, targets)
    for _ in range(2):
        incremental.partial_fit(rows, targets)

    expected = by_blocks(net, Y[:, 0])
    assert incremental.estimator_.t_ == expected.t_ == 3 * len(X)
    assert_allclose(incremental.estimator_.loss_curve_, expected.loss_curve_, **ROUNDING)
    predictions = incremental.predict(rows)
    assert predictions.chunks == targets.chunks
    assert_allclose(predictions.compute(), expected.predict(X), **ROUNDING)


def test_several_outputs_by_a_loop_over_the_blocks(cluster):
    # Incremental hands on a target of two dimensions wrongly (dask-ml 2025.1.0).
    da = pytest.importorskip("dask.array", reason="dask is missing")
    rows, targets = da.from_array(X, chunks=(60, 3)), da.from_array(Y, chunks=(60, 2))
    net = TinyMLPRegressor(solver="adam", random_state=0)
    expected = by_blocks(TinyMLPRegressor(solver="adam", random_state=0), Y)

    for _ in range(3):
        for k in range(rows.numblocks[0]):
            net.partial_fit(*da.compute(rows.blocks[k], targets.blocks[k]))

    assert_array_equal(net.predict(X), expected.predict(X))


@pytest.fixture
def on_ray(monkeypatch):
    """Let joblib work on a local Ray of two processes."""
    ray = pytest.importorskip("ray", reason="ray is missing")
    from ray.util.joblib import register_ray

    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")  # else ray writes a token to the home folder
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:
        register_ray()
        with joblib.parallel_config("ray", n_jobs=-1):
            yield
    finally:
        ray.shutdown()


def test_grid_search_and_ensemble_on_ray(on_ray):
    found, of_networks = search().fit(X, Y), ensemble().fit(X, Y)
    with joblib.parallel_config("sequential"):
        assert_same_search(found)
        assert_same_ensemble(of_networks)


@pytest.mark.parametrize(
    "script, package, options, said",
    [
        ("grid_search_on_dask.py", "dask.distributed", [], "R² 0.99"),
        ("grid_search_on_ray.py", "ray", [], "R² 0.99"),
        (
            "ensemble_on_dask.py",
            "dask.distributed",
            ["--rows", "50000"],
            "2 members on 50,000 rows",
        ),
        ("incremental_on_dask.py", "dask_ml", ["--rows", "100000"], "pass 2 over 100,000 rows"),
    ],
)
def test_examples_run(script, package, options, said, tmp_path):
    pytest.importorskip(package, reason=f"{package} is missing")
    result = subprocess.run(
        [sys.executable, EXAMPLES / script, *options],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=os.environ | {"PYTHONIOENCODING": "utf-8", "RAY_AUTH_MODE": "disabled"},
        timeout=600,
    )
    assert said in result.stdout

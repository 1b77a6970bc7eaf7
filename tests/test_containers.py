"""The same numbers in another container, dtype or unit give the same network."""

import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from sklearn_tinymlp import TinyMLPEnsembleRegressor, TinyMLPRegressor

FORMATS = sparse.csr_array, sparse.csc_matrix, sparse.coo_array


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 3)) + 5
    return X, np.sin(X[:, 0]) + 0.1 * rng.normal(size=80)


@pytest.fixture(scope="module")
def dense_net(data):
    return TinyMLPRegressor(random_state=0).fit(*data)


@pytest.mark.parametrize("container", FORMATS)
def test_a_network_of_dense_inputs_takes_sparse_ones(data, dense_net, container):
    X, y = data
    S = container(X)
    for one, other in zip(
        dense_net.predict(S, return_std=True), dense_net.predict(X, return_std=True), strict=True
    ):
        assert_allclose(one, other, rtol=1e-9)
    assert_allclose(dense_net.predict_interval(S), dense_net.predict_interval(X), rtol=1e-9)
    assert str(dense_net.diagnose(S, y)) == str(dense_net.diagnose(X, y))


@pytest.mark.parametrize("solver", ["adam", "lbfgs", "lm"])
# A few iterations suffice to compare two fits.
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_sparse_validation_set_steers_as_a_dense_one(data, solver):
    X, y = data
    params = {"solver": solver, "standardize": True, "early_stopping": solver != "lbfgs"}
    nets = [
        TinyMLPRegressor(random_state=0, max_iter=60, **params).fit(
            X[:60], y[:60], X_val=V, y_val=y[60:]
        )
        for V in (X[60:], sparse.csr_array(X[60:]))
    ]
    assert_allclose(nets[0].predict(X), nets[1].predict(X), rtol=1e-8)


def test_training_that_continues_on_sparse_rows_keeps_its_scaling(data):
    X, y = data
    nets = []
    for form in (np.asarray, sparse.csr_array):
        net = TinyMLPRegressor(solver="adam", standardize=True, random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            net.partial_fit(X, y)
            for _ in range(20):
                net.partial_fit(form(X), y)
        nets.append(net)
    assert_allclose(nets[0].predict(X), nets[1].predict(X), rtol=1e-8)
    net = TinyMLPRegressor(alpha="one", random_state=0, warm_start=True).fit(X, y)
    assert net.fit(sparse.csr_array(X), y).score(X, y) > 0.9


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint16])
def test_a_sparse_frame_of_any_dtype_does_not_change_y(dtype):
    rng = np.random.default_rng(1)
    X = (rng.random((100, 4)) < 0.4).astype(dtype)
    y = X @ [1.0, 2.0, -1.0, 0.5] + 3.25
    frame = pd.DataFrame(X).astype(pd.SparseDtype(dtype, dtype(0)))
    net = TinyMLPRegressor(random_state=0).fit(frame, y)
    assert net.score(X, y) > 0.99
    assert_allclose(net.predict(frame), net.predict(X), rtol=1e-9)
    assert_allclose(net.predict(frame), net.predict(sparse.csr_array(X)), rtol=1e-9)


@pytest.mark.parametrize("loss", ["huber", "student_t", "absolute_error", "quantile"])
@pytest.mark.parametrize("power", [-20, 3, 10])
# A few iterations suffice to compare two fits.
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_units_of_y_do_not_change_what_robust_losses_learn(data, loss, power):
    X, y = data
    params = {"loss": loss, "hidden_layer_sizes": (4,), "max_iter": 30, "random_state": 0}
    expected = TinyMLPRegressor(**params).fit(X, y).predict(X)
    scaled = TinyMLPRegressor(**params).fit(X, y * 2.0**power).predict(X)
    assert_array_equal(scaled * 2.0**-power, expected)


def test_the_order_of_y_in_memory_does_not_change_an_ensemble(data):
    X, y = data
    y = np.column_stack([y, X[:, 1] ** 2])
    net = TinyMLPEnsembleRegressor(hidden_layer_sizes=[(2,), (3,)], cv=2, random_state=0)
    expected = net.fit(X, y).weights_
    assert_array_equal(net.fit(X, np.asfortranarray(y)).weights_, expected)

"""Three points and a 1-3-1 network trained by single samples, against hand-written programs.

The programs hold the weights of a layer as (units after, units before): transposed to `coefs_`.
Each draws its start from `numpy.random.rand`; the counts of epochs were found by running them.
"""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.exceptions import ConvergenceWarning

from sklearn_tinymlp import TinyMLPRegressor

X = np.array([[1.0], [2.0], [3.0]])
y = np.array([5.0, 4.0, 3.0])


def make_network(activation, **params):
    return TinyMLPRegressor(
        hidden_layer_sizes=(3,),
        activation=activation,
        output_activation=activation,
        solver="sgd",
        alpha=0.0,
        batch_size=1,
        shuffle=False,
        momentum=0.0,
        nesterovs_momentum=False,
        tol=0.0,
        n_iter_no_change=np.inf,
        **params,
    )


def start_without_bias(seed):
    rand = np.random.RandomState(seed).rand
    w1, w2 = rand(3, 1), rand(1, 3)
    return {"coefs_init": [w1.T, w2.T]}


def start_with_bias(seed):
    """One number for all the intercepts of a layer, drawn after the layer's weights."""
    rand = np.random.RandomState(seed).rand
    w1, bias1, w2, bias2 = rand(3, 1), rand(), rand(1, 3), rand()
    return {"coefs_init": [w1.T, w2.T], "intercepts_init": [np.full(3, bias1), [bias2]]}


@pytest.mark.parametrize(
    "seed, n_epochs", list(enumerate([22_627, 21_704, 21_529, 21_925, 23_501]))
)
def test_tanh_without_bias_learns_three_points(seed, n_epochs):
    target = y / (1.05 * y.max())
    net = make_network("tanh", bias=False, learning_rate=0.1, loss_tol=1e-5, max_iter=100_000)
    net.fit(X, target, **start_without_bias(seed))
    assert net.n_iter_ == n_epochs
    assert net.stop_reason_ == "loss_tol"
    assert net.loss_ <= 1e-5 < net.loss_curve_[-2]
    assert_allclose(net.predict(X), target, atol=0.02)


@pytest.mark.parametrize("seed", range(10))
def test_leaky_relu_without_bias_stays_at_its_error(seed):
    net = make_network(
        "leaky_relu", bias=False, learning_rate=1e-3, loss_tol=1e-4 / 3, max_iter=4000
    )
    with pytest.warns(ConvergenceWarning):
        net.fit(X, y, **start_without_bias(seed))
    assert (net.n_iter_, net.stop_reason_) == (4000, "max_iter")
    summed_losses = 3 * np.array(net.loss_curve_[500:])
    assert summed_losses.min() > 7.775
    assert summed_losses.max() < 7.8


@pytest.mark.parametrize("seed, n_epochs", list(enumerate([2596, 2638, 2402, 2001, 2383])))
def test_leaky_relu_with_bias_learns_three_points(seed, n_epochs):
    net = make_network("leaky_relu", learning_rate=1e-3, loss_tol=1e-4 / 3, max_iter=10_000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net.fit(X, y, **start_with_bias(seed))
    assert net.n_iter_ == n_epochs
    assert 3 * net.loss_ <= 1e-4 < 3 * net.loss_curve_[-2]
    assert_allclose(net.predict(X), y, atol=0.02)

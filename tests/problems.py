"""Small problems that tests of several modules share."""

from typing import NamedTuple

import numpy as np
from scipy import sparse
from sklearn.datasets import load_diabetes
from sklearn.preprocessing import scale

from sklearn_tinymlp import activations


class Problem(NamedTuple):
    name: str
    X: object
    y: np.ndarray
    loss: str = "squared_error"
    sample_weight: np.ndarray | None = None

    def __repr__(self):
        return self.name


def _problems():
    rng = np.random.RandomState(0)
    yield Problem("three points", np.array([[1.0], [2.0], [3.0]]), np.array([5.0, 4.0, 3.0]))

    x = np.linspace(-2, 2, 40)[:, np.newaxis]
    wave = np.sin(2 * x.ravel()) + 0.1 * rng.standard_normal(40)
    yield Problem("sine", x, wave)
    yield Problem("weighted", x, wave, sample_weight=rng.uniform(0, 2, 40))

    X, y = load_diabetes(return_X_y=True)
    yield Problem("diabetes", scale(X[:100]), scale(y[:100]))

    X = rng.standard_normal((50, 3))
    yield Problem("outputs", X, np.column_stack([X[:, 0] ** 2, np.tanh(X[:, 1]) - X[:, 2]]))
    yield Problem("counts", X, rng.poisson(np.exp(0.5 * X[:, 0])).astype(float), loss="poisson")
    X = sparse.random(60, 8, density=0.3, format="csr", random_state=rng)
    yield Problem("sparse", X, X @ np.arange(8.0) - 1.0)


PROBLEMS = {problem.name: problem for problem in _problems()}

# Some constants have more digits than the name shows; a slope above 1 is unlike max(z, slope z).
READY_MADE = {
    activation.name: activation
    for activation in (
        activations.leaky_relu(0.2),
        activations.leaky_relu(0.0),
        activations.leaky_relu(1.5),
        activations.elu(0.5),
        activations.softplus(1.0 / 0.3),
        activations.softplus(1.0),
        activations.swish(1.0 / 0.7),
        activations.scaled_tanh(),
        activations.scaled_tanh(2.0, 1.0),
    )
}
SOLVERS = ("lbfgs", "sgd", "adam")

"""Contenders from other libraries: each function returns one, or None if its library is missing.

A contender is called with the number of the round. It returns its parameters (all coefs, then all
intercepts), its predictions, or None if it failed; see `timing.in_turn`.
"""

import importlib.util
import os
import shutil
import subprocess
import tempfile
from functools import wraps
from pathlib import Path

import numpy as np
from scipy.optimize import least_squares
from sklearn.neural_network import MLPRegressor

from .timing import Runs

# JAX reads this at its first import.
os.environ.setdefault(
    "XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
)


def needs(module):
    """Make a function return None if a module is not installed."""

    def decorate(function):
        @wraps(function)
        def guarded(*arguments, **options):
            if importlib.util.find_spec(module) is None:
                return None
            return function(*arguments, **options)

        return guarded

    return decorate


class ReachedError(Exception):
    """The target error has been reached."""


class UntilError(MLPRegressor):
    """MLPRegressor whose lbfgs stops at a target mean squared error."""

    mse = 0.0

    def _loss_grad_lbfgs(self, *arguments, **options):
        loss, gradient = super()._loss_grad_lbfgs(*arguments, **options)
        if 2 * loss <= self.mse:
            self.error_reached = 2 * loss
            raise ReachedError
        return loss, gradient


def mlp_time_to_error(X, y, errors, **params):
    """Return scikit-learn's lbfgs, with a random state and a target error for each round."""

    def run(index):
        net = UntilError(solver="lbfgs", random_state=index, **params)
        net.mse = errors[index]
        try:
            net.fit(X, y)
        except ReachedError:
            return np.array([net.error_reached])
        return None

    return run


def scipy_time_to_error(X, y, starts, errors):
    """Return `least_squares(method="lm")` with the exact Jacobian of a tanh network."""
    n_hidden = (starts[0].size - 1) // (X.shape[1] + 2)
    first, second = X.shape[1] * n_hidden, (X.shape[1] + 1) * n_hidden

    def split(theta):
        W = theta[:first].reshape(-1, n_hidden)
        return W, theta[first:second], theta[second : second + n_hidden], theta[-1]

    def residuals(theta, error):
        W, v, b, c = split(theta)
        r = np.tanh(X @ W + b) @ v + c - y
        if r @ r <= error * len(y):
            raise ReachedError
        return r

    def jacobian(theta, _):
        W, v, b, _ = split(theta)
        hidden = np.tanh(X @ W + b)
        slope = (1 - hidden**2) * v
        inner = (X[:, :, None] * slope[:, None, :]).reshape(len(X), -1)
        return np.hstack([inner, hidden, slope, np.ones((len(X), 1))])

    def run(index):
        try:
            least_squares(
                residuals, starts[index], jacobian, method="lm", max_nfev=500, args=errors[[index]]
            )
        except ReachedError:
            return errors[[index]]
        return None

    return run


def split_layers(theta, sizes):
    """Return the coefs and intercepts of each layer from flat parameters."""
    shapes = list(zip(sizes, sizes[1:], strict=False))
    ends = np.cumsum([a * b for a, b in shapes] + [b for _, b in shapes])
    parts = np.split(theta, ends[:-1])
    coefs = [part.reshape(shape) for part, shape in zip(parts, shapes, strict=False)]
    return coefs, parts[len(shapes) :]


@needs("catboost")
def catboost_fit(X, y, X_new):
    """Return CatBoost with its defaults on one thread, fit and predict."""
    from catboost import CatBoostRegressor

    def run(_):
        options = {"random_seed": 0, "thread_count": 1, "allow_writing_files": False}
        return CatBoostRegressor(verbose=False, **options).fit(X, y).predict(X_new)

    return run


@needs("jax")
def jax_fit(X, y, theta, orders, sizes, batch, *, activation, solver, rate=1e-3, alpha=0.0):
    """Return minibatch training as one `lax.scan`, compiled in the untimed first round."""
    import jax
    from jax import numpy as jnp

    jax.config.update("jax_enable_x64", True)
    act = {"relu": jax.nn.relu, "tanh": jnp.tanh}[activation]
    real = X.dtype.type

    def loss(parameters, X, y):
        coefs, intercepts = parameters
        for layer, (W, b) in enumerate(zip(coefs, intercepts, strict=True)):
            X = X @ W + b
            X = act(X) if layer < len(coefs) - 1 else X
        penalty = sum((W * W).sum() for W in coefs)
        return 0.5 * ((X[:, 0] - y) ** 2).mean() + real(0.5 * alpha / batch) * penalty

    def update(state, rows):
        parameters, m, v, t = state
        slope = jax.grad(loss)(parameters, X_[rows], y_[rows])
        if solver == "sgd":
            move = lambda p, s: p - real(rate) * s  # noqa: E731
            return (jax.tree.map(move, parameters, slope), m, v, t), None
        t = t + 1
        m = jax.tree.map(lambda m, s: real(0.9) * m + real(1 - 0.9) * s, m, slope)
        v = jax.tree.map(lambda v, s: real(0.999) * v + real(1 - 0.999) * s * s, v, slope)
        now = (rate * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)).astype(X.dtype)
        step = lambda p, m, v: p - now * m / (jnp.sqrt(v) + real(1e-8))  # noqa: E731
        return (jax.tree.map(step, parameters, m, v), m, v, t), None

    @jax.jit
    def train(parameters, batches):
        zeros = jax.tree.map(jnp.zeros_like, parameters)
        return jax.lax.scan(update, (parameters, zeros, zeros, jnp.zeros(())), batches)[0][0]

    X_, y_ = jnp.asarray(X), jnp.asarray(y)
    batches = jnp.asarray(np.reshape(orders, (-1, batch)))
    start = split_layers(theta, sizes)

    def run(_):
        return np.concatenate([np.ravel(part) for part in jax.tree.leaves(train(start, batches))])

    return run


@needs("torch")
def torch_predict(X, theta, sizes):
    """Return the prediction of a relu network in inference mode, from NumPy to NumPy."""
    import torch

    torch.set_num_threads(1)
    layers = []
    for W, b in zip(*split_layers(theta, sizes), strict=True):
        linear = torch.nn.Linear(*W.shape, dtype=torch.from_numpy(theta).dtype)
        linear.weight.data, linear.bias.data = torch.from_numpy(W.T), torch.from_numpy(b)
        layers += [linear, torch.nn.ReLU()]
    net = torch.nn.Sequential(*layers[:-1])

    def run(_):
        with torch.inference_mode():
            return net(torch.from_numpy(X)).numpy()[:, 0]

    return run


@needs("fann2")
def fann_three_points(X, y, n_epochs, rate):
    """Return FANN's incremental training of 1-3-1 tanh, from its own start weights."""
    from fann2 import libfann

    data = libfann.training_data()
    data.set_train_data(X.tolist(), y[:, None].tolist())
    net = libfann.neural_net()
    net.create_standard_array((1, 3, 1))
    net.set_training_algorithm(libfann.TRAIN_INCREMENTAL)
    net.set_learning_rate(rate)
    net.set_activation_function_hidden(libfann.SIGMOID_SYMMETRIC)
    net.set_activation_steepness_hidden(1.0)
    net.set_activation_function_output(libfann.LINEAR)
    net.set_activation_steepness_output(1.0)

    def run(_):
        net.randomize_weights(-1.0, 1.0)
        net.train_on_data(data, n_epochs, 0, 0.0)
        return np.array([net.run(row)[0] for row in X.tolist()])

    return run


NNET = """
library(nnet)
data <- as.matrix(read.csv("data.csv", header = FALSE))
starts <- as.matrix(read.csv("starts.csv", header = FALSE))
errors <- scan("errors.csv", quiet = TRUE)
y <- data[, ncol(data)]
for (k in seq_len(nrow(starts))) {
  fit <- function() nnet(data[, -ncol(data), drop = FALSE], y, size = %d, linout = TRUE,
    Wts = starts[k, ], abstol = errors[k] * length(y), reltol = 0, maxit = 20000, trace = FALSE)
  sse <- fit()$value
  cat(system.time(for (i in 1:10) fit())[["elapsed"]] / 10, sse / length(y), "\n")
}
"""


def nnet_time_to_error(X, y, starts, errors):
    """Time R's nnet, measured in R; None without R and nnet.

    nnet's hidden units are logistic: tanh(z) = 2 logistic(2 z) - 1 gives the same start.
    """
    if shutil.which("Rscript") is None:
        return None
    n_hidden = (starts[0].size - 1) // (X.shape[1] + 2)
    rows = []
    for theta in starts:
        (W, v), (b, c) = split_layers(theta, (X.shape[1], n_hidden, 1))
        hidden = 2 * np.column_stack([b, W.T])  # a unit's intercept first, then its coefs
        rows.append(np.concatenate([hidden.ravel(), c - v.sum(), 2 * v[:, 0]]))
    with tempfile.TemporaryDirectory() as folder:
        np.savetxt(Path(folder) / "data.csv", np.column_stack([X, y]), delimiter=",")
        np.savetxt(Path(folder) / "starts.csv", rows, delimiter=",")
        np.savetxt(Path(folder) / "errors.csv", errors)
        done = subprocess.run(
            ["Rscript", "-e", NNET % n_hidden],
            cwd=folder,
            capture_output=True,
            text=True,
        )
    if done.returncode:
        return None
    runs = Runs([], [])
    for line, most in zip(done.stdout.splitlines(), errors, strict=True):
        seconds, error = map(float, line.split())
        reached = error <= most * (1 + 1e-9)  # the file holds the error to 18 digits
        runs.seconds.append(seconds if reached else np.inf)
        runs.outcomes.append(np.array([error]) if reached else None)
    return runs

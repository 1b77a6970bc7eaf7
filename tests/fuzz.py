"""Random configurations, for as long as one likes: against MLPRegressor, and for what must hold.

    python -m tests.fuzz --minutes 10 --seed 0

runs three fuzzers, each for that long. `differential` draws from the parameters that MLPRegressor
has, and holds every step to its. `own` draws from all parameters, and holds the fit to what must
be true of it whatever they are (`INVARIANTS`). `relations` compares fits of one data set in two
forms (`relations.py`). Each configuration is drawn from a number of its own; what goes wrong is
printed with the command that does it again.
"""

import argparse
import pickle
import re
import sys
import textwrap
import time
import traceback
import warnings
from collections import Counter
from copy import deepcopy
from inspect import signature
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import numpy as np
from scipy import sparse, special
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor
from sklearn.neural_network._base import LOSS_FUNCTIONS

from sklearn_tinymlp import Activation, TinyMLPRegressor, activations
from sklearn_tinymlp._network.initialization import INITIALIZERS
from sklearn_tinymlp._training import train as training

if __name__ == "__main__":  # pytest does the same for its modules
    sys.path.insert(0, str(Path(__file__).parent))

from configurations import SEQUENCES, STOCHASTIC_ATTRIBUTES, assert_same, tolerance, train
from formulas import FORMULAS
from relations import are_refused, relate, related


class Outcome(NamedTuple):
    """How a configuration went: "agrees", what kind of excuse there is, or "MISMATCH"."""

    kind: str
    text: str = ""


# NumPy's legacy generators take seeds below this; a configuration's number may be larger.
SEEDS = 2**32


class Chooser:
    """Draws of one configuration."""

    def __init__(self, number):
        self.rng = np.random.default_rng(number)

    def among(self, *options):
        """One of them, as it stands."""
        return options[self.rng.integers(len(options))]

    def rarely(self, usual, *others):
        """One of the others in one of eight draws."""
        return usual if self.rng.random() < 0.875 else self.among(*others)

    def log_uniform(self, least, greatest):
        return float(np.exp(self.rng.uniform(np.log(least), np.log(greatest))))

    def integer(self, least, greatest):
        return int(self.rng.integers(least, greatest + 1))


# ---------------------------------------------------------------- the same as MLPRegressor


def poisson_deviances(y_true, y_pred):
    """Half the Poisson deviance; of a prediction of zero for a target of zero it is zero."""
    return special.xlogy(y_true, np.where(y_true > 0, y_true / y_pred, 1.0)) - y_true + y_pred


def poisson_loss(y_true, y_pred, sample_weight=None):
    """The loss that MLPRegressor means: its own is NaN where target and prediction are zero."""
    return np.average(poisson_deviances(y_true, y_pred), weights=sample_weight, axis=0).sum()


def squared_loss(y_true, y_pred, sample_weight=None):
    """The mean over the outputs, whether scikit-learn takes it or the sum (its pull request 34830).

    `test_differential.py` notices the day that it does.
    """
    return 0.5 * np.average((y_true - y_pred) ** 2, weights=sample_weight, axis=0).mean()


OUR_LOSSES = {"poisson": poisson_loss, "squared_error": squared_loss}


class Reference(MLPRegressor):
    """MLPRegressor but for three differences, deliberate and listed in docs/mlpregressor.md.

    With several outputs and the squared error lbfgs is given the gradient of its loss; on float32
    it computes in float64 and rounds the weights afterwards; and the Poisson loss is finite where
    target and prediction are zero.
    """

    def _fit_lbfgs(self, X, *arrays):
        self._to(np.float64)
        super()._fit_lbfgs(X, *arrays)
        self._to(X.dtype)

    def _to(self, dtype):
        self.coefs_ = [coef.astype(dtype) for coef in self.coefs_]
        self.intercepts_ = [intercept.astype(dtype) for intercept in self.intercepts_]

    def _backprop(self, X, y, sample_weight, *arrays):
        with patch.dict(LOSS_FUNCTIONS, OUR_LOSSES):
            loss, coef_grads, intercept_grads = super()._backprop(X, y, sample_weight, *arrays)
        if self.solver == "lbfgs" and self.loss == "squared_error" and self.n_outputs_ > 1:
            total = X.shape[0] if sample_weight is None else sample_weight.sum()
            for grad, coef in zip(coef_grads, self.coefs_, strict=True):
                penalty = self.alpha * coef / total
                grad[:] = (grad - penalty) / self.n_outputs_ + penalty
            for grad in intercept_grads:
                grad /= self.n_outputs_
        return loss, coef_grads, intercept_grads


def shared_parameters(choose):
    """Draw every parameter that both estimators have, but verbose."""
    solver = choose.among("lbfgs", "sgd", "adam")
    hidden = [choose.among(1, 2, 3, 5, 8, 17, 30, 64) for _ in range(choose.among(0, 1, 1, 2, 3))]
    momentum = choose.among(0.0, 0.5, 0.9, 0.99)
    rate = choose.log_uniform(1e-5, 3e-2)
    if solver == "sgd":
        rate *= 4 * (1 - momentum)
    return {
        "solver": solver,
        "loss": choose.among("squared_error", "poisson"),
        "hidden_layer_sizes": choose.among(
            hidden, tuple(hidden), np.array(hidden, int), hidden[0] if hidden else ()
        ),
        "activation": choose.among("relu", "tanh", "logistic", "identity"),
        "alpha": choose.among(0, 0.0, 1e-4, choose.log_uniform(1e-6, 10.0)),
        "batch_size": choose.among("auto", 1, 2, 7, 13, 32, 200, 1000),
        "learning_rate": choose.among("constant", "invscaling", "adaptive"),
        "learning_rate_init": choose.rarely(rate, 1.0, 1e10, 1e-300),
        "power_t": choose.among(0.5, 0.0, 1, choose.rng.uniform(0, 2)),
        "max_iter": choose.integer(1, 40),
        "shuffle": choose.among(True, False),
        # lbfgs with tol=0 ends where rounding says so.
        "tol": choose.among(1e-4, 1e-6 if solver == "lbfgs" else 0, 1e-5, 1e-2, 0.1, 10.0),
        "warm_start": choose.among(True, False),
        "momentum": choose.rarely(momentum, 1.0),
        "nesterovs_momentum": choose.among(True, False),
        "early_stopping": choose.among(True, False),
        "validation_fraction": choose.rarely(choose.among(0.1, 0.25, 0.5), 0.0, 0.03, 0.9),
        "beta_1": choose.among(0.9, 0.0, 0.5, 0.99, choose.rng.uniform(0, 1)),
        "beta_2": choose.among(0.999, 0.0, 0.9, 0.99, choose.rng.uniform(0, 1)),
        "epsilon": choose.among(1e-8, 1e-3, 1e-12, 1.0),
        "n_iter_no_change": choose.among(10, 1, 2, 5, np.inf),
        "max_fun": choose.among(15000, 100, 15, 4, 1),
    }


def shared_configuration(number):
    """Draw parameters, data and a sequence of fits for both estimators."""
    choose = Chooser(number)
    params = shared_parameters(choose)
    data = {
        "seed": number % SEEDS,
        "n_samples": choose.rarely(choose.integer(5, 80), 1, 2, 3, 210, 450),
        "n_features": choose.rarely(choose.integer(1, 8), 30),
        "n_outputs": choose.among(1, 1, 2, 3),
        "column": choose.among(True, False),
        "dtype": choose.among("float64", "float64", "float32"),
        "layout": choose.among("C", "F", "csr", "csc"),
        "weights": choose.among(None, "uneven", "one zero"),
    }
    if data["n_samples"] == 1 and data["weights"] == "one zero":
        data["weights"] = "uneven"  # both refuse weights that are all zero, in other words
    # Of lbfgs MLPRegressor has no partial_fit, and with early stopping it refuses it.
    methods = choose.among(*SEQUENCES[:2] if params["solver"] == "lbfgs" else SEQUENCES)
    changes = {"max_iter": choose.integer(1, 20)}
    for name in ("learning_rate_init", "alpha", "tol", "momentum", "batch_size", "shuffle"):
        if choose.among(True, False, False):
            changes[name] = shared_parameters(choose)[name]
    return {
        "params": params,
        "data": data,
        "methods": methods,
        "changes": changes,
        "random_state": choose.among("int", "RandomState", "global", "PCG64"),
    }


# The rounding of a loss, whose terms are of size 1, where it is itself as good as zero.
LOSS_ROUNDING = 1e-15


def parting(name, actual, expected, exact_warnings, least):
    """By how much of its size a thing parts: `least` or less, ten times that, ..., 1; or inf.

    By 1 means by all that there is or more; by inf what has no size, as the number of epochs.
    """
    if name in ("loss_", "best_loss_") and expected is not None:
        if abs(actual - expected) <= LOSS_ROUNDING:
            return least
    for rtol in (*least * 10.0 ** np.arange(round(-np.log10(least)) + 1), 1e30):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of numbers near the largest
                assert_same(name, actual, expected, rtol, exact_warnings, name)
        except AssertionError:
            continue
        return min(rtol, 1.0)
    return np.inf


def partings(ours, theirs, exact_warnings, least=1e-15):
    """How far two paths part in what."""
    found = {}
    if len(ours) != len(theirs):
        found["number of steps"] = np.inf
    for step, (our, their) in enumerate(zip(ours, theirs, strict=False)):
        if our.keys() != their.keys():
            found[f"error or not in step {step}"] = np.inf
            break
        for name, expected in their.items():
            by = parting(name, our[name], expected, exact_warnings, least)
            found[f"{name} after step {step}"] = by
    return found


# Runs of MLPRegressor on data changed in the last bit, and by how much more than they do we may
# part from it: they round X and y once, an implementation in another order each of its sums.
CHANGED_RUNS, FACTOR = 8, 10.0


def step_of(what):
    """Return the step: weights, losses, epochs and warnings of one step follow from each other."""
    return what.rpartition(" step ")[2]


NOT_FINITE = "Solver produced non-finite parameter weights."


def alike(snapshots):
    """Take away what says nothing: the advice at the end of our errors, and inf where NaN may be.

    Where a training overflows, the order of a sum decides whether it is inf or NaN.
    """
    for snapshot in snapshots:
        kind, text = snapshot.get("error", (None, ""))
        if text.startswith(NOT_FINITE):
            snapshot["error"] = kind, text.partition(" The learning rate of")[0]
        for name in STOCHASTIC_ATTRIBUTES:
            if snapshot.get(name) is not None:
                values = np.array(snapshot[name], float)
                snapshot[name] = np.where(np.isfinite(values), values, np.nan)
    return snapshots


def overflows(snapshots, dtype):
    """Whether numbers come so near the largest that the product of two overflows, or beyond."""
    limit = np.sqrt(np.finfo(dtype).max)
    if any(NOT_FINITE in snapshot.get("error", ("", ""))[1] for snapshot in snapshots):
        return True
    arrays = []
    for snapshot in snapshots:
        arrays += snapshot.get("coefs_", []) + snapshot.get("intercepts_", [])
        arrays += [snapshot[name] for name in ("predictions", "loss_curve_") if name in snapshot]
    return not all(np.all(np.abs(array) < limit) for array in arrays)


# Weights begin below 1 and targets are of size 1: beyond these a training has diverged.
LARGE_WEIGHT, LARGE_LOSS = 1e3, 1e6


def diverges(snapshots):
    """Whether weights or losses have grown beyond all reason, and rounding errors with them."""
    weights, losses = [0.0], [0.0]
    for snapshot in snapshots:
        weights += [w for name in ("coefs_", "intercepts_") for w in snapshot.get(name, [])]
        losses.append(snapshot.get("loss_curve_", 0.0))
    large = (np.max(np.abs(array), initial=0.0) > LARGE_WEIGHT for array in weights)
    return any(large) or any(np.max(loss, initial=0.0) > LARGE_LOSS for loss in losses)


def other_errors(snapshots):
    """Return the errors that do not say that a training overflowed."""
    errors = [snapshot["error"] for snapshot in snapshots if "error" in snapshot]
    return [error for error in errors if not error[1].startswith(NOT_FINITE)]


def compare(configuration, ours=TinyMLPRegressor):
    """Train both, and tell chaos from difference.

    Where the two part by more than the tolerance of the tests, MLPRegressor is trained again on
    data changed in the last bit. It is chaos if, in each step in which we part from it, one of
    `CHANGED_RUNS` such runs, or of float32 a run in float64, parts from it in something by as much,
    to `FACTOR`. It is overflow if the numbers of
    both come near the largest, since there the order of a sum decides whether it is finite, and
    both raise the same errors, but for that of weights that are not finite. Such errors apart it is
    divergence if both have left all reason, and signs of rounding if Adam forgets its moments so
    soon that it goes by the signs of gradients, those of rounding errors too. Else it is a
    mismatch.
    """

    def path(estimator, **changes):
        changed = deepcopy(configuration)
        changed["data"] |= changes
        return alike(train(estimator, changed))

    global_position = np.random.get_state()
    exact_warnings = configuration["params"]["solver"] != "lbfgs"
    try:
        try:
            theirs = path(Reference())
        except ZeroDivisionError:
            errors = [text for _, text in other_errors(path(ours()))]
            if any("partial_fit does not support early_stopping" not in text for text in errors):
                return Outcome("MISMATCH", f"    a minibatch without weight: {errors}")
            return Outcome("a minibatch without weight")
        allowed = tolerance(configuration)
        our_path = path(ours())
        found = partings(our_path, theirs, exact_warnings, allowed)
        parted = {what: by for what, by in found.items() if by > allowed}
        if not parted:
            return Outcome("agrees")
        chaos = dict.fromkeys(map(step_of, parted), 0.0)
        runs = [{"last_bit": number} for number in range(CHANGED_RUNS)]
        if configuration["data"]["dtype"] == "float32":
            runs.append({"dtype": "float64"})
        for changes in runs:
            changed = path(Reference(), **changes)
            for what, by in partings(changed, theirs, exact_warnings).items():
                if step_of(what) in chaos:
                    chaos[step_of(what)] = max(chaos[step_of(what)], by)
    finally:
        np.random.set_state(global_position)
    text = "\n".join(
        f"    {what}: parts by {by:.0e}, MLPRegressor on changed data by {chaos[step_of(what)]:.0e}"
        for what, by in parted.items()
    )
    if all(by <= FACTOR * chaos[step_of(what)] for what, by in parted.items()):
        return Outcome("chaos", text)
    if other_errors(our_path) == other_errors(theirs):
        if all(overflows(each, configuration["data"]["dtype"]) for each in (our_path, theirs)):
            return Outcome("overflow", text)
        if all(map(diverges, (our_path, theirs))):
            return Outcome("divergence", text)
        params = configuration["params"]
        if params["solver"] == "adam" and min(2 * params["beta_1"], params["beta_2"]) < 0.9:
            return Outcome("signs of rounding", text)
    return Outcome("MISMATCH", text)


# ------------------------------------------------------------- what must hold of every fit


def bump(z):
    return np.exp(-z * z)


def bump_slope(z):
    return -2 * z * np.exp(-z * z)


def bent(z):
    return z + 0.5 * np.sqrt(1 + z * z)


def bent_slope(z):
    return 1 + 0.5 * z / np.sqrt(1 + z * z)


OWN = (
    Activation(bump, bump_slope, output_range=(0, 1)),
    Activation(bent, bent_slope),
    activations.leaky_relu(0.2),
    activations.elu(0.5),
    activations.softplus(2.0),
    activations.swish(1.5),
    activations.scaled_tanh(),
)
NAMES = tuple(name for name in FORMULAS if name != "exp")


def own_parameters(choose, hidden):
    """Draw from all parameters; some of what is drawn contradicts itself."""
    solver = choose.among("lm", "auto", "lbfgs", "adam", "sgd")
    activation = [choose.rarely(choose.among(*NAMES), *OWN) for _ in hidden]
    if not activation or choose.among(True, False):
        activation = choose.rarely(choose.among(*NAMES), *OWN)
    loss = choose.rarely("squared_error", "poisson")
    output = choose.rarely("auto", *FORMULAS, *OWN)
    if loss == "poisson":
        output = choose.rarely(choose.among("auto", "softplus", "exp"), "tanh", *OWN)
    return {
        "solver": choose.rarely(solver, "auto") if loss == "squared_error" else "lbfgs",
        "loss": loss,
        "hidden_layer_sizes": choose.rarely(tuple(hidden), list(hidden), np.array(hidden, int)),
        "activation": activation,
        "output_activation": output,
        "bias": choose.among(True, True, False),
        "alpha": choose.among("auto", "auto", 0.0, 1e-4, choose.log_uniform(1e-6, 10.0)),
        "standardize": choose.among("auto", "auto", True, False),
        "init": choose.among(*INITIALIZERS),
        "n_init": choose.among(1, 1, 2, 4),
        "loss_tol": choose.rarely(None, 0.0, 1e-2, 0.3),
        "batch_size": choose.among("auto", 1, 7, 1000),
        "learning_rate": choose.among("constant", "invscaling", "adaptive", 1e-2),
        "learning_rate_init": choose.rarely(None, 1e-3, 0.1),
        "max_iter": choose.integer(1, 60),
        "shuffle": choose.among(True, False),
        "tol": choose.among(1e-4, 0.0, 1e-2),
        "warm_start": choose.rarely(False, True),
        "momentum": choose.among(0.9, 0.0),
        "max_fun": choose.rarely(15000, 1, 4, 20),
        "early_stopping": choose.rarely(False, True),
        "validation_fraction": choose.among(0.1, 0.3),
        "n_iter_no_change": choose.among(10, 1, np.inf),
        "random_state": choose.integer(0, 2**31 - 1),
    }


def own_data(choose):
    """Draw X, y and what else `fit` takes; some awkward."""
    rng = np.random.RandomState(choose.integer(0, 2**31 - 1))
    n_samples = choose.rarely(choose.integer(4, 60), 1, 2, 3, 250)
    n_features, n_outputs = choose.integer(1, 5), choose.among(1, 1, 1, 2, 3)
    X = rng.standard_normal((n_samples, n_features))
    X *= choose.rarely(1.0, 1e-4, 1e4)
    X *= 10.0 ** choose.rarely(np.zeros(n_features), np.arange(n_features))
    X += choose.rarely(0.0, 100.0)
    if choose.rarely(False, True):
        X[:, 0] = choose.among(0.0, 3.0)
    if choose.rarely(False, True):
        X[n_samples // 2 :] = X[0]
    signal = np.sin(X @ rng.standard_normal((n_features, n_outputs)))
    y = signal + choose.among(0.0, 0.1, 1.0) * rng.standard_normal(signal.shape)
    y = y * choose.rarely(1.0, 0.0, 1e-6, 1e6) + choose.rarely(0.0, 1e3)
    y = np.abs(y) if choose.among(True, False) else y
    y = y.ravel() if n_outputs == 1 else y
    dtype = choose.rarely(np.float64, np.float32)
    X, y = X.astype(dtype), y.astype(dtype)
    X = choose.rarely(X, sparse.csr_matrix(X), sparse.csc_matrix(X), np.asfortranarray(X))
    weight = choose.rarely(None, rng.uniform(0.0, 2.0, n_samples), rng.randint(0, 3, n_samples))
    fit = {"X": X, "y": y, "sample_weight": weight}
    if choose.rarely(False, True):
        fit["X_val"], fit["y_val"] = X[: n_samples // 2 + 1], y[: n_samples // 2 + 1]
    return fit


def own_configuration(number):
    """Draw parameters and the arguments of `fit`."""
    choose = Chooser(number)
    hidden = [choose.integer(1, 10) for _ in range(choose.among(0, 1, 1, 1, 2, 3))]
    params, fit = own_parameters(choose, hidden), own_data(choose)
    n_outputs = 1 if fit["y"].ndim == 1 else fit["y"].shape[1]
    units = [fit["X"].shape[1], *hidden, n_outputs]
    if choose.rarely(False, True):
        start = np.random.RandomState(number % SEEDS)
        fit["coefs_init"] = [start.uniform(-1, 1, shape) for shape in pairwise(units)]
    return {"params": params, "fit": fit}


class Trained(NamedTuple):
    """A fitted estimator with what it was fitted with, and what it warned of."""

    net: TinyMLPRegressor
    params: dict
    data: dict  # arguments of `fit`
    warned: set

    def again(self, **params):
        """Fit another with some parameters changed."""
        return quietly(type(self.net)(**{**self.params, **params}).fit, **self.data)

    @property
    def exact(self):
        """Whether the parameters are not rounded after training."""
        return self.net.coefs_[0].dtype == np.float64


def quietly(function, *args, **kwargs):
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return function(*args, **kwargs)


def bits(net):
    """All numbers that a fit found, as bytes."""
    columns = [*net.history_.values(), *net.starts_.values()]
    arrays = [*net.coefs_, *net.intercepts_, *columns, net.alpha_, net.noise_std_, net.loss_]
    return [np.asarray(array).tobytes() for array in arrays if array is not None]


def dense(X):
    return np.asarray(X.toarray() if sparse.issparse(X) else X, dtype=np.float64)


def formula(activation):
    """The activation in NumPy."""
    if isinstance(activation, Activation):
        return np.vectorize(activation.value, otypes=[float])
    return FORMULAS[activation]


def layers_of(trained):
    """The formula of each layer."""
    hidden, output = trained.params["activation"], trained.params["output_activation"]
    if not isinstance(hidden, list):
        hidden = [hidden] * (len(trained.net.coefs_) - 1)
    if output == "auto":
        output = "exp" if trained.params["loss"] == "poisson" else "identity"
    return [formula(activation) for activation in (*hidden, output)]


def by_hand(trained, net, precision):
    """Predict with NumPy; also how far off one may be who rounds each sum at `precision`."""
    value, off = dense(trained.data["X"]), 0.0
    for f, coef, intercept in zip(layers_of(trained), net.coefs_, net.intercepts_, strict=True):
        coef, intercept = coef.astype(np.float64), intercept.astype(np.float64)
        size = np.abs(value) @ np.abs(coef) + np.abs(intercept)
        z_off = off @ np.abs(coef) if np.ndim(off) else 0.0
        z_off = z_off + precision * (len(coef) + 3) * size
        z = value @ coef + intercept
        value = f(z)
        off = np.max([np.abs(f(z + t * z_off) - value) for t in (-1, -0.5, 0.5, 1)], axis=0)
        off += 8 * precision * (np.abs(value) + np.abs(z)) + np.finfo(np.float32).tiny
        off = np.where(z_off < 1.0, off, np.inf)  # anything, as the sine of a number so large
    return value, off


def weights_that_count(trained):
    """Return weights that sum to the number of observations; of fractions only the ratios count."""
    weight, params = trained.data["sample_weight"], trained.params
    if weight is None:
        return np.ones(len(trained.data["y"]))
    by_evidence = params["solver"] == "lm" and params["alpha"] == "auto"
    relative = by_evidence or params["solver"] == "auto"
    if not relative or (weight == np.round(weight)).all():
        return weight
    return weight * (np.count_nonzero(weight) / weight.sum())


def mean_penalised_loss(trained, net):
    """The objective of lbfgs, and of lm with a given alpha, in the units of training."""
    y = np.asarray(trained.data["y"], np.float64).reshape(-1, net.n_outputs_)
    weight = weights_that_count(trained)
    predicted, _ = by_hand(trained, net, 0.0)
    coefs = [coef.astype(np.float64) for coef in net.coefs_]
    if net._scaling is not None:
        y, predicted = (net._scaling.transform_y(values) for values in (y, predicted))
        coefs[0] = coefs[0] * net._scaling.x_scale[:, None]
        coefs[-1] = coefs[-1] / net._scaling.y_scale
    if trained.params["loss"] == "poisson":
        losses = poisson_deviances(y, predicted).sum(axis=1)
    else:
        losses = np.mean(0.5 * (y - predicted) ** 2, axis=1)
    alpha = 1e-4 if trained.params["alpha"] == "auto" else trained.params["alpha"]
    penalty = 0.5 * alpha * sum(np.sum(coef**2) for coef in coefs) / weight.sum()
    return np.average(losses, weights=weight) + penalty


def overflowed(net):
    """Whether lbfgs met a Poisson loss whose exponential overflows, and scipy went there.

    Its weights are then those of MLPRegressor, and have no loss.
    """
    losses = [*net.loss_curve_, net.loss_]
    return net._loss == "poisson" and net.solver_ == "lbfgs" and not np.isfinite(losses).all()


def weights_are_finite(trained):
    net = trained.net
    assert all(np.isfinite(array).all() for array in (*net.coefs_, *net.intercepts_))
    # Of lbfgs the loss of the start may be no number, and it can go nowhere from there.
    if net.solver_ == "lm" or (net.solver_ == "lbfgs" and net.n_iter_ > 0 and not overflowed(net)):
        assert np.isfinite(net.loss_)
        X = trained.data["X"].astype(np.float64)  # as it was trained in: float32 may overflow
        assert np.isfinite(quietly(net.predict, X)).all()


def without_bias_there_is_none(trained):
    if not trained.params["bias"]:
        assert not any(intercept.any() for intercept in trained.net.intercepts_)


def predictions_are_those_by_hand(trained):
    net = trained.net
    actual = quietly(net.predict, trained.data["X"])
    precision = np.finfo(actual.dtype).eps
    expected, off = quietly(by_hand, trained, net, precision)
    actual = actual.reshape(expected.shape).astype(np.float64)
    sure = np.isfinite(off) & (np.abs(expected) + off < np.finfo(np.float32).max)
    assert (np.abs(actual - expected) <= off)[sure].all()


def has_fixed_alpha(params):
    """With solver="auto" a positive number as alpha is the least penalty of the evidence."""
    return params["alpha"] != "auto" and (params["solver"] != "auto" or params["alpha"] == 0)


def the_loss_falls(trained):
    """With lbfgs, and with lm and a given alpha; by the evidence the objective changes.

    Then the evidence kept is the greatest there was.
    """
    net, params = trained.net, trained.params
    if net.log_evidence_ is not None:
        if params["early_stopping"] or net.stop_reason_ in ("loss_tol", "distilled"):
            return  # kept are those of the best validation score, the last loss, or a regression
        X = dense(trained.data["X"])
        if params["loss"] == "squared_error" and len(np.unique(X, axis=0)) < len(X):
            return  # rows that share X may count as fewer observations
        scale = np.ones(1) if net._scaling is None else net._scaling.y_scale
        unit = weights_that_count(trained).sum() * np.log(scale).sum()
        greatest = np.nanmax(net.history_["log_evidence"]) - unit
        rtol = 1e-9 if trained.exact else 1e-6  # weights of samples too are then float32
        np.testing.assert_allclose(net.log_evidence_, greatest, rtol=rtol, atol=1e-9)
        return
    if net.solver_ not in ("lm", "lbfgs") or (net.solver_ == "lm" and not has_fixed_alpha(params)):
        return
    if overflowed(net):
        return
    in_units_of_y = net.solver_ == "lm" and net._scaling is not None
    if not (in_units_of_y and net.n_outputs_ > 1):  # else outputs of other units count otherwise
        falls = np.diff(net.loss_curve_)
        assert (falls <= 1e-9 * np.abs(net.loss_curve_[:-1])).all()
    if params["n_init"] > 1 or params["early_stopping"] or not trained.exact or not net.n_iter_:
        return
    still = {"solver": "sgd", "learning_rate": 1e-300, "learning_rate_init": None, "max_iter": 1}
    still |= {"standardize": net._scaling is not None}
    try:
        start = trained.again(**still)  # at a rate too small to count
    except ValueError:  # a gradient without bounds
        return
    before = quietly(mean_penalised_loss, trained, start)
    after = quietly(mean_penalised_loss, trained, net)
    allowed = before * (1 + 1e-6) + rounding_of_a_loss(before)
    assert after <= allowed or np.isnan(before), (after, before)


def the_loss_is_that_of_the_weights(trained):
    net, params = trained.net, trained.params
    # A fit that meets loss_tol at once never estimates the evidence.
    fixed = has_fixed_alpha(params) and net.log_evidence_ is None
    given = net.solver_ == "lbfgs" or (net.solver_ == "lm" and fixed)
    in_units_of_y = net.solver_ == "lm" and net._scaling is not None
    if not given or in_units_of_y or params["early_stopping"] or not trained.exact:
        return
    if overflowed(net):
        return
    expected = quietly(mean_penalised_loss, trained, net)
    scale = np.mean(np.asarray(trained.data["y"], np.float64) ** 2)
    atol = 1e-9 * min(scale, 1.0) + rounding_of_a_loss(expected)
    if params["loss"] == "poisson":  # terms of the size of y cancel in a deviance of zero
        atol += 128 * np.finfo(np.float64).eps * np.sqrt(scale)
    np.testing.assert_allclose(net.loss_, expected, rtol=1e-6, atol=atol)


def rounding_of_a_loss(loss):
    """Return what rounding of the predictions, sums of terms of size 1, may add to a small loss.

    A residual r that is off by e changes half its square by r e + e^2 / 2, and r is about
    sqrt(2 loss): a loss of 1e-19 is known to four digits, one of 1e-28 to none.
    """
    e = 128 * np.finfo(np.float64).eps
    return np.sqrt(2.0 * max(loss, 0.0)) * e + 0.5 * e**2


def the_same_seed_gives_the_same_bits(trained):
    expected = bits(trained.net)
    assert bits(quietly(clone(trained.net).fit, **trained.data)) == expected, "clone"
    if not trained.params["warm_start"]:
        again = deepcopy(trained.net)
        assert bits(quietly(again.fit, **trained.data)) == expected, "fit again"


def pickle_keeps_the_network(trained):
    again = pickle.loads(pickle.dumps(trained.net))
    X = trained.data["X"]
    assert bits(again) == bits(trained.net)
    predictions = [quietly(net.predict, X).tobytes() for net in (again, trained.net)]
    assert predictions[0] == predictions[1]


def the_best_start_is_kept(trained):
    """Each start is what it is alone, so neither their order nor the number of threads matters."""
    net, params = trained.net, trained.params
    if params["n_init"] == 1:
        return
    starts = net.starts_
    if net._errors is not None and net.loss_ not in starts["loss"]:
        return  # trained again, on the predictions of a kernel ridge regression
    if not np.isfinite(starts["loss"]).all():
        return  # weights that are not finite come last, and the table does not say whose are not
    columns = {"validation_score": 1, "log_evidence": 1, "loss": -1}
    ranks = [
        (
            params["loss_tol"] is not None and starts["loss"][n] <= params["loss_tol"],
            *(sign * starts[name][n] for name, sign in columns.items() if name in starts),
        )
        for n in range(params["n_init"])
    ]
    ranks = [tuple(-np.inf if np.isnan(value) else value for value in rank) for rank in ranks]
    best = max(range(params["n_init"]), key=ranks.__getitem__)
    np.testing.assert_equal(
        (net.loss_, net.n_iter_), (starts["loss"][best], starts["n_iter"][best])
    )
    lm_may_scout = params["solver"] in ("auto", "lm") and params["alpha"] == "auto"
    if lm_may_scout and trained.data["X"].shape[1] > 1:
        return  # networks sent ahead, drawn with the random state, decide for all starts together
    seeds = np.random.RandomState(params["random_state"])
    seeds = seeds.randint(np.iinfo(np.int32).max, size=params["n_init"])
    for number, seed in enumerate(seeds):
        try:
            alone = trained.again(n_init=1, random_state=int(seed))
        except ValueError:  # it did not end in finite weights
            assert number != best
            continue
        for name, column in starts.items():
            row = alone.starts_.get(name, [-np.inf])
            np.testing.assert_array_equal(row[0], column[number], name)
        # The start of a network that is trained on a regression depends on their number.
        if number == best and "distilled" not in (net.stop_reason_, alone.stop_reason_):
            assert bits(alone)[: len(net.coefs_)] == bits(net)[: len(net.coefs_)]
    for n_threads in (1, 3):
        with patch.object(training, "_openmp_effective_n_threads", lambda n=n_threads: n):
            assert bits(trained.again()) == bits(net), f"{n_threads} threads"


def standard_deviations_are_positive(trained):
    net, X = trained.net, trained.data["X"]
    if net.log_evidence_ is None or trained.params["early_stopping"]:
        return
    if np.count_nonzero(weights_that_count(trained)) < 2:
        return  # one row contains nothing about the noise
    for inputs in (X, X * 10):
        _, std = quietly(net.predict, inputs, return_std=True)
        assert np.isfinite(std).all() and (std > 0).all(), std
        assert np.isfinite(quietly(net.sample_y, inputs, 2)).all()


def it_says_whether_it_converged(trained):
    net, loss_tol = trained.net, trained.params["loss_tol"]
    if not net.converged_:
        assert ConvergenceWarning in trained.warned
    elif loss_tol is not None and net.stop_reason_ != "validation":
        assert net.loss_ <= loss_tol
    assert str(quietly(net.diagnose, *(trained.data[name] for name in ("X", "y", "sample_weight"))))


INVARIANTS = (
    weights_are_finite,
    without_bias_there_is_none,
    predictions_are_those_by_hand,
    the_loss_falls,
    the_loss_is_that_of_the_weights,
    the_same_seed_gives_the_same_bits,
    pickle_keeps_the_network,
    the_best_start_is_kept,
    standard_deviations_are_positive,
    it_says_whether_it_converged,
)

INPUTS = {"input", "data", "n_samples", *signature(TinyMLPRegressor.fit).parameters} - {"self"}
NAMES_THE_CAUSE = re.compile(rf"\b({'|'.join([*TinyMLPRegressor().get_params(), *INPUTS])})\b")


def examine(configuration, ours=TinyMLPRegressor):
    """Fit, and try each of `INVARIANTS`; a fit that is refused must say what for."""
    params, data = configuration["params"], configuration["fit"]
    net = ours(**params)
    with warnings.catch_warnings(record=True) as caught, np.errstate(all="ignore"):
        warnings.simplefilter("always")
        try:
            net.fit(**data)
        except (ValueError, TypeError) as error:
            if NAMES_THE_CAUSE.search(str(error)) and vars(net) == vars(ours(**params)):
                return Outcome("refused", str(error))
            return Outcome("MISMATCH", f"    {error!r}\n    {vars(net)}")
    trained = Trained(net, params, data, {warning.category for warning in caught})
    failed = []
    for invariant in INVARIANTS:
        try:
            with np.errstate(all="ignore"):
                invariant(trained)
        except Exception:
            failed.append(f"{invariant.__name__}:\n{traceback.format_exc(limit=-2)}")
    if failed:
        return Outcome("MISMATCH", textwrap.indent("\n".join(failed), "    "))
    return Outcome("holds")


# ----------------------------------------------------------------------------- the command


def related_configuration(number, relation=None):
    return related(Chooser(number), relation)


def hold(configuration, ours=TinyMLPRegressor):
    """Fit two forms of the same data, and compare as the relation between them asks."""
    try:
        found = relate(configuration, ours)
    except ValueError as error:
        if NAMES_THE_CAUSE.search(str(error)) and are_refused(configuration, ours):
            return Outcome("refused", str(error))
        raise
    if not found:
        return Outcome("holds")
    return Outcome("MISMATCH", "\n".join(f"    {w}: parts by {by:.1e}" for w, by in found.items()))


FUZZERS = {
    "differential": (shared_configuration, compare),
    "own": (own_configuration, examine),
    "relations": (related_configuration, hold),
}


def run_case(fuzzer, number, ours=TinyMLPRegressor):
    """Draw a configuration from its number and see how it goes."""
    draw, judge = FUZZERS[fuzzer]
    configuration = draw(number)
    try:
        outcome = judge(configuration, ours)
    except Exception:
        outcome = Outcome("MISMATCH", textwrap.indent(traceback.format_exc(), "    "))
    return configuration, outcome


def run_many(fuzzer, seed, seconds=np.inf, cases=np.inf, ours=TinyMLPRegressor):
    """Count how configurations of one seed go, printing mismatches."""
    counts, begun, number = Counter(), time.monotonic(), seed * 1_000_000
    while time.monotonic() - begun < seconds and counts.total() < cases:
        configuration, outcome = run_case(fuzzer, number, ours)
        counts[outcome.kind] += 1
        if outcome.kind == "MISMATCH":
            print_case(fuzzer, number, configuration, outcome)
        number += 1
    seconds = time.monotonic() - begun
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
    print(
        f"{fuzzer}, seed {seed}: {counts.total()} configurations in {seconds:.0f} s: {kinds}. "
        f"Mismatches: {counts['MISMATCH']}",
        flush=True,
    )
    return counts


def print_case(fuzzer, number, configuration, outcome):
    print(f"{outcome.kind}: python -m tests.fuzz --case {fuzzer}:{number}")
    for part, values in configuration.items():
        if part in ("fit", "asked"):  # arrays are drawn again from the number
            values = {name: shape_of(array) for name, array in values.items()}
        print(f"  {part}: {values}")
    print(outcome.text, flush=True)


def shape_of(array):
    if isinstance(array, list):
        return [shape_of(part) for part in array]
    return None if array is None else (type(array).__name__, array.dtype.name, array.shape)


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="for each fuzzer")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=FUZZERS, help="one fuzzer alone")
    parser.add_argument("--case", help="do one again, as differential:12345")
    asked = parser.parse_args(arguments)
    if asked.case:
        fuzzer, _, number = asked.case.partition(":")
        configuration, outcome = run_case(fuzzer, int(number))
        print_case(fuzzer, number, configuration, outcome)
        return int(outcome.kind == "MISMATCH")
    mismatches = 0
    for fuzzer in [asked.only] if asked.only else FUZZERS:
        mismatches += run_many(fuzzer, asked.seed, 60 * asked.minutes)["MISMATCH"]
    return int(mismatches > 0)


if __name__ == "__main__":
    sys.exit(main())

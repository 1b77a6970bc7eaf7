"""Distillation: train a network on what regressions predict.

A regression can be asked for its prediction anywhere, without noise. The network is trained on its
predictions for the rows, and for points between them: each has every coordinate from one of
two rows at random, so that it is as far from the rows as they are from each other (Bucila, Caruana
& Niculescu-Mizil, "Model compression", KDD 2006; Hinton, Vinyals & Dean, 2015). On such data the
evidence neither takes signal for noise nor follows single rows.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from .._bayes.curvature import Curvature
from .._bayes.evidence import LEAST_BETA, MOST_BETA, evidence
from .._bayes.irls import surrogate
from .._data.data import Data
from .._machine.interruption import Interruption
from .._network.architecture import Architecture
from .._network.network import network_of
from .._objective.objective import Objective
from .._solvers.evidence_restarts import State, first_hyperparameters
from .._solvers.levenberg_marquardt import NATS
from .._solvers.monitor import History, Monitor, Solution, StopReason
from .calibration import BeforeSelection
from .candidate import Candidate, Errors, HeldOut
from .kernel_ridge import Average
from .starts import NO_USER_START, Start, draw
from .train import refit, with_restarts

# Number of points between rows.
N_POINTS = 1000

# Number of rows with which the effects of inputs are estimated.
N_EFFECT_ROWS = 300

# The network has learned the predictions when its squared error is this share of their variance,
# and of the squared error of the regression, or the other share of their variance.
LEARNED, EXACT = 0.01, 1e-4

# Regressions may predict a mean of counts below zero, where there is no logarithm: predictions are
# at least this share of the mean of y.
LEAST_MEAN = 0.05

# It learns no more where that error falls by less than this share in a number of iterations. With
# the rule of other fits (1 nat in 20 iterations) `machine` took twice as long, for equal errors.
LEAST_FALL, REST = 0.05, 10


class Comparison(NamedTuple):
    """A fit and regressions on some rows; arrays are (len(rows), n_outputs)."""

    rows: np.ndarray
    y: np.ndarray
    weight: np.ndarray
    of_network: np.ndarray  # leave-one-out errors
    regressions: list[Average]
    unexplained: np.ndarray  # (n_outputs,) mean squared residuals of the network
    linearised: np.ndarray  # (n_outputs,) mean squared leave-one-out errors, by linearisation
    freedom: float  # degrees of freedom of the residuals, for each observation
    groups: np.ndarray  # (n_samples,) numbers; rows that share X have the same
    look: NamedTuple  # how rows and regressions were chosen

    @property
    def of_regressions(self) -> np.ndarray:
        """Return leave-one-out errors."""
        return np.column_stack([regression.errors for regression in self.regressions])


def mean_squares(deviations, y, weight) -> np.ndarray:
    """Compute mean squares in units of the variance of each output, 0 if it is constant."""
    squares, spread = weight @ deviations**2, weight @ (y - np.average(y, 0, weight)) ** 2
    return np.divide(squares, spread, out=np.zeros(len(spread)), where=spread > 0.0)


def losses_of(deviations, y, weight) -> np.ndarray:
    """Compute squares in units of the variance of each output, averaged over outputs."""
    variance = np.average((y - np.average(y, 0, weight)) ** 2, 0, weight)
    return np.mean(deviations**2 / np.where(variance > 0.0, variance, np.inf), axis=1)


def distilled(
    fit: Candidate,
    before: BeforeSelection,
    comparison: Comparison,
    failed: np.ndarray,
    interruption: Interruption,
) -> Candidate:
    """Train a network on the predictions of the regressions, of `fit` for outputs not `failed`."""
    y, weight, groups = comparison.y, comparison.weight, comparison.groups
    X, rng = before.data.X[comparison.rows].astype(np.float64), np.random.RandomState(0)
    one, other = (X[rng.randint(len(X), size=N_POINTS)] for _ in range(2))
    points = np.vstack([X, np.where(rng.random_sample(one.shape) < 0.5, one, other)])
    predicted = [regression.predict(points) for regression in comparison.regressions]
    targets = np.where(failed, np.column_stack(predicted), fit.predict(points))
    if fit.plan.settings.loss.positive:
        targets = np.maximum(targets, LEAST_MEAN * np.average(y, 0, weight))
    plan = replace(before.plan, grouping="layer")  # with all inputs: some may have been missing
    taught = _taught(plan, comparison, Data(points, targets), failed, rng, interruption)
    data = before.data.on_inputs(plan.inputs)
    result = Candidate(plan, data, Start(taught.theta, fit.start.random_state), taught)
    predicted = result.predict(X)
    errors = np.where(failed, comparison.of_regressions, comparison.of_network)
    errors = errors + targets[: len(X)] - predicted
    # Each row deviates from the mean of those that share its X, too.
    place = np.full(groups.max() + 1, -1)
    place[groups[comparison.rows]] = np.arange(len(X))
    rows = np.flatnonzero(place[groups] >= 0)
    place = place[groups[rows]]
    of_rows, residuals = (values[place] + before.data.y[rows] - y[place] for values in (errors, y))
    residuals = residuals - predicted[place]
    noise = np.abs(of_rows * residuals) * result.curvatures()[rows, np.newaxis]
    noise = np.average(noise, 0, before.data.weights()[rows])
    return replace(
        result,
        solution=_on_rows(taught, plan, data, noise, fit.solution, interruption),
        errors=Errors(*(mean_squares(e, y, weight) for e in (errors, comparison.of_regressions))),
        losses=losses_of(errors, y, weight),
        held_out=HeldOut(rows, of_rows),
    )


def _taught(
    plan, comparison: Comparison, data: Data, failed, rng, interruption: Interruption
) -> Solution:
    """Train on predictions at points until they are learned; a constant where these are.

    Where the output activation is exp, the network without it is trained on their logarithms.
    """
    points, targets, variance = data.X, data.y, data.y.var(axis=0)
    varies = variance > np.finfo(float).eps
    if not varies.any():
        theta = np.zeros(plan.architecture.n_parameters)
        if plan.first_intercepts is not None:
            theta[-len(variance) :] = plan.first_intercepts
        return Solution(theta, np.nan, 0, None, History())
    errors = np.where(failed, comparison.of_regressions, comparison.of_network)
    unexplained = np.mean(errors**2, axis=0)[varies] / variance[varies]
    learned = np.maximum(LEARNED * np.minimum(unexplained, 1.0), EXACT)
    if plan.settings.loss.positive:
        targets = np.log(targets)
    learned = np.min(learned * targets.var(axis=0)[varies])
    # Beside an output without noise the evidence would take the others for noise.
    noise = np.sqrt(0.5 * learned) * rng.standard_normal(targets.shape)
    data = Data(points, targets + noise)
    X = points[: len(comparison.rows)]
    effects = total_effects(comparison.regressions, X, varies & failed)
    theta = draw(plan, NO_USER_START, np.random.RandomState(0))[0].theta
    theta = with_units_of_one_input(plan.architecture, theta, effects, points, rng)
    network = network_of(plan.architecture, (*plan.settings.activations[:-1], "identity"))
    objective = Objective(network, data.samples(), 0.0)
    monitor = Monitor(plan.settings.max_iter, History(), 0.5 * learned, interrupted=interruption)
    options = plan.options(np.random.RandomState(0))
    options = with_restarts(plan, data, options, np.random.RandomState(0))
    options = options._replace(rest=REST, tol=0.5 * LEAST_FALL * len(points) / NATS)
    solution = plan.solver.solve(objective, theta, monitor, options)
    interruption.raise_if_set()
    return solution


def total_effects(regressions, X, outputs) -> np.ndarray:
    """Estimate the total effect of each input on some outputs; the sum is 1.

    It is half the mean square of the change of a prediction where the input is that of another row,
    in units of the variance of the prediction (Jansen, "Analysis of variance designs for model
    output", Computer Physics Communications 117, 1999).
    """
    X = X[:N_EFFECT_ROWS]
    effects = np.zeros(X.shape[1])
    for regression in (regressions[k] for k in np.flatnonzero(outputs)):
        predicted = regression.predict(X)
        for j in range(X.shape[1]):
            changed = X.copy()
            changed[:, j] = np.roll(X[:, j], 1)
            squares = (regression.predict(changed) - predicted) ** 2
            effects[j] += 0.5 * squares.mean() / max(predicted.var(), np.finfo(float).tiny)
    return effects / effects.sum() if effects.any() else np.full(len(effects), 1.0 / len(effects))


def with_units_of_one_input(architecture: Architecture, theta, effects, points, rng) -> np.ndarray:
    """Let each unit of the first layer bend along one input, more units where the effect is larger.

    The bends are at the inputs of some points. From units on all inputs a sum of functions with
    bends of 2 among 29 inputs was learned to an R² of 0.5, from these to 0.99.
    """
    coefs, intercepts = architecture.unpack(theta.copy())
    n_units = coefs[0].shape[1]
    units, shares = np.arange(n_units), (np.arange(n_units) + 0.5) / n_units
    inputs = np.searchsorted(np.cumsum(effects), shares).clip(max=len(effects) - 1)
    slopes = rng.choice([-1.0, 1.0], n_units) * 2.0 ** rng.uniform(0.0, 2.0, n_units)
    coefs[0][:] = 0.0
    coefs[0][inputs, units] = slopes
    intercepts[0][:] = -slopes * points[rng.randint(len(points), size=n_units), inputs]
    return architecture.pack(coefs, intercepts, np.float64)


def _on_rows(
    taught: Solution, plan, data: Data, noise, earlier: Solution, interruption
) -> Solution:
    """Return the evidence of weights that do not maximise it.

    The penalty is that of the training on predictions. The noise is estimated from residuals r and
    leave-one-out errors r / (1 - h) by their product: the expected r^2 is noise^2 (1 - h). With the
    evidence's estimates nearly all parameters would be determined, and of 30 rows standard
    deviations were 2 to 10 times the spread of y.
    """
    theta, state = taught.theta, taught.state
    objective, groups = plan.objective(data), plan.groups
    curvature = Curvature.cheapest(plan.architecture, len(data.y))
    variance, n_samples = objective.variance(), objective.training.weight_sum
    hyper = first_hyperparameters(objective, groups)
    if state is not None:
        hyper = hyper._replace(alpha=state.hyper.alpha)
    least, most = LEAST_BETA / variance, MOST_BETA / variance
    hyper = hyper._replace(beta=1.0 / np.clip(noise, 1.0 / most, 1.0 / least))
    with np.errstate(all="ignore"):
        objective, errors, _ = surrogate(objective, theta)
        product = curvature.product(
            objective, theta, hyper.beta, np.random.RandomState(0), interruption.raise_if_set
        )
        precision = product.certainly_factorised(hyper.alpha[groups], hyper.beta)
        found = evidence(theta, errors, precision, hyper, groups, n_samples, variance)
    return earlier._replace(
        theta=theta,
        loss=plan.objective(data).mean_loss(theta),
        state=State(hyper, found.gamma, groups, n_samples),
        log_evidence=found.log_evidence,
        reason=StopReason.DISTILLED,
        warning=None,
    )


def restarted(fit: Candidate, interruption: Interruption) -> Candidate:
    """Maximise the evidence from the weights of a distilled network, which may drop inputs."""
    plan = replace(fit.plan, restart=None, grouping="input")
    solution = refit(plan, fit.data, fit.start.theta, interruption)
    interruption.raise_if_set()
    return Candidate(plan, fit.data, fit.start, solution)

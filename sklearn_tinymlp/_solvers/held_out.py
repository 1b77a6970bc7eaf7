"""The penalty from rows left out: for more parameters than the evidence can count.

The evidence needs the Gauss-Newton matrix of the parameters, or that of the residuals. Where both
are too large, the network is trained on all but a share of the rows with one strength of the
penalty after the other, the weakest first, each from the weights of the one before, as long as the
rows left out are predicted better. With the best strength it is then trained on all rows. The mean
squared error of the rows left out is the noise and what the weights do not know together; its
inverse is beta.
"""

from typing import NamedTuple

import numpy as np

from .._bayes.evidence import LEAST_BETA, MOST_BETA, Hyperparameters
from .._bayes.precision import LowRankPrecision
from .._engine.objective import Objective
from .by_evidence import ENDED_BY_OTHERS, FIRST_ALPHA, State
from .monitor import Monitor, Solution, StopReason
from .sampled_gauss_newton import descend, loss_in_units_of_y

# The share of rows left out, and how many at most: so many tell an error to 2%.
LEFT_OUT, MOST_LEFT_OUT = 0.2, 5000

# alpha / beta.
STRENGTHS = np.logspace(0.0, 4.0, 9)

# Steps of L-BFGS with each strength, and with the best of them on all rows.
STEPS, LAST_STEPS = 20, 40

# Where this many stronger penalties in a row do not predict better, no other one is tried.
PATIENCE = 2

# The curvature of the loss by a weight, beta n times about this, sets the length of first steps.
CURVATURE = 0.02


class Trial(NamedTuple):
    """Weights trained with one strength, and what they say of the rows left out."""

    theta: np.ndarray
    strength: float
    errors: np.ndarray  # (n_outputs,) mean squares of the rows left out


def search(
    objective: Objective,
    theta: np.ndarray,
    monitor: Monitor,
    *,
    groups: np.ndarray,
    random_state: np.random.RandomState,
) -> Solution:
    """Find the penalty on rows left out, then train on all.

    Parameters
    ----------
    objective : Objective
        Of one output, or with the identity as output activation; X is dense.
    theta : ndarray of shape (n_parameters,)
        The start; not changed.
    monitor : Monitor
        Is told of each strength that is tried, and of the end.
    groups : ndarray of shape (n_parameters,) of int
        The group of each parameter, the last one that of the output's intercepts.
    random_state : RandomState
        Draws the rows left out.

    Returns
    -------
    Solution
        Its evidence and its effective parameters are NaN: nobody has computed them.
    """
    n_rows = objective.training.n_samples
    n_left_out = max(1, min(MOST_LEFT_OUT, int(LEFT_OUT * n_rows)))
    order = random_state.permutation(n_rows)
    rest, kept = (objective.on_rows(np.sort(part)) for part in np.split(order, [n_left_out]))
    trial, reason = _best_trial(kept, rest, theta, monitor, groups)
    theta, hyper = trial.theta, _hyperparameters(trial, groups, objective.variance())
    if reason not in ENDED_BY_OTHERS:
        try:
            theta = _train(objective, theta, hyper, groups, LAST_STEPS, monitor)
            if reason is not StopReason.MAX_ITER:
                asked = _tell(monitor, objective, theta, hyper)
                reason = asked if asked in ENDED_BY_OTHERS else reason
        except KeyboardInterrupt:
            reason = StopReason.INTERRUPTED
    loss = loss_in_units_of_y(objective, objective.errors(theta))
    theta = monitor.kept(theta, reason)
    unknown = np.full(groups.max() + 1, np.nan)
    state = State(hyper, unknown, groups, objective.training.weight_sum)
    return Solution(
        theta,
        loss,
        monitor.n_iter,
        reason,
        monitor.record,
        score=max(monitor.best_score, 1.0 - float(np.mean(trial.errors))),
        log_evidence=np.nan,
        state=state,
    )


def _best_trial(kept, rest, theta, monitor, groups) -> tuple[Trial, StopReason]:
    errors = 2.0 * rest.errors(theta) / rest.training.weight_sum
    best, without_gain = Trial(theta, STRENGTHS[0], errors), 0
    for strength in STRENGTHS:
        monitor.begin(theta)
        try:
            hyper = _hyperparameters(Trial(theta, strength, errors), groups, kept.variance())
            theta = _train(kept, theta, hyper, groups, STEPS, monitor)
        except KeyboardInterrupt:
            return best, StopReason.INTERRUPTED
        errors = 2.0 * rest.errors(theta) / rest.training.weight_sum
        without_gain += 1
        if errors.mean() < best.errors.mean():
            best, without_gain = Trial(theta, strength, errors), 0
        reason = _tell(monitor, kept, theta, hyper)
        if reason is not None:
            return best, reason
        if without_gain >= PATIENCE:
            break
    return best, StopReason.HELD_OUT


def _hyperparameters(trial: Trial, groups, variance) -> Hyperparameters:
    beta = 1.0 / np.maximum(trial.errors, np.finfo(float).tiny)
    beta = np.clip(beta, LEAST_BETA / variance, MOST_BETA / variance)
    alpha = np.full(groups.max() + 1, trial.strength * beta.mean())
    alpha[-1] = FIRST_ALPHA
    return Hyperparameters(alpha, beta)


def _train(objective, theta, hyper, groups, n_steps, monitor) -> np.ndarray:
    curvature = CURVATURE * hyper.beta.mean() * objective.training.weight_sum
    precision = LowRankPrecision.of_diagonal(hyper.alpha[groups] + curvature)
    return descend(objective, theta, hyper, groups, precision, n_steps=n_steps, monitor=monitor)[0]


def _tell(monitor: Monitor, objective: Objective, theta, hyper) -> StopReason | None:
    loss = loss_in_units_of_y(objective, objective.errors(theta))
    return monitor.update(theta=theta, loss=loss, alpha=float(hyper.alpha[0]))

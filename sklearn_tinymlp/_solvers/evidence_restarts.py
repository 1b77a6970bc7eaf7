"""When to restart a fit, and which result to keep."""

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from .._bayes.evidence import Hyperparameters
from .._objective.objective import Objective
from .monitor import History, Monitor, Solution, StopReason

# On standardised data these values mean weights of size 10 and noise of a tenth of the target's
# standard deviation. Of three pairs (1 and 1, 0.1 and 10, 0.01 and 100) this one left the fewest
# starts in a poor minimum.
FIRST_ALPHA, FIRST_BETA = 0.01, 100.0

# Iterations of a second search at the first alpha and beta, and the number of samples up to which
# there is always a second search: it then costs little, and the first search often ends in a fit of
# noise only.
WARM_UP, FEW_SAMPLES = 20, 50

# Maximum number of restarts from random features.
FURTHER = 3

# A restart must explain more than the network by this many nats.
BEATEN = 10.0

# Precision of the noise of standardised targets above which predictions hardly improve: a noise of
# a thousandth. Without this bound, next to an output that is an exact line, a wave was mistaken for
# noise (R² 0.04; with the bound 0.998 for one of three seeds).
MAX_PRECISION = 1e6

# Reasons after which there are no restarts.
ENDED_BY_OTHERS = (StopReason.INTERRUPTED, StopReason.CALLBACK, StopReason.LOSS_TOL)

# Share of effective parameters below which a fit may have missed the signal. For waves mistaken for
# noise it is below a tenth, for most real data sets tried a quarter to a half.
DOUBTFUL = 0.25


class Restart(NamedTuple):
    """Start weights, and the share of the variance that they explain; NaN where unknown."""

    theta: np.ndarray
    explained: float


class State(NamedTuple):
    """The maximum of the evidence that a solution belongs to."""

    hyper: Hyperparameters
    gamma: np.ndarray  # (n_groups,) effective parameters of each group
    groups: np.ndarray  # (n_parameters,)
    n_samples: float
    noise: np.ndarray | None = None  # (n_outputs,) its standard deviation; None if from beta

    @property
    def noise_std(self) -> np.ndarray:
        """Standard deviation of the noise of each output, in the units of training."""
        return 1.0 / np.sqrt(self.hyper.beta) if self.noise is None else self.noise


def first_hyperparameters(objective: Objective, groups, least_ratio=0.0) -> Hyperparameters:
    """Return the first alpha and beta."""
    alpha = np.full(groups.max() + 1, FIRST_ALPHA)
    beta = np.full(objective.n_outputs, FIRST_BETA / objective.variance())
    return Hyperparameters(alpha, beta).with_ratio(least_ratio)


def solve_by_evidence(
    objective: Objective, theta, monitor: Monitor, *, search, restart=None, draw_restart=None
) -> Solution:
    """Maximise the evidence from one start, and from further starts where they may help.

    Re-estimating alpha and beta from the first step can end in a fit of noise only (three points,
    one start in two); `WARM_UP` steps at the first alpha and beta never do, but overfit noisy data.
    On few samples, or where the first fit ended with fewer than two effective parameters, both
    searches are made. A network that explains less than `restart` is trained again from that start.
    With few effective parameters the first units may also have been too linear for the data:
    `draw_restart` returns a start and the share of variance that it explains on held-out rows. As
    long as the network explains less on the training rows, it is trained again from that start, at
    most `FURTHER` times. The solution with the greatest evidence is kept.
    """
    fresh = replace(monitor, record=History())  # before the first search counts its iterations

    def search_again(solution, start, title, **options) -> Solution:
        monitor.say(title)
        start = objective.without_constant_inputs(start)
        other = search(objective, start, replace(fresh, record=History()), **options)
        return _better(solution, other)

    solution = search(objective, objective.without_constant_inputs(theta), monitor)
    few = objective.training.weight_sum <= FEW_SAMPLES
    if solution.reason not in ENDED_BY_OTHERS and (few or _determined(solution) < 2.0):
        title = f"Second search, with the first penalties for {WARM_UP} iterations:"
        solution = search_again(solution, theta, title, warm_up=WARM_UP)
    if restart is not None and _is_beaten(objective, solution, restart):
        solution = search_again(solution, restart.theta, "Restart from a pilot network:")
    if draw_restart is None or not _is_doubtful(objective, solution):
        return solution
    for _ in range(FURTHER):
        start = draw_restart()
        if not _is_beaten(objective, solution, start):
            break
        solution = search_again(solution, start.theta, "Restart from random features:")
    return solution


def _is_beaten(objective: Objective, solution: Solution, start: Restart) -> bool:
    """Whether a start explains more than a network, by more than `BEATEN` nats.

    They are n / 2 times the logarithm of the ratio of the unexplained variances.
    """
    if solution.reason in ENDED_BY_OTHERS or np.isnan(start.explained):
        return False
    shares = explained_by(objective, solution), start.explained
    left, left_by_start = (max(1.0 - share, 1e-300) for share in shares)
    nats = 0.5 * objective.training.weight_sum * (math.log(left) - math.log(left_by_start))
    return nats > BEATEN


def _is_doubtful(objective: Objective, solution: Solution) -> bool:
    """Whether a fit to varying targets has few effective parameters."""
    with np.errstate(over="ignore"):
        spread = objective.spread()
    varies = np.any(spread > 0.0) and np.isfinite(spread).all()
    few = _determined(solution) < DOUBTFUL * solution.theta.size
    return bool(varies and few and solution.reason not in ENDED_BY_OTHERS)


def explained_by(objective: Objective, solution: Solution) -> float:
    """Compute the share of the variance explained, averaged over outputs that vary."""
    spread = objective.spread()
    varies = spread > 0.0
    return 1.0 - float(np.mean(objective.errors(solution.theta)[varies] / spread[varies]))


def _determined(solution) -> float:
    """Return the number of effective parameters; 0 where it is unknown."""
    return 0.0 if solution.state is None else float(solution.state.gamma.sum())


def _merit(solution: Solution) -> tuple[float, float]:
    """Return score and log evidence; without early stopping the scores are equal.

    With several outputs the evidence does not count precision beyond `MAX_PRECISION`: the precision
    of an output without noise grows without a bound, and would outweigh the signal of another
    output.
    """
    log_evidence, state = solution.log_evidence, solution.state
    if state is not None and len(state.hyper.beta) > 1:
        beyond = np.log(np.maximum(state.hyper.beta / MAX_PRECISION, 1.0))
        log_evidence -= 0.5 * state.n_samples * float(beyond.sum())
    return solution.score, log_evidence


def _better(one, other) -> Solution:
    """Return the solution with the better score or evidence, and with a user's reason to stop."""
    if other.reason is StopReason.LOSS_TOL:
        return other
    better = max(one, other, key=_merit)
    if other.reason in ENDED_BY_OTHERS:
        return better._replace(reason=other.reason)
    return better

"""The evidence's verdict on a fit, and its doubts: when another beginning is tried."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from .._bayes.evidence import Hyperparameters
from .._objective.objective import Objective
from .monitor import History, Monitor, Solution, StopReason

# On standardised data: weights of size 10, noise of a tenth of the target's spread. Of the pairs
# tried (1 and 1, 0.1 and 10, 0.01 and 100) this one left the fewest starts in a poor minimum.
FIRST_ALPHA, FIRST_BETA = 0.01, 100.0

# At max_iter a rise of less than 100 tol nats a sample in as many iterations is called converged
# too: predictions are told apart by hundredths of a nat at best.
NATS_A_SAMPLE = 100.0

# Data without noise have no finite best beta, and the evidence rises for ever. A fit whose squared
# residuals are this small against the targets has nothing left to find at max_iter.
ZERO_RESIDUAL = 1e-8

# Below this a second beginning costs little, and the first one's trap is common.
WARM_UP, FEW_SAMPLES = 20, 50

# Beginnings from random features at most, where those explain more than the network.
FURTHER = 3

# A start beats a network by so many nats, which chance does not do.
BEATEN = 10.0

# What ends a search from outside: no other one is begun then.
ENDED_BY_OTHERS = (StopReason.INTERRUPTED, StopReason.CALLBACK, StopReason.LOSS_TOL)

# A fit that determines less than this share of its parameters is doubted. Of waves taken for noise
# it is below a tenth, of most real sets tried a quarter to a half.
DOUBTFUL = 0.25


class Restart(NamedTuple):
    """Start weights, and the share of the variance that they explain; NaN where it is not known."""

    theta: np.ndarray
    explained: float


class State(NamedTuple):
    """What the evidence says of a solution."""

    hyper: Hyperparameters
    gamma: np.ndarray  # (n_groups,) effective parameters of each group
    groups: np.ndarray  # (n_parameters,)
    n_samples: float
    explained: float = np.nan  # share of the variance, where the fit was doubted
    reference: float = np.nan  # what a cheap fit explains of rows left out
    noise: np.ndarray | None = None  # (n_outputs,) its standard deviation; None: beta tells it

    @property
    def noise_std(self) -> np.ndarray:
        """Standard deviation of the noise of each output, in the units of training."""
        return 1.0 / np.sqrt(self.hyper.beta) if self.noise is None else self.noise


def first_hyperparameters(groups, n_outputs, variance) -> Hyperparameters:
    """Give alpha and beta before the data have said anything, for targets of this variance."""
    alpha = np.full(groups.max() + 1, FIRST_ALPHA)
    return Hyperparameters(alpha, np.full(n_outputs, FIRST_BETA / variance))


def solve_by_evidence(
    objective: Objective,
    theta: np.ndarray,
    monitor: Monitor,
    *,
    search: Callable,
    restart: Restart | None = None,
    draw_restart: Callable[[], Restart] | None = None,
) -> Solution:
    """Find the network of the greatest evidence from one start, or from further ones.

    Re-estimating alpha and beta from the first step can end where all is noise (three points, one
    start in two); `WARM_UP` steps at the first alpha and beta never do, but overfit noisy data.
    The evidence tells such ends apart, so on few samples, or where the first fit has ended with
    next to no effective parameters, both are tried and the better evidence is kept.

    `restart` explains more than chance gives: a network that explains less is trained again
    from there. A fit that determines few of its parameters may also have begun with units too
    straight for the data; `draw_restart`, called then alone, gives a start and what it explains of
    rows left out. While the network explains less of the rows trained on, it is trained again from
    there, at most `FURTHER` times. The better evidence is kept.
    """
    fresh = replace(monitor, record=History())  # before the first search counts its iterations

    def search_again(solution, start, **options) -> Solution:
        other = search(objective, start, replace(fresh, record=History()), **options)
        return _better(solution, other)

    solution = search(objective, theta, monitor)
    few = objective.training.weight_sum <= FEW_SAMPLES
    if solution.reason not in ENDED_BY_OTHERS and (few or _determined(solution) < 2.0):
        solution = search_again(solution, theta, warm_up=WARM_UP)
    if restart is not None and _is_beaten(objective, solution, restart):
        solution = search_again(solution, restart.theta)
    if draw_restart is None or not _is_doubtful(objective, solution):
        return solution
    reference = -np.inf
    for _ in range(FURTHER):
        start = draw_restart()
        reference = float(np.fmax(reference, start.explained))
        if not _is_beaten(objective, solution, start):
            break
        solution = search_again(solution, start.theta)
    if solution.state is None:
        return solution
    explained = explained_by(objective, solution)
    return solution._replace(
        state=solution.state._replace(explained=explained, reference=reference)
    )


def _is_beaten(objective: Objective, solution: Solution, start: Restart) -> bool:
    """Whether a start explains more than a network does, and more than by chance."""
    if solution.reason in ENDED_BY_OTHERS or np.isnan(start.explained):
        return False
    n_samples = objective.training.weight_sum
    return nats_between(explained_by(objective, solution), start.explained, n_samples) > BEATEN


def nats_between(explained, reference, n_samples) -> float:
    """Give n / 2 times the logarithm of the ratio of the variances that are left over."""
    left, left_by_reference = (max(1.0 - share, 1e-300) for share in (explained, reference))
    return 0.5 * n_samples * (math.log(left) - math.log(left_by_reference))


def _is_doubtful(objective: Objective, solution: Solution) -> bool:
    """Whether few parameters are determined, of data that vary."""
    with np.errstate(over="ignore"):
        spread = objective.spread()
    can_be_judged = np.all((spread > 0.0) & np.isfinite(spread))
    few = _determined(solution) < DOUBTFUL * solution.theta.size
    return bool(can_be_judged and few and solution.reason not in ENDED_BY_OTHERS)


def explained_by(objective: Objective, solution: Solution) -> float:
    """Give the share of the variance explained, as mean over the outputs."""
    return 1.0 - float(np.mean(objective.errors(solution.theta) / objective.spread()))


def _determined(solution) -> float:
    """Give the number of parameters that the data determine; 0 where it is not known."""
    return 0.0 if solution.state is None else float(solution.state.gamma.sum())


def _better(one, other) -> Solution:
    """Keep the better solution; what a user, a callback or a target asks for is heard."""
    if other.reason is StopReason.LOSS_TOL:
        return other
    better = other if _merit(other) > _merit(one) else one
    if other.reason in ENDED_BY_OTHERS:
        return better._replace(reason=other.reason)
    return better


def _merit(solution) -> tuple[float, float]:
    """Larger is better: with early stopping the validation score decides, else the evidence."""
    return solution.score, solution.log_evidence

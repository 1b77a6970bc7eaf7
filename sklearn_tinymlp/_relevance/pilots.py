"""Pilot networks: which inputs are relevant, and whether a penalty for each input pays.

A network of a few units is trained in hundredths of a second, with one penalty for all weights and
with one an input (automatic relevance determination, ARD). Where ARD has the greater evidence after
the Occam factor of its penalties (`_bayes.groups`), inputs whose weights the data do not determine
are dropped from the network that is then trained: they take no time, and cannot be overfitted.
"""

from bisect import bisect_left
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from .._bayes.curvature import Curvature
from .._bayes.groups import GROUPINGS, occam_factor
from .._data.data import Data
from .._losses.loss import Loss
from .._machine.interruption import Interruption
from .._machine.threads import single_threaded_blas
from .._network.architecture import Architecture
from .._network.initialization import initial_parameters
from .._network.network import network_of
from .._objective.objective import Objective
from .._solvers import held_curvature
from .._solvers.evidence_restarts import explained_by
from .._solvers.levenberg_marquardt import search_by_evidence
from .._solvers.monitor import History, Monitor, Solution, StopReason
from .random_features import random_features
from .screening import residual_inputs, screened

UNITS, ACTIVATION = 5, "tanh"

# Starts from random features beside that from the end of the fit with one penalty.
N_PILOTS, MOST_ITERATIONS = 4, 200

# A pilot's evidence has converged when it has not risen for so many iterations: with half of a
# network's number nine sets had the same errors, in nine tenths of the time.
REST = 10

# Iterations of a round, and how many pilots go on after it.
ROUNDS = (30, 3), (40, 2), (130, 1)

# Further attempts where residuals depend on inputs, from units re-initialised on these at several
# scales: one attempt in five misses a product or a wave among 45 to 60 inputs.
FURTHER_ATTEMPTS, RESIDUAL_SCALES = 2, (0.5, 1.0, 2.0, 4.0)

# ... and this share of the residuals depends on them: more units than a pilot has do the rest.
LEFT_UNEXPLAINED = 0.1

# More rows would select the same inputs, and take longer.
MOST_ROWS = 2000

# Multiply-adds of an iteration: pilots must cost little beside the network that follows them.
MOST_WORK = 25_000_000

# No pilot with more inputs has ever been cheap.
MOST_INPUTS = 100_000

# A penalty an input must be worth a twentieth of a nat a row, some 5% of the error, and 10 nats: on
# data without idle inputs it was worth less, and cost up to 10% (docs/evidence.md).
NATS, NATS_A_ROW = 10.0, 0.05

# An input is idle where the data determine less than a tenth of a weight of it, of five.
IDLE = 0.1


class RelevanceReport(NamedTuple):
    """Result of the pilot networks."""

    grouping: str  # of the weights that share a penalty
    selected: np.ndarray  # relevant inputs, those first of which the data determine most
    architecture: Architecture  # of the pilots
    theta: np.ndarray  # of the best
    explained: float  # share of the variance


def run_pilots(
    data: Data,
    loss: Loss,
    output: str,
    first_intercepts: np.ndarray | None,
    random_state,
    interruption: Interruption,
) -> RelevanceReport | None:
    """Train pilot networks; None where ARD does not pay, and after Ctrl-C.

    Parameters
    ----------
    data : Data
        Standardised; not more than `MOST_ROWS`.
    loss : Loss
    output : str or Activation
        The output activation of the network that follows.
    first_intercepts : ndarray of shape (n_outputs,) or None
        First intercepts of the output layer; None to draw them.
    random_state : RandomState
    interruption : Interruption
    """
    of_all = Architecture((data.X.shape[1], UNITS, data.y.shape[1]))
    inputs = np.arange(data.X.shape[1])
    most = most_inputs(*data.y.shape)
    # Squared errors are a matter of the inputs alone; a deviance needs predictions above zero.
    activations = ACTIVATION, "identity" if loss.least_squares else output
    with interruption.catches_sigint(), single_threaded_blas():
        if most < len(inputs):
            try:
                inputs = screened(data, of_all, activations, most, random_state, interruption)
            except KeyboardInterrupt:
                return None
            if inputs is None:
                return None
        data = data.on_inputs(inputs)
        architecture = Architecture((len(inputs), UNITS, data.y.shape[1]))
        samples = data.samples(np.dtype(np.float64))
        objective = Objective(network_of(architecture, activations), samples, 0.0, loss=loss)
        draw = partial(_start, objective, data, first_intercepts, random_state)
        search = partial(_search, objective, interruption)
        one = search("one", draw())
        # Where its own penalty has grown before its effect was found an input stays irrelevant. The
        # fit with one penalty has found such effects; the drawn starts find others.
        ard = successive_halving(search, [one.theta, *(draw() for _ in range(N_PILOTS))])
        for _ in range(FURTHER_ATTEMPTS if loss.least_squares else 0):
            residuals = data.y - objective.predict(ard.theta)
            inputs_left = residual_inputs(data, residuals, LEFT_UNEXPLAINED)
            if not len(inputs_left):
                break
            starts = [
                reinitialised(inputs_left, architecture, ard.theta, random_state, scale)
                for scale in RESIDUAL_SCALES
            ]
            ard = max(ard, successive_halving(search, starts), key=penalised_evidence)

    def of_all_inputs(theta) -> np.ndarray:
        coefs, intercepts = architecture.unpack(theta)
        first = np.zeros(of_all.coef_shapes[0])
        first[inputs] = coefs[0]
        return of_all.pack([first, coefs[1]], intercepts, np.float64)

    margin = max(NATS, NATS_A_ROW * samples.weight_sum) if loss.least_squares else 0.0
    pays = penalised_evidence(ard) > penalised_evidence(one) + margin
    if interruption.is_set() or not (pays or loss.deviance):
        return None
    if not pays:
        return RelevanceReport("one", inputs, of_all, of_all_inputs(one.theta), np.inf)
    determined = ard.state.gamma[: len(inputs)]
    relevant = np.argsort(-determined, kind="stable")[: int(np.sum(determined > IDLE))]
    if not len(relevant):
        return None
    # Of another loss than squared errors a start from here is tried whatever it explains.
    explained = explained_by(objective, ard) if loss.least_squares else np.inf
    return RelevanceReport("input", inputs[relevant], of_all, of_all_inputs(ard.theta), explained)


def _start(objective: Objective, data: Data, first_intercepts, random_state) -> np.ndarray:
    """Draw a start: from random features for squared errors, else as a network's own."""
    architecture, activations = objective.network.architecture, objective.network.activations
    if objective.loss.least_squares:
        arrays = data.X, data.y, data.sample_weight
        return random_features(architecture, activations, *arrays, random_state).theta
    coefs, intercepts = initial_parameters(
        architecture, "glorot_uniform", activations[:1], random_state
    )
    if first_intercepts is not None:
        intercepts[-1] = first_intercepts
    return architecture.pack(coefs, intercepts, np.float64)


def reinitialised(inputs, architecture: Architecture, theta, random_state, scale) -> np.ndarray:
    """Re-initialise the least influential units on these inputs, with zero output weights."""
    coefs, intercepts = architecture.unpack(theta.copy())
    effect = np.linalg.norm(coefs[0], axis=0) * np.linalg.norm(coefs[1], axis=1)
    weakest = np.argsort(effect)[: UNITS // 2]
    drawn = random_state.standard_normal((len(inputs), len(weakest)))
    drawn *= scale / np.sqrt(len(inputs))
    coefs[0][:, weakest], coefs[1][weakest] = 0.0, 0.0
    coefs[0][np.ix_(inputs, weakest)] = drawn
    at = random_state.standard_normal((len(weakest), len(inputs)))  # a kink among the rows
    intercepts[0][weakest] = -np.einsum("ji,ij->j", at, drawn)
    return architecture.pack(coefs, intercepts, np.float64)


def most_inputs(n_samples, n_outputs) -> int:
    """Return the number of inputs up to which an iteration of a pilot is cheap."""

    def is_dear(n_inputs):
        pilot = Architecture((n_inputs, UNITS, n_outputs))
        return Curvature.cheapest(pilot, n_samples).work > MOST_WORK

    return max(1, bisect_left(range(1, MOST_INPUTS), True, key=is_dear))


def successive_halving(search, starts) -> Solution:
    """Train pilots with ARD in rounds, and drop the worse ones after each.

    One whose evidence has converged is not trained further.
    """
    field = [search("input", theta, iterations=ROUNDS[0][0]) for theta in starts]
    for (_, n_left), (iterations, _) in pairwise(ROUNDS):
        field = sorted(field, key=penalised_evidence, reverse=True)[:n_left]
        field = [
            pilot
            if pilot.reason is StopReason.EVIDENCE or pilot.state is None
            else search("input", pilot.theta, hyper=pilot.state.hyper, iterations=iterations)
            for pilot in field
        ]
    return max(field, key=penalised_evidence)


def _search(
    objective: Objective,
    interruption,
    grouping: str,
    theta,
    *,
    hyper=None,
    iterations=MOST_ITERATIONS,
) -> Solution:
    """Train one pilot; after Ctrl-C it ends at once."""
    architecture = objective.network.architecture
    groups = GROUPINGS[grouping](architecture)
    monitor = Monitor(iterations, History(), interrupted=interruption)
    options = {"groups": groups, "tol": 1e-4, "hyper": hyper}
    if objective.loss.least_squares:
        return search_by_evidence(objective, theta, monitor, rest=REST, **options)
    curvature = Curvature.cheapest(architecture, objective.training.n_samples)
    # Of its own, so that the starts that follow do not depend on the number of rows.
    options |= {"curvature": curvature, "random_state": np.random.RandomState(0)}
    return held_curvature.search(objective, theta, monitor, **options)


def penalised_evidence(solution) -> float:
    """Return the log evidence less its Occam factor; -inf where there is none."""
    if solution.state is None or not np.isfinite(solution.log_evidence):
        return -np.inf
    return solution.log_evidence - occam_factor(solution.state.gamma)

"""Pilot networks: which inputs are relevant, and whether separate penalties improve the evidence.

A network of a few units is trained in hundredths of a second, with one penalty for all weights and
with one for each input (automatic relevance determination, ARD). Where ARD has the greater evidence
after the Occam factor of its penalties (`_bayes.groups`), the network is trained without the inputs
whose weights the data do not determine: these inputs then take no time, and cannot be overfitted.
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

MAX_ITERATIONS = 200

# Starts with ARD beside that from the fit with one penalty. With squared errors four of them moved
# the errors of 17 data sets by 0.2% (benchmarks/variants.md); with none rounding decides too often
# whether ARD pays. With a deviance and none 2 of 10 sets of 300 counts were fitted by a constant.
N_STARTS, N_DEVIANCE_STARTS = 1, 4

# Number of iterations without a rise of the evidence after which a pilot has converged: with half
# of the number used for a network nine data sets had the same errors, in nine tenths of the time.
PLATEAU_ITERATIONS = 10

# Number of iterations of each round, and of pilots kept after it.
ROUNDS = (30, 3), (40, 2), (130, 1)

# Number of further attempts where residuals depend on inputs, with units re-initialised on these at
# several scales: one attempt in five misses a product or a wave among 45 to 60 inputs. The inputs
# must account for at least this share of the residuals; for less, the network has units that a
# pilot lacks.
FURTHER_ATTEMPTS, RESIDUAL_SCALES, MIN_RESIDUAL_SHARE = 2, (0.5, 1.0, 2.0, 4.0), 0.1

# More rows would select the same inputs, and take longer.
MAX_PILOT_ROWS = 2000

# Maximum number of multiply-adds of an iteration of a pilot, which must cost little compared with
# the network that follows, and a number of inputs that always needs more.
MAX_PILOT_WORK, MAX_PILOT_INPUTS = 25_000_000, 100_000

# Log evidence that separate penalties for the inputs must gain, in total and for each row: some 5%
# of the error. On data without irrelevant inputs it gained less, and increased the error by up to
# 10% (benchmarks/variants.md).
MIN_NATS, MIN_NATS_PER_ROW = 10.0, 0.05

# Number of effective parameters of an input, of five, below which it is irrelevant.
MIN_DETERMINED = 0.1


class RelevanceReport(NamedTuple):
    """Result of the pilot networks."""

    grouping: str  # of the weights that share a penalty
    selected: np.ndarray  # relevant inputs, most effective parameters first
    architecture: Architecture  # of the best pilot, on all inputs
    theta: np.ndarray
    explained: float  # share of the variance


def run_pilots(
    data: Data, loss: Loss, output, first_intercepts, random_state, interruption: Interruption
) -> RelevanceReport | None:
    """Train pilot networks; None where ARD does not improve the evidence, and after Ctrl-C.

    `data` are standardised, at most `MAX_PILOT_ROWS`; `output` is the output activation, and
    `first_intercepts` are those of the output layer of the network that follows, drawn if None.
    """
    whole = Architecture((data.X.shape[1], UNITS, data.y.shape[1]))
    inputs, most = np.arange(data.X.shape[1]), most_inputs(*data.y.shape)
    # A deviance needs predictions above zero.
    activations = ACTIVATION, "identity" if loss.least_squares else output
    with interruption.catches_sigint(), single_threaded_blas():
        if most < len(inputs):
            try:
                inputs = screened(data, whole, activations, most, random_state, interruption)
            except KeyboardInterrupt:
                return None
            if inputs is None:
                return None
        data = data.on_inputs(inputs)
        architecture = Architecture((len(inputs), UNITS, data.y.shape[1]))
        samples = data.samples()
        objective = Objective(network_of(architecture, activations), samples, 0.0, loss=loss)
        search = partial(_search, objective, interruption)
        draw = partial(_start, objective, data, first_intercepts, random_state)
        one = search("one", draw())
        # An input whose penalty grows before its effect is found stays irrelevant. The fit with one
        # penalty finds such effects first.
        further = [draw() for _ in range(N_DEVIANCE_STARTS if loss.deviance else N_STARTS)]
        ard = successive_halving(search, [one.theta, *further])
        if loss.least_squares:
            ard = _with_residual_inputs(ard, objective, data, search, random_state)

    def report(grouping, selected, pilot, explained) -> RelevanceReport:
        coefs, intercepts = architecture.unpack(pilot.theta)
        first = np.zeros(whole.coef_shapes[0])
        first[inputs] = coefs[0]
        theta = whole.pack([first, coefs[1]], intercepts, np.float64)
        return RelevanceReport(grouping, selected, whole, theta, explained)

    margin = max(MIN_NATS, MIN_NATS_PER_ROW * samples.weight_sum) if loss.least_squares else 0.0
    pays = penalised_evidence(ard) > penalised_evidence(one) + margin
    if interruption.is_set() or not (pays or loss.deviance):
        return None
    if not pays:
        return report("one", inputs, one, np.inf)
    determined = ard.state.gamma[: len(inputs)]
    n_relevant = int(np.sum(determined > MIN_DETERMINED))
    if not n_relevant:
        return None
    relevant = np.argsort(-determined, kind="stable")[:n_relevant]
    # With a loss other than squared errors the restart is always tried.
    explained = explained_by(objective, ard) if loss.least_squares else np.inf
    return report("input", inputs[relevant], ard, explained)


def _start(objective: Objective, data: Data, first_intercepts, random_state) -> np.ndarray:
    """Draw start weights: random features for squared errors, otherwise as for any network."""
    architecture, activations = objective.network.architecture, objective.network.activations
    if objective.loss.least_squares:
        return random_features(architecture, activations, data, random_state).theta
    coefs, intercepts = initial_parameters(
        architecture, "glorot_uniform", activations[:1], random_state
    )
    if first_intercepts is not None:
        intercepts[-1] = first_intercepts
    return architecture.pack(coefs, intercepts, np.float64)


def _with_residual_inputs(ard: Solution, objective, data: Data, search, random_state) -> Solution:
    """Train pilots again with units on the inputs that their residuals depend on."""
    architecture = objective.network.architecture
    for _ in range(FURTHER_ATTEMPTS):
        residuals = data.y - objective.predict(ard.theta)
        inputs = residual_inputs(data, residuals, MIN_RESIDUAL_SHARE)
        if not len(inputs):
            break
        starts = [
            reinitialised(inputs, architecture, ard.theta, random_state, scale)
            for scale in RESIDUAL_SCALES
        ]
        ard = max(ard, successive_halving(search, starts), key=penalised_evidence)
    return ard


def reinitialised(inputs, architecture: Architecture, theta, random_state, scale) -> np.ndarray:
    """Re-initialise the least influential units on these inputs, with zero output weights."""
    coefs, intercepts = architecture.unpack(theta.copy())
    effect = np.linalg.norm(coefs[0], axis=0) * np.linalg.norm(coefs[1], axis=1)
    weakest = np.argsort(effect)[: UNITS // 2]
    drawn = random_state.standard_normal((len(inputs), len(weakest)))
    drawn *= scale / np.sqrt(len(inputs))
    coefs[0][:, weakest], coefs[1][weakest] = 0.0, 0.0
    coefs[0][np.ix_(inputs, weakest)] = drawn
    at = random_state.standard_normal((len(weakest), len(inputs)))  # bends among the rows
    intercepts[0][weakest] = -np.einsum("ji,ij->j", at, drawn)
    return architecture.pack(coefs, intercepts, np.float64)


def most_inputs(n_samples, n_outputs) -> int:
    """Return the number of inputs up to which an iteration of a pilot is cheap."""

    def is_expensive(n_inputs) -> bool:
        pilot = Architecture((n_inputs, UNITS, n_outputs))
        return Curvature.cheapest(pilot, n_samples).work > MAX_PILOT_WORK

    return max(1, bisect_left(range(1, MAX_PILOT_INPUTS), True, key=is_expensive))


def successive_halving(search, starts) -> Solution:
    """Train pilots with ARD in rounds, and drop the worse after each; converged ones stay."""
    pilots = [search("input", theta, iterations=ROUNDS[0][0]) for theta in starts]
    for (_, n_kept), (iterations, _) in pairwise(ROUNDS):
        pilots = sorted(pilots, key=penalised_evidence, reverse=True)[:n_kept]
        pilots = [
            pilot
            if pilot.reason is StopReason.EVIDENCE or pilot.state is None
            else search("input", pilot.theta, hyper=pilot.state.hyper, iterations=iterations)
            for pilot in pilots
        ]
    return max(pilots, key=penalised_evidence)


def _search(
    objective: Objective, interruption, grouping, theta, hyper=None, iterations=MAX_ITERATIONS
) -> Solution:
    """Train one pilot, until Ctrl-C."""
    architecture = objective.network.architecture
    groups = GROUPINGS[grouping](architecture)
    monitor = Monitor(iterations, History(), interrupted=interruption)
    theta = objective.without_constant_inputs(theta)
    options = {"groups": groups, "tol": 1e-4, "hyper": hyper}
    if objective.loss.least_squares:
        return search_by_evidence(objective, theta, monitor, rest=PLATEAU_ITERATIONS, **options)
    curvature = Curvature.cheapest(architecture, objective.training.n_samples)
    # A separate random state: the starts that follow must not depend on the number of rows.
    options |= {"curvature": curvature, "random_state": np.random.RandomState(0)}
    return held_curvature.search(objective, theta, monitor, **options)


def penalised_evidence(solution) -> float:
    """Return the log evidence minus its Occam factor; -inf where there is none."""
    if solution.state is None or not np.isfinite(solution.log_evidence):
        return -np.inf
    return solution.log_evidence - occam_factor(solution.state.gamma)

"""Small networks sent ahead: which inputs matter, and whether a penalty for each input pays.

A network of a few units is trained in hundredths of a second, with one penalty for all weights
and with one an input. Where the latter has the greater evidence, its own charge taken off
(`_bayes.groups`), inputs whose weights the data do not determine are left out of the network that
is then trained: they take no time, and nothing can be fitted to them.
"""

from bisect import bisect_left
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy import sparse

from .._bayes.curvature import Curvature
from .._bayes.groups import GROUPINGS, charge
from .._machine.interruption import Interruption
from .._machine.threads import single_threaded_blas
from .._network.architecture import Architecture
from .._network.network import network_of
from .._objective.objective import Objective
from .._solvers import held_curvature
from .._solvers.by_evidence import FurtherStart, explained_by
from .._solvers.levenberg_marquardt import search_by_evidence
from .._solvers.monitor import Monitor, Record, Solution, StopReason
from .._solvers.table import SOLVERS
from .data import Data
from .initial_weights import initial_parameters
from .plan import Plan
from .random_features import random_features
from .screening import screened, unexplained

UNITS, ACTIVATION = 5, "tanh"

# Starts from random features beside that from the end of the fit with one penalty.
N_SCOUTS, MOST_ITERATIONS = 4, 200

# A pilot's evidence has converged when it has not risen for so many iterations: with half of a
# network's number nine sets had the same errors, in nine tenths of the time.
REST = 10

# Iterations of a lap, and how many scouts go on after it.
LAPS = (30, 3), (40, 2), (130, 1)

# So many times others are sent where inputs are left unexplained, to look at these with units that
# bend a little or much: one race in five misses a product or a wave among 45 to 60 inputs.
FURTHER_RACES, LOOKING_SCALES = 2, (0.5, 1.0, 2.0, 4.0)

# ... and make up this share of the residuals: more units than a scout has do the rest.
LEFT_UNEXPLAINED = 0.1

# Fewer rows cannot tell inputs apart; more would tell the same, and take longer.
LEAST_ROWS, MOST_ROWS = 40, 2000

# Multiply-adds of an iteration: scouts must cost little beside the network that follows them.
MOST_WORK = 25_000_000

# No pilot with more inputs has ever been cheap.
MOST_INPUTS = 100_000

# A penalty an input must be worth a twentieth of a nat a row, some 5% of the error, and 10 nats: on
# data without idle inputs it was worth less, and cost up to 10% (docs/evidence.md).
NATS, NATS_A_ROW = 10.0, 0.05

# Of what a unit of a further layer carries, of size 1: there tanh is as good as straight.
CARRIED = 0.5

# First weights of the units that a pilot of another loss lacks, as a share of the usual ones.
SMALL = 0.1

# An input is idle where the data determine less than a tenth of a weight of it, of five.
IDLE = 0.1


class Report(NamedTuple):
    """What the pilot networks have found."""

    grouping: str  # of the weights that share a penalty
    alive: np.ndarray  # the inputs that matter, those first of which the data determine most
    architecture: Architecture  # of the scouts
    theta: np.ndarray  # of the best
    explained: float  # share of the variance


def scout(plan: Plan, data: Data, random_state, interruption: Interruption) -> Report | None:
    """Train scouts on standardised data; None where a penalty an input does not pay, or by Ctrl-C.

    Parameters
    ----------
    plan : Plan
        Has the loss and the output activation.
    data : Data
        Not more than `MOST_ROWS`.
    random_state : RandomState
    interruption : Interruption
    """
    of_all = Architecture((data.X.shape[1], UNITS, data.y.shape[1]))
    inputs = np.arange(data.X.shape[1])
    most, loss = most_inputs(*data.y.shape), plan.settings.loss
    # Squared errors are a matter of the inputs alone; a deviance needs predictions above zero.
    output = "identity" if loss.least_squares else plan.settings.activations[-1]
    activations = ACTIVATION, output
    with interruption.hears_ctrl_c(), single_threaded_blas():
        if most < len(inputs):
            try:
                inputs = screened(data, of_all, activations, most, random_state, interruption)
            except KeyboardInterrupt:
                return None
            if inputs is None:
                return None
        seen = on_inputs(data, inputs)
        architecture = Architecture((len(inputs), UNITS, data.y.shape[1]))
        samples = seen.samples(np.dtype(np.float64))
        objective = Objective(network_of(architecture, activations), samples, 0.0, loss=loss)
        draw = partial(_start, plan, architecture, activations, seen, random_state)
        search = partial(_search, objective, architecture, interruption, random_state)
        one = search("one", draw())
        # Where its own penalty has grown before its effect was found an input stays idle. The fit
        # with one penalty knows of such effects; the drawn starts know of others.
        by_input = race(search, [one.theta, *(draw() for _ in range(N_SCOUTS))])
        for _ in range(FURTHER_RACES if loss.least_squares else 0):
            residuals = seen.y - objective.predict(by_input.theta)
            missed = unexplained(seen, residuals, LEFT_UNEXPLAINED)
            if not len(missed):
                break
            look = partial(looking_at, missed, architecture, by_input.theta, random_state)
            drawn = race(search, [look(scale) for scale in LOOKING_SCALES])
            by_input = max(by_input, drawn, key=merit_of)

    def of_all_inputs(theta) -> np.ndarray:
        coefs, intercepts = architecture.unpack(theta)
        first = np.zeros(of_all.coef_shapes[0])
        first[inputs] = coefs[0]
        return of_all.pack([first, coefs[1]], intercepts, np.float64)

    margin = max(NATS, NATS_A_ROW * samples.weight_sum) if loss.least_squares else 0.0
    pays = merit_of(by_input) > merit_of(one) + margin
    if interruption.is_set() or not (pays or loss.deviance):
        return None
    if not pays:
        return Report("one", inputs, of_all, of_all_inputs(one.theta), np.inf)
    determined = by_input.state.gamma[: len(inputs)]
    alive = np.argsort(-determined, kind="stable")[: int(np.sum(determined > IDLE))]
    if not len(alive):
        return None
    # Of another loss than squared errors a start from here is tried whatever it explains.
    explained = explained_by(objective, by_input) if loss.least_squares else np.inf
    return Report("input", inputs[alive], of_all, of_all_inputs(by_input.theta), explained)


def _start(plan: Plan, architecture, activations, data: Data, random_state) -> np.ndarray:
    """Draw a start: from random features for squared errors, else as a network's own."""
    if plan.settings.loss.least_squares:
        arrays = data.X, data.y, data.sample_weight
        return random_features(architecture, activations, *arrays, random_state).theta
    coefs, intercepts = initial_parameters(
        architecture, "glorot_uniform", activations[:1], random_state
    )
    if plan.first_intercepts is not None:
        intercepts[-1] = plan.first_intercepts
    return architecture.pack(coefs, intercepts, np.float64)


def looking_at(inputs, architecture: Architecture, theta, random_state, scale) -> np.ndarray:
    """Draw the units that do least anew, so that they see these inputs alone, and say nothing."""
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


def race(search, starts) -> Solution:
    """Train pilots with a penalty for each input; the worse ones give up on the way.

    One whose evidence has converged stays as it is.
    """
    field = [search("input", theta, iterations=LAPS[0][0]) for theta in starts]
    for (_, n_left), (iterations, _) in pairwise(LAPS):
        field = sorted(field, key=merit_of, reverse=True)[:n_left]
        field = [
            pilot
            if pilot.reason is StopReason.EVIDENCE or pilot.state is None
            else search("input", pilot.theta, hyper=pilot.state.hyper, iterations=iterations)
            for pilot in field
        ]
    return max(field, key=merit_of)


def _search(
    objective: Objective,
    architecture,
    interruption,
    random_state,
    grouping: str,
    theta,
    *,
    hyper=None,
    iterations=MOST_ITERATIONS,
) -> Solution:
    """Train one pilot; at once at its end after Ctrl-C."""
    groups = GROUPINGS[grouping](architecture)
    monitor = Monitor(iterations, Record(), interrupted=interruption)
    options = {"groups": groups, "tol": 1e-4, "hyper": hyper}
    if objective.loss.least_squares:
        return search_by_evidence(objective, theta, monitor, rest=REST, **options)
    curvature = Curvature.cheapest(architecture, objective.training.n_samples)
    # Of its own, so that the starts that follow do not depend on the number of rows.
    options |= {"curvature": curvature, "random_state": np.random.RandomState(0)}
    return held_curvature.search(objective, theta, monitor, **options)


def _observations(data: Data) -> float:
    """Count the rows, a row of weight 2 twice."""
    return float(len(data.y) if data.sample_weight is None else data.sample_weight.sum())


def merit_of(solution) -> float:
    """Give the log evidence less what its penalties cost; -inf where there is none."""
    if solution.state is None or not np.isfinite(solution.log_evidence):
        return -np.inf
    return solution.log_evidence - charge(solution.state.gamma)


def embedded(
    report: Report, inputs, architecture: Architecture, settings, data: Data, random_state
) -> np.ndarray:
    """Put the best scout's units into a wider or deeper network of the same activations.

    The further units are drawn from random features, and have no say at first. Through further
    layers one unit an output carries what the scout says, as good as straight.

    Parameters
    ----------
    report : Report
    inputs : ndarray of int
        Those that the network has.
    architecture : Architecture
        That of the network.
    settings : Settings
        Has its activations and the loss.
    data : Data
        On these inputs, in the units of training.
    random_state : RandomState
    """
    activations = settings.activations
    if settings.loss.least_squares:
        arrays = data.X, data.y, data.sample_weight
        drawn = random_features(architecture, activations, *arrays, random_state).theta.copy()
    else:  # small weights, whose penalty is next to nothing
        parts = initial_parameters(architecture, "glorot_uniform", activations[:-1], random_state)
        drawn = SMALL * architecture.pack(*parts, np.float64)
    coefs, intercepts = architecture.unpack(drawn)
    of_scout, intercepts_of_scout = report.architecture.unpack(report.theta)
    coefs[0][:, :UNITS], intercepts[0][:UNITS] = of_scout[0][inputs], intercepts_of_scout[0]
    n_outputs, says = architecture.units[-1], of_scout[1]
    for layer in range(1, len(coefs) - 1):
        coefs[layer][:, :n_outputs], intercepts[layer][:n_outputs] = 0.0, 0.0
        coefs[layer][: len(says), :n_outputs] = says * (CARRIED if layer == 1 else 1.0)
        says = np.eye(n_outputs)
    coefs[-1][:], intercepts[-1][:] = 0.0, intercepts_of_scout[1]
    coefs[-1][: len(says)] = says / (CARRIED if len(coefs) > 2 else 1.0)
    return architecture.pack(coefs, intercepts, np.float64)


def can_carry(architecture: Architecture, settings) -> bool:
    """Whether a scout can be embedded in a network."""
    first, *further = architecture.units[1:-1] or (0,)
    of_pilots = [ACTIVATION] * (1 + len(further))
    wide = first >= UNITS and all(n_units >= architecture.units[-1] for n_units in further)
    same_output = not settings.loss.least_squares or settings.activations[-1] == "identity"
    return wide and same_output and list(settings.activations[:-1]) == of_pilots


def report_for(
    plan: Plan, data: Data, random_state, interruption: Interruption, least_rows=LEAST_ROWS
) -> Report | None:
    """Send scouts, where a plan leaves it to them what they decide.

    Parameters
    ----------
    plan : Plan
    data : Data
        In the units of training.
    random_state : RandomState
        Left as it is.
    interruption : Interruption
        Ctrl-C sets it; there is no report then.
    least_rows : int, default=LEAST_ROWS
        On fewer there is no report, either.
    """
    if not (_may_decide(plan) and _can_be_scouted(data, least_rows)):
        return None
    own = _copy(random_state)
    rows = data
    if len(data.y) > MOST_ROWS:
        rows = data.on_rows(np.sort(own.permutation(len(data.y))[:MOST_ROWS]))
    return scout(plan, rows, own, interruption)


def revised(plan: Plan, data: Data, report: Report | None, random_state) -> Plan:
    """Revise a plan by what scouts have found; the same plan where there is nothing.

    `random_state` draws further units, and is left as it is.
    """
    if report is None or not _may_decide(plan):
        return plan
    inputs = inputs_to_keep(report, plan)
    settings = plan.settings
    architecture = Architecture((len(inputs), *plan.architecture.units[1:]))
    known_start = None
    if can_carry(architecture, settings):
        some = np.linspace(0, len(data.y) - 1, min(len(data.y), MOST_ROWS)).astype(int)
        seen = on_inputs(data.on_rows(some), inputs)  # not a copy of all rows
        theta = embedded(report, inputs, architecture, settings, seen, _copy(random_state))
        known_start = FurtherStart(theta, report.explained)
    return replace(
        plan,
        architecture=architecture,
        solver=SOLVERS["lm"],
        grouping=report.grouping,
        inputs=inputs if len(inputs) < plan.n_inputs else None,
        known_start=known_start,
    )


def _copy(random_state) -> np.random.RandomState:
    own = np.random.RandomState()
    own.set_state(random_state.get_state())
    return own


def inputs_to_keep(report: Report, plan: Plan) -> np.ndarray:
    """Return the inputs that matter; all where most matter."""
    inputs = report.alive
    if plan.solver.least_squares and 2 * len(inputs) > plan.n_inputs:
        return np.arange(plan.n_inputs)  # to leave out a few saves less than a copy of X costs
    return np.sort(inputs)


def _may_decide(plan: Plan) -> bool:
    """Whether grouping and inputs were left open, in a fit by lm of a loss without a scale."""
    settings = plan.settings
    left_open = settings.alpha is None and settings.grouping is None and plan.earlier is None
    by_lm = settings.solver is None or settings.solver.least_squares
    loss = settings.loss
    judged = loss.least_squares or (loss.expected_curvature is not None and loss.adapted is None)
    usual = judged and settings.bias and not settings.early_stopping
    return left_open and by_lm and usual and plan.scaling is not None


def _can_be_scouted(data: Data, least_rows) -> bool:
    """Whether there are several dense inputs, and rows to tell them apart."""
    n_inputs = data.X.shape[1]
    if sparse.issparse(data.X) or n_inputs < 2 or _observations(data) < least_rows:
        return False
    if data.y.shape[1] > UNITS:  # more functions than a pilot has units
        return False
    return data.sample_weight is None or data.sample_weight.min() >= 0


def on_inputs(data: Data, columns: np.ndarray | None) -> Data:
    """Leave all other inputs out."""
    if columns is None:
        return data
    validation = None if data.validation is None else on_inputs(data.validation, columns)
    return replace(data, X=np.take(data.X, columns, axis=1), validation=validation)

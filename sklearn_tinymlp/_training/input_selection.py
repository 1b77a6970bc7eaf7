"""Input selection: the plan of a fit, revised by what pilot networks find."""

from dataclasses import replace

import numpy as np
from scipy import sparse

from .._data.data import Data
from .._machine.interruption import Interruption
from .._network.architecture import Architecture
from .._network.initialization import initial_parameters
from .._relevance.pilots import ACTIVATION, MOST_ROWS, UNITS, RelevanceReport, run_pilots
from .._relevance.random_features import random_features
from .._solvers.evidence_restarts import Restart
from .._solvers.table import SOLVERS
from .plan import Plan

# On fewer rows the evidence cannot tell relevant inputs from others.
LEAST_ROWS = 40

# Size of what a unit of a further layer passes on: tanh is nearly linear up to there.
PASSED_ON = 0.5

# First weights of the units that a pilot of another loss lacks, as a share of the usual ones.
SMALL = 0.1


def relevance_report(
    plan: Plan, data: Data, random_state, interruption: Interruption, least_rows=LEAST_ROWS
) -> RelevanceReport | None:
    """Train pilot networks where the plan leaves open what they decide.

    Parameters
    ----------
    plan : Plan
    data : Data
        In the units of training.
    random_state : RandomState
        Left as it is.
    interruption : Interruption
        Set by Ctrl-C; there is no report then.
    least_rows : int, default=LEAST_ROWS
        On fewer there is no report, either.
    """
    if not (_is_left_open(plan) and _can_be_selected(data, least_rows)):
        return None
    own, rows = _copy(random_state), data
    if len(data.y) > MOST_ROWS:
        rows = data.on_rows(np.sort(own.permutation(len(data.y))[:MOST_ROWS]))
    loss, output = plan.settings.loss, plan.settings.activations[-1]
    return run_pilots(rows, loss, output, plan.first_intercepts, own, interruption)


def revised(plan: Plan, data: Data, report: RelevanceReport | None, random_state) -> Plan:
    """Return the plan with the inputs, penalties and restart of the report.

    The same plan where there is no report. `random_state` draws further units, and is left as it
    is.
    """
    if report is None or not _is_left_open(plan):
        return plan
    inputs = inputs_to_keep(report, plan)
    settings = plan.settings
    architecture = Architecture((len(inputs), *plan.architecture.units[1:]))
    restart = None
    if _can_be_embedded(architecture, settings):
        some = np.linspace(0, len(data.y) - 1, min(len(data.y), MOST_ROWS)).astype(int)
        seen = data.on_rows(some).on_inputs(inputs)  # not a copy of all rows
        theta = embedded(report, inputs, architecture, settings, seen, _copy(random_state))
        restart = Restart(theta, report.explained)
    return replace(
        plan,
        architecture=architecture,
        solver=SOLVERS["lm"],
        grouping=report.grouping,
        inputs=inputs if len(inputs) < plan.n_inputs else None,
        restart=restart,
    )


def inputs_to_keep(report: RelevanceReport, plan: Plan) -> np.ndarray:
    """Return the relevant inputs; all where most are relevant."""
    inputs = report.selected
    if plan.solver.least_squares and 2 * len(inputs) > plan.n_inputs:
        return np.arange(plan.n_inputs)  # to drop a few saves less than a copy of X costs
    return np.sort(inputs)


def embedded(
    report: RelevanceReport, inputs, architecture: Architecture, settings, data: Data, random_state
) -> np.ndarray:
    """Embed the pilot's units in a wider or deeper network of the same activations.

    The further units are drawn from random features, with zero output weights. Through further
    layers one unit an output passes the pilot's prediction on, in the linear part of tanh.

    Parameters
    ----------
    report : RelevanceReport
    inputs : ndarray of int
        Those of the network.
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
    of_pilot, intercepts_of_pilot = report.architecture.unpack(report.theta)
    coefs[0][:, :UNITS], intercepts[0][:UNITS] = of_pilot[0][inputs], intercepts_of_pilot[0]
    n_outputs, passed_on = architecture.units[-1], of_pilot[1]
    for layer in range(1, len(coefs) - 1):
        coefs[layer][:, :n_outputs], intercepts[layer][:n_outputs] = 0.0, 0.0
        size = PASSED_ON if layer == 1 else 1.0
        coefs[layer][: len(passed_on), :n_outputs] = size * passed_on
        passed_on = np.eye(n_outputs)
    coefs[-1][:], intercepts[-1][:] = 0.0, intercepts_of_pilot[1]
    coefs[-1][: len(passed_on)] = passed_on / (PASSED_ON if len(coefs) > 2 else 1.0)
    return architecture.pack(coefs, intercepts, np.float64)


def _can_be_embedded(architecture: Architecture, settings) -> bool:
    """Whether a network of this shape and these activations can compute what a pilot does."""
    first, *further = architecture.units[1:-1] or (0,)
    of_pilots = [ACTIVATION] * (1 + len(further))
    wide = first >= UNITS and all(n_units >= architecture.units[-1] for n_units in further)
    same_output = not settings.loss.least_squares or settings.activations[-1] == "identity"
    return wide and same_output and list(settings.activations[:-1]) == of_pilots


def _is_left_open(plan: Plan) -> bool:
    """Whether grouping and inputs are left open, in a fit by lm of a loss without a scale."""
    settings, loss = plan.settings, plan.settings.loss
    left_open = settings.alpha is None and settings.grouping is None and plan.earlier is None
    by_lm = settings.solver is None or settings.solver.least_squares
    has_evidence = loss.expected_curvature is not None and loss.with_scale is None
    judged = loss.least_squares or has_evidence
    usual = judged and settings.bias and not settings.early_stopping
    return left_open and by_lm and usual and plan.scaling is not None


def _can_be_selected(data: Data, least_rows) -> bool:
    """Whether there are several dense inputs, enough rows, and outputs as few as pilots' units."""
    weight = data.sample_weight
    n_observations = len(data.y) if weight is None else weight.sum()
    if sparse.issparse(data.X) or data.X.shape[1] < 2 or n_observations < least_rows:
        return False
    return data.y.shape[1] <= UNITS and (weight is None or weight.min() >= 0)


def _copy(random_state) -> np.random.RandomState:
    own = np.random.RandomState()
    own.set_state(random_state.get_state())
    return own

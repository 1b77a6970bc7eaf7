"""Input selection: revises the plan of a fit by the results of pilot networks."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
from scipy import sparse

from .._data.data import Data
from .._machine.interruption import Interruption
from .._network.architecture import Architecture
from .._network.initialization import initial_parameters
from .._relevance.pilots import ACTIVATION, MAX_PILOT_ROWS, UNITS, RelevanceReport, run_pilots
from .._solvers.evidence_restarts import Restart
from .._solvers.table import SOLVERS
from .plan import Plan

# With fewer rows the evidence cannot distinguish relevant inputs from others.
MIN_SELECTION_ROWS = 40

# Factor on the values that units of further layers pass on: up to it tanh is nearly linear.
LINEAR_RANGE = 0.5

# Factor on the usual initial weights of units added to a pilot, whose penalty is then negligible.
# From random features instead, whose weights are large, the added units took the noise for signal,
# and one seed of five of Friedman's function among 25 inputs lost an input (R² 0.90 for 0.995).
SMALL_WEIGHTS = 0.1


def relevance_report(
    plan: Plan, data: Data, random_state, interruption: Interruption, least_rows=MIN_SELECTION_ROWS
) -> RelevanceReport | None:
    """Train pilot networks, if the plan leaves their decisions open; None after Ctrl-C.

    `data` is in the units of training, and `random_state` is not changed.
    """
    if not (_is_left_open(plan) and _can_be_selected(data, least_rows)):
        return None
    own, rows = deepcopy(random_state), data
    if len(data.y) > MAX_PILOT_ROWS:
        rows = data.on_rows(np.sort(own.permutation(len(data.y))[:MAX_PILOT_ROWS]))
    loss, output = plan.settings.loss, plan.settings.activations[-1]
    return run_pilots(rows, loss, output, plan.first_intercepts, own, interruption)


def revised(plan: Plan, report: RelevanceReport | None, random_state) -> Plan:
    """Return the plan with the inputs, penalties and restart of the report, if there is one.

    `random_state`, from which further units are drawn, is not changed.
    """
    if report is None or not _is_left_open(plan):
        return plan
    inputs, settings = np.sort(report.selected), plan.settings
    if plan.solver.least_squares and 2 * len(inputs) > plan.n_inputs:
        inputs = np.arange(plan.n_inputs)  # dropping a few saves less than copying X costs
    architecture = Architecture((len(inputs), *plan.architecture.units[1:]))
    if settings.verbose:
        penalties = "a penalty for each input" if report.grouping == "input" else "one penalty"
        print(f"Pilot networks: {len(inputs)} of {plan.n_inputs} inputs, {penalties}.")
    restart = None
    if _can_embed_pilot(architecture, settings):
        theta = embedded(report, inputs, architecture, settings, deepcopy(random_state))
        restart = Restart(theta, report.explained)
    return replace(
        plan,
        architecture=architecture,
        solver=SOLVERS["lm"],
        grouping=report.grouping,
        inputs=inputs if len(inputs) < plan.n_inputs else None,
        restart=restart,
    )


def embedded(
    report: RelevanceReport, inputs, architecture: Architecture, settings, random_state
) -> np.ndarray:
    """Embed the pilot's units in a wider or deeper network on `inputs`.

    The further units have small weights, and zero output weights. In further layers one unit for
    each output passes the pilot's prediction on, in the linear part of tanh.
    """
    activations = settings.activations[:-1]
    drawn = initial_parameters(architecture, "glorot_uniform", activations, random_state)
    theta = SMALL_WEIGHTS * architecture.pack(*drawn, np.float64)
    coefs, intercepts = architecture.unpack(theta)
    pilot_coefs, pilot_intercepts = report.architecture.unpack(report.theta)
    coefs[0][:, :UNITS], intercepts[0][:UNITS] = pilot_coefs[0][inputs], pilot_intercepts[0]
    n_outputs, passed_on = architecture.units[-1], pilot_coefs[1]
    for layer in range(1, len(coefs) - 1):
        coefs[layer][:, :n_outputs], intercepts[layer][:n_outputs] = 0.0, 0.0
        size = LINEAR_RANGE if layer == 1 else 1.0
        coefs[layer][: len(passed_on), :n_outputs] = size * passed_on
        passed_on = np.eye(n_outputs)
    coefs[-1][:], intercepts[-1][:] = 0.0, pilot_intercepts[1]
    coefs[-1][: len(passed_on)] = passed_on / (LINEAR_RANGE if len(coefs) > 2 else 1.0)
    return architecture.pack(coefs, intercepts, np.float64)


def _can_embed_pilot(architecture: Architecture, settings) -> bool:
    """Whether a network of this shape and these activations can represent a pilot."""
    first, *further = architecture.units[1:-1] or (0,)
    wide = first >= UNITS and all(n_units >= architecture.units[-1] for n_units in further)
    same_output = not settings.loss.least_squares or settings.activations[-1] == "identity"
    same_hidden = all(activation == ACTIVATION for activation in settings.activations[:-1])
    return wide and same_output and same_hidden


def _is_left_open(plan: Plan) -> bool:
    """Whether grouping and inputs are left open, in a fit by lm of a loss without a scale."""
    settings, loss = plan.settings, plan.settings.loss
    left_open = settings.alpha is None and settings.grouping is None and plan.warm_start is None
    by_lm = settings.solver is None or settings.solver.least_squares
    has_evidence = loss.least_squares or (
        loss.expected_curvature is not None and loss.with_scale is None
    )
    usual = settings.bias and not settings.early_stopping and plan.scaling is not None
    usual = usual and not settings.has_ramps
    return left_open and by_lm and has_evidence and usual


def _can_be_selected(data: Data, least_rows) -> bool:
    """Whether there are several dense inputs, enough rows, and no more outputs than pilot units."""
    weight = data.sample_weight
    n_observations = len(data.y) if weight is None else weight.sum()
    if sparse.issparse(data.X) or data.X.shape[1] < 2 or n_observations < least_rows:
        return False
    return data.y.shape[1] <= UNITS and (weight is None or weight.min() >= 0)

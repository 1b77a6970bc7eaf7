"""Why a network does not converge: the search for all causes, and the findings in order."""

import numpy as np

from . import capacity, columns, ending, feasibility, parameters, rates, rows, shortfall, units
from .examination import Examination
from .finding import INFO, Diagnosis, format_r2
from .forward_pass import MOST_VALUES
from .trained_network import TrainedNetwork

# Functions of an `Examination` that yield findings, whose code is the function's name: what makes
# the goal impossible, what stops learning, what slows it down, what ended it too early.
CAUSES = (
    feasibility.output_range,
    feasibility.no_bias,
    units.identical_units,
    columns.unscaled_features,
    columns.unscaled_target,
    columns.uneven_outputs,
    rates.learning_rate_too_large,
    capacity.penalty_too_large,
    units.dead_units,
    units.saturated_units,
    rates.learning_rate_too_small,
    ending.stopped_by_tol,
    ending.max_iter,
    ending.restarts_disagree,
    rows.long_tails,
    rows.outlying_rows,
    shortfall.missed_pattern,
    shortfall.no_better_than_mean,
    capacity.more_weights_than_data,
    columns.leaked_target,
    rows.few_target_values,
    rows.ordered_rows,
    rows.copied_rows,
    rows.repeated_inputs,
    rows.heteroscedastic_noise,
    columns.constant_columns,
    columns.duplicated_columns,
    rows.strange_weight_sum,
    parameters.idle_parameters,
    ending.local_minimum,
)

# Causes to look for only where no other cause was found.
LAST_RESORTS = {shortfall.missed_pattern, ending.local_minimum}


def diagnose(network: TrainedNetwork, most_values=MOST_VALUES, first_only=False) -> Diagnosis:
    """Look for all causes; with `first_only` stop at the first warning or error."""
    # Squares of data or weights near the largest float overflow. Comparisons with the resulting NaN
    # or infinity are false, and nothing is found.
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        exam = Examination(network, most_values)
        findings = findings_in_order(exam, CAUSES, first_only)
        explained = explained_text(exam)
    n_rows = network.y.shape[0]
    subset = "" if exam.n_rows == n_rows else f", {exam.n_rows} of them examined"
    summary = (
        f"solver {network.solver.name!r}, stop_reason_ {network.stop_reason!r} after "
        f"{network.n_iter} iterations: loss_ {network.final_loss:.4g}, {network.score_name} "
        f"{explained} on {n_rows} rows{subset}."
    )
    return Diagnosis(summary, findings)


def explained_text(exam) -> str:
    """Format R² or D²; if outputs differ, also for each output or for the best and worst."""
    whole, by_output = format_r2(exam.explained), exam.explained_by_output
    if len(by_output) < 2 or np.ptp(by_output) < 0.05 or not np.isfinite(by_output).all():
        return whole
    if len(by_output) <= 4:
        return f"{whole} (by output {', '.join(map(format_r2, by_output))})"
    ends = int(by_output.argmin()), int(by_output.argmax())
    worst, best = (f"{format_r2(by_output[k])} of output {k}" for k in ends)
    return f"{whole} (from {worst} to {best})"


def findings_in_order(exam, causes, first_only=False) -> list:
    """Return the findings in the order of the causes, but with severity 'info' at the end."""
    findings = []
    for cause in causes:
        serious = any(finding.severity != INFO for finding in findings)
        if serious and first_only:
            break
        if serious and cause in LAST_RESORTS:
            continue
        exam.found = tuple(findings)
        try:
            findings += list(cause(exam))
        except np.linalg.LinAlgError:  # the matrix cannot be decomposed
            pass
    return sorted(findings, key=lambda finding: finding.severity == INFO)

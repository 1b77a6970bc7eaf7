"""Why a network does not converge: every cause looked for, the findings in order."""

import numpy as np

from .bias_and_range import no_bias, output_range
from .capacity import more_weights_than_data
from .cause import Cause
from .columns import constant_columns, duplicated_columns, leaked_target
from .ending import local_minimum, max_iter, restarts_disagree, stopped_by_tol
from .examination import MOST_VALUES, Examination
from .finding import INFO, Diagnosis, format_r2
from .parameters import idle_parameters
from .penalty import penalty_too_large
from .rates import learning_rate_too_large, learning_rate_too_small
from .residual_tails import long_tails
from .rows import copied_rows, few_target_values, ordered_rows, outlying_rows, strange_weight_sum
from .scales import unscaled_features, unscaled_target
from .shortfall import missed_pattern, no_better_than_mean, uneven_outputs
from .trained_network import TrainedNetwork
from .units import dead_units, identical_units, saturated_units

# What makes the goal impossible, what stops learning, what slows it down, what ended it too early.
CAUSES = (
    Cause("output_range", output_range),
    Cause("no_bias", no_bias),
    Cause("identical_units", identical_units),
    Cause("unscaled_features", unscaled_features),
    Cause("unscaled_target", unscaled_target),
    Cause("uneven_outputs", uneven_outputs),
    Cause("learning_rate_too_large", learning_rate_too_large),
    Cause("penalty_too_large", penalty_too_large),
    Cause("dead_units", dead_units),
    Cause("saturated_units", saturated_units),
    Cause("learning_rate_too_small", learning_rate_too_small),
    Cause("stopped_by_tol", stopped_by_tol),
    Cause("max_iter", max_iter),
    Cause("restarts_disagree", restarts_disagree),
    Cause("long_tails", long_tails),
    Cause("missed_pattern", missed_pattern, last_resort=True),
    Cause("no_better_than_mean", no_better_than_mean),
    Cause("more_weights_than_data", more_weights_than_data),
    Cause("leaked_target", leaked_target),
    Cause("few_target_values", few_target_values),
    Cause("outlying_rows", outlying_rows),
    Cause("ordered_rows", ordered_rows),
    Cause("copied_rows", copied_rows),
    Cause("constant_columns", constant_columns),
    Cause("duplicated_columns", duplicated_columns),
    Cause("strange_weight_sum", strange_weight_sum),
    Cause("idle_parameters", idle_parameters),
    Cause("local_minimum", local_minimum, last_resort=True),
)


def diagnose(network: TrainedNetwork, most_values=MOST_VALUES, first_only=False) -> Diagnosis:
    """Look for every cause; with `first_only` until a warning or an error is found."""
    # Squares of data or weights near the largest float overflow. Comparisons with the NaN or
    # infinity that results are false, and what they would have decided is not found.
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        exam = Examination(network, most_values)
        findings = findings_of(exam, CAUSES, first_only)
        explained = share_explained(exam)
    n_rows = network.y.shape[0]
    part = "" if exam.n_rows == n_rows else f", {exam.n_rows} of them examined"
    summary = (
        f"solver {network.solver.name!r}, stop_reason_ {network.stop_reason!r} after "
        f"{network.n_iter} iterations: loss_ {network.reached:.4g}, {network.score_name} "
        f"{explained} on {n_rows} rows{part}."
    )
    return Diagnosis(summary, findings)


def share_explained(exam) -> str:
    """Give R² or its likeness; of several outputs that differ, the worst and the best too."""
    whole, by_output = format_r2(exam.explained), exam.explained_by_output
    if len(by_output) < 2 or np.ptp(by_output) < 0.05 or not np.isfinite(by_output).all():
        return whole
    if len(by_output) <= 4:
        return f"{whole} (by output {', '.join(map(format_r2, by_output))})"
    worst, best = int(by_output.argmin()), int(by_output.argmax())
    return (
        f"{whole} (from {format_r2(by_output[worst])} of output {worst} to "
        f"{format_r2(by_output[best])} of output {best})"
    )


def findings_of(exam, causes, first_only=False) -> list:
    """Give the findings in the order of the causes, those merely worth knowing at the end."""
    findings = []
    for cause in causes:
        serious = any(finding.severity != INFO for finding in findings)
        if serious and first_only:
            break
        if serious and cause.last_resort:
            continue
        if exam is not None:
            exam.found = tuple(findings)
        findings += cause.findings(exam)
    return sorted(findings, key=lambda finding: finding.severity == INFO)  # stable

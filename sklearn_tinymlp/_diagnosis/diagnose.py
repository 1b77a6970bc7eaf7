"""Why a network does not converge: every cause looked for, the findings in order."""

import numpy as np

from .bias_and_range import no_bias, output_range
from .capacity import more_weights_than_data
from .cause import Cause
from .copies import copied_rows
from .ending import (
    local_minimum,
    max_iter,
    no_better_than_mean,
    restarts_disagree,
    stopped_by_tol,
)
from .examination import MOST_VALUES, Examination
from .finding import INFO, Diagnosis, format_r2
from .rates import learning_rate_too_large, learning_rate_too_small
from .residual_tails import long_tails
from .scales import unscaled_features, unscaled_target
from .trained_network import TrainedNetwork
from .units import dead_units, identical_units, saturated_units

# What makes the goal impossible, what stops learning, what slows it down, what ended it too early.
CAUSES = (
    Cause("output_range", output_range),
    Cause("no_bias", no_bias),
    Cause("identical_units", identical_units),
    Cause("unscaled_features", unscaled_features),
    Cause("unscaled_target", unscaled_target),
    Cause("learning_rate_too_large", learning_rate_too_large),
    Cause("dead_units", dead_units),
    Cause("saturated_units", saturated_units),
    Cause("learning_rate_too_small", learning_rate_too_small),
    Cause("stopped_by_tol", stopped_by_tol),
    Cause("max_iter", max_iter),
    Cause("no_better_than_mean", no_better_than_mean),
    Cause("restarts_disagree", restarts_disagree),
    Cause("long_tails", long_tails),
    Cause("more_weights_than_data", more_weights_than_data),
    Cause("copied_rows", copied_rows),
    Cause("local_minimum", local_minimum, last_resort=True),
)


def diagnose(network: TrainedNetwork, most_values=MOST_VALUES) -> Diagnosis:
    """Look for every cause."""
    # Squares of data or weights near the largest float overflow. Comparisons with the NaN or
    # infinity that results are false, and what they would have decided is not found.
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        exam = Examination(network, most_values)
        findings = findings_of(exam, CAUSES)
        explained = exam.explained
    n_rows = network.y.shape[0]
    part = "" if exam.n_rows == n_rows else f", {exam.n_rows} of them examined"
    summary = (
        f"solver {network.solver.name!r}, stop_reason_ {network.stop_reason!r} after "
        f"{network.n_iter} iterations: loss_ {network.reached:.4g}, {network.score_name} "
        f"{format_r2(explained)} on {n_rows} rows{part}."
    )
    return Diagnosis(summary, findings)


def findings_of(exam, causes) -> list:
    """Give the findings in the order of the causes, those merely worth knowing at the end."""
    findings = []
    for cause in causes:
        if cause.last_resort and any(finding.severity != INFO for finding in findings):
            continue
        findings += cause.findings(exam)
    return sorted(findings, key=lambda finding: finding.severity == INFO)  # stable

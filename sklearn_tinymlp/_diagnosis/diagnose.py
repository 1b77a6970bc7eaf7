"""Why a network does not converge: every cause looked for, the findings in order."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .capacity import more_weights_than_data, penalty_too_large
from .columns import (
    constant_columns,
    duplicated_columns,
    leaked_target,
    uneven_outputs,
    unscaled_features,
    unscaled_target,
)
from .ending import local_minimum, max_iter, restarts_disagree, stopped_by_tol
from .examination import Examination
from .feasibility import no_bias, output_range
from .finding import INFO, Diagnosis, Finding, format_r2
from .forward_pass import MOST_VALUES
from .parameters import idle_parameters
from .rates import learning_rate_too_large, learning_rate_too_small
from .rows import (
    copied_rows,
    few_target_values,
    long_tails,
    ordered_rows,
    outlying_rows,
    strange_weight_sum,
)
from .shortfall import missed_pattern, no_better_than_mean
from .trained_network import TrainedNetwork
from .units import dead_units, identical_units, saturated_units


@dataclass(frozen=True)
class Cause:
    """A reason why a network does not learn, or not well.

    Parameters
    ----------
    code : str
        Its name, the code of its findings.

    function : callable
        ``function(exam)`` returns the findings for an `Examination`, an iterable of `Finding` made
        by `make_finding`; none where the network is healthy.

    last_resort : bool, default=False
        Whether to look for it only where no other cause is found.

    Raises
    ------
    TypeError
        When the code is no identifier or the function is not callable.
    """

    code: str
    function: Callable
    last_resort: bool = False

    def __post_init__(self):
        """Refuse a cause without a name or a function."""
        if not (isinstance(self.code, str) and self.code.isidentifier()):
            raise TypeError(f"The code of a cause must be an identifier, got {self.code!r}.")
        if not callable(self.function):
            raise TypeError(f"The cause {self.code!r} needs a function, got {self.function!r}.")

    def findings(self, exam) -> list[Finding]:
        """Return the findings; none where a decomposition fails."""
        try:
            return list(self.function(exam))
        except np.linalg.LinAlgError:
            return []


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
    """Format R² or D²; of several outputs that differ, by output or of the worst and the best."""
    whole, by_output = format_r2(exam.explained), exam.explained_by_output
    if len(by_output) < 2 or np.ptp(by_output) < 0.05 or not np.isfinite(by_output).all():
        return whole
    if len(by_output) <= 4:
        return f"{whole} (by output {', '.join(map(format_r2, by_output))})"
    ends = int(by_output.argmin()), int(by_output.argmax())
    worst, best = (f"{format_r2(by_output[k])} of output {k}" for k in ends)
    return f"{whole} (from {worst} to {best})"


def findings_in_order(exam, causes, first_only=False) -> list:
    """Return the findings in the order of the causes, those of severity info at the end."""
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
    return sorted(findings, key=lambda finding: finding.severity == INFO)

"""Why a network does not converge: every cause looked for, the findings in order."""

import numpy as np

from .bias_and_range import _no_bias, _output_range
from .capacity import _more_weights_than_data
from .ending import (
    _local_minimum,
    _max_iter,
    _no_better_than_mean,
    _restarts_disagree,
    _stopped_by_tol,
)
from .finding import INFO, Diagnosis, Finding, _plain
from .look import MOST_VALUES, Fit, Look
from .rates import _rate_too_large, _rate_too_small
from .scales import _unscaled_features, _unscaled_target
from .units import _dead_units, _identical_units, _saturated_units

# What makes the goal impossible, what stops learning, what slows it down, what ended it too early.
CAUSES = (
    _output_range,
    _no_bias,
    _identical_units,
    _unscaled_features,
    _unscaled_target,
    _rate_too_large,
    _dead_units,
    _saturated_units,
    _rate_too_small,
    _stopped_by_tol,
    _max_iter,
    _no_better_than_mean,
    _restarts_disagree,
    _more_weights_than_data,
)


def _found(cause, look) -> list[Finding]:
    try:
        return list(cause(look))
    except np.linalg.LinAlgError:
        return []


def diagnose(fit: Fit, most_values=MOST_VALUES) -> Diagnosis:
    """Look for every cause."""
    # Of data and weights near the end of the range of numbers there are squares beyond it: what
    # such a number decides is not found.
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        look = Look(fit, most_values)
        findings = [finding for cause in CAUSES for finding in _found(cause, look)]
        findings.sort(key=lambda finding: finding.severity == INFO)  # stable: the order of CAUSES
        if not any(finding.severity != INFO for finding in findings):
            findings = [*_found(_local_minimum, look), *findings]
        explained = look.explained
    n_rows = fit.y.shape[0]
    seen = "" if look.n_rows == n_rows else f", {look.n_rows} of them looked at"
    summary = (
        f"solver {fit.solver!r}, stop_reason_ {fit.stop_reason!r} after {fit.n_iter} iterations: "
        f"loss_ {fit.reached:.4g}, R² {_plain(explained)} on {n_rows} rows{seen}."
    )
    return Diagnosis(summary, findings)

"""Why a network does not converge: the search for all causes, and the findings in order."""

import numpy as np
from sklearn.neural_network import MLPRegressor
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, check_X_y

from .._losses.table import LOSSES
from .._network.architecture import Architecture
from .._solvers.table import SOLVERS
from . import capacity, columns, ending, feasibility, parameters, rates, rows, shortfall, units
from .derivatives import MOST_VALUES
from .examination import Examination
from .finding import INFO, Diagnosis, as_candidates, format_r2, prefixed
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


def diagnose(estimator, X, y=None, sample_weight=None) -> Diagnosis:
    """Find why a fitted network learns poorly or not at all, and which parameter corrects it.

    Parameters
    ----------
    estimator : estimator
        A fitted :class:`TinyMLPRegressor` or scikit-learn's :class:`MLPRegressor`; or a Pipeline
        that ends in one, a TransformedTargetRegressor around one, or a search whose best estimator
        is one. For a :class:`TinyMLPEnsembleRegressor` the member with the greatest weight is
        diagnosed.

    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Inputs the network was trained on; for a pipeline, before its transformations.

    y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
        Targets of X. Without them the rows of X outside the training data are found; an
        :class:`MLPRegressor` has no record of its training data.

    sample_weight : array-like of shape (n_samples,), default=None
        Weight of each sample.

    Returns
    -------
    diagnosis : Diagnosis
        See :meth:`TinyMLPRegressor.diagnose`.

    Raises
    ------
    TypeError
        When the estimator is of any other type.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.neural_network import MLPRegressor
    >>> from sklearn_tinymlp import diagnose
    >>> X = 1000 + np.arange(50.0)[:, np.newaxis]
    >>> y = np.sin(X.ravel() / 10)
    >>> mlp = MLPRegressor(random_state=0).fit(X, y)
    >>> diagnose(mlp, X, y)[0].code
    'unscaled_features'
    """
    # Recognised by their attributes, because importing sklearn.compose takes long.
    if hasattr(estimator, "best_estimator_"):
        found = diagnose(estimator.best_estimator_, X, y, sample_weight)
        return as_candidates(found, getattr(estimator, "best_params_", ()))
    if hasattr(estimator, "named_steps"):
        X = estimator[:-1].transform(X) if len(estimator) > 1 else X
        name, last = estimator.steps[-1]
        return prefixed(diagnose(last, X, y, sample_weight), name)
    if hasattr(estimator, "transformer_") and hasattr(estimator, "regressor_"):
        if y is not None:
            y = np.asarray(y)
            y = estimator.transformer_.transform(y.reshape(len(y), -1)).squeeze()
        return prefixed(diagnose(estimator.regressor_, X, y, sample_weight), "regressor")
    if isinstance(estimator, MLPRegressor):
        return _diagnose_mlp_regressor(estimator, X, y, sample_weight)
    if not hasattr(estimator, "diagnose"):
        raise TypeError(
            "diagnose needs a fitted TinyMLPRegressor or MLPRegressor, or a pipeline, target "
            f"transformer or search with one, got {type(estimator).__name__}."
        )
    return estimator.diagnose(X, y, sample_weight)


def _diagnose_mlp_regressor(mlp, X, y, sample_weight):
    check_is_fitted(mlp)
    if y is None:
        raise ValueError(
            "diagnose needs y, got None: an MLPRegressor has no record of its training data."
        )
    X, y = check_X_y(X, y, accept_sparse="csr", multi_output=True, y_numeric=True)
    y = y.reshape(len(y), -1)
    if sample_weight is not None:
        sample_weight = _check_sample_weight(sample_weight, X)
    units = (mlp.coefs_[0].shape[0], *(len(intercept) for intercept in mlp.intercepts_))
    if (X.shape[1], y.shape[1]) != (units[0], units[-1]):
        raise ValueError(
            f"X has {X.shape[1]} features and y {y.shape[1]} outputs, but the network has "
            f"{units[0]} and {units[-1]}."
        )
    architecture = Architecture(units)
    stop_reason = "validation" if mlp.early_stopping else "tol"
    network = TrainedNetwork(
        architecture,
        architecture.pack(mlp.coefs_, mlp.intercepts_, np.float64),
        (*[mlp.activation] * (len(units) - 2), mlp.out_activation_),
        LOSSES[getattr(mlp, "loss", "squared_error")],
        X,
        y,
        sample_weight,
        params=mlp.get_params(deep=False),
        solver=SOLVERS[mlp.solver],
        penalty=float(mlp.alpha),
        rate=float(mlp.learning_rate_init),
        stop_reason="max_iter" if mlp.n_iter_ >= mlp.max_iter else stop_reason,
        n_iter=int(mlp.n_iter_),
        final_loss=float(mlp.loss_),
        history={"loss": getattr(mlp, "loss_curve_", [])},
        defaults=type(mlp)().get_params(deep=False),
    )
    return diagnose_network(network)


def diagnose_network(
    network: TrainedNetwork, most_values=MOST_VALUES, first_only=False
) -> Diagnosis:
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

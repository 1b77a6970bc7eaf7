"""`FitResult`: what a fit found, in the units of the user's data, as fitted attributes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._activations.lookup import name_of
from .._bayes.groups import group_names
from .._bayes.laplace import Posterior
from .._data.data import Data
from .._machine.interruption import Interruption
from .._solvers.monitor import History, Solution, StopReason
from .calibration import BeforeSelection, posterior_of
from .candidate import Candidate, Errors
from .divergence import has_diverged
from .fitted_weights import predicting_attributes, raw_weights
from .heteroscedastic_noise import VaryingNoise
from .importances import SeenRows
from .plan import Plan
from .posterior import scaling_or_identity
from .referee import refereed
from .starts import Start
from .train import Trained, rank


@dataclass(frozen=True)
class FitResult:
    """The best solution of a fit."""

    plan: Plan
    data: Data  # trained on, in the units of training
    columns: dict[str, Any]  # attributes that describe the columns of X
    weights: np.ndarray  # (n_parameters,) for raw data
    solution: Solution
    starts: dict[str, np.ndarray]  # `starts_`
    posterior: Posterior | None
    interrupted: bool
    without_interval: bool  # Ctrl-C interrupted the posterior
    seen: SeenRows  # for `feature_importances_`
    noise: VaryingNoise | None = None  # None where it is constant
    correlation: float = 0.0  # of the noise within groups of rows
    diverged: bool = False  # at some iteration
    collapsed: bool = False  # a kernel ridge regression predicts rows not trained on far better
    errors: Errors | None = None  # on rows not trained on, where it was compared

    @classmethod
    def of(
        cls,
        plan: Plan,
        data: Data,
        starts: list[Start],
        trained: Trained,
        columns,
        *,
        seen: SeenRows,
        interruption: Interruption,
        before: BeforeSelection | None = None,
        calibrates: bool = True,
        noise: VaryingNoise | None = None,
        correlation: float = 0.0,
        advice: Callable[[Plan, Data, np.ndarray], str] = lambda *_: "",
    ) -> "FitResult":
        """Keep the best start, fold the scaling in, and compute the posterior.

        Without `before` the fit is not refereed, and intervals are not calibrated by refits; with
        `calibrates` False the latter. `interruption` is that of the training. `advice` on weights
        that are not finite ends the message of the ValueError.
        """
        ranks = [rank(solution, plan.settings.loss_tol) for solution in trained.solutions]
        at = ranks.index(max(ranks))
        interrupted = trained.interrupted_by_user
        fit = Candidate(plan, data, starts[at], trained.solutions[at])
        try:
            fit = refereed(fit, before, interrupted, interruption.renewed())
        except KeyboardInterrupt:
            interrupted = True
        plan, data, best = fit.plan, fit.data, fit.solution
        theta = raw_weights(plan, best.theta)
        failed = plan.solver.least_squares and best.n_iter > 0 and _has_failed(fit)
        if failed or not np.isfinite(theta).all():
            raise ValueError(
                "Solver produced non-finite parameter weights. The input data may"
                " contain large values and need to be preprocessed."
                + advice(plan, data, starts[0].theta)
            )
        posterior, without_interval = None, False
        try:
            before = before if calibrates else None
            posterior = posterior_of(fit, interrupted, before, interruption.renewed())
        except KeyboardInterrupt:
            without_interval = True
        return cls(
            plan=plan,
            columns=columns,
            weights=theta,
            solution=best,
            starts=_starts_table(trained.solutions),
            posterior=posterior,
            interrupted=interrupted,
            without_interval=without_interval,
            noise=noise,
            correlation=correlation,
            seen=seen,
            data=data,
            errors=fit.errors,
            collapsed=fit.collapsed,
            diverged=plan.solver.stochastic and _diverged(plan, data, best),
        )

    @property
    def reached(self) -> bool:
        """Whether the target was met, or there is none."""
        target = self.plan.settings.loss_tol
        return target == -np.inf or bool(self.solution.loss <= target)

    @property
    def converged(self) -> bool:
        """Whether training converged, and reached the target if there is one."""
        reason = self.solution.reason
        if reason is None or not reason.converged or self.diverged:
            return False
        if self.collapsed:
            return False
        return reason is StopReason.VALIDATION or self.reached

    def attributes(self, record: History | None = None) -> dict[str, Any]:
        """Return all fitted attributes by name; `record` is that of this and earlier fits."""
        plan, solution = self.plan, self.solution
        settings, reason, warm_start = plan.settings, solution.reason, plan.warm_start
        if record is None:
            own = solution.record
            record = own if warm_start is None else warm_start.record.joined(own)
        losses, scores, best_score = record.columns.get("loss", []), None, None
        state, n_seen = None, 0  # for a later warm start
        if plan.solver.stochastic:
            state, progress = solution.state, solution.state.progress
            n_seen, best_loss = int(progress["samples"][0]), float(progress["best_loss"][0])
        else:
            best_loss = min(losses, default=None)
            if warm_start is not None:
                state, n_seen = warm_start.stochastic_state, warm_start.n_seen
        if settings.early_stopping and "validation_score" in record.columns:
            best_loss, best_score = None, solution.score
            scores = record.columns["validation_score"]
        return {
            **predicting_attributes(plan, self.columns, self.weights, solution.constants),
            "loss_": solution.loss,
            "n_iter_": solution.n_iter,
            "n_layers_": len(plan.architecture.units),
            "out_activation_": name_of(settings.activations[-1]),
            "solver_": plan.solver.name,
            "stop_reason_": "partial_fit" if reason is None else reason.code,
            "converged_": self.converged,
            "loss_curve_": losses,
            "best_epoch_": best_epoch(record, solution, plan),
            "best_loss_": best_loss,
            "validation_scores_": scores,
            "best_validation_score_": best_score,
            "_stochastic_state": state,
            "t_": n_seen,
            "starts_": self.starts,
            "_record": record,
            "_posterior": self.posterior,
            "_seen_rows": self.seen,
            "_importances": None,  # set when the estimator is loaded from a file
            "_grouping": plan.grouping,
            "_correlation": self.correlation,
            "_errors": None if self.errors is None else tuple(self.errors),  # for `diagnose`
            **self._hyperparameters(),
        }

    def write_to(self, estimator) -> None:
        """Set the fitted attributes in one step: another thread may be predicting.

        The record of an earlier fit is continued in place, as in MLPRegressor: a copy in each call
        would make n calls of `partial_fit` take a time of O(n^2).
        """
        record = self.solution.record
        if self.plan.warm_start is not None:
            record = self.plan.warm_start.record
            record.append(**self.solution.record.columns)
        attributes = vars(estimator) | self.attributes(record)
        if "feature_names_in_" not in self.columns:
            attributes.pop("feature_names_in_", None)
        estimator.__dict__ = attributes

    def _hyperparameters(self) -> dict[str, Any]:
        """Return what the evidence has found; None for each where it was not used."""
        plan, solution, state = self.plan, self.solution, self.solution.state
        if not plan.by_evidence or state is None:
            nothing = "noise_std_", "n_effective_parameters_", "log_evidence_"
            return {"alpha_": plan.alpha, "alpha_groups_": None, **dict.fromkeys(nothing)}
        alpha, scaling = state.hyper.alpha, scaling_or_identity(plan)
        if plan.inputs is not None:  # unused inputs have an infinite penalty
            n_used, per_input = len(plan.inputs), np.full(plan.n_inputs, np.inf)
            per_input[plan.inputs] = alpha[:n_used]
            alpha = np.concatenate([per_input, alpha[n_used:]])
        names = self.columns.get("feature_names_in_")
        n_inputs = self.columns["n_features_in_"]
        names = [f"x{k}" for k in range(n_inputs)] if names is None else list(names)
        noise = scaling.y_scale * state.noise_std
        # The evidence is a density of standardised y; in the units of y each sample contributes a
        # factor.
        log_scale = float(state.n_samples * np.log(scaling.y_scale).sum())
        return {
            "alpha_": alpha,
            "alpha_groups_": group_names(plan.full_architecture, plan.grouping, names),
            "noise_std_": self.noise or (float(noise[0]) if len(noise) == 1 else noise),
            "n_effective_parameters_": float(state.gamma.sum()),
            "log_evidence_": solution.log_evidence - log_scale,
        }


def _has_failed(fit: Candidate) -> bool:
    """Whether the loss is NaN, or infinite because predictions are.

    For y of 1e200 it overflows in the units of y, which is not a failure.
    """
    loss, scaling = fit.solution.loss, fit.plan.scaling
    if np.isfinite(loss):
        return False
    with np.errstate(all="ignore"):
        predictions = fit.plan.objective(fit.data).predict(fit.solution.theta)
    return bool(np.isnan(loss)) or scaling is None or not np.isfinite(predictions).all()


def _starts_table(solutions: list[Solution]) -> dict[str, np.ndarray]:
    """Tabulate how each start ended, one row per start."""
    table = {
        "loss": [solution.loss for solution in solutions],
        "n_iter": [solution.n_iter for solution in solutions],
        "stop_reason": [s.reason.code if s.reason else "partial_fit" for s in solutions],
        "log_evidence": [solution.log_evidence for solution in solutions],
        "validation_score": [solution.score for solution in solutions],
    }
    for name in ("log_evidence", "validation_score"):
        if not np.isfinite(table[name]).any():
            del table[name]
    return {name: np.array(values) for name, values in table.items()}


def _diverged(plan: Plan, data: Data, solution: Solution) -> bool:
    losses = solution.record.columns.get("loss", ())[-max(solution.n_iter, 1) :]
    with np.errstate(over="ignore", invalid="ignore"):
        y = data.y.astype(np.float64)
        return has_diverged(losses, plan.settings.loss, data.X, y, data.sample_weight)


def best_epoch(record: History, solution: Solution, plan: Plan) -> int:
    """Return the row of the record, counted from 1, after which the weights were kept.

    With early stopping it is the row of the best validation score, with the evidence the row of its
    maximum, otherwise the last row.
    """
    columns, warm_start = solution.record.columns, plan.warm_start  # columns of this fit
    n_rows, n_own = (len(rows.columns.get("loss", ())) for rows in (record, solution.record))
    criteria = []
    if plan.settings.early_stopping and solution.reason is not StopReason.LOSS_TOL:
        criteria.append("validation_score")
    if plan.by_evidence and np.isfinite(solution.log_evidence):
        criteria.append("log_evidence")
    for criterion in criteria:
        values = np.asarray(columns.get(criterion, ()), dtype=float)
        if np.isfinite(values).any():
            before = None
            if criterion == "validation_score" and warm_start and warm_start.stochastic_state:
                before = warm_start.best_validation_score
            if before is not None and np.nanmax(values) <= before:
                break  # the weights of a better score, in the previous fit, are not kept
            return n_rows - n_own + int(np.nanargmax(values)) + 1
    return n_rows

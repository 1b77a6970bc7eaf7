"""`FitResult`: what a fit found, in the units of the user's data, and how it becomes attributes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._activations.lookup import name_of
from .._bayes.groups import group_names
from .._bayes.laplace import Posterior
from .._data.data import Data
from .._solvers.evidence_restarts import BEATEN, nats_between
from .._solvers.monitor import History, Solution, StopReason
from .divergence import has_diverged
from .fitted_weights import predicting_attributes, raw_weights
from .heteroscedastic_noise import VaryingNoise
from .importances import SeenRows
from .plan import Plan
from .posterior import BeforeSelection, posterior_of, scaling_or_identity
from .restarts import summary
from .starts import Start
from .train import Trained, rank

# A network is disbelieved where a reference is better by so much of the variance, too, that it
# matters: 0.99 of data without noise is no collapse.
COLLAPSED_SHARE = 0.1


@dataclass(frozen=True)
class FitResult:
    """Trained weights of one layout, and what is known of them.

    A regressor has one vector of weights; several that share a layout stand in further rows.
    """

    plan: Plan
    columns: dict[str, Any]  # what the estimator has learned of the columns of X
    weights: np.ndarray  # (n_networks, n_parameters) for raw data
    solution: Solution  # the best
    starts: dict[str, np.ndarray]
    record: History
    posterior: Posterior | None
    interrupted: bool
    without_interval: bool  # Ctrl-C came while the posterior was computed
    seen: SeenRows  # for `feature_importances_`
    noise: VaryingNoise | None = None  # None where it is constant
    diverged: bool = False  # on the way, wherever it ended

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
        before: BeforeSelection | None = None,
        noise: VaryingNoise | None = None,
        advice: Callable[[Plan, Data, np.ndarray], str] = lambda *_: "",
    ) -> "FitResult":
        """Keep the best start, fold the scaling in, and compute the posterior.

        Without the plan `before` the pilots, as of a member of an ensemble, the intervals are not
        calibrated by refits. `advice` on weights that are not finite ends the error's message.

        Raises
        ------
        ValueError
            When the weights or the loss are not finite.
        """
        ranks = [rank(solution, plan.settings.loss_tol) for solution in trained.solutions]
        at = ranks.index(max(ranks))
        best, start = trained.solutions[at], starts[at]
        theta = raw_weights(plan, best.theta)
        lost = np.isnan(best.loss) or (plan.scaling is None and not np.isfinite(best.loss))
        # y of 1e200 has a loss that no number holds, in the units of y.
        lost = lost and plan.solver.least_squares and best.n_iter > 0
        if lost or not np.isfinite(theta).all():
            raise ValueError(
                "Solver produced non-finite parameter weights. The input data may"
                " contain large values and need to be preprocessed."
                + advice(plan, data, starts[0].theta)
            )
        posterior, without_interval = None, False
        try:
            posterior = posterior_of(plan, data, start, best, trained.interrupted_by_user, before)
        except KeyboardInterrupt:
            without_interval = True
        record = best.record
        if plan.earlier is not None:
            record = plan.earlier.record.joined(record)
        return cls(
            plan=plan,
            columns=columns,
            weights=theta[np.newaxis],
            solution=best,
            starts=summary(trained.solutions),
            record=record,
            posterior=posterior,
            interrupted=trained.interrupted_by_user,
            without_interval=without_interval,
            noise=noise,
            seen=seen,
            diverged=plan.solver.stochastic and _diverged(plan, data, best),
        )

    @property
    def reached(self) -> bool:
        """Whether the target was met, or none was asked for."""
        target = self.plan.settings.loss_tol
        return target == -np.inf or bool(self.solution.loss <= target)

    @property
    def collapsed(self) -> bool:
        """Whether the evidence calls noise what a cheap reference predicts of rows left out.

        In nats, n / 2 times the logarithm of the ratio of the errors left over: a reference that is
        better by chance is so by a few.
        """
        state = self.solution.state
        if not self.plan.by_evidence or state is None:
            return False
        if not state.reference > state.explained + COLLAPSED_SHARE:  # NaN where there is none
            return False
        return nats_between(state.explained, state.reference, state.n_samples) > BEATEN

    @property
    def converged(self) -> bool:
        """Whether training ended for a good reason, at the target where there is one."""
        reason = self.solution.reason
        if reason is None or not reason.converged or self.collapsed or self.diverged:
            return False
        return reason is StopReason.VALIDATION or self.reached

    def attributes(self) -> dict[str, Any]:
        """Give all fitted attributes by name."""
        plan, solution, record = self.plan, self.solution, self.record
        settings, reason = plan.settings, solution.reason
        return {
            **predicting_attributes(plan, self.columns, self.weights[0], self.solution.constants),
            "loss_": solution.loss,
            "n_iter_": solution.n_iter,
            "n_layers_": len(plan.architecture.units),
            "out_activation_": name_of(settings.activations[-1]),
            "solver_": plan.solver.name,
            "stop_reason_": "partial_fit" if reason is None else reason.code,
            "converged_": self.converged,
            "loss_curve_": record.columns.get("loss", []),
            "best_epoch_": best_epoch(record, solution, self.plan),
            **self._best_of_the_curve(),
            **self._where_training_stands(),
            "starts_": self.starts,
            "_record": record,
            "_posterior": self.posterior,
            "_seen_rows": self.seen,
            "_importances": None,  # those of a file end with its weights
            "_grouping": plan.grouping,
            **self._hyperparameters(),
        }

    def write_to(self, estimator) -> None:
        """Set the fitted attributes in one step: another thread may be predicting.

        What a callback has changed meanwhile on the estimator itself stays.
        """
        attributes = vars(estimator) | self.attributes()
        if "feature_names_in_" not in self.columns:
            attributes.pop("feature_names_in_", None)
        estimator.__dict__ = attributes

    def _best_of_the_curve(self) -> dict[str, Any]:
        columns, solution = self.record.columns, self.solution
        if self.plan.settings.early_stopping and "validation_score" in columns:
            return {
                "best_loss_": None,
                "validation_scores_": columns["validation_score"],
                "best_validation_score_": solution.score,
            }
        best_loss = min(columns.get("loss", []), default=None)
        if self.plan.solver.stochastic:
            best_loss = float(solution.state.progress["best_loss"][0])
        return {
            "best_loss_": best_loss,
            "validation_scores_": None,
            "best_validation_score_": None,
        }

    def _where_training_stands(self) -> dict[str, Any]:
        """Keep what a later warm start goes on from, also beyond a fit by lbfgs or lm."""
        state, earlier = self.solution.state, self.plan.earlier
        if self.plan.solver.stochastic:
            return {"_stochastic_state": state, "t_": int(state.progress["samples"][0])}
        if earlier is not None:
            return {"_stochastic_state": earlier.stochastic_state, "t_": earlier.n_seen}
        return {"_stochastic_state": None, "t_": 0}

    def _hyperparameters(self) -> dict[str, Any]:
        """Give what the evidence has to say, or None where it was not asked."""
        plan, solution = self.plan, self.solution
        if not plan.by_evidence or solution.state is None:
            nothing = "noise_std_", "n_effective_parameters_", "log_evidence_"
            return {"alpha_": plan.alpha, "alpha_groups_": None, **dict.fromkeys(nothing)}
        state, scaling = solution.state, scaling_or_identity(plan)
        noise = scaling.y_scale * state.noise_std
        # The evidence is that of standardised y, a density: the scale comes in once a sample.
        in_units_of_y = float(state.n_samples * np.log(scaling.y_scale).sum())
        return {
            "alpha_": self._alpha_of_all_inputs(state.hyper.alpha),
            "alpha_groups_": group_names(
                plan.full_architecture, plan.grouping, self._input_names()
            ),
            "noise_std_": self.noise or (float(noise[0]) if len(noise) == 1 else noise),
            "n_effective_parameters_": float(state.gamma.sum()),
            "log_evidence_": solution.log_evidence - in_units_of_y,
        }

    def _input_names(self) -> list[str]:
        names = self.columns.get("feature_names_in_")
        return [f"x{k}" for k in range(self.plan.n_inputs)] if names is None else list(names)

    def _alpha_of_all_inputs(self, alpha) -> np.ndarray:
        """Give inputs that are out of use an infinite penalty."""
        if self.plan.inputs is None:
            return alpha
        n_used = len(self.plan.inputs)
        of_inputs = np.full(self.plan.n_inputs, np.inf)
        of_inputs[self.plan.inputs] = alpha[:n_used]
        return np.concatenate([of_inputs, alpha[n_used:]])


def _diverged(plan: Plan, data: Data, solution: Solution) -> bool:
    losses = solution.record.columns.get("loss", ())[-max(solution.n_iter, 1) :]
    with np.errstate(over="ignore", invalid="ignore"):
        y = data.y.astype(np.float64)
        return has_diverged(losses, plan.settings.loss, data.X, y, data.sample_weight)


def best_epoch(record: History, solution: Solution, plan: Plan) -> int:
    """Give the row of the record, counted from 1, at whose end the weights were those kept.

    With early stopping it is that of the best validation score, by the evidence that of its
    greatest value, else the last.
    """
    columns = solution.record.columns  # of this fit
    n_rows, n_own = (len(rows.columns.get("loss", ())) for rows in (record, solution.record))
    judges = []
    if plan.settings.early_stopping and solution.reason is not StopReason.LOSS_TOL:
        judges.append("validation_score")
    if plan.by_evidence and np.isfinite(solution.log_evidence):
        judges.append("log_evidence")
    for judge in judges:
        values = np.asarray(columns.get(judge, ()), dtype=float)
        if np.isfinite(values).any():
            earlier = None if plan.earlier is None else plan.earlier.best_validation_score
            if earlier is not None and np.nanmax(values) <= earlier:
                break  # the fit before had a better one, whose weights are gone
            return n_rows - n_own + int(np.nanargmax(values)) + 1
    return n_rows

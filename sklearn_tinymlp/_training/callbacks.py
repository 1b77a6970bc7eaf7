"""Calls scikit-learn's callbacks for the starts, epochs and iterations of a fit.

`sklearn.callback` is experimental and came with scikit-learn 1.9: only this file uses it, and
without it estimators have no `set_callbacks`. The tasks are

    fit > epoch or iteration            with one start,
    fit > start > epoch or iteration    with `n_init` of them.
"""

from contextlib import nullcontext

from .._solvers.evidence_restarts import FURTHER
from .fitted_weights import predicting_attributes, raw_weights

try:
    from sklearn.callback import CallbackSupportMixin
    from sklearn.callback._callback_support import callback_management_context as managed
except ImportError:  # scikit-learn < 1.9

    class CallbackSupportMixin:
        """Without callbacks."""

    def managed(estimator):
        """Return a context that does nothing."""
        return nullcontext()


class FitTasks:
    """The tasks of one fit, made when it begins and only if there are callbacks.

    `data` holds X, y and sample_weight as the user passed them: a scorer that predicts on a
    DataFrame needs its column names, which are in the attributes `columns`.
    """

    def __init__(self, estimator, data, plan, n_starts, columns):
        X, y, sample_weight = data
        metadata = None if sample_weight is None else {"sample_weight": sample_weight}
        self.given = {"estimator": estimator, "X": X, "y": y, "metadata": metadata}
        self.plan, self.columns = plan, columns
        incremental = plan.settings.incremental
        # By the evidence a start may be trained several times, see `solve_by_evidence`.
        n_beginnings = 3 + FURTHER if plan.by_evidence else 1
        self.n_steps = 1 if incremental else n_beginnings * plan.settings.max_iter
        self.several = n_starts > 1
        self.context = estimator._init_callback_context(
            "partial_fit" if incremental else "fit",
            max_subtasks=n_starts if self.several else self.n_steps,
        )
        self.context.call_on_fit_task_begin(**self.given)

    @classmethod
    def begin(cls, estimator, data, plan, n_starts, columns) -> "FitTasks | None":
        """Begin the task of the fit; None if there are no callbacks."""
        if not getattr(estimator, "_skl_callbacks", None):
            return None
        return cls(estimator, data, plan, n_starts, columns)

    def state(self, theta) -> dict:
        """Return how to make an estimator from these weights, for callbacks that need one."""

        def attributes() -> dict:
            weights = raw_weights(self.plan, theta.copy())
            columns = {"feature_names_in_": None, **self.columns}
            return predicting_attributes(self.plan, columns, weights)

        return {"reconstruction_attributes": attributes}

    def begin_start(self) -> "Steps":
        """Begin a start, a task of its own if there are several."""
        if not self.several:
            return Steps(self, self.context)
        context = self.context.subcontext("start", max_subtasks=self.n_steps)
        context.call_on_fit_task_begin(**self.given)
        return Steps(self, context)

    def end(self) -> None:
        """End the task of the fit: the estimator is fitted."""
        self.context.call_on_fit_task_end(**self.given, reconstruction_attributes={})


class Steps:
    """The epochs or iterations of one start: the `Watcher` of its `Monitor`."""

    def __init__(self, tasks: FitTasks, parent):
        self.tasks, self.parent, self.given = tasks, parent, tasks.given
        self.name = "epoch" if tasks.plan.solver.stochastic else "iteration"
        self.n_beginnings, self.context = 0, None

    def begin(self, theta, n_iter) -> None:
        """Begin the next step, unless one is under way."""
        if self.context is not None:
            return
        self.n_beginnings += n_iter == 0
        again = ", second beginning" if self.n_beginnings > 1 else ""
        self.context = self.parent.subcontext(self.name + again)
        self.context.call_on_fit_task_begin(**self.given, **self.tasks.state(theta))

    def end(self, theta) -> bool:
        """End the step; return whether a callback requests a stop."""
        context, self.context = self.context, None
        return context.call_on_fit_task_end(**self.given, **self.tasks.state(theta))

    def end_start(self, theta) -> bool:
        """End the start; return whether a callback requests that the others be skipped."""
        if self.context is not None:  # a step without a result, as after a failed line search
            self.context.call_on_fit_task_end(**self.given)
        if not self.tasks.several:
            return False
        return self.parent.call_on_fit_task_end(**self.given, **self.tasks.state(theta))

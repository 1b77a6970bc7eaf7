"""Tells scikit-learn's callbacks of the starts, epochs and iterations of a fit.

`sklearn.callback` is experimental and came with scikit-learn 1.9: it is touched in this file alone,
and without it estimators have no `set_callbacks` and nothing else is different. The tasks are

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
        """Support nothing."""

    def managed(estimator):
        """Tear nothing down."""
        return nullcontext()


class FitTasks:
    """The tasks of one fit; made when the fit begins, and only where there are callbacks.

    Parameters
    ----------
    estimator : estimator
        Has callbacks, and is being fitted within `managed(estimator)`.
    data : tuple of array-like
        X, y and sample_weight as the user gave them: a scorer that predicts on a DataFrame wants
        its names.
    plan : Plan
    n_starts : int
        Random starts.
    columns : dict
        What has been learned of the columns of X.
    """

    def __init__(self, estimator, data, plan, n_starts, columns):
        X, y, sample_weight = data
        metadata = None if sample_weight is None else {"sample_weight": sample_weight}
        self.given = {"estimator": estimator, "X": X, "y": y, "metadata": metadata}
        self.plan, self.columns = plan, columns
        self.step = "epoch" if plan.solver.stochastic else "iteration"
        incremental = plan.settings.incremental
        # By the evidence a start may have more beginnings than one, see `solve_by_evidence`.
        beginnings = 3 + FURTHER if plan.by_evidence else 1
        self.n_steps = 1 if incremental else beginnings * plan.settings.max_iter
        self.several = n_starts > 1
        self.context = estimator._init_callback_context(
            "partial_fit" if incremental else "fit",
            max_subtasks=n_starts if self.several else self.n_steps,
        )
        self.context.call_on_fit_task_begin(**self.given)

    @classmethod
    def begin(cls, estimator, data, plan, n_starts, columns) -> "FitTasks | None":
        """Tell the callbacks that the fit begins; None if there are none."""
        if not getattr(estimator, "_skl_callbacks", None):
            return None
        return cls(estimator, data, plan, n_starts, columns)

    def predictor(self, theta) -> dict:
        """Give the attributes of an estimator that predicts with weights in training's units."""
        weights = raw_weights(self.plan, theta.copy())
        names = {"feature_names_in_": None, **self.columns}
        return predicting_attributes(self.plan, names, weights)

    def begin_start(self) -> "Steps":
        """Begin a random start."""
        if not self.several:
            return Steps(self.context, self.given, self.step, self.predictor)
        context = self.context.subcontext("start", max_subtasks=self.n_steps)
        context.call_on_fit_task_begin(**self.given)
        return Steps(context, self.given, self.step, self.predictor, is_start=True)

    def end(self) -> None:
        """Take note that the estimator is fitted."""
        self.context.call_on_fit_task_end(**self.given, reconstruction_attributes={})


class Steps:
    """The epochs or iterations of one start: the `Watcher` of its `Monitor`.

    An estimator that predicts is made for those callbacks only that ask for it.
    """

    def __init__(self, parent, given, name, predictor, is_start=False):
        self.parent, self.given, self.name = parent, given, name
        self.predictor, self.is_start = predictor, is_start
        self.n_beginnings = 0
        self.context = None

    def begin(self, theta, n_iter) -> None:
        """Begin the next step, unless one is going on."""
        if self.context is not None:
            return
        self.n_beginnings += n_iter == 0
        again = ", second beginning" if self.n_beginnings > 1 else ""
        self.context = self.parent.subcontext(self.name + again)
        self.context.call_on_fit_task_begin(**self.given, **self._state(theta))

    def end(self, theta) -> bool:
        """End the step; whether a callback asks to stop."""
        context, self.context = self.context, None
        return context.call_on_fit_task_end(**self.given, **self._state(theta))

    def end_start(self, theta) -> bool:
        """End the start; whether a callback asks to leave out the others."""
        if self.context is not None:  # a step that led nowhere, as a failed line search
            self.context.call_on_fit_task_end(**self.given)
        if not self.is_start:
            return False
        return self.parent.call_on_fit_task_end(**self.given, **self._state(theta))

    def _state(self, theta) -> dict:
        return {"reconstruction_attributes": lambda: self.predictor(theta)}

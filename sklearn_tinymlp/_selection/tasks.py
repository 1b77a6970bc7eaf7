"""`Task`: what scikit-learn's callbacks are told of the fit of an ensemble.

The tasks are

    fit > race > candidate > fold
    fit > refits > member

and the fit of a network is merged with the fold or the member that it is. Without callbacks a task
is empty, and nothing happens.
"""

from contextlib import nullcontext


class Task:
    """A task, and who is told of its begin and end.

    Parameters
    ----------
    context : CallbackContext, default=None
        scikit-learn's; None without callbacks.
    ensemble : TinyMLPEnsembleRegressor, default=None
        Whose callbacks they are.
    data : tuple of (X, y, sample_weight), default=()
        The rows that are trained on, or functions that give them.
    """

    def __init__(self, context=None, ensemble=None, data=()):
        self.context, self.ensemble, self.data = context, ensemble, data

    @classmethod
    def of_fit(cls, ensemble, X, y, sample_weight, n_subtasks) -> "Task":
        """Give the task of a fit, within `managed(ensemble)`; an empty one without callbacks."""
        watched = [ensemble, ensemble.estimator]
        if not any(getattr(estimator, "_skl_callbacks", None) for estimator in watched):
            return cls()
        context = ensemble._init_callback_context("fit", max_subtasks=n_subtasks)
        return cls(context, ensemble, (X, y, sample_weight))

    def subtask(self, name, n_subtasks=0) -> "Task":
        """Give a task within this one; to be called by one thread alone."""
        if self.context is None:
            return self
        context = self.context.subcontext(name, max_subtasks=n_subtasks)
        return Task(context, self.ensemble, self.data)

    def on(self, *data) -> "Task":
        """Give the same task on other rows; on none before it is sent to another process."""
        return Task(self.context, self.ensemble, data)

    def begin(self) -> "Task":
        """Tell that it begins."""
        if self.context is not None:
            self.context.call_on_fit_task_begin(**self._given())
        return self

    def end(self, *, is_fitted=False) -> bool:
        """Tell that it has ended; give whether a callback asks to leave out its siblings."""
        if self.context is None:
            return False
        attributes = {"reconstruction_attributes": {}} if is_fitted else {}
        return self.context.call_on_fit_task_end(**self._given(), **attributes)

    def handed_on_to(self, network):
        """Let the network that is this task tell those callbacks that want it, within a `with`."""
        if self.context is None:
            return nullcontext()
        return self.context.propagate_callback_context(network)

    def _given(self) -> dict:
        X, y, weight = self.data
        metadata = None if weight is None else {"sample_weight": weight}
        return {"estimator": self.ensemble, "X": X, "y": y, "metadata": metadata}

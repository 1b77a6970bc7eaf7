"""`Task`: the tasks of an ensemble's fit, reported to scikit-learn's callbacks.

The tasks are

    fit > race > candidate > fold
    fit > refits > member

and the fit of a network is merged with its fold or member.
"""

from contextlib import nullcontext


class Task:
    """A task with its callback context, and the data reported to callbacks.

    Without callbacks there is no context, and the methods do nothing.
    """

    def __init__(self, context=None, ensemble=None, data=()):
        self.context, self.ensemble, self.data = context, ensemble, data

    @classmethod
    def of_fit(cls, ensemble, *data) -> "Task":
        """Return the task of a fit to X, y and sample_weight, within `managed(ensemble)`."""
        estimators = ensemble, ensemble.estimator
        if not any(getattr(estimator, "_skl_callbacks", None) for estimator in estimators):
            return cls()
        return cls(ensemble._init_callback_context("fit", max_subtasks=2), ensemble, data)

    def subtask(self, name, n_subtasks=0) -> "Task":
        """Return a task within this one; not thread-safe.

        A task without subtasks may go to another process, and gets its data there, by `on`.
        """
        if self.context is None:
            return self
        context = self.context.subcontext(name, max_subtasks=n_subtasks)
        return Task(context, self.ensemble, self.data if n_subtasks else ())

    def on(self, *data) -> "Task":
        """Return the same task on other rows."""
        return Task(self.context, self.ensemble, data)

    def begin(self) -> "Task":
        """Report the beginning of the task."""
        if self.context is not None:
            self.context.call_on_fit_task_begin(**self._arguments())
        return self

    def end(self, **options) -> bool:
        """Report the end of the task; return whether a callback asks to skip its siblings."""
        if self.context is None:
            return False
        return self.context.call_on_fit_task_end(**self._arguments(), **options)

    def propagate(self, network):
        """Merge the fit of a network, within a `with` block, with this task."""
        if self.context is None:
            return nullcontext()
        return self.context.propagate_callback_context(network)

    def _arguments(self) -> dict:
        X, y, weight = self.data
        metadata = None if weight is None else {"sample_weight": weight}
        return {"estimator": self.ensemble, "X": X, "y": y, "metadata": metadata}

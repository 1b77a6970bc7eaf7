"""`Task`: the tasks of an ensemble's fit, reported to scikit-learn's callbacks.

The tasks are

    fit > folds > fold of a candidate
    fit > refits > member

and the fit of a network is merged with its fold or member.
"""

from contextlib import nullcontext

from .._machine.interruption import Interruption


class Task:
    """A task, what stops it, and the callback context and data that it is reported with.

    `stop_siblings`, set by a callback at the end of a task, or by Ctrl-C, stops the task and its
    siblings; `stop_subtasks` is set with it. Without callbacks there is no context.
    """

    def __init__(self, stop_siblings=None, context=None, ensemble=None, data=()):
        self.stop_siblings = Interruption() if stop_siblings is None else stop_siblings
        self.stop_subtasks = Interruption(self.stop_siblings)
        self.context, self.ensemble, self.data = context, ensemble, data

    @classmethod
    def of_fit(cls, ensemble, interruption, *data) -> "Task":
        """Return the task of a fit to X, y and sample_weight, within `managed(ensemble)`."""
        estimators = ensemble, ensemble.estimator
        if not any(getattr(estimator, "_skl_callbacks", None) for estimator in estimators):
            return cls(interruption)
        context = ensemble._init_callback_context("fit", max_subtasks=2)
        return cls(interruption, context, ensemble, data)

    def subtask(self, name, n_subtasks=0) -> "Task":
        """Return a subtask of this task; not thread-safe.

        A task without subtasks may be sent to another process, and receives its data there, from
        `on`.
        """
        if self.context is None:
            return Task(self.stop_subtasks)
        context = self.context.subcontext(name, max_subtasks=n_subtasks)
        return Task(self.stop_subtasks, context, self.ensemble, self.data if n_subtasks else ())

    def on(self, *data) -> "Task":
        """Return the same task on other rows."""
        return Task(self.stop_siblings, self.context, self.ensemble, data)

    def begin(self) -> "Task":
        """Report the beginning of the task."""
        if self.context is not None:
            self.context.call_on_fit_task_begin(**self._arguments())
        return self

    def end(self, **options) -> None:
        """Report the end of the task; a callback may then skip its siblings."""
        if self.context is not None:
            if self.context.call_on_fit_task_end(**self._arguments(), **options):
                self.stop_siblings.set()

    def propagate(self, network):
        """Merge the fit of a network, within a `with` block, with this task."""
        if self.context is None:
            return nullcontext()
        return self.context.propagate_callback_context(network)

    def _arguments(self) -> dict:
        X, y, weight = self.data
        metadata = None if weight is None else {"sample_weight": weight}
        return {"estimator": self.ensemble, "X": X, "y": y, "metadata": metadata}

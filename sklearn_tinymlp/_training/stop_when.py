"""`StopWhen`: a callback that ends training when a condition of the user's own holds.

scikit-learn 1.9 has a protocol for callbacks, a progress bar and a monitor of scores, but no
callback that stops training. This one implements the protocol by its method names and imports
nothing.
"""


class StopWhen:
    """Callback that ends training as soon as a condition holds.

    It needs scikit-learn 1.9 or later, where estimators have `set_callbacks`.

    Parameters
    ----------
    condition : callable
        ``condition(net)`` is called after each epoch or iteration, with an estimator that predicts
        as if training had ended there. When it is true, training ends: `stop_reason_` is then
        "callback". With `n_init` the starts that have not begun are skipped, too.

    Raises
    ------
    TypeError
        When `condition` is not callable.

    See Also
    --------
    TinyMLPRegressor : `loss_tol`, `early_stopping` and `max_iter` end training without a callback.

    Examples
    --------
    >>> from sklearn_tinymlp import StopWhen, TinyMLPRegressor
    >>> X, y = [[1.0], [2.0], [3.0]], [5.0, 4.0, 3.0]
    >>> good = StopWhen(lambda net: net.score(X, y) > 0.99)
    >>> net = TinyMLPRegressor(hidden_layer_sizes=(3,), random_state=0)
    >>> if hasattr(net, "set_callbacks"):  # scikit-learn 1.9
    ...     net = net.set_callbacks(good)
    >>> bool(net.fit(X, y).score(X, y) > 0.99)
    True
    """

    def __init__(self, condition):
        if not callable(condition):
            raise TypeError(
                f"condition must be a function of a fitted estimator, got {condition!r}."
            )
        self.condition = condition

    def setup(self, estimator, context):
        """Do nothing: only the end of a task is of interest.

        Parameters
        ----------
        estimator : estimator
            The estimator that is being fitted.

        context : sklearn.callback.CallbackContext
            The fit, or the task that begins.
        """

    teardown = on_fit_task_begin = setup

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        """Evaluate the condition after an epoch, an iteration or a start.

        Parameters
        ----------
        estimator : estimator
            The estimator that is being fitted.

        context : sklearn.callback.CallbackContext
            The task that has ended.

        fitted_estimator : estimator, default=None
            Predicts as if training had ended there; None after a step without a result.

        Returns
        -------
        stop : bool
            Whether to end the training.
        """
        return fitted_estimator is not None and bool(self.condition(fitted_estimator))

"""Trains one member: all that a worker does, in a thread or in another process."""

import time
from typing import NamedTuple

import numpy as np
from sklearn.utils.validation import _check_feature_names, check_is_fitted

from .._machine.interruption import Interruption
from .._regressor import TinyMLPRegressor
from .._training.callbacks import managed
from .._training.ensemble_context import EnsembleContext
from .tasks import Task

# Rows predicted at once, so that no copy is made of all rows left out.
BLOCK = 20_000


class Work(NamedTuple):
    """What is to be trained."""

    network: TinyMLPRegressor  # unfitted
    membership: EnsembleContext
    stop: Interruption  # it is not begun then
    task: Task


class Rows(NamedTuple):
    """Rows by their numbers."""

    kept: np.ndarray | None  # trained on; None for all
    rest: np.ndarray  # left out
    calibrated: np.ndarray  # places among these, where the variance is computed


class Trained(NamedTuple):
    """What has come of it."""

    member: TinyMLPRegressor | None = None  # None where it was not trained to its end
    mean: np.ndarray | None = None  # of the rows left out, (n_rest, n_outputs)
    variance: np.ndarray | None = None  # of the calibrated ones
    seconds: float = 0.0
    error: ValueError | None = None  # the weights are not finite
    interrupted: bool = False  # by Ctrl-C
    stops: bool = False  # a callback wants no more of its siblings


def train(work: Work, X, y, weight, rows: Rows) -> Trained:
    """Train on the rows kept, and predict the rows left out."""
    if work.stop.is_set():
        return Trained()
    begun = time.perf_counter()
    network, error, interrupted = work.network, None, False
    data = [_part(array, rows.kept) for array in (X, y, weight)]
    task = work.task.on(*data)
    try:
        with task.handed_on_to(network), managed(network):
            task.begin()
            network._fit_all(*data, context=work.membership)
        interrupted = network.stop_reason_ == "interrupted"
    except KeyboardInterrupt:
        interrupted = True
    except ValueError as failure:
        if "non-finite" not in str(failure):
            raise
        error = failure
    finally:
        stops = task.end()
    if interrupted:
        work.membership.interruption.set()
    if stops:
        work.stop.set()
    if interrupted or error is not None:
        return Trained(error=error, interrupted=interrupted, stops=stops)
    mean, variance = predictions(network, X, y, rows)
    return Trained(network, mean, variance, time.perf_counter() - begun, stops=stops)


def predictions(member, X, y, rows: Rows) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Give the mean of rows left out, and the variance of the calibrated ones."""
    rest = rows.rest
    if not len(rest):
        return None, None
    blocks = np.array_split(rest, -(-len(rest) // BLOCK))
    mean = np.concatenate([member.predict(X[block]).reshape(len(block), -1) for block in blocks])
    targets = y[rest].reshape(len(rest), -1).astype(np.float64)
    error = np.sqrt(np.mean((mean - targets) ** 2, axis=0))
    _, variance = mean_and_variance(member, X[rest[rows.calibrated]], error)
    return mean, variance


def mean_and_variance(member, X, error) -> tuple[np.ndarray, np.ndarray]:
    """Give both of shape (n_samples, n_outputs); without a band the variance is that of errors."""
    if member._posterior is None:
        mean = member.predict(X).reshape(X.shape[0], -1)
        return mean, np.broadcast_to(np.square(error), mean.shape)
    mean, std = member.predict(X, return_std=True)
    n_rows = X.shape[0]
    return mean.reshape(n_rows, -1).astype(np.float64), std.reshape(n_rows, -1) ** 2


def checked_members(estimators, X) -> list[TinyMLPRegressor]:
    """Give copies of fitted networks that take X as an array, without the names of its columns.

    Raises
    ------
    ValueError
        When there are none, one is of another kind or not fitted, or knows other columns.
    """
    members = list(estimators)
    if not members:
        raise ValueError("estimators must hold at least one fitted TinyMLPRegressor, got none.")
    for member in members:
        if not isinstance(member, TinyMLPRegressor):
            raise ValueError(f"estimators must hold fitted TinyMLPRegressors, got {member!r}.")
        check_is_fitted(member)
        _check_feature_names(member, X, reset=False)
    members = [member._snapshot() for member in members]
    for member in members:
        vars(member).pop("feature_names_in_", None)
    return members


def scouted(network, data, kept, interruption: Interruption, share) -> EnsembleContext:
    """Do once what all members that are trained on these rows of X, y and weights would do."""
    return network._ensemble_context(
        *(_part(array, kept) for array in data), interruption, share=share
    )


def _part(array, rows):
    return array if array is None or rows is None else array[rows]

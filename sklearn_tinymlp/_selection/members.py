"""Members of an ensemble: their training on a fold, and their predictions."""

import time
from typing import NamedTuple

import numpy as np
from sklearn.utils.validation import _check_feature_names, check_is_fitted

from .._regressor import TinyMLPRegressor
from .._training.callbacks import managed
from .._training.ensemble_context import EnsembleContext

# Number of rows predicted at a time, so that no copy of all held-out rows is made.
PREDICTED_ROWS = 20_000


class Fold(NamedTuple):
    """Indices of rows."""

    training: np.ndarray | None  # None for all
    held_out: np.ndarray
    calibration: np.ndarray  # indices into `held_out`, of the rows whose variance is computed


ALL_ROWS = Fold(None, np.arange(0), np.arange(0))


class TrainedMember(NamedTuple):
    """The result of training one member."""

    member: TinyMLPRegressor | None = None  # None where training was interrupted or failed
    mean: np.ndarray | None = None  # of the held-out rows, (n_held_out, n_outputs)
    variance: np.ndarray | None = None  # of the calibration rows
    seconds: float = 0.0
    error: ValueError | None = None  # weights that are not finite
    interrupted: bool = False  # by Ctrl-C
    stopped: bool = False  # by a callback, together with its siblings


def train(network, task, fold: Fold, data, repeats, interruption) -> TrainedMember:
    """Train a network on the training rows of a fold, and predict the held-out ones."""
    if task.stop_siblings.is_set():
        return TrainedMember()
    begun = time.perf_counter()
    error, interrupted, rows = None, False, fold.training
    if rows is not None and repeats is not None:
        repeats = repeats.on_rows(rows)
    context = EnsembleContext(True, interruption, repeats, warns=False)
    used = [array if array is None or rows is None else array[rows] for array in data]
    task = task.on(*used)
    try:
        with task.propagate(network), managed(network):
            task.begin()
            network._fit_all(*used, context=context)
        interrupted = network.stop_reason_ == "interrupted"
    except KeyboardInterrupt:
        interrupted = True
    except ValueError as failure:
        if "non-finite" not in str(failure):
            raise
        error = failure
    finally:
        task.end()
    if interrupted:
        interruption.set()
    stopped = task.stop_siblings.asked
    if interrupted or error is not None:
        return TrainedMember(error=error, interrupted=interrupted, stopped=stopped)
    mean, variance = predict_held_out(network, *data[:2], fold)
    return TrainedMember(network, mean, variance, time.perf_counter() - begun, stopped=stopped)


def predict_held_out(member, X, y, fold: Fold):
    """Return the mean of the held-out rows, and the variance of the calibration rows among them."""
    held_out, n_rows = fold.held_out, len(fold.held_out)
    if not n_rows:
        return None, None
    blocks = np.array_split(held_out, -(-n_rows // PREDICTED_ROWS))
    mean = np.concatenate([member.predict(X[block]).reshape(len(block), -1) for block in blocks])
    targets = y[held_out].reshape(n_rows, -1).astype(np.float64)
    error = np.sqrt(np.mean((mean - targets) ** 2, axis=0))
    return mean, mean_and_variance(member, X[held_out[fold.calibration]], error)[1]


def mean_and_variance(member, X, error) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and variance, (n_samples, n_outputs); `error` squared without a posterior."""
    n_rows = X.shape[0]
    if member._posterior is None:
        mean = member.predict(X).reshape(n_rows, -1)
        return mean, np.broadcast_to(np.square(error), mean.shape)
    mean, std = member.predict(X, return_std=True)
    return mean.reshape(n_rows, -1).astype(np.float64), std.reshape(n_rows, -1) ** 2


def checked_members(estimators, X) -> list[TinyMLPRegressor]:
    """Return copies of fitted networks that take X as an array, without column names."""
    members = list(estimators)
    if not members:
        raise ValueError("estimators must contain at least one fitted TinyMLPRegressor, got none.")
    for member in members:
        if not isinstance(member, TinyMLPRegressor):
            raise ValueError(f"estimators must contain fitted TinyMLPRegressors, got {member!r}.")
        check_is_fitted(member)
        _check_feature_names(member, X, reset=False)
    members = [member._snapshot() for member in members]
    for member in members:
        vars(member).pop("feature_names_in_", None)
    return members

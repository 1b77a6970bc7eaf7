"""Members of an ensemble: their training on a fold, their predictions, and checks of both."""

import time
from typing import NamedTuple

import numpy as np
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import _check_feature_names, check_is_fitted

from .._regressor import TinyMLPRegressor
from .._training.callbacks import managed
from .._training.ensemble_context import EnsembleContext

# Number of rows predicted at a time, so that no copy of all held-out rows is made.
PREDICTED_ROWS = 20_000

# Number of points at which a refitted member is compared with the members of the folds.
MAX_COMPARED_POINTS = 1000

# A refitted member may differ from the mean of the fold members by at most this many times their
# standard deviation or their out-of-fold error, whichever is larger: at any point, and in the root
# mean square.
MAX_DEVIATION, MAX_RMS_DEVIATION = 8.0, 2.0


class Fold(NamedTuple):
    """Indices of rows."""

    training: np.ndarray | None  # None for all
    held_out: np.ndarray
    calibration: np.ndarray  # indices into `held_out`, of the rows whose variance is computed


class TrainedMember(NamedTuple):
    """The result of training one member."""

    member: TinyMLPRegressor | None = None  # None where training was interrupted or failed
    mean: np.ndarray | None = None  # of the held-out rows, (n_held_out, n_outputs)
    variance: np.ndarray | None = None  # of the calibration rows
    seconds: float = 0.0
    error: ValueError | None = None  # weights that are not finite
    interrupted: bool = False  # by Ctrl-C
    stopped: bool = False  # by a callback, together with its siblings


def train_pilots(network, data, repeats, rows, interruption, share) -> EnsembleContext:
    """Train the pilot networks that all members trained on these rows share."""
    data = [_select(array, rows) for array in data]
    repeats = repeats if repeats is None or rows is None else repeats.on_rows(rows)
    return network._ensemble_context(*data, repeats, interruption, share=share)


def train(network, task, context: EnsembleContext, data, fold: Fold) -> TrainedMember:
    """Train a network on the training rows of a fold, and predict the held-out ones."""
    if task.stop_siblings.is_set():
        return TrainedMember()
    begun = time.perf_counter()
    error, interrupted = None, False
    X, y, _ = data
    used = [_select(array, fold.training) for array in data]
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
        context.interruption.set()
    stopped = task.stop_siblings.asked
    if interrupted or error is not None:
        return TrainedMember(error=error, interrupted=interrupted, stopped=stopped)
    mean, variance = predict_held_out(network, X, y, fold)
    return TrainedMember(network, mean, variance, time.perf_counter() - begun, stopped=stopped)


def _select(array, rows):
    return array if array is None or rows is None else array[rows]


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


def agrees(member, others, points, error) -> bool:
    """Return whether a member's predictions at some points are close to those of other members.

    A refitted member has no out-of-fold error, and leave-one-out errors do not reveal an unlucky
    minimum. `error` is the root mean squared out-of-fold error of the others, (n_outputs,).
    """
    n_points = points.shape[0]
    predictions = np.array([other.predict(points).reshape(n_points, -1) for other in others])
    deviation = member.predict(points).reshape(n_points, -1) - predictions.mean(axis=0)
    unit = np.maximum(predictions.std(axis=0), error)
    far = np.sqrt(np.mean(deviation**2)) > MAX_RMS_DEVIATION * np.sqrt(np.mean(unit**2))
    return bool((np.abs(deviation) <= MAX_DEVIATION * unit).all() and not far)


def between_neighbours(X, random_state):
    """Return points halfway between rows and their nearest neighbours.

    There no row constrains a member, but new rows may occur. Points between rows that are far apart
    are not used: new rows may never occur there, and members differ.
    """
    from sklearn.neighbors import NearestNeighbors  # a seventh of the import time of this package

    rows = X[np.sort(random_state.permutation(X.shape[0])[:MAX_COMPARED_POINTS])]
    if rows.shape[0] < 2:
        return rows
    scaled = StandardScaler(with_mean=False).fit_transform(rows)
    _, nearest = NearestNeighbors(n_neighbors=2).fit(scaled).kneighbors(scaled)
    return (0.5 * (rows + rows[nearest[:, 1]])).astype(X.dtype)


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

"""Hold-out: rows that a network is trained without and then evaluated on."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np
from scipy import sparse
from sklearn.model_selection import GroupShuffleSplit, train_test_split

from .data import Data

HELD_OUT_SHARE = 0.2

# Autocorrelation, in standard deviations, above which rows are in sequence: 1 random order in 1,000
# exceeds it.
MIN_SEQUENCE_Z = 3.09


def hold_out_splits(n_rows, random_state, groups=None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the sorted numbers of training and held-out rows; each row is held out once.

    With `groups`, numbers of (n_samples,), all rows of a group are held out together.
    """
    groups = np.arange(n_rows) if groups is None else np.unique(groups, return_inverse=True)[1]
    n_groups = int(groups.max()) + 1
    size = max(1, int(HELD_OUT_SHARE * n_groups))
    place = np.empty(n_groups, dtype=np.intp)
    place[random_state.permutation(n_groups)] = np.arange(n_groups) // size
    split = place[groups]
    for number in range(place.max() + 1):
        yield np.flatnonzero(split != number), np.flatnonzero(split == number)


def forward_splits(n_rows, least_rows) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the first half and three quarters of the rows, each with the next quarter held out.

    As in scikit-learn's TimeSeriesSplit, without its fits on the first few rows. If a quarter has
    less than `least_rows` rows, the second half is held out at once.
    """
    bounds = n_rows // 2, 3 * n_rows // 4, n_rows
    for first, last in pairwise(bounds if n_rows >= 4 * least_rows else bounds[::2]):
        yield np.arange(first), np.arange(first, last)


def in_sequence(X, *columns) -> bool:
    """Whether successive values of any of the columns are correlated, as in the order of time.

    Of rows in random order the lag-1 autocorrelation is about normal with variance 1 / n. Rows that
    repeat the X of the row before are skipped. Rows that are sorted by an input are in its order:
    new rows may lie between them. Where no input has a value of its own in most rows, the rows are
    combinations of settings, as in a designed experiment, and new rows are other combinations of
    them, not later ones.
    """
    if sparse.issparse(X):
        new = np.asarray((X[1:] != X[:-1]).sum(axis=1)).ravel() > 0
    else:
        new = np.zeros(len(X) - 1, dtype=bool)
        for column in X.T:  # not a copy of X
            steps = np.diff(column)
            if (steps >= 0).all() != (steps <= 0).all():
                return False
            new |= steps != 0
    y = np.hstack(columns)[np.append(True, new)]
    deviations = y - y.mean(axis=0)
    products = (deviations[1:] * deviations[:-1]).sum(axis=0)
    squares = (deviations**2).sum(axis=0)
    if not (products * np.sqrt(len(y)) > MIN_SEQUENCE_Z * squares).any():
        return False
    return sparse.issparse(X) or any(2 * len(np.unique(column)) > len(X) for column in X.T)


def split_validation_off(data: Data, fraction, random_state) -> Data:
    """Hold out a validation set, drawn as in MLPRegressor; raise a ValueError if it is empty.

    With groups it consists of whole groups.
    """
    if data.groups is None:
        rows = train_test_split(
            np.arange(len(data.y)), random_state=random_state, test_size=fraction
        )
    else:
        splitter = GroupShuffleSplit(1, test_size=fraction, random_state=random_state)
        rows = next(splitter.split(data.y, groups=data.groups))
    training, validation = map(data.on_rows, rows)
    if len(validation.y) < 2:
        raise ValueError(
            "The validation set is too small. Increase 'validation_fraction' "
            "or the size of your dataset."
        )
    if validation.sample_weight is not None and not validation.sample_weight.sum():
        raise ValueError(
            "The validation set that early_stopping holds out has no weight: sample_weight is "
            "zero there. Set X_val and y_val, or another random_state."
        )
    return replace(training, validation=validation)

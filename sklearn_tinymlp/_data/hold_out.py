"""Hold-out: rows that a network is trained without and then evaluated on."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from sklearn.model_selection import GroupShuffleSplit, train_test_split

from .data import Data

HELD_OUT_SHARE = 0.2


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

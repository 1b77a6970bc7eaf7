"""Folds of an ensemble: with groups or equal rows in one fold, or from a splitter."""

import numpy as np
from sklearn.model_selection import check_cv


def splits_of(cv, X, y, groups, random_state, weighted=None) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the training and held-out rows of each fold, numbered among the weighted rows.

    Equal rows, such as copies in a bootstrap sample, are put into one fold to avoid leakage, and
    the folds do not depend on the order of the rows. `weighted` contains the indices of the rows
    with nonzero weight, None for all; a splitter splits all rows.
    """
    y = y.reshape(len(y), -1).astype(np.float64)
    weighted = np.arange(len(y)) if weighted is None else weighted
    cv = 5 if cv is None else cv  # as in scikit-learn
    if not isinstance(cv, (int, np.integer)):
        number = np.full(len(y), -1)
        number[weighted] = np.arange(len(weighted))
        splits = [
            tuple(number[part][number[part] >= 0] for part in split)
            for split in check_cv(cv).split(X, y, groups)
        ]
        if not splits:
            raise ValueError(f"cv={cv!r} has no folds.")
        for k, (training, test) in enumerate(splits):
            if not len(training) or not len(test):
                kind = "test" if len(training) else "training"
                raise ValueError(
                    f"cv={cv!r}: the {kind} set of fold {k} has only rows of zero weight."
                )
        return splits
    X, y = X[weighted], y[weighted]
    if groups is None:
        block, kind = _distinct_rows(X, y), "different rows"
    else:
        block = np.unique(np.asarray(groups)[weighted], return_inverse=True)[1].ravel()
        kind = "groups"
    n_blocks = int(block.max()) + 1
    if n_blocks < 2:
        raise ValueError(
            f"cv={cv} needs at least 2 {kind} to hold some out, got n_samples={len(y)} with "
            f"{n_blocks} of them."
        )
    n_folds = min(int(cv), n_blocks)
    fold = random_state.permutation(np.arange(n_blocks) % n_folds)[block]
    return [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(n_folds)]


def _distinct_rows(X, y) -> np.ndarray:
    """Return the number of each row among the distinct rows, in lexicographic order."""
    if hasattr(X, "toarray"):  # sparse: compared by stored values
        X = X.sorted_indices()
        rows = [
            (*X.indices[start:stop], *X.data[start:stop], *target)
            for start, stop, target in zip(X.indptr[:-1], X.indptr[1:], y, strict=True)
        ]
        numbers = {row: k for k, row in enumerate(sorted(set(rows)))}
        return np.array([numbers[row] for row in rows])
    number = np.zeros(len(y), dtype=np.int64)
    for column in (*X.T, *y.T):
        _, place = np.unique(column, return_inverse=True)
        number = np.unique(number * len(y) + place, return_inverse=True)[1]
        if number.max() == len(y) - 1:  # all are distinct, usually after one column
            break
    return number

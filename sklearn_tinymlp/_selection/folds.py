"""Folds of an ensemble: equal rows in one fold, whatever their order, or those of a splitter."""

import numpy as np
from sklearn.model_selection import check_cv


def splits_of(cv, X, y, groups, random_state, seen=None) -> list[tuple[np.ndarray, np.ndarray]]:
    """Give the rows trained on and the rows left out of each fold, numbered among those seen.

    Parameters
    ----------
    cv : int, splitter, iterable or None
        A number of folds is made here: equal rows, copies in a bootstrap sample, say, come into
        one fold, for else one of them would vouch for the other; and the folds do not depend on
        the order of the rows.
    X : {ndarray, sparse matrix} of shape (n_samples, n_features)
    y : ndarray of shape (n_samples, n_outputs)
    groups : array-like of shape (n_samples,) or None
        Rows of one group come into one fold, too.
    random_state : RandomState
    seen : ndarray of int, default=None
        The rows that have weight; None for all. A splitter splits all rows.

    Raises
    ------
    ValueError
        When there are fewer than two different rows, or groups, or a fold of a splitter has none.
    """
    seen = np.arange(len(y)) if seen is None else seen
    cv = 5 if cv is None else cv  # as in scikit-learn
    if not isinstance(cv, (int, np.integer)):
        number = np.full(len(y), -1)
        number[seen] = np.arange(len(seen))
        splits = [
            tuple(number[part][number[part] >= 0] for part in split)
            for split in check_cv(cv).split(X, y, groups)
        ]
        if not splits:
            raise ValueError(f"cv={cv!r} has no folds.")
        for k, (kept, rest) in enumerate(splits):
            if not len(kept) or not len(rest):
                which = "rest" if len(kept) else "training"
                raise ValueError(f"cv={cv!r}: the {which} of fold {k} has no row with weight.")
        return splits
    X, y = X[seen], y[seen]
    groups = None if groups is None else np.asarray(groups)[seen]
    block = _blocks(X, y) if groups is None else np.unique(groups, return_inverse=True)[1].ravel()
    n_blocks = int(block.max()) + 1
    what = "different rows" if groups is None else "groups"
    if n_blocks < 2:
        raise ValueError(
            f"cv={cv} needs at least 2 {what} to leave some out, got n_samples={len(y)} with "
            f"{n_blocks} of them."
        )
    n_folds = min(int(cv), n_blocks)
    fold = random_state.permutation(np.arange(n_blocks) % n_folds)[block]
    return [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(n_folds)]


def _blocks(X, y) -> np.ndarray:
    """Give each row the number of its kind, in an order that does not depend on that of rows."""
    if hasattr(X, "toarray"):  # sparse: told apart by what is stored
        X = X.sorted_indices()
        rows = [
            (*X.indices[start:stop], *X.data[start:stop], *target)
            for start, stop, target in zip(X.indptr[:-1], X.indptr[1:], y, strict=True)
        ]
        numbers = {row: k for k, row in enumerate(sorted(set(rows)))}
        return np.array([numbers[row] for row in rows])
    number = np.zeros(len(y), dtype=np.int64)
    for column in (*X.T, *y.T):  # in the order of the first column, then of the second, ...
        _, place = np.unique(column, return_inverse=True)
        number = np.unique(number * len(y) + place, return_inverse=True)[1]
        if number.max() == len(y) - 1:  # all are told apart; mostly by the first column
            break
    return number

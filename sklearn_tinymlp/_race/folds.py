"""Folds of an ensemble: equal rows in one fold, whatever their order, or those of a splitter."""

import numpy as np
from sklearn.model_selection import check_cv


def splits_of(cv, X, y, groups, random_state, seen=None) -> list[tuple[np.ndarray, np.ndarray]]:
    """Give the rows trained on and the rows left out of each fold, numbered among those seen.

    Parameters
    ----------
    cv : int, splitter or iterable
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
        When there are fewer different rows, or groups, than folds.
    """
    seen = np.arange(len(y)) if seen is None else seen
    if not isinstance(cv, (int, np.integer)):
        number = np.full(len(y), -1)
        number[seen] = np.arange(len(seen))
        splits = check_cv(cv).split(X, y, groups)
        return [tuple(number[part][number[part] >= 0] for part in split) for split in splits]
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
    return np.unique(np.column_stack([X, y]), axis=0, return_inverse=True)[1].ravel()

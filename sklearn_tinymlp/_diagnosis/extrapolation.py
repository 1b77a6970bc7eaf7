"""How far new inputs lie outside those trained on, by feature."""

import numpy as np
from scipy import sparse

from .._data.input_range import InputRange
from .finding import INFO, WARNING, Diagnosis, Finding

# Ranges beyond the training data from which on it is a warning: a random split of the data leaves
# some rows a little outside.
FAR = 0.1

# Features named in a sentence.
MOST_NAMED = 3


def outside(X, known: InputRange, names=None) -> Diagnosis:
    """Say which share of rows lies outside, by how many ranges, and in which features.

    Parameters
    ----------
    X : {ndarray, sparse matrix} of shape (n_samples, n_features)
    known : InputRange
    names : array-like of str, default=None
        Of the features; their numbers unless given.
    """
    n_rows, n_features = X.shape
    least, greatest = (bound.astype(np.float64) for bound in known)
    new, width = InputRange.of(X), greatest - least
    beyond = np.maximum(least - new.least, new.greatest - greatest)
    rows, by_feature = np.zeros(n_rows, bool), np.zeros(n_features)
    for k in np.flatnonzero(beyond > 0):
        column = X[:, [k]].toarray().ravel() if sparse.issparse(X) else X[:, k]
        out = (column < least[k]) | (column > greatest[k])
        rows |= out
        by_feature[k] = out.mean()
    share = rows.mean()
    summary = f"{n_rows} rows, {rows.sum()} of them outside the range of the training data."
    if not rows.any():
        return Diagnosis(summary, (), "Each feature is where the network has seen it.")
    with np.errstate(divide="ignore", invalid="ignore"):
        ranges = np.where(beyond > 0, beyond / width, 0.0)  # infinite of a constant feature
    worst = np.argsort(-ranges, kind="stable")
    worst = worst[ranges[worst] > 0]
    described = [_in_words(k, names, by_feature[k], ranges[k]) for k in worst[:MOST_NAMED]]
    if len(worst) > MOST_NAMED:
        described.append(f"and {len(worst) - MOST_NAMED} more features")
    finding = Finding(
        "extrapolation",
        WARNING if ranges.max() > FAR else INFO,
        f"{share:.0%} of the rows lie outside the range of the training data: "
        f"{'; '.join(described)}. The network has seen nothing there.",
        {},
        "training on such rows too, or leaving these out",
    )
    return Diagnosis(summary, [finding])


def _in_words(k, names, share, ranges) -> str:
    name = f"feature {k}" if names is None else f"feature {names[k]!r}"
    if np.isinf(ranges):
        return f"{name} in {share:.0%}, which was constant in training"
    return f"{name} in {share:.0%}, by up to {ranges:.2g} times its range"

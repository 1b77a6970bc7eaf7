"""How far new inputs lie outside the training data, by feature."""

import numpy as np
from scipy import sparse

from .._data.input_range import InputRange
from .finding import INFO, WARNING, Diagnosis, Finding

# Distance from the training data, in ranges of a feature, beyond which a finding is a warning: in a
# random split some rows lie slightly outside.
FAR_OUTSIDE = 0.1

MOST_FEATURES = 3  # in a sentence


def outside(X, known: InputRange, names=None) -> Diagnosis:
    """Find the rows outside the training data, and in which features they are, by how many ranges.

    `names` are those of the features; by default their indices are shown.
    """
    n_rows, n_features = X.shape
    least, greatest = (bound.astype(np.float64) for bound in known)
    new = InputRange.of(X)
    beyond = np.maximum(least - new.least, new.greatest - greatest)
    rows, share_by_feature = np.zeros(n_rows, bool), np.zeros(n_features)
    for k in np.flatnonzero(beyond > 0):
        column = X[:, [k]].toarray().ravel() if sparse.issparse(X) else X[:, k]
        out = (column < least[k]) | (column > greatest[k])
        rows |= out
        share_by_feature[k] = out.mean()
    summary = f"{n_rows} rows, {rows.sum()} of them outside the range of the training data."
    if not rows.any():
        return Diagnosis(summary, (), "Each feature is within its range in the training data.")
    with np.errstate(divide="ignore", invalid="ignore"):
        ranges = np.where(beyond > 0, beyond / (greatest - least), 0.0)  # infinite if constant
    features = []
    worst = [k for k in np.argsort(-ranges, kind="stable") if ranges[k] > 0]
    for k in worst[:MOST_FEATURES]:
        distance = f"by up to {ranges[k]:.2g} times its range"
        if np.isinf(ranges[k]):
            distance = "which was constant in training"
        name = k if names is None else repr(names[k])
        features.append(f"feature {name} in {share_by_feature[k]:.0%}, {distance}")
    if len(worst) > MOST_FEATURES:
        features.append(f"and {len(worst) - MOST_FEATURES} more features")
    sentence = (
        f"{rows.mean():.0%} of the rows lie outside the range of the training data: "
        f"{'; '.join(features)}. Predictions there are extrapolations."
    )
    severity = WARNING if ranges.max() > FAR_OUTSIDE else INFO
    remedy = "training on such rows too, or removing them"
    return Diagnosis(summary, [Finding("extrapolation", severity, sentence, {}, remedy)])

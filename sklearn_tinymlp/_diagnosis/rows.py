"""Causes: rows that are copies, that lie far off, in an order, or with weights of a strange sum."""

import numpy as np
from scipy import sparse

from .columns import numbers
from .finding import INFO, Finding

# Of fewer copies the band is too narrow by less than a twentieth.
WORTH_KNOWING = 0.1

# Data of few different values have equal rows that are no copies.
FEW_VALUES = 20

# In multiples of the spread of the middle: a normal variable gets to 5 in a million rows.
FAR_OFF = 12.0

# Few rows that have much of the variance are what the fit then follows.
MOST_OUTLIERS, MUCH_OF_VARIANCE = 0.02, 0.3

# Correlation of the residuals of neighbouring rows; by chance it is within 2 / sqrt(n).
IN_ORDER = 0.3

# A sum of weights that is so many times the number of rows, or so small a part.
STRANGE = 10.0


def copied_rows(exam):
    """Find rows that are there more than once, target and all."""
    network = exam.network
    if sparse.issparse(network.X) or len(np.unique(exam.y)) <= FEW_VALUES:
        return
    rows = np.column_stack([exam.X, exam.y])
    share = 1.0 - len(np.unique(rows, axis=0)) / len(rows)
    if share < WORTH_KNOWING:
        return
    why = "A random split has the same row on both sides, and its score is too good."
    if network.by_evidence:
        why = (
            "The evidence takes each for a new observation: the penalty is too weak, and the band "
            "too narrow."
        )
    sentence = f"{share:.0%} of the rows are copies of others, as in a bootstrap sample. {why}"
    yield Finding(
        "copied_rows", INFO, sentence, {}, "fitting on each row once, X, y without the copies"
    )


def outlying_rows(exam):
    """Find few rows that have most of the variance of a target or of a feature."""
    parts = [("target", exam.y)]
    if not sparse.issparse(exam.X):
        parts.append(("feature", exam.X))
    for kind, values in parts:
        middle = np.median(values, axis=0)
        distance = np.abs(values - middle)
        spread = 1.4826 * np.median(distance, axis=0)
        far = (distance > FAR_OFF * spread) & (spread > 0)
        squares = (values - values.mean(axis=0)) ** 2
        total = squares.sum(axis=0)
        of_variance = (squares * far).sum(axis=0) / np.where(total > 0, total, 1.0)
        few = far.sum(axis=0) <= max(1.0, MOST_OUTLIERS * len(values))
        found = np.where(few, of_variance, 0.0)
        k = int(found.argmax())
        if found[k] < MUCH_OF_VARIANCE:
            continue
        rows = np.flatnonzero(far[:, k])
        name = kind if kind == "target" and values.shape[1] == 1 else f"{kind} {k}"
        have, they = ("has", "it lies") if len(rows) == 1 else ("have", "they lie up to")
        at = "" if exam.n_rows < exam.network.y.shape[0] else f" (row {numbers(rows)})"
        sentence = (
            f"{len(rows)} of {len(values)} rows{at} {have} {found[k]:.0%} of the variance of the "
            f"{name}: {they} {(distance[:, k] / spread[k]).max():.0f} times the usual "
            "spread from its median."
        )
        yield Finding("outlying_rows", INFO, sentence, {}, "looking at these rows, or a logarithm")
        return


def few_target_values(exam):
    """Find a target of few values on a grid: classes, maybe."""
    if not exam.network.loss.least_squares:
        return  # of counts
    for k, column in enumerate(exam.y.T):
        values = np.unique(column)
        if not 2 <= len(values) <= 10 or len(column) < 10 * len(values):
            continue
        steps = (values - values[0]) / np.diff(values).min()
        if np.abs(steps - np.round(steps)).max() > 1e-6 or steps[-1] > 20:
            continue
        name = "The target" if exam.y.shape[1] == 1 else f"Target {k}"
        sentence = (
            f"{name} has {len(values)} different values in {len(column)} rows: if they are "
            "classes, use a classifier."
        )
        yield Finding("few_target_values", INFO, sentence, {}, "MLPClassifier, if they are classes")
        return


def ordered_rows(exam):
    """Find residuals that are like those of the rows before, though the inputs do not say so."""
    n = exam.n_rows
    if n < 50 or n < exam.network.y.shape[0]:
        return
    residuals = exam.y - exam.predictions
    residuals = residuals - residuals.mean(axis=0)
    total = (residuals**2).sum(axis=0)
    left = exam.explained_by_output < 0.9999
    correlation = (residuals[1:] * residuals[:-1]).sum(axis=0) / np.where(total > 0, total, 1.0)
    correlation = np.where(left, correlation, 0.0)
    k = int(correlation.argmax())
    if correlation[k] < max(IN_ORDER, 5.0 / np.sqrt(n)) or not exam.pattern.shares[k] < 0.1:
        return
    sentence = (
        f"The residuals of neighbouring rows correlate by {correlation[k]:.2f}: the rows seem to "
        "be in order of time. Scores on a random split will then be too good."
    )
    yield Finding(
        "ordered_rows", INFO, sentence, {}, "TimeSeriesSplit, and features that know the time"
    )


def strange_weight_sum(exam):
    """Find weights whose sum makes the penalty, or the number of observations, another one."""
    network = exam.network
    weight = network.sample_weight
    if weight is None or weight.min() < 0:
        return
    whole = bool((weight == np.floor(weight)).all())
    relative = network.by_evidence or network.params.get("solver") == "auto"
    if relative and not whole:
        return
    n_rows = int(np.count_nonzero(weight))
    ratio = float(weight.sum()) / max(n_rows, 1)
    if 1.0 / STRANGE <= ratio <= STRANGE:
        return
    effect = f"alpha={network.penalty:g} then acts as alpha={network.penalty / ratio:.3g} would"
    if network.by_evidence:
        effect = "the evidence takes them for so many observations, and the band is narrow"
    elif network.penalty == 0.0:
        return
    sentence = f"The weights of {n_rows} rows sum to {weight.sum():.4g}: {effect}."
    yield Finding("strange_weight_sum", INFO, sentence, {}, "sample_weight / sample_weight.mean()")

"""Causes: features that are constant, duplicated or the target; columns that are not scaled."""

import numpy as np
from scipy import sparse

from .._data.input_range import InputRange
from .finding import INFO, MOST_LISTED, WARNING, Finding, format_r2, listed, make_finding

# Root mean squares above MOST_RMS, standard deviations a factor MOST_APART from each other, or all
# below LEAST_STD: curvatures of the loss along the weights then differ by their squares.
MOST_RMS, MOST_APART, LEAST_STD = 10.0, 100.0, 0.03

# Maximum number of columns of a dense matrix that are compared, and number of rows compared.
MOST_COLUMNS, ROWS_COMPARED = 2000, 500

# Correlations this close to 1 differ from 1 by rounding only.
ROUNDING = 1e-9


def unscaled_features(exam):
    """Find features far from zero, far apart in scale, or nearly constant."""
    if exam.network.standardized:
        return
    X = exam.X
    if sparse.issparse(X):
        mean = np.asarray(X.mean(axis=0)).ravel()
        square = np.asarray(X.multiply(X).mean(axis=0)).ravel()
        std = np.sqrt(np.maximum(square - mean**2, 0.0))
    else:
        mean, std = X.mean(axis=0), X.std(axis=0)
    rms = np.hypot(mean, std)
    varying = std > 1e-10 * rms
    if not varying.any():
        return
    apart = std[varying].max() / std[varying].min()
    k = int(np.argmax(rms))
    if rms[k] > MOST_RMS:
        what = f"feature {k} has a mean of {mean[k]:.4g} and a standard deviation of {std[k]:.4g}"
    elif apart > MOST_APART:
        what = f"their standard deviations lie up to a factor {apart:.3g} apart"
    elif std.max() < LEAST_STD:
        what = f"the largest standard deviation is {std.max():.3g}"
    else:
        return
    severity, sentence = WARNING if exam.failed else INFO, "The features are not standardised: "
    yield make_finding(
        exam.network, "unscaled_features", severity, f"{sentence}{what}.", standardize=True
    )


def unscaled_target(exam):
    """Find targets far from zero or nearly constant, which a linear output must reach."""
    network = exam.network
    if network.standardized or network.activations[-1] != "identity":
        return
    mean, std = exam.y.mean(axis=0), exam.y.std(axis=0)
    rms = np.hypot(mean, std)
    k = int(np.argmax(rms))
    if not (rms[k] > MOST_RMS or 0 < std.max() < LEAST_STD):
        return
    sentence = (
        f"The target is not standardised: it has a mean of {mean[k]:.4g} and a standard deviation "
        f"of {std[k]:.4g}."
    )
    severity = WARNING if exam.failed else INFO
    yield make_finding(network, "unscaled_target", severity, sentence, standardize=True)


def uneven_outputs(exam):
    """Find outputs that hardly contribute to the loss, because others are so much larger."""
    network = exam.network
    if network.standardized or network.activations[-1] != "identity" or exam.y.shape[1] < 2:
        return
    std, by_output = exam.y.std(axis=0), exam.explained_by_output
    widest = std.argmax()
    lost = (std > 0) & (std < 0.1 * std.max()) & (by_output < 0.5)
    if not lost.any() or not by_output[widest] > by_output[lost].min() + 0.3:
        return
    k = int(np.argmin(np.where(lost, by_output, np.inf)))
    sentence = (
        f"{outputs_text(lost)}: {network.score_name} is {format_r2(by_output[k])}, against "
        f"{format_r2(by_output[widest])} of output {widest}. Its standard deviation is "
        f"{std[k]:.3g} against {std.max():.3g}, so it hardly contributes to the loss."
    )
    yield make_finding(network, "uneven_outputs", WARNING, sentence, standardize=True)


def outputs_text(mask) -> str:
    """List the outputs of a mask."""
    return f"Output{'s' if mask.sum() > 1 else ''} {listed(np.flatnonzero(mask))}"


def constant_columns(exam):
    """Find features that have the same value in all rows."""
    least, greatest = InputRange.of(exam.X)
    constant = np.flatnonzero(greatest - least <= 1e-12 * np.maximum(abs(least), abs(greatest)))
    if not len(constant):
        return
    sentence = (
        f"{len(constant)} of {exam.X.shape[1]} features are constant and have no effect: "
        f"{listed(constant)}."
    )
    if len(constant) == 1:
        sentence = f"Feature {constant[0]} is constant and has no effect."
    yield Finding("constant_columns", INFO, sentence, {}, "removing constant features")


def duplicated_columns(exam):
    """Find features that repeat another one, up to scale and shift."""
    columns, kept = _standardised_columns(exam)
    if len(kept) < 2:
        return
    signs = np.sign(columns[np.argmax(np.abs(columns) > 0.1, axis=0), range(len(kept))])
    rounded = np.round(columns * signs, 6)
    _, first, group = np.unique(rounded.T, axis=0, return_index=True, return_inverse=True)
    original = first[group.ravel()]
    copies = np.flatnonzero(original != np.arange(len(kept)))
    if not len(copies):
        return
    pairs = [f"feature {kept[k]} repeats {kept[original[k]]}" for k in copies[:MOST_LISTED]]
    more = f", and {len(copies) - MOST_LISTED} more" if len(copies) > MOST_LISTED else ""
    sentence = f"{', '.join(pairs)}{more}, up to scale and shift.".capitalize()
    yield Finding("duplicated_columns", INFO, sentence, {}, "removing the duplicates")


def leaked_target(exam):
    """Find a feature that is the target, up to scale and shift."""
    columns, kept = _standardised_columns(exam)
    if exam.X.shape[1] < 2:  # data on a straight line
        return
    y = exam.y[:ROWS_COMPARED] - exam.y[:ROWS_COMPARED].mean(axis=0)
    size = np.sqrt(np.mean(y**2, axis=0))
    for k in np.flatnonzero(size > 0):
        correlations = np.abs(columns.T @ y[:, k]) / (len(y) * size[k])
        if correlations.max(initial=0.0) > 1.0 - ROUNDING:
            target = "the target" if len(size) == 1 else f"target {k}"
            sentence = (
                f"Feature {kept[int(correlations.argmax())]} is {target}, up to scale and shift: "
                "predictions of new rows without it will be poor."
            )
            yield Finding("leaked_target", INFO, sentence, {}, "removing that feature")
            return


def _standardised_columns(exam):
    """Return some rows of the varying columns, with mean 0 and variance 1, and their indices."""
    X = exam.X[:ROWS_COMPARED]
    X = X[:, :0] if X.shape[1] > MOST_COLUMNS else X
    X = X.toarray() if sparse.issparse(X) else X
    X, largest = X - X.mean(axis=0), np.abs(X).max(initial=0.0)
    size = np.sqrt(np.mean(X**2, axis=0))
    kept = np.flatnonzero(size > 1e-12 * largest)
    return X[:, kept] / size[kept], kept

"""Causes: copied, repeated, outlying or ordered rows, long tails, classes, sums of weights."""

import numpy as np
from scipy import sparse
from scipy.spatial import cKDTree
from scipy.stats import rankdata

from .._bayes.irls import NORMAL_MEDIAN
from .._data.data import Data
from .._losses.table import LOSSES
from .._training.repeated_inputs import Repeats, equal_rows
from .examination import residual_pattern
from .finding import INFO, WARNING, Finding, listed, make_finding
from .remedies import explained_anew

# With a smaller share of copies the prediction interval is less than a twentieth too narrow.
LEAST_SHARE_OF_COPIES = 0.1

# Data with fewer distinct values have equal rows that are not copies.
LEAST_VALUES = 20

# Distance from the median in robust standard deviations: a normal variable reaches 5 once in a
# million rows. A few rows with much of the variance dominate the fit.
OUTLIER_DISTANCE, MOST_OUTLIERS, LEAST_SHARE_OF_VARIANCE = 12.0, 0.02, 0.3

# Distance in robust standard deviations of residuals: with normal noise one in two million is
# further. Fewer such residuals, or a smaller share of them, hardly change a fit.
TAIL_DISTANCE, LEAST_TAIL_NUMBER, LEAST_TAIL_SHARE = 5.0, 3, 0.005

# Correlation of the residuals of neighbouring rows; by chance it is within 2 / sqrt(n).
LEAST_AUTOCORRELATION = 0.3

# Maximum ratio of the sum of the weights to the number of rows, or the reverse.
MOST_WEIGHT_RATIO = 10.0

# Residuals with less than this share of the variance are not noise, but the error of approximating
# a function, which is largest where the function bends.
LEAST_NOISE = 1e-3

# With fewer rows per weight, a network that explains this much has fitted some rows exactly.
LEAST_ROWS_PER_WEIGHT, MOST_EXPLAINED = 4, 0.6

# By chance the nearest row's residual is this large, with the same sign, in one case of forty.
NEIGHBOUR_DISTANCE = 2.0

# Share of the variance of the ranks of absolute residuals: of normal noise whose standard deviation
# varies by a factor of 1.5 in either direction.
LEAST_SHARE_OF_RANKS = 0.05

# Share of the deviance that a copy with this penalty per row explains on held-out rows where
# loss="gamma" or "poisson" is advised. Of 9 draws of log-normal amounts with 1,000 rows 6 passed,
# and R² against the true mean changed by -0.12 to 0.72, 0.19 on average. None of 9 draws with 200
# rows and of 9 of mostly zero claims passed; claims then had R² below -50 with loss="poisson".
PENALTY_OF_AMOUNTS, LEAST_SHARE_OF_DEVIANCE = 0.01, 0.1

LEAST_ROWS_FOR_TAILS, LEAST_ROWS_IN_ORDER = 30, 50


def long_tails(exam):
    """Find that a few residuals are so large that they dominate a fit to squared errors."""
    network = exam.network
    if not network.loss.least_squares or exam.n_rows < LEAST_ROWS_FOR_TAILS:
        return
    overfitted = not network.uses_evidence and exam.explained > MOST_EXPLAINED
    overfitted = overfitted and LEAST_ROWS_PER_WEIGHT * network.theta.size > network.y.size
    if 1.0 - exam.explained < LEAST_NOISE or overfitted or exam.unfinished:
        return
    rows = exam.weight[:, 0] > 0.0
    X, residuals = exam.X[rows], (exam.y - exam.predictions)[rows]
    scale = np.median(np.abs(residuals), axis=0) / NORMAL_MEDIAN
    # If half of the rows are fitted exactly, the scale is unknown.
    known = scale > LEAST_NOISE * np.sqrt(np.mean(residuals**2, axis=0))
    if not known.any():
        return
    relative = residuals[:, known] / scale[known]
    sizes = np.abs(relative)
    number = int(np.sum(sizes > TAIL_DISTANCE))
    if number < max(LEAST_TAIL_NUMBER, LEAST_TAIL_SHARE * sizes.size) or _is_misfit(X, relative):
        return
    sentence = (
        f"{number} of {sizes.size} residuals are more than {TAIL_DISTANCE:g} robust standard "
        f"deviations from zero, the largest {sizes.max():.3g}; with normal noise none would be. "
        "Squared errors give such rows too much influence."
    )
    if not _is_skewed(residuals[:, known], scale[known]):
        loss = LOSSES["student_t"].with_scale(exam.y, exam.predictions, exam.row_weight, 1.0)
        robust = exam.replaced(loss=loss)
        share = explained_anew(robust)
        if share > robust.explained:
            sentence += (
                f" A copy trained with Student's t explains {share:.0%} of that loss on held-out "
                f"rows, the network {robust.explained:.0%} on its own."
            )
            yield make_finding(network, "long_tails", WARNING, sentence, loss="student_t")
        return
    sentence += (
        " The residuals are skewed: the losses 'huber', 'student_t' and 'absolute_error' would "
        "predict about the median of y, not its mean."
    )
    amounts = np.round(network.y - network.zero, 6)  # zeros of float32 are rounded
    if amounts.min() >= 0.0:
        loss = LOSSES["gamma" if amounts.min() > 0.0 else "poisson"]
        activations = (*network.activations[:-1], loss.output_activation)
        scaled = {"loss": loss, "activations": activations, "y": amounts / amounts.mean(axis=0)}
        penalty = PENALTY_OF_AMOUNTS * exam.weight_sum
        share = explained_anew(exam.replaced(**scaled), penalty=penalty)
        if share > LEAST_SHARE_OF_DEVIANCE:
            sentence += (
                f" loss={loss.name!r} keeps the mean, and a copy trained with it explains "
                f"{share:.0%} of that loss on held-out rows."
            )
            yield make_finding(network, "long_tails", WARNING, sentence, loss=loss.name)
            return
    yield Finding("long_tails", INFO, sentence, {}, "more rows")


def _is_skewed(residuals, scale) -> bool:
    """Whether mean and median differ by two standard errors, as if they were independent."""
    difference = residuals.mean(axis=0) - np.median(residuals, axis=0)
    variance = (residuals.var(axis=0) + 0.5 * np.pi * scale**2) / len(residuals)
    return bool((np.abs(difference) > 2.0 * np.sqrt(variance)).any())


def _is_misfit(X, relative) -> bool:
    """Whether the nearest rows have large residuals of the same sign, which are not noise."""
    if sparse.issparse(X):
        return False
    rows, outputs = np.nonzero(np.abs(relative) > TAIL_DISTANCE)
    std = np.std(X, axis=0)
    scaled = X / np.where(std > 0.0, std, 1.0)
    nearest = cKDTree(scaled).query(scaled[rows], k=2)[1][:, 1]
    neighbours = np.sign(relative[rows, outputs]) * relative[nearest, outputs]
    return bool(np.mean(neighbours > NEIGHBOUR_DISTANCE) > 0.5)


def heteroscedastic_noise(exam):
    """Find that the size of the residuals depends on the inputs, so that intervals are wrong."""
    network = exam.network
    one_size = network.uses_evidence and network.params.get("noise") == "constant"
    if not (one_size and network.loss.least_squares) or exam.n_rows < LEAST_ROWS_IN_ORDER:
        return
    if network.errors is None or network.errors.is_beaten.any():
        return
    if exam.explained <= 0.01 or exam.found:  # the residuals are not noise, or not normal
        return
    rows, noisy = exam.weight[:, 0] > 0.0, 1.0 - exam.explained_by_output >= LEAST_NOISE
    if not noisy.any():
        return
    residuals = (exam.y - exam.predictions)[rows]
    ranks = rankdata(np.abs(residuals[:, noisy]), axis=0)
    share = residual_pattern(exam.X[rows], ranks).max(initial=0.0)
    if not share >= LEAST_SHARE_OF_RANKS:
        return
    sentence = (
        f"The size of the noise depends on X: kernel ridge regression predicts {share:.0%} of the "
        "ranks of the absolute residuals in leave-one-out validation. Prediction intervals are "
        "too wide where the noise is small, and too narrow where it is large."
    )
    yield make_finding(network, "heteroscedastic_noise", INFO, sentence, noise="varying")


def copied_rows(exam):
    """Find rows that occur more than once, with their targets."""
    if sparse.issparse(exam.X) or len(np.unique(exam.y)) <= LEAST_VALUES:
        return
    rows = np.column_stack([exam.X, exam.y])
    share = 1.0 - len(np.unique(rows, axis=0)) / len(rows)
    if share < LEAST_SHARE_OF_COPIES:
        return
    why = "A random split puts the same row on both sides, and its score is too good."
    if exam.network.uses_evidence and not exam.network.correlation:
        why = (
            "The evidence counts each as a new observation: the penalty is too weak, and the "
            "prediction interval too narrow."
        )
    sentence = f"{share:.0%} of the rows are copies of others, as in a bootstrap sample. {why}"
    yield Finding("copied_rows", INFO, sentence, {}, "fitting on each row once")


def repeated_inputs(exam):
    """Find rows that share X and whose residuals are correlated: measurements of a specimen."""
    network = exam.network
    data = Data(network.X, network.y, network.sample_weight)
    groups = equal_rows(data) if network.correlation > 0.0 else None
    if groups is None:
        return
    n_observations = Repeats(groups, network.correlation).weigh(data).sample_weight.sum()
    sentence = (
        f"{len(groups)} rows have {groups.max() + 1} different X, and the residuals of rows that "
        f"share X have a correlation of {network.correlation:.2f}, as of several measurements of "
        f"one specimen: the rows count as {n_observations:.0f} observations. A random split puts "
        "one specimen on both sides, and its score is too good."
    )
    yield Finding("repeated_inputs", INFO, sentence, {}, "GroupKFold, with the specimen as group")


def outlying_rows(exam):
    """Find a few rows that account for most of the variance of a target or of a feature."""
    parts = {"target": exam.y} if sparse.issparse(exam.X) else {"target": exam.y, "feature": exam.X}
    for kind, values in parts.items():
        distance = np.abs(values - np.median(values, axis=0))
        scale = np.median(distance, axis=0) / NORMAL_MEDIAN
        far = (distance > OUTLIER_DISTANCE * scale) & (scale > 0)
        squares = (values - values.mean(axis=0)) ** 2
        total = squares.sum(axis=0)
        shares = (squares * far).sum(axis=0) / np.where(total > 0, total, 1.0)
        few = far.sum(axis=0) <= max(1.0, MOST_OUTLIERS * len(values))
        shares = np.where(few, shares, 0.0)
        k = int(shares.argmax())
        if shares[k] < LEAST_SHARE_OF_VARIANCE:
            continue
        rows = np.flatnonzero(far[:, k])
        name = kind if kind == "target" and values.shape[1] == 1 else f"{kind} {k}"
        have, they = ("has", "it lies") if len(rows) == 1 else ("have", "they lie up to")
        which = "" if exam.n_rows < exam.network.y.shape[0] else f" (row {listed(rows)})"
        sentence = (
            f"{len(rows)} of {len(values)} rows{which} {have} {shares[k]:.0%} of the variance of "
            f"the {name}: {they} {(distance[:, k] / scale[k]).max():.0f} robust standard "
            "deviations from its median."
        )
        yield Finding("outlying_rows", INFO, sentence, {}, "checking these rows, or a logarithm")
        return


def few_target_values(exam):
    """Find a target of few values on a grid, which may be classes."""
    if not exam.network.loss.least_squares:
        return  # counts have few values
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
    """Find residuals that depend on the order of the rows, but not on the inputs."""
    n = exam.n_rows
    if exam.network.correlation > 0.0:  # neighbouring rows are of one group
        return
    if n < LEAST_ROWS_IN_ORDER or n < exam.network.y.shape[0]:
        return
    residuals = exam.y - exam.predictions
    residuals = residuals - residuals.mean(axis=0)
    total = (residuals**2).sum(axis=0)
    correlation = (residuals[1:] * residuals[:-1]).sum(axis=0) / np.where(total > 0, total, 1.0)
    correlation = np.where(exam.explained_by_output < 0.9999, correlation, 0.0)
    k = int(correlation.argmax())
    least = max(LEAST_AUTOCORRELATION, 5.0 / np.sqrt(n))
    if correlation[k] < least or not exam.pattern[k] < 0.1:
        return
    sentence = (
        f"The residuals of neighbouring rows have a correlation of {correlation[k]:.2f}: the rows "
        "seem to be in chronological order. Scores on a random split will then be too good."
    )
    yield Finding("ordered_rows", INFO, sentence, {}, "TimeSeriesSplit, and time as a feature")


def strange_weight_sum(exam):
    """Find weights whose sum changes the penalty, or the number of observations."""
    network, weight = exam.network, exam.network.sample_weight
    if weight is None or weight.min() < 0:
        return
    scale_free = network.uses_evidence or network.params.get("solver") == "auto"
    if scale_free and not (weight == np.floor(weight)).all():
        return
    n_rows = int(np.count_nonzero(weight))
    ratio = float(weight.sum()) / max(n_rows, 1)
    if 1.0 / MOST_WEIGHT_RATIO <= ratio <= MOST_WEIGHT_RATIO:
        return
    effect = f"alpha={network.penalty:g} then acts as alpha={network.penalty / ratio:.3g} would"
    if network.uses_evidence:
        effect = "the evidence counts as many observations, and the prediction interval is narrow"
    elif network.penalty == 0.0:
        return
    sentence = f"The weights of {n_rows} rows sum to {weight.sum():.4g}: {effect}."
    yield Finding("strange_weight_sum", INFO, sentence, {}, "sample_weight / sample_weight.mean()")

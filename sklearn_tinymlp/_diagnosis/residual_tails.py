"""Causes: residuals with longer tails than the squared error takes for granted."""

import numpy as np
from scipy import sparse
from scipy.spatial import cKDTree

from .finding import WARNING, make_finding

# In robust standard deviations. Of normal noise one residual in two million lies further out.
FAR_OUT = 5.0

# So many residuals at least, and such a share of all: fewer hardly move a fit.
LEAST_NUMBER, LEAST_SHARE = 3, 0.005

# The median of |z| of a normal distribution.
NORMAL_MEDIAN = 0.6744898

# A fit that leaves less than this share of the variance has no noise to speak of: its residuals
# are those of a function that is not quite met, largest where it bends.
NOISE = 1e-3

# With fewer rows a weight a network that explains so much knows some rows by heart, and not others.
FEW_ROWS, LEARNED = 4, 0.6

# A neighbour so far off to the same side, in the same units, is no accident: one in forty is.
OFF_TOO = 2.0

# Fewer rows have no tails that could be told.
LEAST_ROWS = 30


def long_tails(exam):
    """Find that a few residuals are so large that they decide a fit to squared errors."""
    network = exam.network
    if not network.loss.least_squares or exam.n_rows < LEAST_ROWS or exam.constant_target:
        return
    by_heart = not network.by_evidence and FEW_ROWS * network.theta.size > network.y.size
    if 1.0 - exam.explained < NOISE or (by_heart and exam.explained > LEARNED) or exam.unfinished:
        return
    residuals = exam.y - exam.predictions
    sizes = np.abs(residuals)
    if not np.isfinite(sizes).all():
        return
    counted = exam.weight[:, 0] > 0.0
    X, residuals, sizes = exam.X[counted], residuals[counted], sizes[counted]
    scale = np.median(sizes, axis=0) / NORMAL_MEDIAN
    # Where half of the rows are met exactly there is no width to compare with.
    measured = scale > NOISE * np.sqrt(np.mean(sizes**2, axis=0))
    if not measured.any():
        return
    residuals, sizes, scale = residuals[:, measured], sizes[:, measured], scale[measured]
    relative = sizes / scale
    number = int(np.sum(relative > FAR_OUT))
    if number < max(LEAST_NUMBER, LEAST_SHARE * sizes.size) or _is_shared(X, residuals / scale):
        return
    yield make_finding(
        network,
        "long_tails",
        WARNING,
        f"{number} of {sizes.size} residuals are more than {FAR_OUT:g} robust standard deviations "
        f"from zero, the largest {relative.max():.3g}; of normal noise none would be. Squared "
        "errors follow such rows.",
        loss="student_t",
    )


def _is_shared(X, relative) -> bool:
    """Whether the nearest rows are off as well, to the same side: a function not met, no noise."""
    if sparse.issparse(X):
        return False
    rows, outputs = np.nonzero(np.abs(relative) > FAR_OUT)
    spread = np.std(X, axis=0)
    scaled = X / np.where(spread > 0.0, spread, 1.0)
    neighbours = cKDTree(scaled).query(scaled[rows], k=2)[1][:, 1]
    beside = np.sign(relative[rows, outputs]) * relative[neighbours, outputs]
    return bool(np.mean(beside > OFF_TOO) > 0.5)

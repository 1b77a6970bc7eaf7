"""Whether the loss was so large at some iteration that training must have diverged."""

import numpy as np

from .._data.input_range import square_norms

# Ratio of the peak loss to the first loss, and to the loss of a constant. The loss at start weights
# is within a few times the mean square of inputs and targets; a step that is too large multiplies
# it by thousands.
LOSS_GROWTH, LOSS_PEAK = 1e3, 1e6


def has_diverged(losses, loss, X, y, sample_weight=None) -> bool:
    """Examine the loss after each epoch or iteration; y is of shape (n_samples, n_outputs)."""
    losses = np.asarray(losses, dtype=float)
    if not len(losses):
        return False
    if not np.isfinite(losses).all():
        return True
    peak = losses.max()
    if loss.least_squares:
        scale = 0.5 * float(np.vdot(y, y)) / y.size
    elif peak <= LOSS_GROWTH * losses[0]:
        return False
    else:
        constant = loss.constant_predictions(y, sample_weight)
        scale = float(loss.mean(y, constant, sample_weight))
    if peak > LOSS_GROWTH * losses[0] and peak > 10.0 * scale:
        return True
    if not (loss.least_squares and peak > LOSS_PEAK * scale > 0.0):
        return False  # nearly always, so that X is not read
    X_size = float(np.mean(square_norms(X))) / X.shape[1]
    return bool(peak > LOSS_PEAK * max(1.0, X_size) * scale)

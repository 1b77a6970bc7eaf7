"""Whether the loss of a fit was once so large that training must have diverged."""

import numpy as np

from .._data.input_range import square_norms

# Losses of start weights are within a few times the mean square of inputs and targets; a step that
# is too large multiplies them by thousands.
GROWN, FAR_ABOVE = 1e3, 1e6


def has_diverged(losses, loss, X, y, sample_weight=None) -> bool:
    """Look at the record of a fit.

    Parameters
    ----------
    losses : array-like of shape (n_iter,)
        Loss after each epoch or iteration.
    loss : Loss
    X : {ndarray, sparse matrix} of shape (n_samples, n_features)
    y : ndarray of shape (n_samples, n_outputs)
    sample_weight : ndarray of shape (n_samples,) or None
    """
    losses = np.asarray(losses, dtype=float)
    if not len(losses):
        return False
    if not np.isfinite(losses).all():
        return True
    peak = losses.max()
    if loss.least_squares:
        scale = 0.5 * float(np.vdot(y, y)) / y.size
    elif peak <= GROWN * losses[0]:
        return False
    else:
        constant = np.broadcast_to(loss.best_constant(y, sample_weight), y.shape)
        scale = float(loss.mean(y, constant, sample_weight))
    if peak > GROWN * losses[0] and peak > 10.0 * scale:
        return True
    if not (loss.least_squares and peak > FAR_ABOVE * scale > 0.0):
        return False  # as nearly always, and X need not be looked at
    X_size = float(np.mean(square_norms(X))) / X.shape[1]
    return bool(peak > FAR_ABOVE * max(1.0, X_size) * scale)

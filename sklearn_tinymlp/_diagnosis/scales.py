"""Causes: features or targets that should be standardised."""

import numpy as np
from scipy import sparse

from .finding import INFO, WARNING, _finding

# Where inputs or targets this far from 0 and 1 were trained on as they are, gradients of the
# weights differ by the squares of these numbers.
FAR, FAR_APART, NARROW = 10.0, 100.0, 0.03


def _unscaled_features(look):
    fit = look.fit
    if fit.standardized:
        return
    X = look.values[0]
    if sparse.issparse(X):
        mean = np.asarray(X.mean(axis=0)).ravel()
        square = np.asarray(X.multiply(X).mean(axis=0)).ravel()
        std = np.sqrt(np.maximum(square - mean**2, 0.0))
    else:
        mean, std = X.mean(axis=0), X.std(axis=0)
    size = np.hypot(mean, std)
    varying = std > 1e-10 * size
    if not varying.any():
        return
    apart = std[varying].max() / std[varying].min()
    k = int(np.argmax(size))
    if size[k] > FAR:
        what = f"feature {k} has a mean of {mean[k]:.4g} and a standard deviation of {std[k]:.4g}"
    elif apart > FAR_APART:
        what = f"their standard deviations lie up to a factor {apart:.3g} apart"
    elif std.max() < NARROW:
        what = f"the largest standard deviation is {std.max():.3g}"
    else:
        return
    yield _finding(
        fit,
        "unscaled_features",
        WARNING if look.troubled else INFO,
        f"The features are not standardised: {what}.",
        standardize=True,
    )


def _unscaled_target(look):
    fit = look.fit
    if fit.standardized or fit.activations[-1] != "identity":
        return
    mean, std = np.abs(look.y.mean(axis=0)), look.y.std(axis=0)
    size = np.hypot(mean, std)
    k = int(np.argmax(size))
    if not (size[k] > FAR or 0 < std.max() < NARROW):
        return
    yield _finding(
        fit,
        "unscaled_target",
        WARNING if look.troubled else INFO,
        f"The target is not standardised: it has a mean of {look.y[:, k].mean():.4g} and a "
        f"standard deviation of {std[k]:.4g}.",
        standardize=True,
    )

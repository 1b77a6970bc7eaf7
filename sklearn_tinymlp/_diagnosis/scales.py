"""Causes: features or targets that should be standardised."""

import numpy as np
from scipy import sparse

from .finding import INFO, WARNING, make_finding

# Root mean squares above FAR, standard deviations a factor FAR_APART from each other, or all below
# NARROW: curvatures of the loss along the weights then differ by the squares of these numbers.
FAR, FAR_APART, NARROW = 10.0, 100.0, 0.03


def unscaled_features(exam):
    """Find features far from zero, far apart in scale, or nearly constant."""
    network = exam.network
    if network.standardized:
        return
    X = exam.X
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
    yield make_finding(
        network,
        "unscaled_features",
        WARNING if exam.failed else INFO,
        f"The features are not standardised: {what}.",
        standardize=True,
    )


def unscaled_target(exam):
    """Find targets far from zero or nearly constant, which a linear output has to reach."""
    network = exam.network
    if network.standardized or network.activations[-1] != "identity":
        return
    mean, std = np.abs(exam.y.mean(axis=0)), exam.y.std(axis=0)
    size = np.hypot(mean, std)
    k = int(np.argmax(size))
    if not (size[k] > FAR or 0 < std.max() < NARROW):
        return
    yield make_finding(
        network,
        "unscaled_target",
        WARNING if exam.failed else INFO,
        f"The target is not standardised: it has a mean of {exam.y[:, k].mean():.4g} and a "
        f"standard deviation of {std[k]:.4g}.",
        standardize=True,
    )

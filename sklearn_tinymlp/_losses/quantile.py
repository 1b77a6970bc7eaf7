"""The pinball loss of a quantile: q (y - f) above the prediction, (1 - q) (f - y) below.

As in scikit-learn's QuantileRegressor (Koenker and Bassett, "Regression quantiles", 1978).
"""

from .pinball import pinball


def configured(params):
    """Take the estimator's `quantile`."""
    share = float(params["quantile"])
    return pinball("quantile", share, 1.0 - share, 0.0, configured)


QUANTILE = configured({"quantile": 0.5})

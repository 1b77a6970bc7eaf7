"""Causes: too many weights for the data."""

import numpy as np

from .finding import INFO, WARNING, _finding


def _more_weights_than_data(look):
    fit = look.fit
    n_numbers = fit.y.size
    if fit.by_evidence or fit.theta.size <= n_numbers:
        return
    validation = np.asarray(fit.history.get("validation_loss", ()), dtype=float)
    known = len(validation) > 1 and not np.isnan(validation[-1])
    worse = known and validation[-1] > 1.5 * np.nanmin(validation)
    if fit.params.get("early_stopping") and not worse:
        return
    sentence = f"The network has {fit.theta.size} weights for {n_numbers} targets"
    if worse:
        sentence += (
            f", and the validation loss rose from {np.nanmin(validation):.3g} to "
            f"{validation[-1]:.3g}"
        )
    remedy = {"solver": "lm"} if fit.loss == "squared_error" else {"alpha": 100 * fit.penalty + 1.0}
    if fit.solver == "lm":
        remedy = {"alpha": "auto"}
    yield _finding(
        fit,
        "more_weights_than_data",
        WARNING if worse else INFO,
        f"{sentence}: it can learn them by heart. The evidence finds how many weights they "
        "determine.",
        **remedy,
    )

"""Causes: a penalty that holds the weights near zero."""

import numpy as np

from .finding import ERROR, WARNING, format_r2, make_finding
from .trial import LEAST_ROWS, explained_anew

# A penalty that a row bears this share of the loss of the mean for a weight of 1, or less, cannot
# hold weights of size 1 back.
WEAK = 1e-3

# Penalties tried on a copy, in shares of the mean's loss a row; the largest that does is named.
TRIED = (1e-2, 1e-3, 1e-4, 1e-6)


def penalty_too_large(exam):
    """Find a fixed penalty that keeps the network from its data, and one that does not."""
    network = exam.network
    alpha, n, spread = network.penalty, exam.weight_sum, exam.constant_loss
    strength = 0.5 * alpha / max(n * spread, 1e-300)
    if network.by_evidence or not WEAK < strength or exam.explained > 0.9:
        return
    candidates = [2.0 * share * n * spread for share in TRIED if 3.0 * share < strength]
    with_less = [explained_anew(exam, penalty=candidate) for candidate in candidates]
    best = np.nanmax(with_less, initial=-np.inf)
    with_more = max(explained_anew(exam), exam.explained)
    known = np.isfinite(best - with_more)  # not so where losses overflow
    if not known or best < with_more + max(0.1, 0.2 * (1.0 - with_more)):
        return
    # The largest penalty that is nearly as good as the best.
    enough = [share >= best - 0.02 * abs(best - with_more) for share in with_less]
    chosen = float(f"{candidates[enough.index(True)]:.0e}")
    share = 1.0 - exam.loss / exam.objective if exam.objective > 0 else 0.0
    largest = max(float(np.abs(coef).max()) for coef in exam.coefs)
    rows = "rows left out" if exam.n_rows >= LEAST_ROWS else "the rows"
    yield make_finding(
        network,
        "penalty_too_large",
        ERROR if exam.explained <= 0.01 else WARNING,
        f"alpha={alpha:g} is too strong: no coef is larger than {largest:.2g}, the penalty is "
        f"{share:.0%} of the loss, and {network.score_name} is {format_r2(exam.explained)}. A copy "
        f"trained with alpha={chosen:g} explains {best:.0%} of {rows}.",
        alpha=chosen,
    )

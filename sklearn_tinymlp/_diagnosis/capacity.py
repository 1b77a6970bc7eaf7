"""Causes: too many weights for the data, or a penalty that holds them near zero."""

import numpy as np

from .finding import ERROR, INFO, WARNING, Finding, format_r2, make_finding
from .remedies import LEAST_ROWS, explained_anew

# Weights per target above which they are reported where no copy is trained, and below which no fit
# loses MOST_LOSS_OF_R2.
MOST_WEIGHTS_PER_TARGET, FEW_WEIGHTS_PER_TARGET = 2, 0.25

# Maximum loss of R² from the rows trained on to others.
MOST_LOSS_OF_R2 = 0.3

# Number of weights per target determined by the data, according to the evidence, above which
# leave-one-out errors are not relied on if there are many inputs.
MOST_DETERMINED = 0.7

# A penalty is harmless if, for a weight of 1, it is less than this share of the best constant's
# loss.
LEAST_PENALTY = 1e-3

# Penalties tried on a copy, in these units; the largest one that suffices is advised.
TRIED_PENALTIES = (1e-2, 1e-3, 1e-4, 1e-6)


def more_weights_than_data(exam):
    """Find weights that the data cannot determine, and whether predictions of new data suffer."""
    network = exam.network
    n_weights, n_targets = network.theta.size, network.y.size
    if network.uses_evidence:
        yield from _overfitted_by_evidence(exam)
    if network.uses_evidence or n_weights <= FEW_WEIGHTS_PER_TARGET * n_targets:
        return
    validation = network.column("validation_loss")
    known = len(validation) > 1 and not np.isnan(validation[-1])
    worse = known and validation[-1] > 1.5 * np.nanmin(validation)
    if network.params.get("early_stopping") and not worse:
        return
    # A few more weights than targets rarely overfit, unless no residuals are left.
    many = n_weights >= MOST_WEIGHTS_PER_TARGET * n_targets
    overfits = many or n_weights > n_targets and exam.explained >= 0.9999
    anew, tried = np.nan, not network.solver.stochastic and exam.n_rows >= LEAST_ROWS
    if tried and not worse:
        anew = explained_anew(exam, n_starts=1)
        overfits = anew < exam.explained - MOST_LOSS_OF_R2
    if not (overfits or worse):
        return
    sentence = f"The network has {n_weights} weights for {n_targets} targets"
    if worse:
        rise = f"from {np.nanmin(validation):.3g} to {validation[-1]:.3g}"
        sentence += f", and the validation loss rose {rise}"
    sentence += ": it can overfit."
    if np.isfinite(anew):
        sentence += (
            f" {network.score_name} is {format_r2(exam.explained)}, and of a copy, on held-out "
            f"rows, {format_r2(anew)}."
        )
    if network.loss.least_squares:
        sentence += " The evidence estimates how many of its weights the data determine."
        remedy = {"solver": "lm", "alpha": "auto"}
    else:
        sentence += " A larger penalty makes its predictions smoother."
        remedy = {"alpha": 100 * network.penalty + 1.0}
    severity = WARNING if worse or np.isfinite(anew) else INFO
    yield make_finding(network, "more_weights_than_data", severity, sentence, **remedy)


def _overfitted_by_evidence(exam):
    """Find that the evidence mistook noise for a pattern."""
    network, errors = exam.network, exam.network.errors
    anew = np.nan if errors is None else 1.0 - errors.network.mean()
    determined = network.column("n_effective_parameters")
    many_inputs = 2 * network.architecture.units[0] > network.y.shape[0]
    many = len(determined) and determined[-1] > MOST_DETERMINED * network.y.size
    if many_inputs and many and exam.n_rows >= LEAST_ROWS:  # leave-one-out errors are too small
        anew = explained_anew(exam)
    if not anew < exam.explained - MOST_LOSS_OF_R2:
        return
    sentence = (
        f"The network may have overfitted: R² is {format_r2(exam.explained)} on its own rows, and "
        f"{format_r2(anew)} on held-out rows."
    )
    remedy = "fewer inputs, more rows, or TinyMLPEnsembleRegressor, which uses out-of-fold errors"
    yield Finding("more_weights_than_data", WARNING, sentence, {}, remedy)


def penalty_too_large(exam):
    """Find a penalty set to a number that prevents a good fit, and a smaller one that does not."""
    alpha = exam.network.params.get("alpha")
    if exam.network.uses_evidence:
        if isinstance(alpha, str):
            return
        exam = exam.replaced(penalty=float(alpha), uses_evidence=False)  # the least penalty
    network, unit = exam.network, exam.weight_sum * exam.constant_loss
    strength = 0.5 * network.penalty / max(unit, 1e-300)
    if not strength > LEAST_PENALTY or exam.explained > 0.9:
        return
    candidates = [2.0 * share * unit for share in TRIED_PENALTIES if 3.0 * share < strength]
    shares = [explained_anew(exam, penalty=candidate) for candidate in candidates]
    best = np.nanmax(shares, initial=-np.inf)
    now = max(explained_anew(exam), exam.explained)
    if not np.isfinite(best - now) or best < now + max(0.1, 0.2 * (1.0 - now)):
        return
    sufficient = [share >= best - 0.02 * abs(best - now) for share in shares]
    alpha = float(f"{candidates[sufficient.index(True)]:.0e}")
    of_loss = 1.0 - exam.loss / exam.objective if exam.objective > 0 else 0.0
    largest = max(float(np.abs(coef).max()) for coef in exam.coefs)
    rows = "held-out rows" if exam.n_rows >= LEAST_ROWS else "the rows"
    sentence = (
        f"alpha={network.penalty:g} is too strong: no coef is larger than {largest:.2g}, the "
        f"penalty is {of_loss:.0%} of the loss, and {network.score_name} is "
        f"{format_r2(exam.explained)}. A copy trained with alpha={alpha:g} explains {best:.0%} "
        f"of y on {rows}."
    )
    severity = ERROR if exam.explained <= 0.01 else WARNING
    yield make_finding(network, "penalty_too_large", severity, sentence, alpha=alpha)

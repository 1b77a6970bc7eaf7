"""Causes: a pattern that the network misses, in all of its outputs or in some."""

import numpy as np

from .finding import ERROR, INFO, WARNING, Finding, format_r2, make_finding
from .remedies import how_starts_ended, next_remedy, starts_to_try

# Of the residuals' variance a smoother must predict this share, in rows left out, and so much of
# the variance of y: what is less a good penalty may have smoothed away.
SHARE_OF_RESIDUALS, SHARE_OF_TARGET = 0.15, 0.03

# From this share of the variance of y on it is a warning.
SERIOUS = 0.1


def missed_pattern(exam):
    """Find residuals that follow the inputs: the network is too small, or ended in a poor place."""
    network = exam.network
    # Where a goal was missed in a minimum, `local_minimum` names it while other starts are left.
    in_a_minimum = exam.missed_loss_tol and exam.gain < 0.01 and starts_to_try(exam)
    if exam.explained <= 0.01 or in_a_minimum:
        return
    missed = outputs_missed(exam)
    if not missed.any():
        return
    remedy, why = next_remedy(exam)
    seen = exam.pattern.shares[missed]
    subject, r2 = "The network", exam.explained
    if len(missed) > 1 and not missed.all():
        subject, r2 = f"{name_outputs(missed)}: the network", exam.explained_by_output[missed].min()
    sentences = (
        f"{subject} misses a pattern: {network.score_name} is {format_r2(r2)}, and a smooth "
        f"curve predicts {seen.max():.0%} of what is left, in rows it has not seen.",
        how_starts_ended(exam),
        why,
    )
    serious = (exam.pattern.shares * (1.0 - exam.explained_by_output))[missed].max() >= SERIOUS
    severity = WARNING if serious else INFO
    yield make_finding(
        network, "missed_pattern", severity, " ".join(filter(None, sentences)), **remedy
    )


def outputs_missed(exam) -> np.ndarray:
    """Say of which outputs the residuals follow the inputs by more than chance, and enough."""
    shares, left = exam.pattern.shares, 1.0 - exam.explained_by_output
    with np.errstate(invalid="ignore"):
        return (shares >= SHARE_OF_RESIDUALS) & (shares * left >= SHARE_OF_TARGET)


def falls_short(exam) -> bool:
    """Whether training did not end where it should, or left a pattern in the residuals."""
    if exam.failed or outputs_missed(exam).any():
        return True
    return bool(np.isnan(exam.pattern.shares).any() and exam.explained < 0.95)


def name_outputs(which) -> str:
    """Name the outputs of a mask by number."""
    numbers = [str(k) for k in np.flatnonzero(which)]
    if len(numbers) == 1:
        return f"Output {numbers[0]}"
    more = f" and {len(numbers) - 5} more" if len(numbers) > 5 else f" and {numbers.pop()}"
    return f"Outputs {', '.join(numbers[:5])}{more}"


def constant_name(loss) -> str:
    """Name the prediction that learns nothing."""
    return "the mean of y" if loss.least_squares else "the best constant"


def no_better_than_mean(exam):
    """Find that a constant would predict as well."""
    network = exam.network
    if exam.explained > 0.01:
        return
    constant = constant_name(network.loss)
    sentence = (
        f"The network predicts no better than {constant}: {network.score_name} is "
        f"{format_r2(exam.explained)}."
    )
    if any(finding.severity != INFO for finding in exam.found):  # which say why
        yield make_finding(
            network, "no_better_than_mean", ERROR, sentence, **_another_method(network)
        )
        return
    shares = exam.pattern.shares
    if np.nanmax(shares, initial=0.0) > 0.0 or np.isnan(shares).any():
        remedy, why = next_remedy(exam)
        if np.isfinite(shares).all():
            why = f"A smooth curve predicts {shares.max():.0%} of y in rows it has not seen. {why}"
        sentences = filter(None, (sentence, how_starts_ended(exam), why.strip()))
        severity = WARNING if network.by_evidence and np.isnan(shares).any() else ERROR
        yield make_finding(network, "no_better_than_mean", severity, " ".join(sentences), **remedy)
        return
    sentence += (
        " A smooth curve does no better in rows it has not seen: X may tell nothing about y."
    )
    severity = INFO if network.by_evidence else WARNING
    yield Finding("no_better_than_mean", severity, sentence, {}, "other inputs, or more rows")


def _another_method(network) -> dict:
    if not network.loss.least_squares:
        return {"solver": "lbfgs", "standardize": True}
    return {"n_init": 10} if network.solver.least_squares else {"solver": "lm"}


def uneven_outputs(exam):
    """Find outputs that the loss hardly sees, because others are so much larger."""
    network = exam.network
    if network.standardized or network.activations[-1] != "identity" or exam.y.shape[1] < 2:
        return
    std, by_output = exam.y.std(axis=0), exam.explained_by_output
    lost = (std > 0) & (std < 0.1 * std.max()) & (by_output < 0.5)
    if not lost.any() or not by_output[std.argmax()] > by_output[lost].min() + 0.3:
        return
    k = int(np.argmin(np.where(lost, by_output, np.inf)))
    yield make_finding(
        network,
        "uneven_outputs",
        WARNING,
        f"{name_outputs(lost)}: {network.score_name} is {format_r2(by_output[k])}, against "
        f"{format_r2(by_output[std.argmax()])} of output {std.argmax()}. Its standard deviation is "
        f"{std[k]:.3g} against {std.max():.3g}, so the loss hardly sees it.",
        standardize=True,
    )

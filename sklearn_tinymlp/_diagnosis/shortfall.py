"""Causes: a pattern that the network misses, or predictions no better than a constant."""

import numpy as np

from .columns import outputs_text
from .finding import ERROR, INFO, WARNING, Finding, format_r2, make_finding
from .remedies import LEAST_ROWS, how_starts_ended, next_remedy, starts_to_try

# Minimum shares of the variance of the residuals, and of y, that a smoother must predict for a
# pattern to count as missed; a good penalty may smooth away less.
LEAST_SHARE_OF_RESIDUALS, LEAST_SHARE_OF_TARGET = 0.15, 0.03

# The finding is a warning from this share of the variance of y on.
SERIOUS_SHARE_OF_TARGET = 0.1


def missed_pattern(exam):
    """Find residuals that depend on the inputs: a small network, or a poor minimum."""
    network = exam.network
    # If training missed loss_tol and ended in a minimum, `local_minimum` advises more starts.
    in_a_minimum = exam.missed_loss_tol and exam.gain < 0.01 and starts_to_try(exam)
    if exam.explained <= 0.01 or in_a_minimum:
        return
    missed = outputs_missed(exam)
    if not missed.any():
        return
    remedy, why = next_remedy(exam)
    subject, r2 = "The network", exam.explained
    if len(missed) > 1 and not missed.all():
        subject = f"{outputs_text(missed)}: the network"
        r2 = exam.explained_by_output[missed].min()
    sentence = (
        f"{subject} misses a pattern: {network.score_name} is {format_r2(r2)}, and kernel ridge "
        f"regression predicts {exam.pattern[missed].max():.0%} of the residuals in leave-one-out "
        "validation."
    )
    text = " ".join(filter(None, (sentence, how_starts_ended(exam), why)))
    of_target = (exam.pattern * (1.0 - exam.explained_by_output))[missed].max()
    severity = WARNING if of_target >= SERIOUS_SHARE_OF_TARGET else INFO
    yield _advised(network, "missed_pattern", severity, text, remedy)


def _advised(network, code, severity, text, remedy) -> Finding:
    """Return a finding; without parameters where no trial was better on held-out rows."""
    if remedy:
        return make_finding(network, code, severity, text, **remedy)
    other = "another regressor: new starts and more units are no better on held-out rows"
    if len(network.y) < LEAST_ROWS:
        other = "more rows"
    return Finding(code, severity, text, {}, other)


def outputs_missed(exam) -> np.ndarray:
    """Return the mask of outputs whose residuals depend on the inputs, beyond chance."""
    of_target = exam.pattern * (1.0 - exam.explained_by_output)
    with np.errstate(invalid="ignore"):
        enough = exam.pattern >= LEAST_SHARE_OF_RESIDUALS
        return enough & (of_target >= LEAST_SHARE_OF_TARGET)


def falls_short(exam) -> bool:
    """Whether training failed, or left a pattern in the residuals."""
    if exam.failed or outputs_missed(exam).any():
        return True
    return bool(np.isnan(exam.pattern).any() and exam.explained < 0.95)


def constant_name(loss) -> str:
    """Return the name of the best constant prediction."""
    return "the mean of y" if loss.least_squares else "the best constant"


def no_better_than_mean(exam):
    """Find that a constant would predict equally well."""
    if exam.explained > 0.01:
        return
    network, code = exam.network, "no_better_than_mean"
    sentence = (
        f"The network predicts no better than {constant_name(network.loss)}: {network.score_name} "
        f"is {format_r2(exam.explained)}."
    )
    serious = [finding for finding in exam.found if finding.severity != INFO]
    if serious:  # its cause
        yield serious[0]._replace(code=code, severity=ERROR, sentence=sentence)
        return
    largest, unknown = np.nanmax(exam.pattern, initial=0.0), np.isnan(exam.pattern).any()
    if largest == 0.0 and not unknown:
        if any(finding.code == "outlying_rows" for finding in exam.found):
            return  # beside these no curve is better
        sentence += " Nor does kernel ridge regression, leave-one-out: y may not depend on X."
        severity = INFO if network.uses_evidence else WARNING
        yield Finding(code, severity, sentence, {}, "other inputs, or more rows")
        return
    remedy, why = next_remedy(exam)
    if not unknown:
        other = f"Kernel ridge regression predicts {largest:.0%} of y in leave-one-out validation."
        why = f"{other} {why}".strip()
    text = " ".join(filter(None, (sentence, how_starts_ended(exam), why)))
    severity = WARNING if network.uses_evidence and unknown else ERROR
    yield _advised(network, code, severity, text, remedy)

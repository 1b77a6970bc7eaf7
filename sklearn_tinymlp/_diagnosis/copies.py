"""Causes: rows that are copies of one another."""

import numpy as np
from scipy import sparse

from .finding import INFO, Finding

# Of fewer copies the band is too narrow by less than a twentieth.
WORTH_KNOWING = 0.1

# Data of few different values have equal rows that are no copies.
FEW_VALUES = 20


def copied_rows(exam):
    """Find rows that are there more than once, target and all, where the evidence counts rows."""
    network = exam.network
    if not network.by_evidence or sparse.issparse(network.X):
        return
    rows = np.column_stack([exam.X, exam.y])
    if len(np.unique(exam.y)) <= FEW_VALUES:
        return
    share = 1.0 - len(np.unique(rows, axis=0)) / len(rows)
    if share < WORTH_KNOWING:
        return
    sentence = (
        f"{share:.0%} of the rows are copies of others, as in a bootstrap sample. The evidence "
        "takes each for a new observation: the penalty is too weak, and the band too narrow."
    )
    yield Finding(
        "copied_rows", INFO, sentence, {}, "fitting on each row once, X, y without the copies"
    )

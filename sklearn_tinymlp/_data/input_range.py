"""Range of each input, and size of each row."""

from typing import NamedTuple

import numpy as np
from scipy import sparse


class InputRange(NamedTuple):
    """Minimum and maximum of each feature in training, arrays of shape (n_features,)."""

    least: np.ndarray
    greatest: np.ndarray

    @classmethod
    def of(cls, X) -> "InputRange":
        """Compute the range of dense or sparse inputs."""
        if sparse.issparse(X):
            return cls(X.min(axis=0).toarray().ravel(), X.max(axis=0).toarray().ravel())
        return cls(X.min(axis=0), X.max(axis=0))

    def joined(self, other: "InputRange") -> "InputRange":
        """Return the range of both."""
        return InputRange(
            np.minimum(self.least, other.least), np.maximum(self.greatest, other.greatest)
        )


def square_norms(rows) -> np.ndarray:
    """Sum the squares of each row of a dense or sparse matrix."""
    if sparse.issparse(rows):
        return np.asarray(rows.multiply(rows).sum(axis=1)).ravel()
    return np.einsum("ij,ij->i", rows, rows)

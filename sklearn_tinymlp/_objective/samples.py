"""`Samples`: rows of inputs, targets and weights, and their division into blocks."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy import sparse

from .._machine.caching import cached_property

# Maximum number of bytes of inputs whose transposed copy is kept. Larger inputs are transposed
# block by block, and sparse inputs are made dense block by block.
LARGEST_COPY = 2**24


class Block(NamedTuple):
    """Some rows in float64; rows are the last axis."""

    rows: slice
    x: np.ndarray  # (n_inputs, n_rows)
    y: np.ndarray  # (n_outputs, n_rows)
    weight: np.ndarray | None  # (n_rows,) or (n_outputs, n_rows); None for 1
    root: np.ndarray | None  # its square root


@dataclass(frozen=True)
class Samples:
    """Inputs, targets of shape (n_samples, n_outputs) and weights."""

    X: np.ndarray  # dense in C order, or CSR
    y: np.ndarray
    weight: np.ndarray | None  # (n_samples,); None for 1
    weight_sum: float
    curvature: np.ndarray | None = None  # (n_samples, n_outputs) further factors, see `_bayes.irls`

    @classmethod
    def of(cls, X, y, sample_weight=None) -> "Samples":
        """Wrap validated arrays of one floating dtype."""
        if sample_weight is None:
            return cls(X, y, None, float(len(y)))
        weight = np.ascontiguousarray(sample_weight, dtype=X.dtype)
        return cls(X, y, weight, float(weight.sum(dtype=np.float64)))

    @property
    def n_samples(self) -> int:
        """Number of rows."""
        return len(self.y)

    def on_rows(self, rows) -> "Samples":
        """Return a subset of the rows."""
        weight, curvature = (
            None if factor is None else factor[rows] for factor in (self.weight, self.curvature)
        )
        return replace(Samples.of(self.X[rows], self.y[rows], weight), curvature=curvature)

    def blocks(self, n_rows: int, between: Callable | None = None) -> Iterator[Block]:
        """Yield all rows, `n_rows` at a time; `between` is called before each block."""
        blocks = self._kept_blocks.get(n_rows)
        if blocks is None:
            blocks = self._made(n_rows)
            if not sparse.issparse(self.X) and 8 * self.X.size <= LARGEST_COPY:
                blocks = self._kept_blocks[n_rows] = list(blocks)
        for block in blocks:
            if between is not None:
                between()
            yield block

    @cached_property
    def _kept_blocks(self) -> dict[int, list[Block]]:
        return {}

    def _made(self, n_rows) -> Iterator[Block]:
        for start in range(0, self.n_samples, n_rows):
            rows = slice(start, min(start + n_rows, self.n_samples))
            x = self.X[rows]
            x = x.toarray() if sparse.issparse(x) else x
            weight = self._weight_of(rows)
            yield Block(
                rows,
                np.ascontiguousarray(x.T, dtype=np.float64),
                np.ascontiguousarray(self.y[rows].T, dtype=np.float64),
                weight,
                None if weight is None else np.sqrt(weight),
            )

    def _weight_of(self, rows) -> np.ndarray | None:
        weight = None if self.weight is None else self.weight[rows].astype(np.float64)
        if self.curvature is None:
            return weight
        curvature = np.ascontiguousarray(self.curvature[rows].T)
        return curvature if weight is None else weight * curvature

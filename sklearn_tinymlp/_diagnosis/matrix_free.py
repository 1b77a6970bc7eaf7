"""Largest eigenvalue and solution of a system by products with a matrix."""

import math

import numpy as np

# Lanczos steps: the largest eigenvalue is then exact for as many parameters, and within a percent
# for all networks tried. Their basis takes LANCZOS_ENTRIES numbers at most, or eight vectors.
LANCZOS_STEPS, LANCZOS_ENTRIES = 25, 4_000_000


def largest_eigenvalue(multiply, size) -> float:
    """Largest eigenvalue of a positive semidefinite matrix, by Lanczos with full orthogonalising.

    NaN where products with the matrix overflow, as they do after a fit that diverged.

    A loop of its own, because `scipy.sparse.linalg.eigsh` takes no matrix of one row, raises an
    error for a matrix of zeros, prints messages of LAPACK where a product is NaN, and is no faster
    for the networks of this package (4 parameters: 130 against 110 us; 400: 380 against 480 us).

    Reference: G. Golub and C. Van Loan, "Matrix Computations", section 10.1.
    """
    vector = np.random.RandomState(0).standard_normal(size)
    basis = [vector / np.linalg.norm(vector)]
    diagonal, off_diagonal = [], []
    for _ in range(min(size, LANCZOS_STEPS, max(8, LANCZOS_ENTRIES // size))):
        image = multiply(basis[-1])
        diagonal.append(image @ basis[-1])
        span = np.array(basis)
        image = image - span.T @ (span @ image)
        image -= span.T @ (span @ image)
        norm = np.linalg.norm(image)
        if norm <= 1e-12 * max(abs(diagonal[0]), 1e-300):
            break
        off_diagonal.append(norm)
        basis.append(image / norm)
    n = len(diagonal)
    tridiagonal = np.diag(diagonal) + sum(np.diag(off_diagonal[: n - 1], k) for k in (-1, 1))
    if not np.isfinite(tridiagonal).all():
        return math.nan
    return float(np.linalg.eigvalsh(tridiagonal)[-1])


def conjugate_gradients(multiply, right, n_steps) -> np.ndarray:
    """Solve a positive semidefinite system approximately.

    A loop of its own, because `scipy.sparse.linalg.cg` gives NaN along a direction that the matrix
    sends to zero, and its set-up is a burden to small networks (6 units and 40 rows: 270 us with
    it and 230 us without for `Examination.gain`).

    Reference: M. Hestenes and E. Stiefel, "Methods of conjugate gradients for solving linear
    systems", Journal of Research of the National Bureau of Standards 49, 1952.
    """
    solution, residual = np.zeros_like(right), right.copy()
    direction, square = residual.copy(), residual @ residual
    rounding = 1e-24 * square  # the rest of a solved system is no direction
    for _ in range(n_steps):
        if square <= rounding:
            break
        image = multiply(direction)
        bend = direction @ image
        if not bend > 1e-300:
            break
        solution += square / bend * direction
        residual -= square / bend * image
        earlier, square = square, residual @ residual
        direction = residual + square / earlier * direction
    return solution

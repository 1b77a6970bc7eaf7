"""Levenberg-Marquardt and the evidence where residuals are fewer than parameters.

With all residuals stacked, R of them, r of precision B = diag(beta) and the Jacobian J of shape
(R, P), A = J^T B J + diag(alpha). For D = diag(alpha) + mu and the R x R matrix

    M = B^-1 + J D^-1 J^T

the matrix inversion lemma gives what `evidence` gets from A, at the cost of R^2 P instead of P^3:

    step = -theta' - D^-1 J^T M^-1 (r - J theta'),    theta' = D^-1 diag(alpha) theta
    log det A = sum log alpha + sum log beta + log det M                      (mu = 0)
    gamma_p = j_p^T M^-1 j_p / alpha_p,    1 - [M^-1]_rr / beta_r for each residual    (mu = 0)

None of these takes the difference of large numbers. The functions have the arguments of their
counterparts in `evidence`, but `picture` is J^T, of shape (n_parameters, n_residuals), `residuals`
holds all of them, output by output, and `factor` is n_residuals^2 and a vector.
"""

import math

from .._engine.linear_algebra import add_gram_matrix, cholesky, cholesky_inverse, cholesky_solve
from .._machine.compilation import c_function, carray, once, part, unsigned
from .evidence import re_estimate

one, two, three = unsigned(1), unsigned(2), unsigned(3)


def assemble(
    theta,
    groups,
    errors,
    gradients,
    picture,
    hyper,
    gradient,
    matrix,
    n_parameters,
    n_groups,
    n_outputs,
    n_residuals,
):
    """Write to `gradient` that of S, then S, the gradient's largest entry and the trace of A."""
    theta, groups = carray(theta, n_parameters), carray(groups, n_parameters)
    errors, gradients = carray(errors, n_outputs), carray(gradients, n_outputs * n_parameters)
    picture = carray(picture, n_parameters * n_residuals)
    hyper, gradient = carray(hyper, n_groups + n_outputs), carray(gradient, n_parameters + three)
    n_rows = n_residuals // n_outputs
    value, largest, trace = 0.0, 0.0, 0.0
    for i in range(n_parameters):
        alpha = hyper[unsigned(groups[i])]
        gradient[i] = alpha * theta[i]
        value += 0.5 * alpha * theta[i] * theta[i]
        trace += alpha
    for k in range(n_outputs):
        beta, row = hyper[n_groups + k], k * n_parameters
        value += beta * errors[k]
        squares = 0.0
        for i in range(n_parameters):
            gradient[i] += beta * gradients[row + i]
            place = i * n_residuals + k * n_rows
            for r in range(n_rows):
                squares += picture[place + r] * picture[place + r]
        trace += beta * squares
    for i in range(n_parameters):
        largest = max(largest, abs(gradient[i]))
    gradient[n_parameters], gradient[n_parameters + one] = value, largest
    gradient[n_parameters + two] = trace


@part
def form(groups, picture, hyper, matrix, factor, mu, n_groups, n_outputs, n_residuals, syrk):
    """Write M to `factor`; `matrix` is scratch of the size of `picture`."""
    n_rows = n_residuals // n_outputs
    for i in range(unsigned(groups.size)):
        scale = 1.0 / math.sqrt(hyper[unsigned(groups[i])] + mu)
        place = i * n_residuals
        for r in range(n_residuals):
            matrix[place + r] = scale * picture[place + r]
    for ij in range(n_residuals * n_residuals):
        factor[ij] = 0.0
    for k in range(n_outputs):
        for r in range(k * n_rows, (k + one) * n_rows):
            factor[r * n_residuals + r] = 1.0 / hyper[n_groups + k]
    add_gram_matrix(syrk, matrix, unsigned(groups.size), n_residuals, factor)


def solve(
    theta,
    groups,
    picture,
    residuals,
    hyper,
    gradient,
    matrix,
    factor,
    step,
    numbers,
    n_parameters,
    n_groups,
    n_outputs,
    n_residuals,
    syrk,
    potrf,
    potrs,
    potri,
):
    """Solve for the step, see `evidence.solve`."""
    size = n_parameters * n_residuals
    theta, groups = carray(theta, n_parameters), carray(groups, n_parameters)
    picture, matrix = carray(picture, size), carray(matrix, size)
    residuals, hyper = carray(residuals, n_residuals), carray(hyper, n_groups + n_outputs)
    gradient, step = carray(gradient, n_parameters), carray(step, n_parameters)
    factor = carray(factor, n_residuals * n_residuals + n_residuals)
    numbers = carray(numbers, one)
    mu = numbers[0]
    numbers[0] = -1.0
    form(groups, picture, hyper, matrix, factor, mu, n_groups, n_outputs, n_residuals, syrk)
    if cholesky(potrf, factor, n_residuals):
        vector = factor[n_residuals * n_residuals :]
        for r in range(n_residuals):
            vector[r] = residuals[r]
        for i in range(n_parameters):
            alpha = hyper[unsigned(groups[i])]
            shrunk = alpha / (alpha + mu) * theta[i]
            step[i] = -shrunk
            place = i * n_residuals
            for r in range(n_residuals):
                vector[r] -= picture[place + r] * shrunk
        cholesky_solve(potrs, factor, n_residuals, vector)
        predicted = 0.0
        for i in range(n_parameters):
            place = i * n_residuals
            product = 0.0
            for r in range(n_residuals):
                product += picture[place + r] * vector[r]
            step[i] -= product / (hyper[unsigned(groups[i])] + mu)
            predicted += 0.5 * step[i] * (mu * step[i] - gradient[i])
        numbers[0] = predicted


def evaluate(
    theta,
    groups,
    errors,
    picture,
    hyper,
    matrix,
    factor,
    result,
    n_parameters,
    n_groups,
    n_outputs,
    n_residuals,
    syrk,
    potrf,
    potrs,
    potri,
):
    """Evaluate and re-estimate, see `evidence.evaluate`."""
    size = n_parameters * n_residuals
    theta, groups = carray(theta, n_parameters), carray(groups, n_parameters)
    errors, picture = carray(errors, n_outputs), carray(picture, size)
    matrix, factor = carray(matrix, size), carray(factor, n_residuals * n_residuals)
    hyper = carray(hyper, n_groups + n_outputs + two)
    result = carray(result, one + n_groups + n_groups + n_outputs)
    gamma, next_beta = one, one + n_groups + n_groups
    n_rows = n_residuals // n_outputs
    for i in range(one + n_groups + n_groups + n_outputs):
        result[i] = 0.0
    form(groups, picture, hyper, matrix, factor, 0.0, n_groups, n_outputs, n_residuals, syrk)
    if not cholesky(potrf, factor, n_residuals):
        result[0] = math.nan
        return

    total = 0.0
    for r in range(n_residuals):
        total -= math.log(factor[r * n_residuals + r])
        total -= 0.5 * math.log(hyper[n_groups + r // n_rows])
    result[0] = total
    cholesky_inverse(potri, factor, n_residuals)
    for i in range(n_parameters):  # rows of `matrix` are j_p / sqrt(alpha_p)
        place = i * n_residuals
        determined = 0.0
        for r in range(n_residuals):
            row = r * n_residuals
            product = 0.5 * factor[row + r] * matrix[place + r]
            for c in range(r + one, n_residuals):
                product += factor[row + c] * matrix[place + c]
            determined += 2.0 * product * matrix[place + r]
        result[gamma + unsigned(groups[i])] += min(max(determined, 0.0), 1.0)
    for k in range(n_outputs):
        determined = 0.0
        for r in range(k * n_rows, (k + one) * n_rows):
            determined += 1.0 - factor[r * n_residuals + r] / hyper[n_groups + k]
        result[next_beta + k] = determined
    re_estimate(theta, groups, errors, hyper, result, n_parameters, n_groups, n_outputs)


@once
def compiled():
    """Compile `assemble`, `solve` and `evaluate`."""
    shapes = ((assemble, 8, 4), (solve, 10, 8), (evaluate, 8, 8))
    return [c_function(*shape, "float64") for shape in shapes]

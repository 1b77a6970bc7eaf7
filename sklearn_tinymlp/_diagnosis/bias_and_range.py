"""Causes: an intercept is needed, or targets lie outside the output's range."""

import numpy as np
from scipy import sparse
from scipy.special import fdtrc

from .feasibility import (
    CHANCE,
    intercept_sentence,
    needs_intercept,
    range_sentence,
    targets_out_of_range,
)
from .finding import ERROR, _finding

# Numbers of the Jacobian of a network without bias, which alone is written out.
MOST_ENTRIES = 2_000_000


def _output_range(look):
    fit = look.fit
    obstacle = targets_out_of_range(
        fit.y, fit.sample_weight, fit.activations[-1], fit.params.get("loss_tol")
    )
    if obstacle:
        sentence = range_sentence(obstacle, fit.y, fit.activations[-1])
        yield _finding(fit, "output_range", ERROR, sentence, output_activation="identity")


def _no_bias(look):
    """Prove it from the data, or see what one Gauss-Newton step with intercepts would do."""
    fit = look.fit
    if fit.architecture.bias:
        return
    obstacle = needs_intercept(fit.X, fit.y, fit.sample_weight, fit.activations)
    if obstacle:
        obstacle = obstacle._replace(floor=obstacle.floor * fit.loss_unit)
        yield _finding(fit, "no_bias", ERROR, intercept_sentence(obstacle), bias=True)
        return
    if fit.loss != "squared_error" or look.explained > 0.99:
        return
    without, within, n_more, n_free = _with_intercepts(look)
    chance = 1.0  # as many weights as rows fit anything
    if n_free > 0:
        statistic = (without - within) / max(n_more, 1) / max(within / n_free, 1e-300)
        chance = fdtrc(max(n_more, 1), n_free, statistic)
    if without > 0.02 * look.null and within < 0.5 * without and chance < CHANCE:
        yield _finding(
            fit,
            "no_bias",
            ERROR,
            f"bias=False: the loss is {look.data * fit.loss_unit:.4g}, a Gauss-Newton step brings "
            f"it to {without * fit.loss_unit:.4g}, and one with intercepts to "
            f"{max(within, 1e-9 * look.null) * fit.loss_unit:.1g} or less.",
            bias=True,
        )


def _with_intercepts(look):
    """Linearise: the best loss without and with intercepts, how many these are, rows left over."""
    fit = look.fit
    widest = fit.theta.size + sum(fit.architecture.units[1:])
    n_outputs = look.y.shape[1]
    rows = np.linspace(
        0, look.n_rows - 1, min(look.n_rows, max(64, MOST_ENTRIES // (widest * n_outputs)))
    ).astype(np.intp)
    root = np.sqrt(look.weight[rows] / look.weight[rows].sum() / (2 * n_outputs))
    blocks, residuals = [], []
    for k in range(n_outputs):
        by_output = np.zeros((len(rows), n_outputs))
        by_output[:, k] = 1.0
        columns, intercepts = [], []
        for layer in range(len(look.coefs) - 1, -1, -1):
            delta = by_output * look.slopes[layer][rows]
            value = look.values[layer][rows]
            value = value.toarray() if sparse.issparse(value) else value
            columns.append(np.einsum("ri,rj->rij", value, delta).reshape(len(rows), -1))
            intercepts.append(delta)
            by_output = delta @ look.coefs[layer].T
        blocks.append(root * np.hstack([*columns, *intercepts]))
        residuals.append(root[:, 0] * (look.y[rows, k] - look.predictions[rows, k]))
    J, residual = np.vstack(blocks), np.concatenate(residuals)
    n_coefs = fit.architecture.n_coefs
    left, ranks = [], []
    for part in (J[:, :n_coefs], J):
        solution, _, rank, _ = np.linalg.lstsq(part, residual, rcond=1e-10)
        left.append(float(((residual - part @ solution) ** 2).sum()))
        ranks.append(int(rank))
    return *left, ranks[1] - ranks[0], len(residual) - ranks[1]

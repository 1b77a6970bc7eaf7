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
from .finding import ERROR, make_finding

# Most numbers of a Jacobian; that of a network without bias is the only one written out.
MOST_ENTRIES = 2_000_000


def output_range(exam):
    """Prove from the data that the output activation cannot give the targets."""
    network = exam.network
    activation, loss = network.activations[-1], network.loss
    obstacle = targets_out_of_range(
        network.y, network.sample_weight, activation, loss, network.params.get("loss_tol")
    )
    if obstacle:
        sentence = range_sentence(obstacle, network.y, activation)
        remedy = {"output_activation": loss.output_activation}
        yield make_finding(network, "output_range", ERROR, sentence, **remedy)


def no_bias(exam):
    """Prove from the data that an intercept is needed, or try a Gauss-Newton step with some."""
    network = exam.network
    if network.architecture.bias:
        return
    unit = network.loss_unit
    obstacle = needs_intercept(*network.data, network.activations, network.loss)
    if obstacle:
        obstacle = obstacle._replace(floor=obstacle.floor * unit)
        yield make_finding(network, "no_bias", ERROR, intercept_sentence(obstacle), bias=True)
        return
    if not network.loss.least_squares or exam.explained > 0.99:
        return
    without, within, n_more, n_free = _with_intercepts(exam)
    chance = 1.0  # as many weights as rows fit anything
    if n_free > 0:
        statistic = (without - within) / max(n_more, 1) / max(within / n_free, 1e-300)
        chance = fdtrc(max(n_more, 1), n_free, statistic)
    if without > 0.02 * exam.constant_loss and within < 0.5 * without and chance < CHANCE:
        yield make_finding(
            network,
            "no_bias",
            ERROR,
            f"bias=False: the loss is {exam.loss * unit:.4g}, one more step brings it to "
            f"{without * unit:.4g}, and a step with intercepts to "
            f"{max(within, 1e-9 * exam.constant_loss) * unit:.1g} or less.",
            bias=True,
        )


def _with_intercepts(exam):
    """Linearise: the best loss without and with intercepts, how many these are, rows left over."""
    network = exam.network
    widest = network.theta.size + sum(network.architecture.units[1:])
    n_outputs = exam.y.shape[1]
    rows = np.linspace(
        0, exam.n_rows - 1, min(exam.n_rows, max(64, MOST_ENTRIES // (widest * n_outputs)))
    ).astype(np.intp)
    root = np.sqrt(exam.weight[rows] / exam.weight[rows].sum() / (2 * n_outputs))
    blocks, residuals = [], []
    for k in range(n_outputs):
        by_output = np.zeros((len(rows), n_outputs))
        by_output[:, k] = 1.0
        columns, intercepts = [], []
        for layer in range(len(exam.coefs) - 1, -1, -1):
            delta = by_output * exam.slopes[layer][rows]
            value = exam.values[layer][rows]
            value = value.toarray() if sparse.issparse(value) else value
            columns.append(np.einsum("ri,rj->rij", value, delta).reshape(len(rows), -1))
            intercepts.append(delta)
            by_output = delta @ exam.coefs[layer].T
        blocks.append(root * np.hstack([*columns, *intercepts]))
        residuals.append(root[:, 0] * (exam.y[rows, k] - exam.predictions[rows, k]))
    J, residual = np.vstack(blocks), np.concatenate(residuals)
    n_coefs = network.architecture.n_coefs
    left, ranks = [], []
    for part in (J[:, :n_coefs], J):
        solution, _, rank, _ = np.linalg.lstsq(part, residual, rcond=1e-10)
        left.append(float(((residual - part @ solution) ** 2).sum()))
        ranks.append(int(rank))
    return *left, ranks[1] - ranks[0], len(residual) - ranks[1]

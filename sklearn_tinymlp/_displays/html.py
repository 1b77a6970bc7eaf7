"""What a notebook shows of what was trained, below the parameters: diagram, outcome, members."""

from html import escape

import numpy as np
from sklearn.utils._repr_html.estimator import _VisualBlock

from .._solvers.monitor import StopReason
from .diagram import NEGATIVE, POSITIVE, Diagram

# scikit-learn's block links to the page of each class under this address.

SENTENCES = {reason.code: reason.sentence for reason in StopReason}

# In pixels: between layers, between nodes, beside a name's every letter, around all.
COLUMN, ROW, LETTER, MARGIN = 160, 22, 7.2, 14


def diagram_svg(diagram: Diagram) -> str:
    """Draw a diagram as a self-contained <svg>; names and lines keep to the notebook's colours."""
    nodes, links, captions, most = diagram
    last = len(captions) - 1
    names = [[len(node.label) for node in nodes if node.x == x and node.label] for x in (0, last)]
    before, after = (MARGIN + LETTER * max(lengths, default=0) + 14 for lengths in names)
    width, height = before + last * COLUMN + after, most * ROW + 3 * MARGIN

    def place(x, y) -> tuple[float, float]:
        return before + x * COLUMN, MARGIN + (1.0 - y) * (most - 1) * ROW + ROW / 2

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" style="max-width:100%;height:auto" role="img" '
        f'font-family="sans-serif" font-size="12">',
        f"<title>Network of {', '.join(captions)}</title>",
    ]
    for link in links:
        (x1, y1), (x2, y2) = place(*link.start), place(*link.end)
        strength = abs(link.weight)
        dashes = ' stroke-dasharray="5 3"' if link.weight < 0 else ""
        parts.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
            f'stroke="{NEGATIVE if link.weight < 0 else POSITIVE}" '
            f'stroke-width="{0.3 + 2.4 * strength:.2f}" '
            f'opacity="{0.25 + 0.65 * strength**1.5:.2f}"{dashes}/>'
        )
    for node in nodes:
        x, y = place(node.x, node.y)
        grey = 255 if np.isnan(node.shade) else round(255 * (1.0 - 0.85 * node.shade))
        look = f'fill="rgb({grey},{grey},{grey})" stroke="#333"'
        if node.kind == "unit":
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="7" {look}/>')
        elif node.kind == "bias":
            parts.append(
                f'<rect x="{x - 6:.1f}" y="{y - 6:.1f}" width="12" height="12" {look}/>'
                f'<text x="{x:.1f}" y="{y + 3.5:.1f}" text-anchor="middle" font-size="10" '
                f'fill="#333">1</text>'
            )
        if node.kind == "bias" or not node.label:
            continue
        side, dx = {0: ("end", -12), last: ("start", 12)}.get(int(node.x), ("middle", 0))
        style = ' font-style="italic"' if node.kind == "rest" else ""
        parts.append(
            f'<text x="{x + dx:.1f}" y="{y + 4:.1f}" text-anchor="{side}" fill="currentColor"'
            f"{style}>{escape(node.label)}</text>"
        )
    for layer, caption in enumerate(captions):
        x, _ = place(layer, 0)
        parts.append(
            f'<text x="{x:.1f}" y="{height - MARGIN / 2:.1f}" text-anchor="middle" '
            f'fill="currentColor" opacity="0.7">{escape(caption)}</text>'
        )
    return "".join([*parts, "</svg>"])


def outcome_table(estimator) -> str:
    """Tabulate what is known of a fit without its data."""
    reason = SENTENCES.get(estimator.stop_reason_, "One epoch was done.")
    rows = {
        "solver_": estimator.solver_,
        "stop_reason_": f"{estimator.stop_reason_}: {reason}",
        "converged_": estimator.converged_,
        "n_iter_": estimator.n_iter_,
        "loss_": f"{estimator.loss_:.4g}",
        "n_parameters_": estimator.n_parameters_,
    }
    if estimator.best_validation_score_ is not None:
        rows["best_validation_score_"] = f"{estimator.best_validation_score_:.4g}"
    if estimator.log_evidence_ is not None:
        rows["n_effective_parameters_"] = f"{estimator.n_effective_parameters_:.4g}"
        rows["noise_std_"] = _noise(estimator)
        rows["log_evidence_"] = f"{estimator.log_evidence_:.5g}"
    n_starts = len(estimator.starts_["loss"])
    if n_starts > 1:
        losses = estimator.starts_["loss"]
        rows["starts_"] = f"{n_starts} starts, losses {losses.min():.4g} to {losses.max():.4g}"
    return _table(_row([value], name) for name, value in rows.items())


def _noise(estimator) -> str:
    std = estimator.noise_std_
    return "varies with X" if callable(std) else ", ".join(f"{s:.4g}" for s in np.ravel(std))


def _row(values, name) -> str:
    style = 'style="text-align:left;padding:1px 12px 1px 0"'
    cells = (f"<td {style}>{escape(str(value))}</td>" for value in values)
    return f"<tr><th {style}>{escape(name)}</th>{''.join(cells)}</tr>"


def _table(rows) -> str:
    return f'<table style="border:none;margin:4px 0">{"".join(rows)}</table>'


def trained_network(estimator, diagram: Diagram, title="Trained network") -> str:
    """Put diagram and outcome in a block that is closed until it is clicked on."""
    note = "Solid blue: positive; dashed orange: negative; wide: large within its layer."
    advice = ""
    if not estimator.converged_:
        advice = (
            "<p><code>diagnose(X, y)</code> says why it did not converge, and what mends it.</p>"
        )
    return (
        '<details class="sklearn-tinymlp-network" style="padding:0 .5rem .5rem">'
        f'<summary style="cursor:pointer">{title}</summary>'
        f"{diagram_svg(diagram)}"
        f'<p style="margin:2px 0;font-size:smaller">{note}</p>'
        f"{outcome_table(estimator)}{advice}</details>"
    )


def single_block(estimator) -> _VisualBlock:
    """Give the block of an estimator that holds a template, as if it held none.

    Of one that does scikit-learn shows the template alone where a search has found it.
    """
    name = type(estimator).__name__
    return _VisualBlock("single", estimator, names=name, name_details=str(estimator))


def trained_ensemble(ensemble, diagram: Diagram) -> str:
    """Put candidates, their weights, and the member of the greatest weight in a closed block."""
    results, members = ensemble.results_, ensemble.estimators_
    columns = ("activation", "n_folds", "n_refits", "error", "weight")
    rows = [_row(columns, "hidden_layer_sizes")]
    for k, shape in enumerate(results["hidden_layer_sizes"]):
        *counted, error, weight = (results[name][k] for name in columns)
        bar = "\u2588" * round(20 * weight)  # of full blocks, which need no style
        rows.append(_row([*counted, f"{error:.4g}", f"{weight:.3f} {bar}"], str(shape)))
    outcome = {
        "members": f"{len(members)}, of {ensemble.n_parameters_} parameters together",
        "out_of_fold_r2_": f"{ensemble.out_of_fold_r2_:.4g}",
        "noise_std_": _noise(ensemble),
    }
    heaviest = members[int(np.argmax(ensemble.weights_))]
    return (
        '<details class="sklearn-tinymlp-ensemble" style="padding:0 .5rem .5rem">'
        '<summary style="cursor:pointer">Trained ensemble</summary>'
        f"{_table(rows)}"
        '<p style="margin:2px 0;font-size:smaller">error: root mean squared error of rows left '
        "out, over the standard deviation of y.</p>"
        f"{_table(_row([value], name) for name, value in outcome.items())}"
        f"{trained_network(heaviest, diagram, 'Member of the greatest weight')}</details>"
    )

"""The HTML of a fitted estimator in a notebook: diagram, outcome of the fit, ensemble members."""

from html import escape

import numpy as np

from .._solvers.monitor import StopReason
from .base import NEGATIVE, POSITIVE
from .diagram import Diagram, diagram_of

SENTENCES = {reason.code: reason.sentence for reason in StopReason}

# Distances between layers and between nodes, width of a letter, margin, in pixels.
COLUMN, ROW, LETTER, MARGIN = 160, 22, 7.2, 14


def diagram_svg(diagram: Diagram) -> str:
    """Return a diagram as a self-contained <svg>; text has the colour of the notebook's."""
    nodes, links, captions, most = diagram
    last = len(captions) - 1
    names = [[len(node.label) for node in nodes if node.x == x and node.label] for x in (0, last)]
    left, right = (MARGIN + LETTER * max(lengths, default=0) + 14 for lengths in names)
    width, height = left + last * COLUMN + right, most * ROW + 3 * MARGIN

    def position(x, y) -> tuple[float, float]:
        return left + x * COLUMN, MARGIN + (1.0 - y) * (most - 1) * ROW + ROW / 2

    def text(x, y, anchor, content, style):
        start = f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" '
        return f"{start}{style}>{escape(content)}</text>"

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" style="max-width:100%;height:auto" role="img" '
        f'font-family="sans-serif" font-size="12">',
        f"<title>{escape('Network of ' + ', '.join(captions))}</title>",
    ]
    for link in links:
        (x1, y1), (x2, y2) = position(*link.start), position(*link.end)
        strength, negative = abs(link.weight), link.weight < 0
        dashes = ' stroke-dasharray="5 3"' if negative else ""
        parts.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
            f'stroke="{NEGATIVE if negative else POSITIVE}" '
            f'stroke-width="{0.3 + 2.4 * strength:.2f}" '
            f'opacity="{0.25 + 0.65 * strength**1.5:.2f}"'
            f"{dashes}/>"
        )
    for node in nodes:
        x, y = position(node.x, node.y)
        grey = 255 if np.isnan(node.shade) else round(255 * (1.0 - 0.85 * node.shade))
        look = f'fill="rgb({grey},{grey},{grey})" stroke="#333"'
        if node.kind == "bias":
            corner = f'x="{x - 6:.1f}" y="{y - 6:.1f}"'
            parts.append(f'<rect {corner} width="12" height="12" {look}/>')
            parts.append(text(x, y + 3.5, "middle", "1", 'font-size="10" fill="#333"'))
            continue
        if node.kind == "unit":
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="7" {look}/>')
        if node.label:
            anchor, dx = {0: ("end", -12), last: ("start", 12)}.get(int(node.x), ("middle", 0))
            italic = ' font-style="italic"' if node.kind == "rest" else ""
            style = f'fill="currentColor"{italic}'
            parts.append(text(x + dx, y + 4, anchor, node.label, style))
    for layer, caption in enumerate(captions):
        style = 'fill="currentColor" opacity="0.7"'
        parts.append(text(position(layer, 0)[0], height - MARGIN / 2, "middle", caption, style))
    return "".join([*parts, "</svg>"])


def outcome_table(estimator) -> str:
    """Tabulate the fitted attributes that describe the outcome of a fit."""
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
    losses = estimator.starts_["loss"]
    if len(losses) > 1:
        rows["starts_"] = f"{len(losses)} starts, losses {losses.min():.4g} to {losses.max():.4g}"
    return _table(_row(name, value) for name, value in rows.items())


def _noise(estimator) -> str:
    std = estimator.noise_std_
    return "varies with X" if callable(std) else ", ".join(f"{s:.4g}" for s in np.ravel(std))


def _row(name, *values) -> str:
    style = 'style="text-align:left;padding:1px 12px 1px 0"'
    cells = (f"<td {style}>{escape(str(value))}</td>" for value in values)
    return f"<tr><th {style}>{escape(name)}</th>{''.join(cells)}</tr>"


def _table(rows) -> str:
    return f'<table style="border:none;margin:4px 0">{"".join(rows)}</table>'


def _block(name, title, *parts) -> str:
    """Return a block that is closed until it is clicked on."""
    return (
        f'<details class="sklearn-tinymlp-{name}" style="padding:0 .5rem .5rem">'
        f'<summary style="cursor:pointer">{title}</summary>{"".join(parts)}</details>'
    )


def _note(text) -> str:
    return f'<p style="margin:2px 0;font-size:smaller">{text}</p>'


def trained_network(net, feature_names=None, title="Trained network") -> str:
    """Return the block of a fitted network: its diagram and the outcome of the fit."""
    note = _note("Solid blue: positive; dashed orange: negative; wide: large within its layer.")
    advice = ""
    if not net.converged_:
        advice = "<p><code>diagnose(X, y)</code> explains why it did not converge.</p>"
    svg = diagram_svg(diagram_of(net, feature_names=feature_names))
    return _block("network", title, svg, note, outcome_table(net), advice)


def trained_ensemble(ensemble) -> str:
    """Return the block of a fitted ensemble: candidates, weights, heaviest member."""
    results, members = ensemble.results_, ensemble.estimators_
    columns = ("activation", "inputs", "alpha", "n_folds", "n_refits", "error", "weight")
    rows = [_row("hidden_layer_sizes", *columns)]
    for k, shape in enumerate(results["hidden_layer_sizes"]):
        *counts, error, weight = (results[name][k] for name in columns)
        bar = "\u2588" * round(20 * weight)  # full blocks, which need no style
        rows.append(_row(str(shape), *counts, f"{error:.4g}", f"{weight:.3f} {bar}"))
    n_parameters = ensemble.n_parameters_
    outcome = [
        _row("members", f"{len(members)}, {n_parameters} parameters in all"),
        _row("out_of_fold_r2_", f"{ensemble.out_of_fold_r2_:.4g}"),
        _row("noise_std_", _noise(ensemble)),
    ]
    note = _note("error: root mean squared out-of-fold error, over the standard deviation of y.")
    heaviest = members[int(np.argmax(ensemble.weights_))]
    names = getattr(ensemble, "feature_names_in_", None)
    network = trained_network(heaviest, names, "Member with the greatest weight")
    return _block("ensemble", "Trained ensemble", _table(rows), note, _table(outcome), network)

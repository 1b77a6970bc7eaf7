"""Results as rows of a table, in Markdown, as a chart and JSON, and in the docs."""

import json
import re
import textwrap
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .timing import in_turn, median_ratio

# Equal runs differ by rounding. In float32 the difference grows during a fit, mostly at the kinks
# of relu, and the error after the last steps of adam varies by some percent.
SAME = {np.dtype(np.float64): 1e-7, np.dtype(np.float32): 1e-5}
CLOSE = 5e-2

ROOT = Path(__file__).parents[1]


class Row(NamedTuple):
    """Our time compared with one peer's."""

    work: str
    title: str
    peer: str
    peer_ms: float
    our_ms: float
    ratio: float
    goal: str
    met: bool | None
    remarks: str


def numbers(outcome):
    """Return the numbers by which contenders are compared."""
    if hasattr(outcome, "cv_results_"):
        return outcome.cv_results_["mean_test_score"]
    if hasattr(outcome, "coefs_"):
        parts = [*outcome.coefs_, *outcome.intercepts_]
        return np.concatenate([np.ravel(part) for part in parts])
    return np.asarray(outcome)


def sameness(ours, theirs, job):
    """Describe whether two results agree, by their numbers or by their errors."""
    ours, theirs = numbers(ours), numbers(theirs)
    if ours.shape != theirs.shape:
        return "other start weights, not compared"
    difference = np.linalg.norm(ours - theirs) / np.linalg.norm(theirs)
    if difference <= SAME[theirs.dtype]:
        return f"same to {difference:.0e}"
    if job.result is None:
        return f"**not the same**: differ by {difference:.0e}"
    results = job.result(ours), job.result(theirs)
    close = abs(results[0] / results[1] - 1) <= CLOSE
    word = "" if close or not job.alike else "**not the same**: "
    return f"{word}{job.result_name} {results[1]:.4g}, ours {results[0]:.4g}"


def compare(work, quick):
    """Run one work; yield its rows."""
    job = work.build(quick)
    n_rounds = job.n_rounds or (max(1, work.n_rounds // 3) if quick else work.n_rounds)
    runs = in_turn(job.contenders, n_rounds, warm_up=work.name != "E")
    ours = runs.pop("ours")
    first = True
    for peer, theirs in {**runs, **job.measured}.items():
        remarks = []
        if first and job.note:
            remarks.append(job.note(ours))
        if job.compared:
            remarks.append(sameness(ours.outcomes[0], theirs.outcomes[0], job))
        elif theirs.n_reached < n_rounds or ours.n_reached < n_rounds or job.n_rounds:
            remarks.append(
                f"reached from {theirs.n_reached} of {n_rounds} starts, ours from {ours.n_reached}"
            )
        ratio, our_ms = median_ratio(theirs, ours), 1e3 * ours.median
        goals, met = [], []
        if peer in work.goals:
            goals.append(f"{work.goals[peer]:g}x")
            met.append(ratio >= work.goals[peer])
        if first and work.most_ms:
            goals.append(f"{work.most_ms:g} ms{'' if job.compared else ' from all starts'}")
            met.append(our_ms <= work.most_ms and ours.n_reached == n_rounds)
        yield Row(
            work.name,
            work.title,
            peer,
            1e3 * theirs.median,
            our_ms,
            ratio,
            ", ".join(goals),
            all(map(bool, met)) if met else None,
            "; ".join(remarks),
        )
        first = False


def digits(number):
    """Format a number with three digits; infinity as a target never reached."""
    if not np.isfinite(number):
        return "never"
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def table(header, rows):
    """Format a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def markdown(rows):
    """Format the table of works: our time, and the ratio of each peer's time to it."""
    cells = []
    for work in dict.fromkeys(row.work for row in rows):
        peers = [row for row in rows if row.work == work]
        ratios = {row.peer: digits(row.ratio) for row in peers}
        scikit_learn = ratios.pop("scikit-learn", "")
        # Remarks on further peers are the same unless the errors differ.
        remarks = [row.remarks for row in peers[1:] if re.search("test|not the same", row.remarks)]
        cells.append(
            [
                f"**{work}** {peers[0].title}",
                digits(peers[0].our_ms),
                scikit_learn,
                ", ".join(f"{peer} {ratio}" for peer, ratio in ratios.items()),
                "; ".join([peers[0].remarks, *remarks]),
            ]
        )
    return table(["work", "ours, ms", "scikit-learn", "others", "outcome"], cells)


def measured(row):
    """Format the ratio, the time, or both, like the goal."""
    ratio = f"{digits(row.ratio)}x" if "x" in row.goal else ""
    time = f"{digits(row.our_ms)} ms" if "ms" in row.goal else ""
    return ", ".join(filter(None, (ratio, time)))


def goals(rows):
    """Format the table of missed goals, and list the works that meet theirs."""
    named = []
    for row in rows:
        again = any(row.work == other.work for _, other in named)
        if row.goal:
            named.append((f"{row.work} against {row.peer}" if again else row.work, row))
    cells = [[name, measured(row), row.goal] for name, row in named if not row.met]
    met = "; ".join(f"{name} {measured(row)} ({row.goal})" for name, row in named if row.met)
    return f"{table(['work', 'measured', 'goal'], cells)}\n\nMet: {met or 'none'}."


def summary(rows):
    """Format the comparison with scikit-learn only, in fewer columns."""
    cells = [
        [
            row.title,
            f"{digits(row.peer_ms)} ms".replace("never ms", "never"),
            f"{digits(row.our_ms)} ms",
            digits(row.ratio).replace("never", ""),
        ]
        for row in rows
        if row.peer == "scikit-learn"
    ]
    return table(["work", "MLPRegressor", "TinyMLPRegressor", "ratio"], cells)


def losses(rows):
    """List the peers that are faster, without the C floor and the bare arithmetic."""
    faster = {}
    for row in rows:
        if row.ratio < 1 and row.peer != "C floor" and not row.work.startswith("G"):
            faster.setdefault(row.peer, []).append(f"{row.work} ({digits(row.ratio)})")
    lines = [f"- {peer}: {', '.join(works)}." for peer, works in faster.items()]
    return "\n".join(lines or ["Against the peers of this run, nowhere."])


def chart(rows, path):
    """Plot the speed relative to scikit-learn's as bars."""
    from matplotlib import rcParams
    from matplotlib.figure import Figure

    rcParams["svg.hashsalt"] = rcParams["svg.fonttype"] = "none"  # a reproducible file
    rows = [row for row in rows if row.peer == "scikit-learn" and np.isfinite(row.ratio)]
    if not rows:
        return
    figure = Figure(figsize=(5.4, 0.6 * len(rows) + 1.2), layout="constrained")
    ax = figure.subplots()
    colors = {"float64": "#0072B2", "float32": "#E69F00"}  # distinguishable in greyscale
    for y, row in enumerate(rows):
        color = colors["float32" if "f32" in row.work else "float64"]
        ax.barh(y, row.ratio - 1, left=1, color=color, height=0.35)
        times = f"{digits(row.ratio)}x: {digits(row.peer_ms)} ms, ours {digits(row.our_ms)} ms"
        end = {"xytext": (4, 0), "textcoords": "offset points", "va": "center"}
        ax.annotate(times, (max(1, row.ratio), y), **end)
        # Above its bar there is room for the whole name, also on a narrow screen.
        name = textwrap.fill(f"{row.work}: {row.title}", 62)
        ax.annotate(name, (1, y - 0.2), **end | {"va": "bottom"}).set_in_layout(False)
    for label, color in colors.items():
        ax.barh(0, 0, left=1, color=color, label=label)
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, frameon=False)
    ax.set(yticks=[], ylim=(len(rows) - 0.5, -0.8))
    ax.set_xscale("log")
    ax.axvline(1, color="black", linewidth=0.8)
    ax.set_xlabel("times as fast as MLPRegressor")
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.xaxis.set_major_formatter("{x:g}")
    figure.savefig(path, metadata={"Date": None} if str(path).endswith("svg") else None)


def write_json(results, path):
    """Write all measurements."""
    results = {**results, "works": [row._asdict() for row in results["works"]]}
    Path(path).write_text(json.dumps(results, indent=1, default=float) + "\n")


def write_between_markers(path, name, text):
    """Replace the text between `<!-- name -->` and `<!-- end name -->` in a file of the docs."""
    path = ROOT / path
    pattern = rf"(<!-- {name} -->\n).*?(<!-- end {name} -->)"
    old = path.read_text()
    new, n = re.subn(pattern, lambda match: f"{match[1]}{text}\n{match[2]}", old, flags=re.DOTALL)
    if n != 1:
        raise ValueError(f"{path.name} has {n} places named {name}")
    path.write_text(new)

"""The tables of README.md, from the results that are kept in `benchmarks/results`.

`python -m benchmarks.readme` writes them. `accuracy.json` has, for each data set and model, the
mean test RMSE over the standard deviation of y, and the median seconds of a fit; `speed.json` is
written by `python -m benchmarks --write-docs`.
"""

import json

import numpy as np

from .report import ROOT, Row, summary, table, write_between_markers

RESULTS = ROOT / "benchmarks" / "results"

# The models of `accuracy.json`, with the names that the table has.
PEERS = {
    "ridge": "ridge",
    "mlpgrid": "MLPRegressor, scaled, grid search",
    "rf": "random forest",
    "hgb": "HistGradientBoosting",
    "cat": "CatBoost",
    "gp": "Gaussian process",
    "realmlp": "RealMLP",
    "mean5": "mean of five networks",
}
OURS = {"single": "one network", "ensemble": "ensemble"}

# The works of the table of speed.
WORKS = ("I", "E", "C'", "A", "F 1")


def compared(sets: dict, ours: str, peer: str) -> str:
    """Format the geometric mean of the ratios of two models' errors, and on how many it is < 1."""
    pairs = [
        (of[ours]["error"], of[peer]["error"]) for of in sets.values() if {ours, peer} <= set(of)
    ]
    ratios = np.array([error / other for error, other in pairs])
    mean = float(np.exp(np.log(ratios).mean()))
    return f"{mean:.2f}, better on {int((ratios < 1.0).sum())} of {len(ratios)}"


def seconds(sets: dict, model: str) -> str:
    """Format the geometric mean of the seconds of a fit."""
    times = [of[model]["seconds"] for of in sets.values() if model in of]
    return f"{float(np.exp(np.log(np.maximum(times, 1e-3)).mean())):.2g}"


def accuracy(results: dict) -> str:
    """Format the errors of both estimators relative to each peer's."""
    sets = results["sets"]
    rows = [
        [
            name,
            compared(sets, "ensemble", peer),
            compared(sets, "single", peer),
            seconds(sets, peer),
        ]
        for peer, name in PEERS.items()
    ]
    rows += [[f"**{name}**", "", "", seconds(sets, model)] for model, name in OURS.items()]
    return table(["peer", "ensemble", "one network", "seconds a fit"], rows)


def speed(results: dict) -> str:
    """Format a few works."""
    rows = [Row(**row) for row in results["works"]]
    return summary([row for work in WORKS for row in rows if row.work == work])


TABLES = {"accuracy": accuracy, "speed": speed}


def main():
    """Write each table between its markers."""
    for name, formatted in TABLES.items():
        results = json.loads((RESULTS / f"{name}.json").read_text())
        write_between_markers("README.md", name, formatted(results))


if __name__ == "__main__":
    main()

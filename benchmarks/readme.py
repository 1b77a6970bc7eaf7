"""The figures of README.md and docs/ensemble.md, from the results kept in `benchmarks/results`.

`python -m benchmarks.readme` writes the tables; what `SENTENCES` says is in the README word for
word, which a test checks. `accuracy.json` has, for each data set and model, the mean test RMSE over
the standard deviation of y, and the median seconds of a fit; `speed.json` is written by `python -m
benchmarks --write-docs`; `tests.json` has the minutes of the README's commands.
"""

import json
import math

import numpy as np

from .report import ROOT, Row, digits, summary, table, write_between_markers

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
    return digits(float(np.exp(np.log(np.maximum(times, 1e-3)).mean())))


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


def each_set(results: dict) -> str:
    """Format the error of each model on each set, the smallest in bold."""
    models = [*PEERS, *OURS]
    rows = []
    for name, of in results["sets"].items():
        errors = [of[model]["error"] if model in of else np.inf for model in models]
        cells = [f"{error:.3f}" if np.isfinite(error) else "-" for error in errors]
        best = int(np.argmin(errors))
        cells[best] = f"**{cells[best]}**"
        times = ", ".join(digits(of[model]["seconds"]) for model in OURS)
        rows.append([f"{name} ({of['splits']})", *cells, of["ensemble"]["coverage"], times])
    return table(["set (splits)", *models, "coverage", "seconds"], rows)


def overall(results: dict) -> str:
    """Format how the ensemble compares with each peer, in a sentence."""
    pairs = {**PEERS, "single": "one network"}
    parts = [
        f"{name} {compared(results['sets'], 'ensemble', peer)}" for peer, name in pairs.items()
    ]
    return f"Error of the ensemble relative to each: {'; '.join(parts)}."


# File, name of the markers, results, function.
TABLES = (
    ("README.md", "accuracy", "accuracy", accuracy),
    ("README.md", "speed", "speed", speed),
    ("docs/ensemble.md", "each set", "accuracy", each_set),
    ("docs/ensemble.md", "overall", "accuracy", overall),
)


def of_the_sets(results: dict) -> str:
    """Say how many data sets there are, and of how many training rows."""
    rows = [of["rows"] for of in results["sets"].values()]
    return f"{len(rows)} public data sets of {min(rows):,} to {max(rows):,} rows"


def of_start_up(results: dict) -> str:
    """Say how long solvers compile, and what the import adds to scikit-learn's."""
    default, *compiled = results["start-up"]
    seconds = [row["cold_s"] - row["warm_s"] for row in compiled]
    return (
        f"compile for {math.floor(min(seconds))} to {math.ceil(max(seconds))} seconds, once on a "
        "machine; the default compiles nothing below some 5,000 rows, and the import takes "
        f"{default['import_s']:.1f} s longer than scikit-learn's"
    )


def of_the_tests(results: dict) -> str:
    """Say how long the tests take."""
    quick, every = (results[name]["minutes"] for name in ("quick", "all"))
    return f"at most {math.ceil(quick)} minutes on two cores. All tests, {math.ceil(every)} minutes"


# Results, and the function of what the README says of them.
SENTENCES = (
    ("accuracy", of_the_sets),
    ("speed", of_start_up),
    ("tests", of_the_tests),
)


def read(name: str) -> dict:
    """Return results by the name of their file."""
    return json.loads((RESULTS / f"{name}.json").read_text())


def main():
    """Write each table between its markers."""
    for path, name, results, formatted in TABLES:
        write_between_markers(path, name, formatted(read(results)))


if __name__ == "__main__":
    main()

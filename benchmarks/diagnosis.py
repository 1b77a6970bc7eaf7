"""Accuracy of the diagnosis on the cases of tests/reports and on 300 healthy fits.

Usage: python -m benchmarks.diagnosis [--healthy 300] [--write-docs]

A fit is healthy if it converged and its R² on new, noise-free rows is above 0.97. Any finding on a
healthy fit, except ignored parameters, is a false alarm.
"""

import argparse
import re
import warnings
from collections import Counter
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.metrics import r2_score

from sklearn_tinymlp import TinyMLPRegressor

from .reports import Outcome, follow, make_data, reports

PAGE = Path(__file__).parents[1] / "docs" / "why_doesnt_my_network_converge.md"

LEARNED = 0.97

OTHER_SEEDS = (101, 202)

# Data by target, inputs, rows, noise.
HEALTHY_DATA = (
    ("wave", 1, 60, 0.1),
    ("wave", 1, 300, 0.3),
    ("line", 3, 100, 0.2),
    ("mixed", 2, 150, 0.2),
    ("friedman", 5, 300, 0.1),
    ("product", 2, 200, 0.2),
    ("bump", 2, 300, 0.05),
    ("square and line", 3, 200, 0.1),
    ("wave and line", 1, 100, 0.1),
    ("curve", 1, 80, 0.5),
)

HEALTHY_PARAMS = (
    {"solver": "auto"},
    {"solver": "lm", "activation": "logistic"},
    {"solver": "lm", "activation": "softplus"},
    {"solver": "lbfgs", "alpha": 0.01, "max_iter": 5000, "tol": 1e-3, "standardize": True},
    {"solver": "lbfgs", "alpha": 0.1, "max_iter": 5000, "tol": 1e-3, "activation": "elu"},
    {"solver": "adam", "learning_rate": 0.01, "max_iter": 3000, "n_iter_no_change": 50},
    {"solver": "adam", "learning_rate": 0.01, "max_iter": 3000, "activation": "relu"},
    {"solver": "sgd", "learning_rate": 0.02, "max_iter": 5000, "n_iter_no_change": 50},
)

SIZES = ((8,), (20,), (8, 8))


class Healthy(NamedTuple):
    """A healthy fit and its findings."""

    data: tuple
    params: dict
    findings: list  # severity and code, without ignored parameters


def healthy_fits(most: int, rng_seed=0):
    """Fit each combination once, in random order, until the given number of fits are healthy."""
    combinations = list(product(HEALTHY_DATA, HEALTHY_PARAMS, SIZES, range(3)))
    np.random.RandomState(rng_seed).shuffle(combinations)
    found = 0
    for (target, d, n, noise), params, sizes, seed in combinations:
        if found == most:
            return
        data = make_data(target, n, d, noise, seed)
        net = TinyMLPRegressor(hidden_layer_sizes=sizes, random_state=seed, **params)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            net.fit(data.X, data.y)
        if net.converged_ and r2_score(data.truth, net.predict(data.X_new)) > LEARNED:
            found += 1
            findings = [
                (finding.severity, finding.code)
                for finding in net.diagnose(data.X, data.y)
                if finding.code != "idle_parameters"
            ]
            yield Healthy((target, n, noise), {**params, "hidden_layer_sizes": sizes}, findings)


def count_alarms(fits: list[Healthy]) -> dict:
    """Count the healthy fits with a finding of each severity."""
    return {
        severity: sum(any(said == severity for said, _ in fit.findings) for fit in fits)
        for severity in ("error", "warning", "info")
    }


def with_other_seeds() -> list[Outcome]:
    """Run the reports with other data and start weights, not used in development.

    A few then raise an error about non-finite weights, which suggests a learning rate.
    """
    outcomes = []
    for seed, report in product(OTHER_SEEDS, reports()):
        data, params = {**report.data_params, "seed": seed}, {**report.params, "random_state": seed}
        try:
            outcomes.append(follow(replace(report, data_params=data, params=params)))
        except ValueError:
            continue
    return outcomes


def table_of(outcomes: list[Outcome], others: list[Outcome], fits: list[Healthy]) -> str:
    """Format the results as a table."""
    due = [outcome for outcome in outcomes if outcome.report.first]
    healthy = [outcome for outcome in outcomes if not outcome.report.first]
    wrong = [outcome for outcome in due if not (outcome.right or outcome.silent)]
    alarms = count_alarms(fits)
    reached = sum(outcome.r2 >= outcome.report.goal for outcome in outcomes)
    rows = [
        ("reports with a cause", len(due)),
        (
            "all required findings, in first place, none excluded",
            sum(outcome.right for outcome in due),
        ),
        ("other or excluded findings", len(wrong)),
        ("no finding", sum(outcome.silent for outcome in due)),
        ("reports of healthy networks", len(healthy)),
        ("of these with a finding", sum(not outcome.right for outcome in healthy)),
        ("goal reached by at most three first remedies", reached),
        (
            "goal not reached, remaining cause reported",
            sum(outcome.mended and outcome.r2 < outcome.report.goal for outcome in outcomes),
        ),
        (
            "remedies that repeat or undo an earlier one",
            sum(outcome.revisited for outcome in outcomes),
        ),
        ("the reports with two other seeds", len(others)),
        ("of these with different findings", sum(not outcome.right for outcome in others)),
        ("of these without goal or finding", sum(not o.mended for o in others)),
        ("healthy fits", len(fits)),
        ("of these with an error", alarms["error"]),
        ("of these with a warning", alarms["warning"]),
        ("of these with an info", alarms["info"]),
    ]
    return "\n".join(["||Number|", "|---|---:|", *(f"|{name}|{value}|" for name, value in rows)])


def put_into(page: str, name: str, table: str) -> str:
    """Insert a table between the two comments with its name."""
    pattern = rf"(<!-- {name} -->\n).*?(\n<!-- end of {name} -->)"
    return re.sub(
        pattern, lambda match: match[1] + "\n" + table + "\n" + match[2], page, flags=re.S
    )


def main():
    """Measure, print, and update the page if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--healthy", type=int, default=300)
    parser.add_argument("--write-docs", action="store_true")
    given = parser.parse_args()
    outcomes, fits = [follow(report) for report in reports()], list(healthy_fits(given.healthy))
    others = with_other_seeds()
    table = table_of(outcomes, others, fits)
    print(table)
    for outcome in [*outcomes, *others]:
        if not (outcome.right and outcome.mended):
            print(outcome.report.name, outcome.said, outcome.remedies, f"{outcome.r2:.3f}")
    said = Counter(finding for fit in fits for finding in fit.findings)
    print("of healthy fits:", dict(said))
    if given.write_docs:
        page = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(put_into(page, "measured", table), encoding="utf-8")


if __name__ == "__main__":
    main()

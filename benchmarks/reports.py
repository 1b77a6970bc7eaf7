"""Reports of networks that did not learn, a small file each, with the expected findings.

A file of tests/reports has the data by seed, the parameters, and under [said] the code of the first
finding, other required codes (`also`) and excluded ones (`never`). `goal` is the R² on new,
noise-free rows to be reached by following the first remedy at most three times.
"""

import tomllib
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.metrics import r2_score
from sklearn.neural_network import MLPRegressor

from sklearn_tinymlp import TinyMLPRegressor, diagnose

FOLDER = Path(__file__).parents[1] / "tests" / "reports"

ESTIMATORS = {"TinyMLPRegressor": TinyMLPRegressor, "MLPRegressor": MLPRegressor}

MOST_REMEDIES = 3

# y as a function of inputs around [-2, 2].
TARGETS = {
    "wave": lambda X: np.sin(2 * X[:, 0]),
    "fast wave": lambda X: np.sin(5 * X[:, 0]),
    "long wave": lambda X: np.sin(12 * X[:, 0]),
    "square": lambda X: X[:, 0] ** 2,
    "curve": lambda X: (X[:, 0] + 1.0) ** 2,
    "line": lambda X: 1.0 + X @ np.arange(1.0, X.shape[1] + 1),
    "ray": lambda X: 6.0 - X[:, 0],
    "bump": lambda X: np.exp(-0.5 * (X**2).sum(axis=1)),
    "product": lambda X: X[:, 0] * X[:, 1],
    "saddle": lambda X: np.sin(np.pi * X[:, 0] / 2) * np.sin(np.pi * X[:, 1] / 2),
    "xor": lambda X: (X[:, 0] * X[:, 1] < 0).astype(float),
    "friedman": lambda X: (
        np.sin(np.pi * (X[:, 0] + 2) * (X[:, 1] + 2) / 16)
        + 0.3 * X[:, 2] ** 2
        + 0.5 * X[:, 3]
        + 0.25 * X[:, 4]
    ),
    "mixed": lambda X: np.sin(X[:, 0]) + X[:, 1],
    "amounts": lambda X: np.exp(0.4 * X[:, 0] + 0.4 * X[:, 1] * X[:, 2]),
    "bowl": lambda X: (X**2).sum(axis=1),
    "nothing": lambda X: np.zeros(len(X)),
    "steps": lambda X: np.floor(1.5 + 1.5 * np.tanh(X[:, 0])),
    "counts": lambda X: np.exp(X[:, 0]),
    "wave and constant": lambda X: np.column_stack([np.sin(2 * X[:, 0]), np.ones(len(X))]),
    "wave and line": lambda X: np.column_stack([np.sin(2 * X[:, 0]), X[:, 0]]),
    "square and line": lambda X: np.column_stack([X[:, 0] ** 2, np.tanh(X[:, 1]) - X[:, 2]]),
    "waves": lambda X: np.column_stack([np.sin(2 * X[:, 0]), np.sin(4 * X[:, 0])]),
}


class Data(NamedTuple):
    """Training rows, and new rows with noise-free targets."""

    X: np.ndarray
    y: np.ndarray
    sample_weight: np.ndarray | None
    X_new: np.ndarray
    truth: np.ndarray


def make_data(
    target,
    n=60,
    d=1,
    noise=0.0,
    seed=0,
    *,
    x_scale=1.0,
    x_shift=0.0,
    y_scale=1.0,
    y_shift=0.0,
    outputs_apart=1.0,
    add=(),
    copies=0.0,
    outlier=0.0,
    wrong_rows=0.0,
    walk=0.0,
    hold=1,
    lag=0.0,
    specimen_noise=0.0,
    noise_growth=0.0,
    factors="",
    weight=None,
    **_,
) -> Data:
    """Draw inputs, compute targets, and add the fault of the report."""
    rng = np.random.RandomState(seed)

    def inputs(n):
        if d == 1 and target != "xor":
            return np.sort(rng.uniform(-2.0, 2.0, (n, 1)), axis=0)
        return rng.uniform(-2.0, 2.0, (n, d))

    def targets(X):
        y = TARGETS[target](X)
        if y.ndim == 2:
            y[:, 1:] *= outputs_apart
        return y_shift + y_scale * y

    def seen(X, y):
        columns = [x_shift + x_scale * X]
        for what in add:
            columns.append(
                {
                    "constant": np.full((len(X), 1), 7.0),
                    "repeated": 32.0 + 1.8 * X[:, :1],
                    "target": 3.0 - 2.0 * y.reshape(len(X), -1)[:, :1],
                    "nearly constant": (np.arange(len(X)) == 3)[:, None] + 0.0,
                }[what]
            )
        return np.hstack(columns)

    X, X_new = inputs(n), inputs(200)
    if hold > 1:  # an input that is held for some time, or several readings of each specimen
        X = np.repeat(rng.permutation(X)[: n // hold], hold, axis=0)
    y, truth = targets(X), targets(X_new)
    if specimen_noise:
        y += np.repeat(specimen_noise * rng.standard_normal(n // hold), hold)
    for row in range(1, n if lag else 0):  # an output that follows with delay
        y[row] = lag * y[row - 1] + (1.0 - lag) * y[row]
    size = noise * abs(y_scale) * np.exp(noise_growth * X[:, :1])
    y = y + (size if y.ndim == 2 else size.ravel()) * rng.standard_normal(y.shape)
    if factors == "log-normal":  # with a mean of 1
        y = y * np.exp(1.2 * rng.standard_normal(n) - 0.72)
    elif factors == "claims":  # mostly zero
        y = y * (rng.uniform(size=n) < 0.1) * rng.gamma(1.0, 10.0, n)
    if walk:
        steps = rng.standard_normal(n + 19)
        y = y + walk * np.convolve(steps, np.ones(20) / np.sqrt(20), "valid")
    X_seen, X_new_seen = seen(X, y), seen(X_new, truth)
    if copies:
        rows = rng.choice(n, round(n * copies), replace=False)
        X_seen, y = np.vstack([X_seen, X_seen[rows]]), np.concatenate([y, y[rows]])
    if outlier:
        y[7] = outlier
    if wrong_rows:
        rows = rng.choice(n, round(n * wrong_rows), replace=False)
        y[rows] += 4.0 * rng.standard_normal(len(rows))
    sample_weight = None if weight is None else np.full(len(y), float(weight))
    return Data(X_seen, y, sample_weight, X_new_seen, truth)


@dataclass(frozen=True)
class Report:
    """A report."""

    name: str
    title: str
    kind: str  # of estimator
    data_params: dict
    params: dict
    first: str = ""  # code of the first finding; empty if none is expected but ignored parameters
    also: tuple = ()
    never: tuple = ()
    goal: float = 0.9
    start: dict = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> "Report":
        """Read the file of a report."""
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
        said = raw.get("said", {})
        return cls(
            path.stem,
            raw["title"],
            raw.get("estimator", "TinyMLPRegressor"),
            raw["data"],
            raw.get("params", {}),
            said.get("first", ""),
            tuple(said.get("also", ())),
            tuple(said.get("never", ())),
            raw.get("goal", 0.9),
            raw.get("start", {}),
        )

    def data(self) -> Data:
        """Draw the data."""
        return make_data(**self.data_params)

    def estimator(self):
        """Return the estimator of the report."""
        params = {"random_state": 0, **self.params}
        if "hidden_layer_sizes" in params:
            params["hidden_layer_sizes"] = tuple(params["hidden_layer_sizes"])
        return ESTIMATORS[self.kind](**params)

    def diagnosed(self, estimator, data: Data, given=None):
        """Fit and diagnose; None if the fit raises an error."""
        weight = {} if data.sample_weight is None else {"sample_weight": data.sample_weight}
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            estimator.fit(data.X, data.y, **weight, **(given or {}))
        return diagnose(estimator, data.X, data.y, data.sample_weight)

    def r2(self, estimator, data: Data) -> float:
        """Compute R² on new, noise-free rows; 1 if nothing is to be learned."""
        if not np.ptp(data.truth):
            return 1.0
        return float(r2_score(data.truth, estimator.predict(data.X_new)))

    def first_weights(self, data: Data) -> dict:
        """Return constant start weights if the report has them."""
        if not self.start:
            return {}
        sizes = [
            data.X.shape[1],
            *self.params["hidden_layer_sizes"],
            data.y.reshape(len(data.y), -1).shape[1],
        ]
        shapes = list(zip(sizes[:-1], sizes[1:], strict=True))
        return {
            "coefs_init": [np.full(shape, self.start["coefs"]) for shape in shapes],
            "intercepts_init": [np.zeros(shape[1]) for shape in shapes],
        }


class Outcome(NamedTuple):
    """The findings of a report, and the result of following the remedies."""

    report: Report
    said: list  # codes of the first diagnosis
    severities: list
    remedies: list  # the parameters set, in order
    r2_before: float  # on new rows, of the first fit
    r2: float  # of the last fit
    left: list  # codes of errors and warnings of the last fit
    revisited: bool  # whether a remedy repeated or undid an earlier one

    @property
    def first(self) -> str:
        """The code of the first finding other than ignored parameters."""
        return next((code for code in self.said if code != "idle_parameters"), "")

    @property
    def right(self) -> bool:
        """Whether all required findings are there, in first place, and no excluded ones."""
        all_due = set(self.report.also) <= set(self.said)
        return self.first == self.report.first and all_due and not self.wrong_codes

    @property
    def wrong_codes(self) -> set:
        """The excluded findings that were reported."""
        return set(self.report.never) & set(self.said)

    @property
    def silent(self) -> bool:
        """Whether a finding was expected and none was reported."""
        return bool(self.report.first) and not self.first

    @property
    def mended(self) -> bool:
        """Whether the remedies reached the goal, or the remaining cause is named."""
        return self.r2 >= self.report.goal or bool(self.left)


def reports() -> list[Report]:
    """Read all reports, sorted by name."""
    return [Report.read(path) for path in sorted(FOLDER.glob("*.toml"))]


def follow(report: Report) -> Outcome:
    """Diagnose a report, and follow the first remedy repeatedly."""
    data, estimator = report.data(), report.estimator()
    found = report.diagnosed(estimator, data, report.first_weights(data))
    r2 = report.r2(estimator, data)
    said, severities = [f.code for f in found], [f.severity for f in found]
    history, remedies, revisited = [estimator.get_params(deep=False)], [], False
    for _ in range(MOST_REMEDIES):
        serious = [finding for finding in found if finding.severity != "info"]
        if not serious:
            break
        advice = serious[0].parameters
        if not advice and serious[0].code != "identical_units":
            break
        remedies.append(advice)
        revisited |= any(
            before[name] == value for before in history for name, value in advice.items()
        )
        estimator = clone(estimator).set_params(**advice)
        history.append(estimator.get_params(deep=False))
        found = report.diagnosed(estimator, data)
    left = [finding.code for finding in found if finding.severity != "info"]
    r2_after = report.r2(estimator, data)
    return Outcome(report, said, severities, remedies, r2, r2_after, left, revisited)

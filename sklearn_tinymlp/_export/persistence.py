"""The private state of an estimator as plain dicts and arrays, for files, and back.

A file of skops holds objects of any class by name, and its reader is asked to trust each of them.
Dicts, lists, numbers and arrays need no trust, so that of this package the reader is asked about
the estimator alone. It also lets a file outlive the names of private classes.
"""

from dataclasses import fields

import numpy as np

from .._bayes.conformal import ConformalScores
from .._bayes.dense import DensePrecision
from .._bayes.extrapolation import Extrapolation
from .._bayes.laplace import Posterior
from .._bayes.low_rank import LowRankPrecision, Rows
from .._bayes.several_outputs import OutputsPrecision, Places
from .._data.scaling import Scaling
from .._engine.stochastic_state import PROGRESS_DTYPE, StochasticOptions, StochasticState
from .._network.architecture import Architecture
from .._solvers.monitor import History
from .._training.heteroscedastic_noise import VaryingNoise
from .._training.importances import importances_of

# Count changes of the layouts below; a reader refuses a file of a later layout than it knows.
# An ensemble's members bring the layout of networks.
LAYOUT = 3
ENSEMBLE_LAYOUT = 1

# Public lists that are columns of the record: kept once, and the same list again after loading.
COLUMNS = {"loss_curve_": "loss", "validation_scores_": "validation_score"}


def plain(state: dict) -> dict:
    """Turn an estimator's attributes into what a file holds: a new dict, the arrays not copied.

    The lists of the record become arrays, since skops writes an entry of some 100 bytes for each
    element of a list.
    """
    if "_record" not in state:  # not fitted
        return state
    columns = state["_record"].columns
    out = {**state, "_layout": LAYOUT}
    for name, column in COLUMNS.items():
        if state.get(name) is not None and state[name] is columns.get(column):
            del out[name]
    out["_record"] = {name: np.array(values) for name, values in columns.items()}
    out["_importances"] = importances_of(state)  # in the place of rows, which are the user's
    out["_seen_rows"] = None
    if state["_scaling"] is not None:
        out["_scaling"] = state["_scaling"]._asdict()
    if isinstance(state["noise_std_"], VaryingNoise):
        out["noise_std_"] = _parts(state["noise_std_"])
    if state["_posterior"] is not None:
        out["_posterior"] = _plain_posterior(state["_posterior"])
    if state["_stochastic_state"] is not None:
        stochastic = _parts(state["_stochastic_state"])
        row = stochastic["progress"][0]
        stochastic["progress"] = {name: row[name].item() for name in row.dtype.names}
        stochastic["options"] = stochastic["options"]._asdict()
        out["_stochastic_state"] = stochastic
    return out


def restored(state: dict) -> dict:
    """Undo `plain`.

    Raises
    ------
    ValueError
        When a later version of this package wrote the state.
    """
    if "_layout" not in state:
        return state
    out = _without_layout(state, LAYOUT, "TinyMLPRegressor")
    columns = {name: values.tolist() for name, values in state["_record"].items()}
    out["_record"] = History(columns)
    for name, column in COLUMNS.items():
        if name not in out and column in columns:
            out[name] = columns[column]
    if state["_scaling"] is not None:
        out["_scaling"] = Scaling(**state["_scaling"])
    if isinstance(state["noise_std_"], dict):
        out["noise_std_"] = VaryingNoise(**state["noise_std_"])
    if state["_posterior"] is not None:
        out["_posterior"] = _restored_posterior(state["_posterior"])
    if state["_stochastic_state"] is not None:
        stochastic = dict(state["_stochastic_state"])
        progress = np.zeros(1, PROGRESS_DTYPE)
        for name, value in stochastic["progress"].items():
            progress[name] = value
        stochastic["progress"] = progress
        stochastic["options"] = StochasticOptions(**stochastic["options"])
        out["_stochastic_state"] = StochasticState(**stochastic)
    return out


def plain_ensemble(state: dict) -> dict:
    """Make the tails plain and add the number of the layout; members see to themselves."""
    if "estimators_" not in state:
        return state
    out = {**state, "_tails": _parts(state["_tails"]), "_layout": ENSEMBLE_LAYOUT}
    if isinstance(state["noise_std_"], VaryingNoise):
        out["noise_std_"] = _parts(state["noise_std_"])
    return out


def restored_ensemble(state: dict) -> dict:
    """Undo `plain_ensemble`.

    Raises
    ------
    ValueError
        When a later version of this package wrote the state.
    """
    out = _without_layout(state, ENSEMBLE_LAYOUT, "TinyMLPEnsembleRegressor")
    if "_tails" in state:
        out["_tails"] = ConformalScores(**state["_tails"])
    if isinstance(state.get("noise_std_"), dict):
        out["noise_std_"] = VaryingNoise(**state["noise_std_"])
    return out


def _without_layout(state, known, kind) -> dict:
    out = dict(state)
    layout = out.pop("_layout", known)
    if layout > known:
        raise ValueError(
            f"This {kind} was saved by a later version of sklearn-tinymlp than the one installed "
            f"(layout {layout}; known are those up to {known}). Update sklearn-tinymlp."
        )
    return out


# The forms of a precision, by what a file calls them.
PRECISIONS = {"dense": DensePrecision, "outputs": OutputsPrecision, "low_rank": LowRankPrecision}

# Parts of a precision that are records themselves, by their names there.
PARTS_OF_PRECISION = {"rows": Rows, "places": Places, "architecture": Architecture}

# Parts of a posterior that are records themselves, and may be missing.
RECORDS = {"extrapolation": Extrapolation, "tails": ConformalScores}


def _plain_posterior(posterior: Posterior) -> dict:
    parts = _parts(posterior)
    form = next(name for name, kind in PRECISIONS.items() if type(parts["precision"]) is kind)
    parts["precision"] = {form: _plain_record(parts["precision"])}
    for name in RECORDS:
        if parts[name] is not None:
            parts[name] = _parts(parts[name])
    return parts


def _plain_record(record) -> dict:
    parts = record._asdict() if hasattr(record, "_asdict") else _parts(record)
    for name in PARTS_OF_PRECISION.keys() & parts.keys():
        parts[name] = _plain_record(parts[name])
    return parts


def _restored_record(kind, parts: dict):
    parts = dict(parts)
    for name in PARTS_OF_PRECISION.keys() & parts.keys():
        parts[name] = _restored_record(PARTS_OF_PRECISION[name], parts[name])
    return kind(**parts)


def _restored_posterior(parts: dict) -> Posterior:
    parts = dict(parts)
    ((form, precision),) = parts["precision"].items()
    parts["precision"] = _restored_record(PRECISIONS[form], precision)
    for name, kind in RECORDS.items():
        if parts.get(name) is not None:
            parts[name] = kind(**parts[name])
    return Posterior(**parts)


def _parts(record) -> dict:
    """Return the fields of a dataclass, without the copies that `dataclasses.asdict` makes."""
    return {field.name: getattr(record, field.name) for field in fields(record)}

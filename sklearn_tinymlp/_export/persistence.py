"""The private state of an estimator as plain dicts and arrays, for files, and its restoration.

A file of skops names the class of each object, and its reader must trust each class. Dicts, lists,
numbers and arrays need no trust, so the estimator is the only class of this package to trust. A
file also remains readable when a private class is renamed.
"""

from dataclasses import fields

import numpy as np

from .._bayes.conformal import ConformalScores
from .._bayes.dense import DensePrecision
from .._bayes.extrapolation import Extrapolation
from .._bayes.laplace import Posterior
from .._bayes.low_rank import JacobianRows, LowRankPrecision
from .._bayes.several_outputs import OutputsPrecision, Places
from .._data.input_layer import InputLayer
from .._data.scaling import Scaling
from .._engine.stochastic_state import PROGRESS_DTYPE, StochasticOptions, StochasticState
from .._network.architecture import Architecture
from .._solvers.monitor import History
from .._training.heteroscedastic_noise import VaryingNoise
from .._training.importances import importances_of
from .state_check import checked

# Versions of the layouts below; a file with a later layout is refused. The state of each member of
# an ensemble has the layout of a network.
LAYOUT = 3
ENSEMBLE_LAYOUT = 1

# Public lists that are columns of the record: they are saved once, and are the same lists after
# loading.
COLUMNS = {"loss_curve_": "loss", "validation_scores_": "validation_score"}

# The attributes and fields that are records, saved as dicts of their fields.
RECORDS = {
    "_scaling": Scaling,
    "_input_layer": InputLayer,
    "_posterior": Posterior,
    "_stochastic_state": StochasticState,
    "_tails": ConformalScores,
    "noise_std_": VaryingNoise,
}
FIELDS = {
    "extrapolation": Extrapolation,
    "tails": ConformalScores,
    "options": StochasticOptions,
    "rows": JacobianRows,
    "places": Places,
    "architecture": Architecture,
}

# The kinds of a `Precision`, saved as a dict that contains the name of the kind.
PRECISIONS = {"dense": DensePrecision, "outputs": OutputsPrecision, "low_rank": LowRankPrecision}


def plain(state: dict) -> dict:
    """Convert the attributes of an estimator to the contents of a file; arrays are not copied.

    The lists of the record become arrays, because skops writes some 100 bytes for each element of
    a list.
    """
    if "_record" not in state:  # not fitted
        return state
    columns, out = state["_record"].columns, _plain_state(state)
    for name, column in COLUMNS.items():
        if state.get(name) is not None and state[name] is columns.get(column):
            del out[name]
    out["_record"] = {name: np.array(values) for name, values in columns.items()}
    out["_importances"] = importances_of(state)  # in place of the rows, which are the user's data
    out["_seen_rows"] = None
    return {**out, "_layout": LAYOUT}


def restored(state: dict) -> dict:
    """Invert `plain`; raise a ValueError if the state is that of a later version, or not valid."""
    if "coefs_" not in state:  # not fitted
        return state
    out = _restored_state(state, LAYOUT, "TinyMLPRegressor")
    columns = {name: values.tolist() for name, values in out["_record"].items()}
    out["_record"] = History(columns)
    for name, column in COLUMNS.items():
        if name not in out and column in columns:
            out[name] = columns[column]
    return out


def plain_ensemble(state: dict) -> dict:
    """Convert the attributes of an ensemble; its members convert their own."""
    if "estimators_" not in state:  # not fitted
        return state
    return {**_plain_state(state), "_layout": ENSEMBLE_LAYOUT}


def restored_ensemble(state: dict) -> dict:
    """Invert `plain_ensemble`; raise a ValueError as `restored` does."""
    if "estimators_" not in state:
        return state
    return _restored_state(state, ENSEMBLE_LAYOUT, "TinyMLPEnsembleRegressor")


def _restored_state(state, known, kind) -> dict:
    out = dict(state)
    layout = out.pop("_layout", known)
    if not isinstance(layout, int) or layout > known:
        raise ValueError(
            f"This {kind} was saved by a later version of sklearn-tinymlp than the one installed "
            f"(layout {layout}; supported up to {known}). Update sklearn-tinymlp."
        )
    out = checked(kind, out)
    for name, record in RECORDS.items():
        if isinstance(out.get(name), dict):
            try:
                out[name] = _record(record, out[name])
            except (TypeError, ValueError) as error:  # a field is missing, or not known
                raise ValueError(f"This file is not a valid {kind}: {name}: {error}.") from None
    return out


def _plain_state(state) -> dict:
    return {
        name: _fields(value) if isinstance(value, RECORDS.get(name, ())) else value
        for name, value in state.items()
    }


def _fields(record) -> dict:
    """Return the fields of a record, and of the records in them, as a dict."""
    names = record._fields if hasattr(record, "_fields") else [f.name for f in fields(record)]
    parts = {name: getattr(record, name) for name in names}
    for name, part in parts.items():
        if isinstance(part, FIELDS.get(name, ())):
            parts[name] = _fields(part)
        elif name == "precision":
            form = next(form for form, kind in PRECISIONS.items() if type(part) is kind)
            parts[name] = {form: _fields(part)}
        elif name == "progress":
            parts[name] = {column: part[0][column].item() for column in part.dtype.names}
    return parts


def _record(kind, parts):
    """Invert `_fields`."""
    parts = dict(parts)
    for name, part in parts.items():
        if name in FIELDS and part is not None:
            parts[name] = _record(FIELDS[name], part)
        elif name == "precision":
            ((form, part),) = part.items()
            parts[name] = _record(PRECISIONS[form], part)
        elif name == "progress":
            parts[name] = np.zeros(1, PROGRESS_DTYPE)
            for column, value in part.items():
                parts[name][column] = value
    return kind(**parts)

"""The private state of an estimator as plain dicts and arrays, for files, and its restoration.

A file of skops names the class of each object, and its reader must trust each class. Dicts, lists,
numbers and arrays need no trust, so the estimator is the only class of this package to trust. A
file also remains readable when a private class is renamed.
"""

from dataclasses import fields, is_dataclass

import numpy as np

from .._bayes.dense import DensePrecision
from .._bayes.low_rank import LowRankPrecision
from .._bayes.several_outputs import OutputsPrecision
from .._training.importances import importances_of
from .state_check import checked

# Versions of the layouts below; a file with a later layout is refused. The state of each member of
# an ensemble has the layout of a network.
LAYOUT = 3
ENSEMBLE_LAYOUT = 1

# Public lists that are columns of the record: they are saved once, and are the same lists after
# loading.
COLUMNS = {"loss_curve_": "loss", "validation_scores_": "validation_score"}

# The attributes that are records, saved as dicts of their fields.
RECORDS = ("_scaling", "_input_layer", "_posterior", "_stochastic_state", "_tails", "noise_std_")

# The kinds of a `Precision`, saved as a dict that contains the name of the kind.
PRECISIONS = {DensePrecision: "dense", OutputsPrecision: "outputs", LowRankPrecision: "low_rank"}


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
    columns = out["_record"].columns
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
    return checked(kind, out)


def _plain_state(state) -> dict:
    return {name: _plain(value) if name in RECORDS else value for name, value in state.items()}


def _plain(value):
    """Return a record, with the records in its fields, as a dict; anything else as it is."""
    if isinstance(value, np.ndarray) and value.dtype.names:  # the progress of sgd and adam
        return {column: value[0][column].item() for column in value.dtype.names}
    if is_dataclass(value):
        names = [field.name for field in fields(value)]
    elif hasattr(value, "_fields"):
        names = value._fields
    else:
        return value
    parts = {name: _plain(getattr(value, name)) for name in names}
    return {PRECISIONS[type(value)]: parts} if type(value) in PRECISIONS else parts

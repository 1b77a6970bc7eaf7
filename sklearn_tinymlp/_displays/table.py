"""The displays, and what a class must have to be one."""

import inspect

from .candidates import CandidatesDisplay
from .effect import EffectDisplay
from .importance import ImportanceDisplay
from .loss_curve import LossCurveDisplay
from .network import NetworkDisplay
from .prediction_interval import PredictionBandDisplay
from .training_state import TrainingStateDisplay

DISPLAYS = (
    CandidatesDisplay,
    EffectDisplay,
    ImportanceDisplay,
    LossCurveDisplay,
    NetworkDisplay,
    PredictionBandDisplay,
    TrainingStateDisplay,
)


def what_lacks(display) -> list[str]:
    """Say what a class lacks of scikit-learn's contract of a Display, see `docs/extending.md`."""
    lacks = []
    if not display.__name__.endswith("Display"):
        lacks.append("a name that ends in Display")
    maker = inspect.getattr_static(display, "from_estimator", None)
    if not isinstance(maker, classmethod):
        lacks.append("a class method from_estimator")
    for name in ("from_estimator", "plot"):
        method = getattr(display, name, None)
        if not callable(method) or "ax" not in inspect.signature(method).parameters:
            lacks.append(f"a method {name} that takes ax")
    if "Examples\n    --------" not in (display.__doc__ or ""):
        lacks.append("an example in its docstring")
    return lacks

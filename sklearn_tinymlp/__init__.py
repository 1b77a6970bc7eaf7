"""Small neural networks for scikit-learn: a faster, freer `MLPRegressor`."""

from . import activations
from ._activations import Activation
from ._diagnosis import Diagnosis, Finding
from ._display import (
    LossCurveDisplay,
    NetworkDisplay,
    PredictionBandDisplay,
    RelevanceDisplay,
    TrainingStateDisplay,
)
from ._export import to_c, to_python
from ._regressor import TinyMLPRegressor, diagnose

__version__ = "0.1.0"

__all__ = [
    "Activation",
    "Diagnosis",
    "Finding",
    "LossCurveDisplay",
    "NetworkDisplay",
    "PredictionBandDisplay",
    "RelevanceDisplay",
    "TinyMLPRegressor",
    "TrainingStateDisplay",
    "__version__",
    "activations",
    "diagnose",
    "to_c",
    "to_python",
]

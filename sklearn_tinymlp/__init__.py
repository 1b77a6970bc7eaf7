"""Small neural networks for scikit-learn: a faster, freer `MLPRegressor`."""

from ._display import (
    LossCurveDisplay,
    NetworkDisplay,
    PredictionBandDisplay,
    RelevanceDisplay,
    TrainingStateDisplay,
)
from ._regressor import TinyMLPRegressor

__version__ = "0.1.0"

__all__ = [
    "LossCurveDisplay",
    "NetworkDisplay",
    "PredictionBandDisplay",
    "RelevanceDisplay",
    "TinyMLPRegressor",
    "TrainingStateDisplay",
    "__version__",
]

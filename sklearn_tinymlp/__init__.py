"""Small neural networks for scikit-learn: a faster, freer `MLPRegressor`."""

from . import activations
from ._activations.users_own import Activation
from ._diagnosis.finding import Diagnosis, Finding
from ._diagnosis.of_any_estimator import diagnose
from ._displays.candidates import CandidatesDisplay
from ._displays.effect import EffectDisplay
from ._displays.importance import ImportanceDisplay
from ._displays.loss_curve import LossCurveDisplay
from ._displays.network import NetworkDisplay
from ._displays.prediction_band import PredictionBandDisplay
from ._displays.training_state import TrainingStateDisplay
from ._ensemble import TinyMLPEnsembleRegressor
from ._export.c import to_c
from ._export.python import to_python
from ._fit.stop_when import StopWhen
from ._regressor import TinyMLPRegressor

__version__ = "0.1.0"

__all__ = [
    "Activation",
    "CandidatesDisplay",
    "Diagnosis",
    "EffectDisplay",
    "Finding",
    "ImportanceDisplay",
    "LossCurveDisplay",
    "NetworkDisplay",
    "PredictionBandDisplay",
    "StopWhen",
    "TinyMLPEnsembleRegressor",
    "TinyMLPRegressor",
    "TrainingStateDisplay",
    "__version__",
    "activations",
    "diagnose",
    "to_c",
    "to_python",
]

"""Small neural networks for scikit-learn: a faster, freer `MLPRegressor`."""

from importlib import import_module
from typing import TYPE_CHECKING

from . import activations
from ._activations.users_own import Activation
from ._regressor import TinyMLPRegressor
from ._training.stop_when import StopWhen

if TYPE_CHECKING:
    from ._diagnosis.diagnose import diagnose
    from ._diagnosis.finding import Diagnosis, Finding
    from ._displays.candidates import CandidatesDisplay
    from ._displays.effect import EffectDisplay
    from ._displays.importance import ImportanceDisplay
    from ._displays.loss_curve import LossCurveDisplay
    from ._displays.network import NetworkDisplay
    from ._displays.prediction_interval import PredictionBandDisplay
    from ._displays.training_state import TrainingStateDisplay
    from ._ensemble import TinyMLPEnsembleRegressor
    from ._export.c import to_c
    from ._export.python import to_python
    from ._mlp_regressor import MLPRegressor
    from ._piecewise_linear_encoder import PiecewiseLinearEncoder
    from ._prediction_interval import predict_interval

__version__ = "0.1.0"

__all__ = [
    "Activation",
    "CandidatesDisplay",
    "Diagnosis",
    "EffectDisplay",
    "Finding",
    "ImportanceDisplay",
    "LossCurveDisplay",
    "MLPRegressor",
    "NetworkDisplay",
    "PiecewiseLinearEncoder",
    "PredictionBandDisplay",
    "StopWhen",
    "TinyMLPEnsembleRegressor",
    "TinyMLPRegressor",
    "TrainingStateDisplay",
    "__version__",
    "activations",
    "diagnose",
    "predict_interval",
    "to_c",
    "to_python",
]

# Names that a single network does not need are loaded on first use, which saves a third of the
# import time.
_LATER = {
    "CandidatesDisplay": "_displays.candidates",
    "Diagnosis": "_diagnosis.finding",
    "EffectDisplay": "_displays.effect",
    "Finding": "_diagnosis.finding",
    "ImportanceDisplay": "_displays.importance",
    "LossCurveDisplay": "_displays.loss_curve",
    "MLPRegressor": "_mlp_regressor",
    "NetworkDisplay": "_displays.network",
    "PiecewiseLinearEncoder": "_piecewise_linear_encoder",
    "PredictionBandDisplay": "_displays.prediction_interval",
    "TinyMLPEnsembleRegressor": "_ensemble",
    "TrainingStateDisplay": "_displays.training_state",
    "predict_interval": "_prediction_interval",
    "diagnose": "_diagnosis.diagnose",
    "to_c": "_export.c",
    "to_python": "_export.python",
}


def __getattr__(name):
    """Load a public name on first access (PEP 562)."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value = getattr(import_module(f".{_LATER[name]}", __name__), name)
    return value


def __dir__():
    """List the public names, loaded or not."""
    return sorted({*globals(), *__all__})

"""Small neural networks for scikit-learn: a faster, freer `MLPRegressor`."""

from ._export import to_c, to_python
from ._regressor import TinyMLPRegressor

__version__ = "0.1.0"

__all__ = ["TinyMLPRegressor", "__version__", "to_c", "to_python"]

"""The solvers that `TinyMLPRegressor` knows by name."""

from .lbfgs import LBFGS
from .levenberg_marquardt import LM
from .stochastic import ADAM, SGD

SOLVERS = {solver.name: solver for solver in (LM, LBFGS, ADAM, SGD)}

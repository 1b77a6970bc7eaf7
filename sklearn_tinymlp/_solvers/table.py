"""The solvers of `TinyMLPRegressor` by name; compiled ones are imported when called."""

from functools import partial

from .levenberg_marquardt import LM
from .solver import Solver


def _lbfgs(objective, theta, monitor, options):
    from . import lbfgs

    return lbfgs.run(objective, theta, monitor, options)


def _stochastic(n_moments, objective, theta, monitor, options):
    from . import stochastic

    return stochastic.run(n_moments, objective, theta, monitor, options)


TRAITS = {"stochastic": True, "float32": True}

# As in MLPRegressor, early stopping holds out no rows for lbfgs: it needs the user's validation
# set.
LBFGS = Solver("lbfgs", _lbfgs, holds_out=False)
SGD = Solver("sgd", partial(_stochastic, 1), has_schedule=True, **TRAITS)
ADAM = Solver("adam", partial(_stochastic, 2), **TRAITS)

SOLVERS = {solver.name: solver for solver in (LM, LBFGS, ADAM, SGD)}

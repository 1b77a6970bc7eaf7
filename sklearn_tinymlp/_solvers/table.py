"""The solvers that `TinyMLPRegressor` knows by name; compiled ones are imported when called."""

from .levenberg_marquardt import LM
from .solver import Solver


def _lbfgs(objective, theta, monitor, options):
    from . import lbfgs

    return lbfgs.run(objective, theta, monitor, options)


def _stochastic(n_moments):
    def run(objective, theta, monitor, options):
        from . import stochastic

        return stochastic.runner(n_moments)(objective, theta, monitor, options)

    return run


TRAITS = {"stochastic": True, "float32": True, "takes_kinks": True}

# Without a validation set of the user's own lbfgs does not stop early: as MLPRegressor's.
LBFGS = Solver("lbfgs", _lbfgs, holds_out=False)
SGD = Solver("sgd", _stochastic(n_moments=1), has_schedule=True, **TRAITS)
ADAM = Solver("adam", _stochastic(n_moments=2), **TRAITS)

SOLVERS = {solver.name: solver for solver in (LM, LBFGS, ADAM, SGD)}

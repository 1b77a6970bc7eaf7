"""The table of solvers: each has what it needs, and traits that belong together."""

import pytest

from sklearn_tinymlp._solvers.solver import Solver
from sklearn_tinymlp._solvers.table import SOLVERS


def test_a_solver_that_cannot_solve_is_refused():
    with pytest.raises(TypeError, match="solve"):
        Solver("newton")
    with pytest.raises(TypeError, match="'newton' needs a function as solve"):
        Solver("newton", None)


@pytest.mark.parametrize("name", SOLVERS)
def test_traits_belong_together(name):
    solver = SOLVERS[name]
    assert solver.name == name
    assert not (solver.least_squares and (solver.float32 or solver.stochastic))
    assert solver.stochastic or not solver.has_schedule

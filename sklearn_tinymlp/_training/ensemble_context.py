"""`EnsembleContext`: what the fits of an ensemble's members have in common."""

from typing import NamedTuple

from .._data.data import Data
from .._machine.interruption import Interruption
from .plan import Plan
from .repeated_inputs import Repeats, find_repeats


class EnsembleContext(NamedTuple):
    """What a member receives from its ensemble; empty in a single fit."""

    is_ensemble: bool = False
    interruption: Interruption | None = None  # of the ensemble and its members
    repeats: Repeats | None = None  # groups of correlated rows, found once for all members
    warns: bool = True  # of a fit that does not converge

    def repeats_in(self, plan: Plan, scaled: Data) -> Repeats | None:
        """Return the groups of correlated rows."""
        return self.repeats if self.is_ensemble else find_repeats(plan, scaled)


SINGLE_FIT = EnsembleContext()

"""`EnsembleContext`: work that an ensemble does once for the fits of all its members."""

from threading import Lock
from typing import NamedTuple

import numpy as np

from .._data.data import Data
from .._machine.interruption import Interruption
from .._relevance.pilots import RelevanceReport
from .calibration import BeforeSelection
from .input_selection import relevance_report
from .plan import Plan
from .repeated_inputs import Repeats, find_repeats

# Members of this shape, the default of a single network, are compared by the referee.
REFEREED_SHAPE = (16, 16)


class SharedData:
    """Data in the units of training, and the data on selected inputs, made once for all threads.

    The scaling depends neither on the shape nor on the start of a member, and the selected inputs
    hardly ever depend on these.
    """

    def __init__(self, data: Data, dtype):
        self.data, self.dtype, self._lock = data, dtype, Lock()
        self._inputs, self._on_inputs = (), None

    def on_inputs(self, inputs) -> Data:
        """Return the data on some of the inputs."""
        with self._lock:
            if not np.array_equal(self._inputs, inputs):
                self._on_inputs = self.data.on_inputs(inputs).in_dtype(self.dtype)
                self._inputs = inputs
            return self._on_inputs


class EnsembleContext(NamedTuple):
    """What the members of an ensemble share; empty in a single fit."""

    is_ensemble: bool = False
    report: RelevanceReport | None = None  # of pilots on rows of the same distribution
    interruption: Interruption | None = None  # of the ensemble and its members
    shared: SharedData | None = None  # None where members do not share memory
    repeats: Repeats | None = None  # groups of correlated rows

    def before_selection(self, plan: Plan, scaled: Data) -> BeforeSelection | None:
        """Return what the referee and refits need; None for most members of an ensemble.

        Others have worse errors on folds where they fail, and then no weight.
        """
        refereed = not self.is_ensemble or plan.settings.hidden_layer_sizes == REFEREED_SHAPE
        return BeforeSelection(plan, scaled) if refereed else None

    def relevance_report(self, *arguments) -> RelevanceReport | None:
        """Return the report of the ensemble's pilot networks, or train pilots for a single fit."""
        return self.report if self.is_ensemble else relevance_report(*arguments)

    def scale(self, plan: Plan, data: Data) -> Data:
        """Return the data in the units of training."""
        return data.scaled(plan.scaling) if self.shared is None else self.shared.data

    def repeats_in(self, plan: Plan, scaled: Data) -> Repeats | None:
        """Return the groups of correlated rows, found once for all members."""
        return self.repeats if self.is_ensemble else find_repeats(plan, scaled)

    def on_inputs(self, scaled: Data, inputs) -> Data:
        """Return scaled data on some of the inputs."""
        return (scaled if self.shared is None else self.shared).on_inputs(inputs)


SINGLE_FIT = EnsembleContext()

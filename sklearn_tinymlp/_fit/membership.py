"""`Membership`: what a member of an ensemble is given by it, and need not find out for itself."""

from threading import Lock
from typing import NamedTuple

import numpy as np

from .._machine.interruption import Interruption
from .data import Data
from .plan import Plan
from .posterior import Unrevised
from .scouts import Report, on_inputs, report_for


class SharedData:
    """Data in the units of training, and the same on some of the inputs, made once for all threads.

    Members differ in shape and start: how data are scaled depends on neither, and the inputs that
    matter hardly ever do.
    """

    def __init__(self, data: Data, dtype):
        self.data, self.dtype, self._lock = data, dtype, Lock()
        self._inputs, self._on_inputs = (), None

    def on_inputs(self, inputs) -> Data:
        """Leave all other inputs out."""
        with self._lock:
            if not np.array_equal(self._inputs, inputs):
                self._on_inputs = on_inputs(self.data, inputs).in_dtype(self.dtype)
                self._inputs = inputs
            return self._on_inputs


class Alone:
    """What a network finds out for itself that is no member of an ensemble."""

    interruption = None
    before = Unrevised
    report_for = staticmethod(report_for)
    on_inputs = staticmethod(on_inputs)

    @staticmethod
    def scale(plan: Plan, data: Data) -> Data:
        """Give the data in the units of training."""
        return data.scaled(plan.scaling)


ALONE = Alone()


class Membership(NamedTuple):
    """What a member of an ensemble is given by it, and need not find out for itself."""

    report: Report | None  # of scouts, on rows as good as its own
    interruption: Interruption  # of the ensemble: ends the member, too
    dtypes: tuple[np.dtype, np.dtype]  # of the data in the units of training, and trained on
    shared: SharedData | None  # where members share memory

    @classmethod
    def of(cls, plan: Plan, scaled: Data, report, interruption, share) -> "Membership":
        """Share scaled data, if that is asked for, in the dtype that takes least memory in all."""
        few = report is not None and 2 * len(report.alive) <= plan.n_inputs
        dtypes = (scaled.X.dtype if few else plan.working_dtype, plan.working_dtype)
        shared = SharedData(scaled.in_dtype(dtypes[0]), dtypes[1]) if share else None
        return cls(report, interruption, dtypes, shared)

    def before(self, plan: Plan, data: Data) -> None:
        """Give nothing to train again by: the ensemble calibrates the band."""

    def report_for(self, plan, scaled, random_state, interruption) -> Report | None:
        """Give the report of the scouts that the ensemble has sent."""
        return self.report

    def scale(self, plan: Plan, data: Data) -> Data:
        """Give the data in the units of training."""
        if self.shared is not None:
            return self.shared.data
        return data.scaled(plan.scaling).in_dtype(self.dtypes[0])

    def on_inputs(self, scaled: Data, inputs) -> Data:
        """Leave all other inputs out of scaled data."""
        if self.shared is not None:
            return self.shared.on_inputs(inputs)
        return on_inputs(scaled, inputs).in_dtype(self.dtypes[1])

"""`EnsembleContext`: what an ensemble does once for all its members.

`SingleFit` has the same methods, for a fit outside of an ensemble.
"""

from threading import Lock
from typing import NamedTuple

import numpy as np

from .._data.data import Data
from .._machine.interruption import Interruption
from .._relevance.pilots import RelevanceReport
from .calibration import BeforeSelection
from .input_selection import relevance_report
from .plan import Plan


class SingleFit:
    """A fit that shares nothing."""

    interruption = None
    before = BeforeSelection
    relevance_report = staticmethod(relevance_report)

    @staticmethod
    def scale(plan: Plan, data: Data) -> Data:
        """Return the data in the units of training."""
        return data.scaled(plan.scaling)

    @staticmethod
    def on_inputs(scaled: Data, inputs) -> Data:
        """Return scaled data on some of the inputs."""
        return scaled.on_inputs(inputs)


SINGLE_FIT = SingleFit()


class SharedData:
    """Data in the units of training, and those on selected inputs, made once for all threads.

    The scaling depends neither on the shape nor on the start of a member, and the selected inputs
    hardly ever do.
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
    """What the members of an ensemble share."""

    report: RelevanceReport | None  # of pilots on rows of the same distribution
    interruption: Interruption  # of the ensemble, and so of its members
    dtypes: tuple[np.dtype, np.dtype]  # of the data in the units of training, and trained on
    shared: SharedData | None  # None where members do not share memory

    @classmethod
    def of(cls, plan: Plan, scaled: Data, report, interruption, share) -> "EnsembleContext":
        """Share scaled data, if asked to, in the dtype that takes least memory in all."""
        few = report is not None and 2 * len(report.selected) <= plan.n_inputs
        dtypes = (scaled.X.dtype if few else plan.working_dtype, plan.working_dtype)
        shared = SharedData(scaled.in_dtype(dtypes[0]), dtypes[1]) if share else None
        return cls(report, interruption, dtypes, shared)

    def before(self, plan: Plan, data: Data) -> None:
        """Return None: the ensemble calibrates its intervals, members are not refitted."""

    def relevance_report(self, plan, scaled, random_state, interruption) -> RelevanceReport | None:
        """Return the report of the ensemble's pilot networks."""
        return self.report

    def scale(self, plan: Plan, data: Data) -> Data:
        """Return the data in the units of training."""
        if self.shared is not None:
            return self.shared.data
        return data.scaled(plan.scaling).in_dtype(self.dtypes[0])

    def on_inputs(self, scaled: Data, inputs) -> Data:
        """Return scaled data on some of the inputs."""
        if self.shared is not None:
            return self.shared.on_inputs(inputs)
        return scaled.on_inputs(inputs).in_dtype(self.dtypes[1])

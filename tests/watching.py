"""Stand-ins for who watches a solver, and for its clock."""

import itertools
from types import SimpleNamespace


class Watch:
    """Keeps what a watcher is told, and asks to stop at the end of a given iteration."""

    def __init__(self, stop_after=None):
        self.begun, self.ended, self.stop_after = [], [], stop_after

    def begin(self, theta, n_iter):
        self.begun.append((theta.copy(), n_iter))

    def end(self, theta):
        self.ended.append(theta.copy())
        return len(self.ended) == self.stop_after


def watch_budgets(monkeypatch, solver, seconds=3.0):
    """Let each call take some seconds by the solver's clock; list (budget, seconds) of the calls.

    The budget of the next call is one more each time.
    """
    calls = []

    def next_budget(budget, taken):
        calls.append((budget, taken))
        return budget + 1

    clock = itertools.count(1000.0, seconds)
    monkeypatch.setattr(solver, "time", SimpleNamespace(perf_counter=clock.__next__))
    monkeypatch.setattr(solver, "next_budget", next_budget)
    return calls

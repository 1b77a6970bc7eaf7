"""Train from several starts, in threads: the kernels run without the GIL."""

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

import numpy as np
from sklearn.utils._openmp_helpers import _openmp_effective_n_threads

from .._machine.interruption import Interruption
from .._solvers.monitor import Solution, StopReason


def train_all(
    train: Callable[..., Solution],
    starts: Sequence[tuple],
    interrupted: Interruption,
    in_threads: bool,
) -> list[Solution]:
    """Train from each start; the solutions, in order, do not depend on the number of threads.

    Parameters
    ----------
    train : callable
        Called with the members of a start; comes to an end when `interrupted` is set.
    starts : sequence of tuple
        What is drawn at random in a training is drawn from a state of the start's own.
    interrupted : Interruption
        Set when Ctrl-C is pressed, which only the main thread hears.
    in_threads : bool
        Whether to use as many threads as scikit-learn's own parallel code: the number of cores, or
        fewer where OMP_NUM_THREADS or joblib's workers say so.

    Returns
    -------
    solutions : list of Solution
        Fewer than starts after an interruption.
    """
    n_threads = 1
    if in_threads and len(starts) > 1:
        n_threads = min(len(starts), _openmp_effective_n_threads())

    def train_unless_interrupted(number) -> Solution | None:
        if number > 0 and interrupted.is_set():
            return None
        solution = train(*starts[number])
        if solution.reason is StopReason.INTERRUPTED:
            interrupted.set()
        return solution

    if n_threads == 1:
        solutions = [train_unless_interrupted(number) for number in range(len(starts))]
    else:
        with ThreadPoolExecutor(n_threads) as pool:
            trainings = []
            try:
                for number in range(len(starts)):
                    trainings.append(pool.submit(train_unless_interrupted, number))
                done, _ = wait(trainings, return_when=FIRST_EXCEPTION)
                if any(training.exception() for training in done):
                    interrupted.set()
            except KeyboardInterrupt:
                interrupted.set()
        solutions = [training.result() for training in trainings]
    return [solution for solution in solutions if solution is not None]


def summary(solutions: Sequence[Solution]) -> dict[str, np.ndarray]:
    """Tabulate how each start ended: a row a start."""
    table = {
        "loss": np.array([solution.loss for solution in solutions]),
        "n_iter": np.array([solution.n_iter for solution in solutions]),
        "stop_reason": np.array(
            [solution.reason.code if solution.reason else "partial_fit" for solution in solutions]
        ),
    }
    if any(np.isfinite(solution.log_evidence) for solution in solutions):
        table["log_evidence"] = np.array([solution.log_evidence for solution in solutions])
    if any(np.isfinite(solution.score) for solution in solutions):
        table["validation_score"] = np.array([solution.score for solution in solutions])
    return table

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sklearn_tinymlp._solvers.monitor import History, Monitor, StopReason


def monitor(**options):
    return Monitor(**{"max_iter": 100, "record": History()} | options)


class Scores:
    """A validation that gives one score after another."""

    def __init__(self, scores):
        self.scores = iter(scores)

    def __call__(self, theta):
        score = next(self.scores)
        return 1 - score, score


def feed(watcher, scores):
    """Update with thetas 0, 1, 2, ...; give the reasons."""
    watcher.validate = Scores(scores)
    return [watcher.update(theta=np.array([float(k)]), loss=1.0) for k in range(len(scores))]


# ---------------------------------------------------------------------------- StopReason


def test_codes_are_distinct_words():
    codes = [reason.code for reason in StopReason]
    assert len(set(codes)) == len(codes)
    assert all(code == code.lower() and " " not in code for code in codes)


def test_every_reason_is_explained_in_a_sentence():
    for reason in StopReason:
        assert reason.sentence[0].isupper() or reason.sentence.startswith("max_")
        assert reason.sentence.endswith(".")


@pytest.mark.parametrize(
    "code, converged",
    [
        ("loss_tol", True),
        ("tol", True),
        ("validation", True),
        ("gradient", True),
        ("line_search", False),
        ("at_rest", True),
        ("max_iter", False),
        ("max_fun", False),
        ("interrupted", False),
    ],
)
def test_only_a_finished_fit_counts_as_converged(code, converged):
    (reason,) = (reason for reason in StopReason if reason.code == code)
    assert reason.converged is converged


# -------------------------------------------------------------------------------- Record


def test_record_takes_one_row_at_a_time():
    record = History()
    record.append(loss=2.0, rate=0.1)
    record.append(loss=1.0, rate=0.2)
    assert record.columns == {"loss": [2.0, 1.0], "rate": [0.1, 0.2]}


def test_record_takes_several_rows_at_once():
    record = History()
    record.append(loss=3.0)
    record.append(loss=np.array([2.0, 1.0]))
    assert record.columns == {"loss": [3.0, 2.0, 1.0]}


def test_record_keeps_python_floats():
    record = History()
    record.append(loss=np.float32(0.5))
    assert type(record.columns["loss"][0]) is float


def test_record_is_extended_by_a_later_one():
    first, later = History(), History()
    first.append(loss=3.0)
    later.append(loss=np.array([2.0, 1.0]))
    both = first.joined(later)
    assert both.columns == {"loss": [3.0, 2.0, 1.0]}
    assert later.columns == {"loss": [2.0, 1.0]}
    assert first.columns == {"loss": [3.0]}


def test_record_gives_arrays_of_one_length():
    record = History()
    record.append(loss=2.0, rate=0.1)
    record.append(loss=1.0, rate=0.2)
    arrays = record.arrays()
    assert list(arrays) == ["loss", "rate"]
    assert_array_equal(arrays["loss"], [2, 1])


def test_empty_record_has_no_columns():
    assert History().arrays() == {}


# ------------------------------------------------------------------------------- Monitor


def test_monitor_lets_training_go_on_until_max_iter():
    watcher = monitor(max_iter=3)
    reasons = [watcher.update(theta=np.zeros(1), loss=1.0) for _ in range(3)]
    assert reasons == [None, None, StopReason.MAX_ITER]
    assert watcher.n_iter == 3
    assert watcher.record.columns == {"loss": [1.0, 1.0, 1.0]}


def test_monitor_counts_iterations_reported_together():
    watcher = monitor(max_iter=3)
    assert watcher.update(theta=np.zeros(1), loss=np.array([3.0, 2.0])) is None
    assert watcher.n_iter == 2
    assert watcher.update(theta=np.zeros(1), loss=1.0) is StopReason.MAX_ITER


def test_monitor_keeps_what_else_it_is_told():
    watcher = monitor()
    watcher.update(theta=np.zeros(1), loss=1.0, learning_rate=0.1)
    assert watcher.record.columns == {"loss": [1.0], "learning_rate": [0.1]}


def test_target_loss_ends_training():
    watcher = monitor(loss_tol=0.5)
    assert watcher.update(theta=np.zeros(1), loss=0.51) is None
    assert watcher.update(theta=np.zeros(1), loss=0.5) is StopReason.LOSS_TOL


def test_target_loss_goes_before_max_iter():
    watcher = monitor(loss_tol=0.5, max_iter=1)
    assert watcher.update(theta=np.zeros(1), loss=0.4) is StopReason.LOSS_TOL


def test_target_loss_is_not_reached_by_nan():
    assert monitor(loss_tol=0.5).update(theta=np.zeros(1), loss=np.nan) is None


def test_validation_is_recorded_even_when_it_does_not_stop():
    watcher = monitor()
    assert feed(watcher, [0.2, 0.1, 0.0]) == [None] * 3
    assert watcher.record.columns["validation_score"] == [0.2, 0.1, 0.0]
    assert watcher.record.columns["validation_loss"] == [0.8, 0.9, 1.0]
    assert watcher.best_theta is None


def test_early_stopping_waits_longer_than_n_iter_no_change():
    watcher = monitor(early_stopping=True, n_iter_no_change=2)
    reasons = feed(watcher, [0.5, 0.4, 0.3, 0.2])
    assert reasons == [None, None, None, StopReason.VALIDATION]


def test_early_stopping_keeps_a_copy_of_the_best():
    watcher = monitor(early_stopping=True, n_iter_no_change=5)
    feed(watcher, [0.1, 0.5, 0.4])
    assert watcher.best_score == 0.5
    assert_array_equal(watcher.best_theta, [1.0])
    theta = np.array([7.0])
    watcher.validate = Scores([0.9])
    watcher.update(theta=theta, loss=1.0)
    theta[0] = 0
    assert_array_equal(watcher.best_theta, [7.0])


def test_an_improvement_below_tol_is_kept_but_does_not_count():
    watcher = monitor(early_stopping=True, n_iter_no_change=10, tol=0.1)
    feed(watcher, [0.5, 0.55])
    assert watcher.best_score == 0.55
    assert watcher.no_improvement == 1


def test_an_improvement_by_tol_resets_the_count():
    watcher = monitor(early_stopping=True, n_iter_no_change=10, tol=0.125)
    feed(watcher, [0.5, 0.25, 0.625])
    assert watcher.no_improvement == 0


def test_a_score_of_nan_counts_as_improved_but_is_not_the_best():
    watcher = monitor(early_stopping=True, n_iter_no_change=1)
    assert feed(watcher, [0.5, 0.4, np.nan, 0.3]) == [None] * 4
    assert watcher.best_score == 0.5


def test_early_stopping_goes_on_where_an_earlier_fit_ended():
    watcher = monitor(early_stopping=True, n_iter_no_change=2, best_score=0.9, no_improvement=2)
    assert feed(watcher, [0.5]) == [StopReason.VALIDATION]
    assert watcher.best_theta is None
    assert watcher.best_score == 0.9


def test_silence_unless_verbose(capsys):
    watcher = monitor()
    feed(watcher, [0.5])
    watcher.say("something")
    assert capsys.readouterr().out == ""


def test_verbose_prints_the_lines_of_mlpregressor(capsys):
    watcher = monitor(verbose=True)
    watcher.update(theta=np.zeros(1), loss=np.array([0.5, 0.25]))
    feed(watcher, [0.75])
    watcher.say("something")
    assert capsys.readouterr().out.splitlines() == [
        "Iteration 1, loss = 0.50000000",
        "Iteration 2, loss = 0.25000000",
        "Iteration 3, loss = 1.00000000",
        "Validation score: 0.750000",
        "something",
    ]

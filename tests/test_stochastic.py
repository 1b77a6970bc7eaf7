import threading

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.utils import shuffle
from watching import Watch, watch_budgets

from sklearn_tinymlp import TinyMLPRegressor
from sklearn_tinymlp._engine import kernels, stochastic_state
from sklearn_tinymlp._engine.stochastic_state import StochasticOptions, StochasticState
from sklearn_tinymlp._network.architecture import Architecture
from sklearn_tinymlp._network.network import Network
from sklearn_tinymlp._objective.objective import Objective
from sklearn_tinymlp._objective.samples import Samples
from sklearn_tinymlp._solvers import stochastic
from sklearn_tinymlp._solvers.monitor import SECONDS_PER_CALL, History, Monitor, StopReason
from sklearn_tinymlp._solvers.stochastic import Twister, next_budget, solve

N_SAMPLES = 12
N_MOMENTS = {"sgd": 1, "adam": 2}


def options(**changes):
    values = {
        "schedule": stochastic_state.CONSTANT,
        "learning_rate_init": 0.01,
        "power_t": 0.5,
        "momentum": 0.0,
        "nesterovs_momentum": False,
        "beta_1": 0.9,
        "beta_2": 0.999,
        "epsilon": 1e-8,
        "alpha": 0.0,
        "tol": 0.0,
        "n_iter_no_change": np.inf,
        "loss_tol": -np.inf,
    }
    return StochasticOptions(**values | changes)


@pytest.fixture
def objective():
    rng = np.random.RandomState(0)
    X = rng.standard_normal((N_SAMPLES, 2))
    y = (X @ [1.0, -2.0] + 0.5 + 0.1 * rng.standard_normal(N_SAMPLES)).reshape(-1, 1)
    network = Network(Architecture((2, 1)), ("identity",))
    return Objective(network, Samples.of(X, y), 0.0, Samples.of(X, y))


def train(objective, theta=None, solver="sgd", changes=None, watch=None, **arguments):
    """Solve; give solution, monitor and state."""
    theta = np.zeros(3) if theta is None else theta
    chosen = options(**changes or {})
    watcher = Monitor(**{"max_iter": 5, "record": History()} | (watch or {}))
    given = {
        "state": StochasticState.initial(N_MOMENTS[solver], chosen, theta),
        "random_state": np.random.RandomState(0),
        "batch_size": N_SAMPLES,
        "shuffle": False,
    } | arguments
    return solve(objective, theta, watcher, **given), watcher, given["state"]


# ------------------------------------------------------------------------------------- budget


def test_budget_grows_at_most_fourfold():
    assert next_budget(100, 0.0) == 400
    assert next_budget(100, 1e-6) == 400


def test_budget_aims_at_the_time_of_a_call():
    assert next_budget(1000, 2 * SECONDS_PER_CALL) == 500
    assert next_budget(1000, 0.5 * SECONDS_PER_CALL) == 2000


def test_budget_is_never_without_a_row_and_never_beyond_its_type():
    assert next_budget(1, 1e9) == 1
    assert next_budget(2**40, 0.0) == 2**40


# -------------------------------------------------------------------------------------- state


def trained_state(solver="adam"):
    state = StochasticState.initial(N_MOMENTS[solver], options(), np.zeros(3))
    state.moment[:] = 1
    if state.second_moment is not None:
        state.second_moment[:] = 2
    for k, name in enumerate(state.progress.dtype.names):
        state.progress[name] = k + 1
    return state


def test_an_initial_state_has_seen_nothing():
    state = StochasticState.initial(2, options(learning_rate_init=0.25), np.zeros(3, np.float32))
    assert state.progress["learning_rate"] == 0.25
    assert state.progress["best_loss"] == np.inf
    for name in ("row", "epoch", "step", "samples", "no_improvement", "event"):
        assert state.progress[name] == 0
    for moment in (state.moment, state.second_moment):
        assert moment.dtype == np.float32
        assert_array_equal(moment, np.zeros(3))


def test_sgd_has_no_second_moment():
    assert StochasticState.initial(1, options(), np.zeros(3)).second_moment is None


def test_restarted_state_remembers_only_what_the_stopping_rule_has_seen():
    before = trained_state()
    after = before.restarted(2, options(learning_rate_init=0.5), np.zeros(3))
    for name in ("best_loss", "no_improvement", "samples"):
        assert after.progress[name] == before.progress[name]
    assert after.progress["learning_rate"] == 0.5
    assert after.progress["step"] == 0
    assert not after.moment.any()
    assert not after.second_moment.any()
    assert after.options.learning_rate_init == 0.5


def test_resumed_state_keeps_the_hyperparameters_of_the_optimizer():
    changed = options(
        learning_rate_init=0.5, momentum=0.5, beta_1=0.5, alpha=0.5, tol=0.5, n_iter_no_change=5
    )
    after = trained_state().resumed(changed)
    assert after.options.learning_rate_init == 0.01
    assert after.options.momentum == 0.0
    assert after.options.beta_1 == 0.9
    assert after.options.alpha == after.options.tol == 0.5
    assert after.options.n_iter_no_change == 5


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_resumed_state_is_a_copy(solver):
    before = trained_state(solver)
    after = before.resumed(options())
    assert after.progress == before.progress
    assert_array_equal(after.moment, before.moment)
    after.progress["step"] = 99
    after.moment[:] = 99
    if solver == "adam":
        assert_array_equal(after.second_moment, before.second_moment)
        after.second_moment[:] = 99
        assert_array_equal(before.second_moment, 2)
    assert before.progress["step"] != 99
    assert_array_equal(before.moment, 1)


# -------------------------------------------------------------------------------------- steps


def test_sgd_on_the_full_batch_is_gradient_descent(objective):
    theta = np.array([0.1, 0.2, 0.3])
    solution, watcher, _ = train(objective, theta)
    losses = []
    for _ in range(5):
        loss, gradient = objective.loss_gradient(theta)
        losses.append(loss)
        theta = theta - 0.01 * gradient
    assert_allclose(solution.theta, theta, rtol=1e-13)
    assert_allclose(watcher.record.columns["loss"], losses, rtol=1e-13)


@pytest.mark.parametrize("nesterov", [False, True])
def test_momentum_follows_its_recurrence(objective, nesterov):
    theta, velocity = np.zeros(3), np.zeros(3)
    changes = {"momentum": 0.75, "nesterovs_momentum": nesterov}
    solution, _, state = train(objective, theta, changes=changes)
    for _ in range(5):
        gradient = objective.loss_gradient(theta)[1]
        velocity = 0.75 * velocity - 0.01 * gradient
        theta = theta + (0.75 * velocity - 0.01 * gradient if nesterov else velocity)
    assert_allclose(solution.theta, theta, rtol=1e-12)
    assert_allclose(state.moment, velocity, rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [1, 5, 12])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n_outputs", [1, 3])
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_each_batch_is_a_step_along_its_own_gradient(solver, n_outputs, weighted, batch_size):
    rng = np.random.RandomState(0)
    X, y = rng.standard_normal((N_SAMPLES, 2)), rng.standard_normal((N_SAMPLES, n_outputs))
    weight = np.r_[np.zeros(5), rng.uniform(0.5, 2.0, N_SAMPLES - 5)] if weighted else None
    architecture = Architecture((2, 3, n_outputs))
    network = Network(architecture, ("tanh", "identity"))
    start = rng.standard_normal(architecture.n_parameters)
    solution, _, state = train(
        Objective(network, Samples.of(X, y, weight), 0.3),
        start,
        solver,
        changes={"alpha": 0.3},
        watch={"max_iter": 1},
        batch_size=batch_size,
    )
    theta, mean, square, total, t = start, 0.0, 0.0, 0.0, 0
    is_coef = np.arange(theta.size) < architecture.n_coefs
    for first in range(0, N_SAMPLES, batch_size):
        rows = slice(first, first + batch_size)
        given = None if weight is None else weight[rows]
        if given is not None and not given.any():
            continue  # a batch without weight has no say
        batch = Objective(network, Samples.of(X[rows], y[rows], given), 0.0)
        loss, gradient = batch.loss_gradient(theta)
        penalty = 0.3 / batch.training.weight_sum
        total += len(y[rows]) * (loss + 0.5 * penalty * np.sum(theta[is_coef] ** 2))
        # As in MLPRegressor the gradient is that of the sum over the outputs.
        gradient = n_outputs * gradient + penalty * is_coef * theta
        t += 1
        if solver == "adam":
            mean = 0.9 * mean + 0.1 * gradient
            square = 0.999 * square + 0.001 * gradient**2
            rate = 0.01 * np.sqrt(1 - 0.999**t) / (1 - 0.9**t)
            theta = theta - rate * mean / (np.sqrt(square) + 1e-8)
        else:
            theta = theta - 0.01 * gradient
    assert_allclose(solution.theta, theta, rtol=1e-10)
    assert_allclose(solution.loss, total / N_SAMPLES, rtol=1e-12)
    assert state.progress["step"] == (t if solver == "adam" else 0)


def test_the_first_step_of_adam_is_the_rate_in_each_coordinate(objective):
    gradient = objective.loss_gradient(np.zeros(3))[1]
    solution, _, _ = train(
        objective, solver="adam", changes={"epsilon": 1e-300}, watch={"max_iter": 1}
    )
    assert_allclose(solution.theta, -0.01 * np.sign(gradient), rtol=1e-12)


def test_adam_follows_the_published_algorithm(objective):
    theta, mean, square = np.zeros(3), np.zeros(3), np.zeros(3)
    solution, _, state = train(objective, solver="adam", changes={"epsilon": 1e-300})
    for t in range(1, 6):
        gradient = objective.loss_gradient(theta)[1]
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        theta = theta - 0.01 * (mean / (1 - 0.9**t)) / np.sqrt(square / (1 - 0.999**t))
    assert_allclose(solution.theta, theta, rtol=1e-11)
    assert_allclose(state.moment, mean, rtol=1e-11)
    assert_allclose(state.second_moment, square, rtol=1e-11)
    assert state.progress["step"] == 5


def test_start_is_left_as_it_was(objective):
    theta = np.zeros(3)
    train(objective, theta)
    assert_array_equal(theta, 0)


def test_each_batch_counts_by_its_rows(objective):
    # A rate of next to nothing: the epoch's loss is that of the start, whatever the batches.
    solution, _, state = train(
        objective, changes={"learning_rate_init": 1e-300}, batch_size=5, watch={"max_iter": 1}
    )
    assert_allclose(solution.loss, objective.loss_gradient(np.zeros(3))[0], rtol=1e-13)
    assert state.progress["samples"] == N_SAMPLES


def test_adam_steps_once_a_batch(objective):
    _, _, state = train(objective, solver="adam", batch_size=5, watch={"max_iter": 4})
    assert state.progress["step"] == 4 * 3
    assert state.progress["samples"] == 4 * N_SAMPLES


# ------------------------------------------------------------------------- rates and stopping


def test_invscaling_falls_with_the_samples_seen(objective):
    changes = {"schedule": stochastic_state.INVSCALING, "power_t": 0.25}
    _, watcher, state = train(objective, changes=changes)
    seen = N_SAMPLES * np.arange(6)
    expected = 0.01 / (seen + 1) ** 0.25
    expected[0] = 0.01
    assert_allclose(watcher.record.columns["learning_rate"], expected[:5], rtol=1e-14)
    assert_allclose(state.progress["learning_rate"], expected[5], rtol=1e-14)


@pytest.mark.slow
def test_adaptive_divides_the_rate_by_five_at_each_standstill(objective):
    changes = {"schedule": stochastic_state.ADAPTIVE, "tol": 1e9, "n_iter_no_change": 1}
    solution, watcher, _ = train(objective, changes=changes, watch={"max_iter": 7})
    rates = watcher.record.columns["learning_rate"]
    # The first epoch improves on infinity; then every second one is a standstill.
    expected = 0.01 / 5.0 ** np.array([0, 0, 0, 1, 1, 2, 2])
    assert_allclose(rates, expected, rtol=1e-13)
    assert solution.reason is StopReason.MAX_ITER


@pytest.mark.slow
def test_adaptive_ends_when_the_rate_is_small(objective):
    changes = {"schedule": stochastic_state.ADAPTIVE, "tol": 1e9, "n_iter_no_change": 1}
    solution, watcher, _ = train(objective, changes=changes, watch={"max_iter": 1000})
    rates = watcher.record.columns["learning_rate"]
    assert solution.reason is StopReason.TOL
    assert rates[-1] <= stochastic.LEAST_RATE < 5 * rates[-1] * (1 + 1e-12)
    assert solution.n_iter == len(rates) < 30


def test_adaptive_ends_at_the_least_rate_itself(objective):
    changes = {"schedule": stochastic_state.ADAPTIVE, "tol": 1e9, "n_iter_no_change": 1}
    changes["learning_rate_init"] = stochastic.LEAST_RATE
    solution, *_ = train(objective, changes=changes, watch={"max_iter": 50})
    assert (solution.reason, solution.n_iter) == (StopReason.TOL, 3)


STANDSTILL = "did not improve more than tol=1000000000.000000 for 1 consecutive epochs."


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("schedule", [stochastic_state.CONSTANT, stochastic_state.ADAPTIVE])
def test_what_is_said_is_worded_as_by_mlp_regressor(objective, schedule, early_stopping, capsys):
    changes = {"schedule": schedule, "tol": 1e9, "n_iter_no_change": 1, "learning_rate_init": 2e-6}
    watch = {"max_iter": 50, "verbose": True}
    what = "Training loss"
    if early_stopping:
        what = "Validation score"
        watch |= {"early_stopping": True, "tol": 1e9, "n_iter_no_change": 1}
        watch["validate"] = lambda theta: (0.0, 0.5)
    train(objective, changes=changes, watch=watch)
    printed = capsys.readouterr().out.splitlines()
    said = [line for line in printed if not line.startswith(("Iteration", "Validation score:"))]
    if schedule == stochastic_state.CONSTANT:
        assert said == [f"{what} {STANDSTILL} Stopping."]
    else:
        assert said == [
            f"{what} {STANDSTILL} Setting learning rate to 0.000000",
            f"{what} {STANDSTILL} Learning rate too small. Stopping.",
        ]


def test_early_stopping_gives_the_last_parameters_where_the_target_is_met(objective):
    scores = iter([3.0, 2.0, 1.0, 0.0])  # the best are the first
    target = train(objective)[1].record.columns["loss"][2]
    watch = {"early_stopping": True, "validate": lambda theta: (0.0, next(scores))}
    solution, *_ = train(
        objective, changes={"loss_tol": target}, watch={**watch, "loss_tol": target}
    )
    assert (solution.reason, solution.n_iter) == (StopReason.LOSS_TOL, 3)
    assert_array_equal(solution.theta, train(objective, watch={"max_iter": 3})[0].theta)


def test_a_standstill_of_the_loss_ends_training(objective):
    changes = {"tol": 1e9, "n_iter_no_change": 3}
    solution, watcher, _ = train(objective, changes=changes, watch={"max_iter": 100})
    assert solution.reason is StopReason.TOL
    assert solution.n_iter == len(watcher.record.columns["loss"]) == 1 + 3 + 1
    assert solution.warning is None


def test_a_standstill_in_the_last_epoch_is_convergence(objective):
    changes = {"tol": 1e9, "n_iter_no_change": 3}
    solution, _, _ = train(objective, changes=changes, watch={"max_iter": 5})
    assert solution.reason is StopReason.TOL
    assert solution.warning is None


def test_max_iter_stops_with_a_warning(objective):
    solution, _, _ = train(objective)
    assert solution.reason is StopReason.MAX_ITER
    assert solution.n_iter == 5
    assert "Maximum iterations (5) reached" in solution.warning


def test_target_loss_ends_training_at_the_first_epoch_below_it(objective):
    _, watcher, _ = train(objective, watch={"max_iter": 50})
    losses = watcher.record.columns["loss"]
    target = losses[20]
    solution, watcher, _ = train(
        objective, changes={"loss_tol": target}, watch={"max_iter": 50, "loss_tol": target}
    )
    assert solution.reason is StopReason.LOSS_TOL
    assert watcher.record.columns["loss"] == losses[:21]
    assert solution.loss == target


def test_early_stopping_gives_the_parameters_of_the_best_score(objective):
    seen = []

    def validate(theta):
        seen.append(theta.copy())
        return 0.0, -abs(len(seen) - 3.0)  # best at the third epoch

    watch = {
        "max_iter": 50,
        "validate": validate,
        "early_stopping": True,
        "n_iter_no_change": 2,
    }
    # The loss alone would stop in the second epoch already.
    solution, _, state = train(objective, changes={"tol": 1e9, "n_iter_no_change": 1}, watch=watch)
    assert solution.reason is StopReason.VALIDATION
    assert solution.n_iter == 6
    assert solution.score == 0
    assert_array_equal(solution.theta, seen[2])
    assert state.progress["no_improvement"] == 3


@pytest.mark.parametrize("shuffled", [False, True])
def test_a_watcher_sees_each_epoch(objective, shuffled):
    watch = Watch()
    given = {"shuffle": shuffled, "batch_size": 5}
    train(objective, watch={"watcher": watch}, **given)
    assert [n_iter for _, n_iter in watch.begun] == list(range(5))
    assert_array_equal(watch.begun[0][0], 0.0)
    for k in range(1, 6):
        ended, _, _ = train(objective, watch={"max_iter": k}, **given)
        assert_array_equal(watch.ended[k - 1], ended.theta)
        if k < 5:
            assert_array_equal(watch.begun[k][0], ended.theta)


def test_a_later_call_does_no_more_epochs_than_are_left(objective, monkeypatch):
    three_epochs = 3 * N_SAMPLES
    monkeypatch.setattr(stochastic, "rows_per_call", lambda n_parameters: three_epochs)
    monkeypatch.setattr(stochastic, "next_budget", lambda budget, seconds: three_epochs)
    solution, watcher, _ = train(objective)
    assert solution.n_iter == len(watcher.record.columns["loss"]) == 5


def test_a_watcher_may_end_it(objective):
    solution, _, _ = train(objective, watch={"watcher": Watch(stop_after=3)})
    assert (solution.reason, solution.n_iter) == (StopReason.CALLBACK, 3)
    assert solution.warning is None


def test_each_call_is_given_the_budget_that_follows_from_the_one_before(objective, monkeypatch):
    calls, given, run_epochs = watch_budgets(monkeypatch, stochastic), [], kernels.run_epochs

    def keep(*arguments):
        given.append(arguments[-1])
        return run_epochs(*arguments)

    monkeypatch.setattr(stochastic, "rows_per_call", lambda n_parameters: n_parameters)
    monkeypatch.setattr(kernels, "run_epochs", keep)
    train(objective, batch_size=5)
    assert calls == [(3 + k, 3.0) for k in range(len(calls))]
    assert given == [3 + k for k in range(len(calls))] and len(calls) > 5


def test_a_single_epoch_has_no_reason_and_no_warning(objective):
    solution, _, _ = train(objective, single_epoch=True)
    assert solution.n_iter == 1
    assert solution.reason is None
    assert solution.warning is None


def test_single_epochs_add_up_to_a_fit(objective):
    whole, _, _ = train(objective, solver="adam", batch_size=5)
    theta, state = np.zeros(3), StochasticState.initial(2, options(), np.zeros(3))
    for _ in range(5):
        solution, _, _ = train(objective, theta, state=state, batch_size=5, single_epoch=True)
        theta, state = solution.theta, solution.state.resumed(options())
    assert_array_equal(theta, whole.theta)


# ------------------------------------------------------------------------- randomness, Ctrl-C


def test_without_shuffling_nothing_is_drawn(objective):
    random_state = np.random.RandomState(3)
    train(objective, random_state=random_state)
    np.testing.assert_equal(random_state.get_state(), np.random.RandomState(3).get_state())


def test_twister_puts_back_the_state_it_was_lent():
    random_state = np.random.RandomState(3)
    random_state.standard_normal()  # leaves a second normal in store
    before = random_state.get_state(legacy=False)
    twister = Twister(random_state)
    assert twister.lent
    twister.put_back()
    np.testing.assert_equal(random_state.get_state(legacy=False), before)


def test_another_bit_generator_is_not_lent():
    random_state = np.random.RandomState(np.random.PCG64(3))
    before = random_state.get_state(legacy=False)
    twister = Twister(random_state)
    assert not twister.lent
    twister.put_back()
    np.testing.assert_equal(random_state.get_state(legacy=False), before)


@pytest.mark.parametrize("generator", [np.random.MT19937, np.random.PCG64])
def test_the_random_state_stands_where_scikit_learns_would(objective, generator):
    ours, theirs = (np.random.RandomState(generator(3)) for _ in range(2))
    train(objective, shuffle=True, random_state=ours, watch={"max_iter": 4})
    order = np.arange(N_SAMPLES)
    for _ in range(4):
        order = shuffle(order, random_state=theirs)
    assert_array_equal(ours.uniform(size=3), theirs.uniform(size=3))


def test_after_an_interrupt_an_epoch_begins_anew(objective, monkeypatch):
    monkeypatch.setattr(stochastic, "rows_per_call", lambda n_parameters: 3)
    interrupted = threading.Event()
    interrupted.set()
    solution, _, state = train(objective, batch_size=3, watch={"interrupted": interrupted})
    assert (solution.reason, solution.n_iter) == (StopReason.INTERRUPTED, 0)
    assert state.progress["step"] == 0 and state.moment.any()  # a batch was done
    assert state.progress["row"] == 0


def interrupting(monkeypatch, error, after):
    """Let `run_epochs` raise once it was called `after` times, an epoch a call."""
    run_epochs, n_calls = kernels.run_epochs, 0

    def run(*arguments):
        nonlocal n_calls
        if n_calls == after:
            raise error
        n_calls += 1
        return run_epochs(*arguments)

    monkeypatch.setattr(kernels, "run_epochs", run)
    monkeypatch.setattr(stochastic, "EPOCHS_PER_CALL", 1)


def test_an_interrupt_keeps_the_weights_so_far(objective, monkeypatch):
    expected, _, _ = train(objective, shuffle=True, batch_size=5, watch={"max_iter": 3})
    interrupting(monkeypatch, KeyboardInterrupt, after=3)
    solution, _, _ = train(objective, shuffle=True, batch_size=5)
    assert solution.reason is StopReason.INTERRUPTED
    assert solution.n_iter == 3
    assert_array_equal(solution.theta, expected.theta)
    assert solution.warning is None


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_random_state_moves_on_even_when_training_breaks_off(objective, monkeypatch, error):
    expected, random_state = np.random.RandomState(3), np.random.RandomState(3)
    train(objective, shuffle=True, random_state=expected, watch={"max_iter": 2})
    interrupting(monkeypatch, error, after=2)
    try:
        train(objective, shuffle=True, random_state=random_state)
    except ZeroDivisionError:
        pass
    np.testing.assert_equal(random_state.get_state(), expected.get_state())


def test_partial_fit_continues_the_record_without_copying_it():
    net = TinyMLPRegressor(hidden_layer_sizes=(2,), solver="sgd", random_state=0)
    X, y = np.arange(6.0).reshape(3, 2), np.arange(3.0)
    losses = net.partial_fit(X, y).loss_curve_
    for _ in range(3):
        net.partial_fit(X, y)
    assert net.loss_curve_ is losses and len(losses) == 4
    assert_array_equal(net.history_["loss"], losses)
    with pytest.raises(ValueError):
        net.partial_fit(X, y[:2])
    assert len(net.loss_curve_) == 4

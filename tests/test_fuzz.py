"""The fuzzers run, find nothing in the first configurations of a seed, and are not blind."""

import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from fuzz import FUZZERS, INVARIANTS, main, rounding_of_a_loss, run_case, run_many

from sklearn_tinymlp import TinyMLPRegressor
from sklearn_tinymlp._training.plan import Plan
from sklearn_tinymlp._training.train import rank

pytestmark = pytest.mark.slow


CASES = 40  # some seconds


class AnotherPenalty(TinyMLPRegressor):
    """Trains with a hundredth more of the penalty."""

    def _fit(self, *arguments, **named):
        right = Plan.alpha.fget
        with patch.object(Plan, "alpha", property(lambda plan: 1.01 * right(plan))):
            return super()._fit(*arguments, **named)


class AnotherEpsilon(TinyMLPRegressor):
    """Reads a parameter wrongly."""

    def _fit(self, *arguments, **named):
        right = Plan.options

        def wrong(plan, random_state):
            options = right(plan, random_state)
            rates = options.stochastic._replace(epsilon=2 * options.stochastic.epsilon)
            return options._replace(stochastic=rates)

        with patch.object(Plan, "options", wrong):
            return super()._fit(*arguments, **named)


class AnotherError(TinyMLPRegressor):
    """Refuses what it should take, now and then."""

    def fit(self, X, y, sample_weight=None, **kwargs):
        if self.early_stopping:
            raise ValueError("early_stopping")
        return super().fit(X, y, sample_weight, **kwargs)


class AnotherWarning(TinyMLPRegressor):
    """Forgets to warn."""

    def _fit(self, *arguments, **named):
        with patch("sklearn_tinymlp._network_estimator.warn", lambda *_: None):
            return super()._fit(*arguments, **named)


class Imprecise(TinyMLPRegressor):
    """Predicts a millionth too much."""

    def predict(self, X, return_std=False):
        result = super().predict(X, return_std=return_std)
        return (result[0] * (1 + 1e-6), result[1]) if return_std else result * (1 + 1e-6)


class Unrepeatable(TinyMLPRegressor):
    """Does not depend on the seed alone."""

    def fit(self, X, y, *args, **kwargs):
        super().fit(X, y, *args, **kwargs)
        self.coefs_[0][0, 0] += 1e-13 * np.random.uniform(1, 2)
        return self


class Unbounded(TinyMLPRegressor):
    """Gives standard deviations that are none."""

    def predict(self, X, return_std=False):
        result = super().predict(X, return_std=return_std)
        return (result[0], 0 * result[1]) if return_std else result


class LastStart(TinyMLPRegressor):
    """Keeps the worst start."""

    def _fit(self, *arguments, **named):
        def worst_first(*parts):
            return tuple(-value for value in rank(*parts))

        with patch("sklearn_tinymlp._training.fit_result.rank", worst_first):
            return super()._fit(*arguments, **named)


class Forgetful(TinyMLPRegressor):
    """Loses a bit in a file."""

    def __getstate__(self):
        state = super().__getstate__()
        if "loss_" in state:
            state["loss_"] = state["loss_"] * (1 + 1e-9)
        return state


class Mute(TinyMLPRegressor):
    """Says not what it refuses."""

    def fit(self, X, y, *args, **kwargs):
        try:
            return super().fit(X, y, *args, **kwargs)
        except ValueError as error:
            raise ValueError("No.") from error


class Uphill(TinyMLPRegressor):
    """Ends where the loss is larger."""

    def fit(self, X, y, *args, **kwargs):
        super().fit(X, y, *args, **kwargs)
        self.intercepts_[-1] += 1000.0 * np.abs(self.predict(X)).max()
        return self


@pytest.mark.parametrize("fuzzer", FUZZERS)
def test_no_mismatch(fuzzer, capsys):
    counts = run_many(fuzzer, seed=0, cases=CASES)
    assert counts["MISMATCH"] == 0, capsys.readouterr().out
    assert counts.total() == CASES
    assert counts["agrees"] + counts["holds"] > CASES / 2
    assert f"{CASES} configurations" in capsys.readouterr().out


@pytest.mark.parametrize(
    "fuzzer, faulty, what",
    [
        ("differential", AnotherPenalty, "coefs_ after step 0"),
        ("differential", AnotherEpsilon, "coefs_ after step 0"),
        ("differential", AnotherError, "error or not in step 0"),
        ("differential", AnotherWarning, "warnings after step 0"),
        ("differential", Imprecise, "predictions after step 0"),
        ("own", AnotherWarning, "it_says_whether_it_converged"),
        ("own", Imprecise, "predictions_are_those_by_hand"),
        ("own", Unrepeatable, "the_same_seed_gives_the_same_bits"),
        ("own", Unbounded, "standard_deviations_are_positive"),
        ("own", LastStart, "the_best_start_is_kept"),
        ("own", Forgetful, "pickle_keeps_the_network"),
        ("own", Mute, "ValueError('No.')"),
        ("own", Uphill, "the_loss_falls"),
    ],
)
def test_a_planted_fault_is_found(fuzzer, faulty, what):
    outcomes = (run_case(fuzzer, number, faulty)[1] for number in range(CASES))
    assert any(outcome.kind == "MISMATCH" and what in outcome.text for outcome in outcomes)


def test_a_case_is_done_again(capsys, monkeypatch):
    assert main(["--case", "own:7"]) == 0
    assert "holds: python -m tests.fuzz --case own:7\n" in capsys.readouterr().out
    for invariant in INVARIANTS:
        monkeypatch.setattr(invariant, "__code__", (lambda trained: 1 / 0).__code__)
    assert main(["--case", "own:7"]) == 1
    assert "MISMATCH: python -m tests.fuzz --case own:7\n" in capsys.readouterr().out


def test_the_command_as_the_documentation_gives_it():
    command = [sys.executable, "-m", "tests.fuzz", "--minutes", "0", "--seed", "3"]
    done = subprocess.run(
        command, cwd=Path(__file__).parents[1], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr + done.stdout
    for line, fuzzer in zip(done.stdout.splitlines(), FUZZERS, strict=True):
        assert line.startswith(f"{fuzzer}, seed 3: 0 configurations")


@pytest.mark.parametrize("fuzzer", FUZZERS)
def test_numbers_beyond_a_seed_are_configurations_too(fuzzer):
    counts = run_many(fuzzer, seed=9091, cases=5)
    assert counts.total() == 5 and not counts["MISMATCH"]


def test_the_rounding_of_a_loss_is_small_beside_a_loss_that_is_not():
    assert rounding_of_a_loss(0.0) > 1e-29
    assert 1.3e-6 * 1e-19 < rounding_of_a_loss(1e-19) < 1e-3 * 1e-19
    assert rounding_of_a_loss(1.0) < 1e-13

"""The fuzzers run, find nothing in the first configurations of a seed, and are not blind."""

import subprocess
import sys
from itertools import islice
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from fuzz import (
    FUZZERS,
    INVARIANTS,
    main,
    related_configuration,
    rounding_of_a_loss,
    run_case,
    run_many,
)
from relations import RELATIONS, relate
from scipy import sparse
from threadpoolctl import threadpool_info

from sklearn_tinymlp import TinyMLPRegressor
from sklearn_tinymlp._data.data import Data
from sklearn_tinymlp._data.scaling import Scaling
from sklearn_tinymlp._training import train as training
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


# ------------------------------------------- one fault for each relation


def scaling_of(wrong):
    """Standardise by other moments."""

    class OtherMoments(TinyMLPRegressor):
        def _fit(self, *arguments, **named):
            right = Scaling.of

            def of(X, y, weight, **options):
                return wrong(right, X, y, weight, options)

            with patch.object(Scaling, "of", of):
                return super()._fit(*arguments, **named)

    return OtherMoments


def with_moments(**wrong):
    """Replace some moments by functions of themselves."""

    def of(right, X, y, weight, options):
        scaling = right(X, y, weight, **options)
        return scaling._replace(**{n: change(getattr(scaling, n)) for n, change in wrong.items()})

    return scaling_of(of)


def taken_as(change):
    """Train on what a function makes of X, y and the weights."""

    class OtherData(TinyMLPRegressor):
        def fit(self, X, y, sample_weight=None):
            return super().fit(*change(X, y, sample_weight))

    return OtherData


class UncountedWeights(TinyMLPRegressor):
    """Takes the sum of fractions for the number of rows, and keeps rows of weight 0."""

    def _fit(self, *arguments, **named):
        with patch.object(Data, "with_counts", lambda data: data):
            return super()._fit(*arguments, **named)


class UncentredSparse(TinyMLPRegressor):
    """Does not subtract the mean of a sparse X where a dense one was trained on."""

    def predict(self, X, return_std=False):
        right = Scaling.transform_X

        def transform_X(scaling, X):
            mean = 0 * scaling.x_mean if sparse.issparse(X) else scaling.x_mean
            return right(scaling._replace(x_mean=mean), X)

        with patch.object(Scaling, "transform_X", transform_X):
            return super().predict(X, return_std=return_std)


class MoreThreads(TinyMLPRegressor):
    """Adds what threads of BLAS have summed up."""

    def predict(self, X, return_std=False):
        result = super().predict(X, return_std=return_std)
        pools = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
        return result if return_std else pools[0] * result


class LastThread(TinyMLPRegressor):
    """Keeps the worst start if there are threads."""

    def _fit(self, *arguments, **named):
        sign = 1 if training._openmp_effective_n_threads() == 1 else -1

        def by_threads(*parts):
            return tuple(sign * value for value in rank(*parts))

        with patch("sklearn_tinymlp._training.fit_result.rank", by_threads):
            return super()._fit(*arguments, **named)


class SingleInFiles(TinyMLPRegressor):
    """Stores single precision."""

    def __getstate__(self):
        state = super().__getstate__()
        return state | {"coefs_": [c.astype("f4").astype("f8") for c in state["coefs_"]]}


def first_column_idle(scale):
    return scale * np.r_[1e4, np.ones(len(scale) - 1)]


# What the relation finds.
FAULTS = {
    "units_of_y": with_moments(y_scale=np.ones_like),
    "origin_of_y": with_moments(y_mean=lambda mean: 0.9 * mean),
    "units_of_X": with_moments(x_scale=np.ones_like),
    "origin_of_X": with_moments(x_mean=np.zeros_like),
    "order_of_rows": scaling_of(
        lambda right, X, y, weight, options: right(
            X[:5], y[:5], None if weight is None else 0 * weight[:5] + 1, **options
        )
    ),
    "counts_are_copies": scaling_of(
        lambda right, X, y, weight, options: right(X, y, None, **options)
    ),
    "only_ratios_of_weights": UncountedWeights,
    "rows_without_weight": taken_as(
        lambda X, y, weight: (X, y, None if weight is None else weight + 1e-3)
    ),
    "a_constant_column": scaling_of(  # one scale for all inputs
        lambda right, X, y, weight, options: right(X, y, weight, **options)._replace(
            x_scale=np.full(X.shape[1], np.abs(X).max())
        )
    ),
    "order_of_columns": with_moments(x_scale=first_column_idle),
    "containers": taken_as(  # the dtype of X for y
        lambda X, y, weight: (X, np.asarray(y).astype(getattr(X, "dtype", float)), weight)
    ),
    "formats_of_sparse": taken_as(  # rows of a CSC matrix for its columns
        lambda X, y, weight: (X if getattr(X, "format", "") != "csc" else X[::-1], y, weight)
    ),
    "dense_is_sparse": taken_as(
        lambda X, y, weight: (1.01 * X if sparse.issparse(X) else X, y, weight)
    ),
    "a_sparse_query": UncentredSparse,
    "threads_of_blas": MoreThreads,
    "jobs": LastThread,
    "saved_and_loaded": SingleInFiles,
}


def quick_cases(relation):
    """Draw configurations of a relation at its own level that compile nothing."""
    for number in range(100_000):
        case = related_configuration(number, relation)
        params, level = case["params"], RELATIONS[relation].level
        one = not case["ensemble"] and params["noise"] == "constant"
        if one and params["solver"] in ("auto", "lm") and case["level"] == level:
            yield case


@pytest.mark.parametrize("relation", RELATIONS)
def test_each_relation_finds_a_planted_fault(relation):
    for case in islice(quick_cases(relation), 8):
        assert not relate(case)
        if relate(case, FAULTS[relation]):
            return
    raise AssertionError("not found")


@pytest.mark.parametrize("fuzzer", FUZZERS)
def test_no_mismatch(fuzzer, capsys):
    cases = CASES // 2 if fuzzer == "relations" else CASES  # of two fits or more each
    counts = run_many(fuzzer, seed=0, cases=cases)
    assert counts["MISMATCH"] == 0, capsys.readouterr().out
    assert counts.total() == cases
    assert counts["agrees"] + counts["holds"] > cases / 2
    assert f"{cases} configurations" in capsys.readouterr().out


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


@pytest.mark.parametrize(
    "fuzzer, number",
    [
        ("differential", 27182003257),  # scores of float32 data with weights were of float32
        ("differential", 48271001433),  # we alone warn of divergence
        ("relations", 93187000327),  # the order of sums depended on the number of BLAS threads
        ("relations", 93187000332),
        ("relations", 93187000364),  # the logarithm of a unit
    ],
)
def test_a_case_that_once_differed_does_no_longer(fuzzer, number):
    configuration, outcome = run_case(fuzzer, number)
    assert outcome.kind != "MISMATCH", f"{configuration}\n{outcome.text}"


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

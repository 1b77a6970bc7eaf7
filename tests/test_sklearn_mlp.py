"""The tests that scikit-learn has for MLPRegressor, run on TinyMLPRegressor."""

import importlib.util
from types import FunctionType
from unittest.mock import patch

import pytest
import sklearn.neural_network

from sklearn_tinymlp import TinyMLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

DEFAULTS = sklearn.neural_network.MLPRegressor().get_params()


def MLPRegressor(**params):
    return TinyMLPRegressor(**{**DEFAULTS, **params})


def load_module():
    """Import scikit-learn's test module once more, with the other MLPRegressor in it."""
    origin = importlib.util.find_spec("sklearn.neural_network.tests.test_mlp").origin
    spec = importlib.util.spec_from_file_location("scikit_learn_test_mlp", origin)
    module = importlib.util.module_from_spec(spec)
    with patch("sklearn.neural_network.MLPRegressor", MLPRegressor):
        spec.loader.exec_module(module)
    return module


def is_ours(mark):
    return mark.name == "parametrize" and any(value is MLPRegressor for value in mark.args[1])


def functions_that_use_the_regressor(module):
    """Pick the functions that use MLPRegressor, without their cases for MLPClassifier."""
    picked = {}
    for name, function in vars(module).items():
        if not (name.startswith("test_") and isinstance(function, FunctionType)):
            continue
        marks = getattr(function, "pytestmark", [])
        if any(is_ours(mark) for mark in marks):
            function.pytestmark = [
                pytest.mark.parametrize(mark.args[0], [MLPRegressor]).mark
                if is_ours(mark)
                else mark
                for mark in marks
            ]
            picked[name] = function
        elif "MLPRegressor" in function.__code__.co_names:
            picked[name] = function
    return picked


TESTS = functions_that_use_the_regressor(load_module())
globals().update(TESTS)


def test_all_functions_that_use_the_regressor_were_found():
    assert len(TESTS) == 19, sorted(TESTS)

from dataclasses import fields, replace

import numpy as np
import pytest
from formulas import VALUES_AND_SLOPES, compiled_value_and_slope
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_tinymlp import Activation, activations
from sklearn_tinymlp._activations import lookup
from sklearn_tinymlp._activations.lookup import compiled
from sklearn_tinymlp._activations.table import (
    BUILT_IN,
    HIDDEN_ACTIVATIONS,
    OUTPUT_ACTIVATIONS,
    POSITIVE_ACTIVATIONS,
    BuiltIn,
)
from sklearn_tinymlp._activations.users_own import by_numpy
from sklearn_tinymlp._machine.compilation import call_from_python

KINKED = ("relu", "leaky_relu")


def at(z):
    """Value and slope of every formula at a number; infinite where it overflows."""
    with np.errstate(over="ignore", invalid="ignore"):
        return {
            name: (float(value(np.float64(z))), float(slope(np.float64(z))))
            for name, (value, slope) in VALUES_AND_SLOPES.items()
        }


# (value, slope) at -1000 and at 1000.
AT_THE_EXTREMES = {name: (at(-1e3)[name], at(1e3)[name]) for name in BUILT_IN}

# (value at minus infinity, value at infinity), where there are limits that need no 0 * infinity.
AT_INFINITY = {
    name: (at(-np.inf)[name][0], at(np.inf)[name][0])
    for name in BUILT_IN
    if np.isfinite([*np.sign(at(-np.inf)[name][:1]), *np.sign(at(np.inf)[name][:1])]).all()
}


@pytest.fixture(params=["compiled", "numpy"])
def value_and_slope(request):
    """Compute value and slope as `function(name, z, dtype)`, by either engine."""
    by = {"compiled": compiled_value_and_slope, "numpy": lookup.value_and_slope}[request.param]
    return lambda name, z, dtype="float64": by(name, np.array(z, dtype=dtype, ndmin=1))


def inputs():
    rng = np.random.RandomState(0)
    return np.concatenate(
        [np.linspace(-6, 6, 241), 3 * rng.standard_normal(200), [0.0, 1e-9, -1e-9]]
    )


def test_the_formulas_have_the_limits_that_one_knows():
    assert AT_THE_EXTREMES["tanh"] == ((-1, 0), (1, 0))
    assert AT_THE_EXTREMES["softplus"] == ((0, 0), (1e3, 1))
    assert AT_THE_EXTREMES["leaky_relu"] == ((-10, 0.01), (1e3, 1))
    assert AT_INFINITY["elu"] == (-1, np.inf)
    assert set(BUILT_IN) - set(AT_INFINITY) == {"silu", "gelu", "sin"}


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_slope_of_a_formula_is_its_derivative(name):
    z, step = np.linspace(-4.03, 4.01, 200), 1e-6  # no kink among them
    value, slope = VALUES_AND_SLOPES[name]
    difference = (value(z + step) - value(z - step)) / (2 * step)
    assert_allclose(slope(z), difference, rtol=1e-7, atol=1e-8)


def test_the_lists_of_names_follow_from_the_rows():
    assert set(OUTPUT_ACTIVATIONS) == set(BUILT_IN)
    assert set(HIDDEN_ACTIVATIONS) == set(BUILT_IN) - {"exp"}
    assert set(POSITIVE_ACTIVATIONS) == {"exp", "softplus", "logistic"}


PARTS = {"kernel": None, "in_place": None, "onnx": None, "c": "", "python": None}


@pytest.mark.parametrize("part", PARTS)
def test_an_activation_without_what_it_needs_is_refused(part):
    whole = {field.name: getattr(BUILT_IN["elu"], field.name) for field in fields(BuiltIn)}
    with pytest.raises(TypeError, match=f"'elu' needs its {part}"):
        BuiltIn(**{**whole, part: PARTS[part]})
    del whole[part]
    with pytest.raises(TypeError, match=part):
        BuiltIn(**whole)


def test_a_row_whose_source_lacks_a_constant_or_whose_range_is_none_is_refused():
    row = BUILT_IN["elu"]
    with pytest.raises(TypeError, match="c source with its constants"):
        replace(row, c="    return z;")
    with pytest.raises(ValueError, match="'elu' needs least < greatest, got inf and -1.0"):
        replace(row, least=np.inf, greatest=-1.0)


@pytest.mark.parametrize("name", BUILT_IN)
def test_value_and_slope_are_those_of_the_formula(name, value_and_slope):
    z = inputs()
    value, slope = VALUES_AND_SLOPES[name]
    actual_value, actual_slope = value_and_slope(name, z)
    assert_allclose(actual_value, value(z), rtol=1e-13, atol=1e-15)
    assert_allclose(actual_slope, slope(z), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(
    "name, exact, low, high",
    [
        ("tanh", np.tanh, -25, 25),
        ("logistic", lambda z: 1 / (1 + np.exp(-z)), -700, 40),
        ("elu", np.expm1, -45, 0),
        ("exp", np.exp, -707, 709),
    ],
)
def test_exponentials_are_exact_to_three_units_in_the_last_place(
    name, exact, low, high, value_and_slope
):
    rng = np.random.default_rng(0)
    z = np.concatenate(
        [rng.uniform(low, high, 100_000), rng.uniform(max(low, -2), min(high, 2), 50_000)]
    )
    if low < 0:
        z = np.concatenate([z, -(10.0 ** rng.uniform(-300, 0, 10_000))])
    values, _ = value_and_slope(name, z)
    expected = exact(z.astype(np.longdouble))
    units = np.abs((values - expected) / np.spacing(np.abs(expected.astype(float))))
    assert units.max() < 3


@pytest.mark.parametrize("name", BUILT_IN)
def test_slope_is_the_derivative_of_the_value(name, value_and_slope):
    z, step = inputs(), 1e-5
    if name in KINKED:
        z = z[np.abs(z) > 2 * step]
    difference = value_and_slope(name, z + step)[0] - value_and_slope(name, z - step)[0]
    # elu's slope is continuous at 0 but has a kink there.
    assert_allclose(value_and_slope(name, z)[1], difference / (2 * step), rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("name", BUILT_IN)
def test_float32_gives_the_formula_rounded(name, value_and_slope):
    z = inputs().astype(np.float32)
    value, slope = VALUES_AND_SLOPES[name]
    actual_value, actual_slope = value_and_slope(name, z, "float32")
    assert actual_value.dtype == actual_slope.dtype == np.float32
    assert_allclose(actual_value, value(z.astype(float)), rtol=1e-5, atol=1e-6)
    assert_allclose(actual_slope, slope(z.astype(float)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", BUILT_IN)
def test_large_inputs_saturate_without_nan(name, dtype, value_and_slope):
    values, slopes = value_and_slope(name, [-1e3, 1e3], dtype)
    rtol = 1e-6 if dtype == "float32" else 1e-13
    for k in range(2):
        value, slope = AT_THE_EXTREMES[name][k]
        assert_allclose(values[k], value, rtol=rtol, atol=1e-30)
        assert_allclose(slopes[k], slope, rtol=rtol, atol=1e-30)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", AT_INFINITY)
def test_infinite_inputs_give_the_limits(name, dtype, value_and_slope):
    values, _ = value_and_slope(name, [-np.inf, np.inf], dtype)
    assert_array_equal(values, AT_INFINITY[name])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", BUILT_IN)
def test_nan_passes_through(name, dtype, value_and_slope):
    values, _ = value_and_slope(name, [np.nan, 1.0, np.nan], dtype)
    assert_array_equal(np.isnan(values), [True, False, True])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", BUILT_IN)
def test_values_stay_within_the_stated_range(name, dtype, value_and_slope):
    least, greatest = BUILT_IN[name].least, BUILT_IN[name].greatest
    z = np.concatenate([np.linspace(-50, 50, 20_001), np.linspace(-2, 0, 20_001)])
    values, _ = value_and_slope(name, z, dtype)
    slack = 1e-7 if dtype == "float32" else 1e-15
    assert values.min() >= least - slack
    assert values.max() <= greatest + slack


@pytest.mark.parametrize("name", ["silu", "gelu"])
def test_stated_least_value_is_taken(name, value_and_slope):
    least = BUILT_IN[name].least
    values, _ = value_and_slope(name, np.linspace(-2, 0, 20_001))
    assert_allclose(values.min(), least, rtol=1e-8)


@pytest.mark.parametrize("name", POSITIVE_ACTIVATIONS)
def test_positive_activations_stay_above_zero(name, value_and_slope):
    values, _ = value_and_slope(name, np.linspace(-700, 30, 1001))
    assert values.min() > 0


@pytest.mark.parametrize("name", ["relu", "leaky_relu"])
def test_slope_at_the_kink_is_the_left_one(name, value_and_slope):
    _, slope = value_and_slope(name, [0.0, -0.0])
    assert_array_equal(slope, [0, 0] if name == "relu" else [0.01, 0.01])


def test_only_the_given_numbers_are_touched():
    values, slopes = np.full(5, 2.0), np.full(5, 7.0)
    function, constants = compiled("tanh", "float64")
    call_from_python(function, (values, slopes, constants), (3,))
    assert_array_equal(values[3:], 2.0)
    assert_array_equal(slopes[3:], 7.0)


def test_compilation_happens_once_a_process():
    assert compiled("tanh", "float64") is compiled("tanh", "float64")
    assert compiled("tanh", "float64") is not compiled("tanh", "float32")


LAYOUTS = {
    "a matrix": lambda z: z.reshape(4, 15),
    "its transpose": lambda z: z.reshape(4, 15).T,
    "every other": lambda z: z.reshape(4, 15)[:, ::2],
}
OWN = Activation(lambda z: z * z if z > 0 else 0.0, lambda z: max(2 * z, 0.0), name="own")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("activation", [*BUILT_IN, activations.swish(1.5), OWN], ids=str)
def test_arrays_of_any_layout_are_left_as_they_are(activation, layout, dtype):
    whole = np.linspace(-3, 3, 60).astype(dtype)
    z = LAYOUTS[layout](whole)
    before = z.copy()
    values, slopes = lookup.value_and_slope(activation, z)
    assert values.dtype == slopes.dtype == dtype and values.shape == slopes.shape == z.shape
    assert_array_equal(z, before)
    assert_array_equal(lookup.value_of(activation, z), values)
    assert_array_equal(z, before)
    # Elsewhere among others a number may be rounded otherwise.
    all_values, all_slopes = lookup.value_and_slope(activation, whole)
    rounding = {"rtol": 4 * np.finfo(dtype).eps, "atol": 4 * np.finfo(dtype).eps}
    assert_allclose(values, LAYOUTS[layout](all_values), **rounding)
    assert_allclose(slopes, LAYOUTS[layout](all_slopes), **rounding)
    replaced = before.copy()
    assert lookup.replace_by_value(activation, replaced) is replaced
    assert_array_equal(replaced, values)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", BUILT_IN)
def test_numpy_and_kernels_agree_on_zeros_and_slopes_at_any_number(name, dtype):
    z = np.array([0.0, -0.0, 1e-300, -1e-30, 30.0, -30.0, 80.0, -80.0, 1e30, -1e30], dtype)
    for ours, theirs in zip(
        lookup.value_and_slope(name, z), compiled_value_and_slope(name, z), strict=True
    ):
        known = np.isfinite(theirs) & (np.abs(z) < 1e9 if name == "sin" else True)
        eps = 8 * np.finfo(dtype).eps
        assert_allclose(ours[known], theirs[known], rtol=eps, atol=eps * 80)


def test_exp_is_zero_where_it_would_be_subnormal():
    values, slopes = lookup.value_and_slope("exp", np.array([-707.9, -708.1, -745.0, -np.inf]))
    assert values[0] > 0.0
    assert_array_equal(values[1:], 0.0)
    assert_array_equal(slopes, values)


@pytest.mark.parametrize("activation", [*BUILT_IN, activations.scaled_tanh(), OWN], ids=str)
def test_nothing_that_overflows_warns_or_raises(activation):
    z = np.array([-np.inf, -1e308, -800.0, 800.0, 1e308, np.inf, np.nan])
    with np.errstate(over="ignore"):
        narrow = z.astype(np.float32)
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        for numbers in (z, narrow):
            lookup.value_and_slope(activation, numbers)


READY_MADE = [
    activations.leaky_relu(0.2),
    activations.leaky_relu(3.0),
    activations.elu(0.5),
    activations.softplus(3.0),
    activations.swish(0.5),
    activations.scaled_tanh(),
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", READY_MADE, ids=str)
def test_ready_made_activations_are_their_own_functions_in_numpy(activation, dtype):
    z = np.concatenate([inputs(), [-50.0, 50.0]]).astype(dtype)
    eps = np.finfo(dtype).eps
    expected = [by_numpy(function)(z) for function in (activation.value, activation.derivative)]
    for actual, right in zip(lookup.value_and_slope(activation, z), expected, strict=True):
        assert_allclose(actual, right, rtol=16 * eps, atol=16 * eps)


def test_an_error_of_a_users_function_is_raised():
    def broken(z):
        raise RuntimeError("no luck")

    activation = Activation(np.sin, broken)
    with pytest.raises(RuntimeError, match="no luck"):
        lookup.value_and_slope(activation, np.zeros(3))
    assert_array_equal(lookup.value_of(activation, np.zeros(3)), np.zeros(3))


def test_a_kernel_may_be_a_function():
    assert callable(replace(BUILT_IN["elu"], kernel=lambda z, slope, n: None).kernel)

"""C for real projects: headers, self-tests, fixed point and flash memory, by gcc and g++."""

import ctypes
import re
import shutil
import subprocess
from functools import cache

import numpy as np
import pandas as pd
import pytest
from test_export import CASES, X, Y, Z, ensemble, inputs, net

from sklearn_tinymlp import TinyMLPRegressor, to_c
from sklearn_tinymlp._activations.formulas import (
    Formula,
    formula_of,
    largest_change,
)
from sklearn_tinymlp._activations.table import OUTPUT_ACTIVATIONS
from sklearn_tinymlp._export.c_words import comment, enumerators
from sklearn_tinymlp._export.fixed_point import _table_of
from sklearn_tinymlp._export.layers import parts_of
from sklearn_tinymlp._export.self_test import rounded_outputs

C, CPP = shutil.which("gcc"), shutil.which("g++")
COMPILERS = {"gcc": [C, "-std=c99"], "g++": [CPP, "-std=c++11"]}
STRICT = [
    *("-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Wdouble-promotion"),
    "-Werror",
]
# What C leaves open, such as a sum that overflows, ends the program.
UNDEFINED = ["-fsanitize=undefined", "-fno-sanitize-recover=all"]
DTYPES = ("float64", "float32", "int16", "int8")
FIXED = DTYPES[2:]

# `.ci/run` fails where this skips.
needs_compilers = pytest.mark.skipif(not (C and CPP), reason="no C compiler is installed")
pytestmark = [
    pytest.mark.slow,
    # At most 100 iterations: whether C agrees with a network does not depend on convergence.
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]


def run(command, folder, check=True):
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)
    assert not check or result.returncode == 0, result.stdout + result.stderr
    return result


def write(files, folder, name="predict"):
    (folder / f"{name}.h").write_text(files.header, encoding="ascii")
    (folder / f"{name}.c").write_text(files.source, encoding="ascii")


@cache
def networks():
    """Fit all cases but those whose activation is that of a hidden layer too, with constants."""
    cases = {case: make for case, make in CASES.items() if not case.startswith("output ")} | {
        f"output {name}": CASES[f"output {name}"] for name in OUTPUT_ACTIVATIONS
    }
    return {f"net{number}": (case, make()) for number, (case, make) in enumerate(cases.items())}


class Library:
    """Functions of a shared library, called row by row with numbers in their own units."""

    def __init__(self, path, dtype):
        self.library, self.dtype = ctypes.CDLL(str(path)), dtype
        self.small = {"int8": ctypes.c_int8, "int16": ctypes.c_int16}[dtype]

    def predict(self, name, rows, n_outputs):
        to_fixed = getattr(self.library, f"{name}_to_fixed")
        to_fixed.argtypes, to_fixed.restype = [ctypes.c_int, ctypes.c_double], self.small
        to_real = getattr(self.library, f"{name}_to_real")
        to_real.argtypes, to_real.restype = [ctypes.c_int, ctypes.c_int32], ctypes.c_double
        function = getattr(self.library, name)
        function.restype = None
        x, y = (self.small * rows.shape[1])(), (ctypes.c_int32 * n_outputs)()
        result = np.empty((len(rows), n_outputs))
        for row, out in zip(rows.tolist(), result, strict=True):
            x[:] = [to_fixed(i, value) for i, value in enumerate(row)]
            function(x, y)
            out[:] = [to_real(j, value) for j, value in enumerate(y)]
        return result


@needs_compilers
@pytest.mark.parametrize("dtype", FIXED)
def test_fixed_point_is_within_its_bound(dtype, tmp_path):
    # All networks in one file, and rows anywhere within the ranges, the corners among them.
    rng, cases, sources, bounds = np.random.default_rng(0), networks(), [], {}
    for name, (case, network) in cases.items():
        arguments = {"name": name, "dtype": dtype, "X": inputs(case, network)}
        files = to_c(network, header=True, **arguments)
        source = to_c(network, **arguments)
        sources.append(source.partition("\n#ifdef TEST")[0])
        bounds[name] = files.error_bound
        said = re.search(r"off by at most\n   (.*), in the units", files.header).group(1)
        said = np.array(said.split(", "), dtype=float)
        assert (said >= bounds[name]).all() and (said <= 1.02 * bounds[name]).all()
    (tmp_path / "all.c").write_text("\n".join(sources), encoding="ascii")
    run([*COMPILERS["gcc"], *STRICT, *"-fPIC -shared all.c -o all.so".split()], tmp_path)
    library, shares = Library(tmp_path / "all.so", dtype), []
    for name, (case, network) in cases.items():
        low, high = inputs(case, network).min(axis=0), inputs(case, network).max(axis=0)
        share = rng.uniform(0, 1, (60, len(low)))
        share[:20] = share[:20].round()
        rows = low + share * (high - low)
        expected = network.predict(rows).reshape(len(rows), -1)
        errors = np.abs(library.predict(name, rows, network.n_outputs_) - expected).max(axis=0)
        assert (errors <= bounds[name]).all(), (case, errors, bounds[name])
        if "deep" not in case:
            shares.append((errors / bounds[name]).max())
    assert np.median(shares) > 0.05  # a bound says something


@needs_compilers
def test_sixteen_bits_are_hardly_off_and_eight_are_said_to_be(tmp_path):
    network = net(hidden_layer_sizes=(8,), max_iter=100).fit(X, Y[:, 0])
    spread = Y[:, 0].std()
    bounds = {dtype: to_c(network, dtype=dtype, header=True, X=X).error_bound for dtype in FIXED}
    assert bounds["int16"] < 0.05 * spread
    assert bounds["int8"] > 20 * bounds["int16"]


@needs_compilers
def test_what_lies_outside_the_ranges_is_cut_off(tmp_path):
    network = net().fit(Z, Y[:, 0])
    (tmp_path / "net.c").write_text(to_c(network, dtype="int16", X=Z))
    run(
        [
            *COMPILERS["gcc"],
            *UNDEFINED,
            "-static-libubsan",
            *"-fPIC -shared net.c -o net.so".split(),
        ],
        tmp_path,
    )
    library = Library(tmp_path / "net.so", "int16")
    edge = np.array([Z.max(axis=0), Z.min(axis=0)])
    beyond = np.array([[1e300, np.inf, Z[:, 2].max() + 1e-3], [-1e300, -np.inf, np.nan]])
    assert (library.predict("predict", beyond, 1) == library.predict("predict", edge, 1)).all()


def a_constant_feature():
    rows = np.column_stack([Z[:, 0], np.full(len(Z), 2001.0)])
    return net().fit(rows, Y[:, 0]), rows


SELF_TESTED = {
    "network": lambda: (CASES["several outputs"](), X),
    "ensemble": lambda: (ensemble(2), X),
    "ensemble, outputs with a table": lambda: (CASES["ensemble of gelu"](), X),
    "fitted in single precision": lambda: (
        net(solver="lbfgs").fit(Z.astype(np.float32), Y),
        Z.astype(np.float32),
    ),
    "a constant feature": a_constant_feature,
}


@needs_compilers
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", SELF_TESTED)
def test_self_test(case, dtype, tmp_path):
    network, rows = SELF_TESTED[case]()
    files = to_c(network, dtype=dtype, header=True, X=rows)
    write(files, tmp_path)
    flags = [*STRICT, *UNDEFINED, "-DTEST", "predict.c", "-o", "test", "-lm"]
    said = set()
    for compiler in COMPILERS.values():
        run([*compiler, *flags], tmp_path)
        said.add(run(["./test"], tmp_path).stdout)
    assert len(said) == 1
    assert f"passed: 0 of {10 * network.n_outputs_} values are wrong" in said.pop()


def with_another_weight(source):
    """Change a weight by a tenth of the largest of its table."""
    place = re.search(r"_coefs_1(?:\[\d+\])+ =", source).end()
    numbers = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")
    end = source.index(";", place)
    largest = max(numbers.findall(source[place:end]), key=lambda text: abs(float(text)))
    changed = 0.9 * float(largest)
    text = str(round(changed)) if "." not in largest and "e" not in largest else repr(changed)
    return source[:place] + source[place:end].replace(largest, text, 1) + source[end:]


@needs_compilers
@pytest.mark.parametrize("dtype", DTYPES[:3])
def test_the_self_test_notices_another_weight(dtype, tmp_path):
    files = to_c(net(max_iter=100).fit(X, Y), dtype=dtype, header=True, X=X)
    write(files._replace(source=with_another_weight(files.source)), tmp_path)
    run([C, "-DTEST", "predict.c", "-o", "test", "-lm"], tmp_path)
    result = run(["./test"], tmp_path, check=False)
    assert result.returncode == 1
    assert "FAILED" in result.stdout and "should be" in result.stdout


NAMES = ["Temp (°C)", "temp-c", "temp c", "*/ int evil; /*", "1st\\", "温度", "h", "x_1"]


@needs_compilers
def test_a_cpp_program_uses_names_of_features(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.standard_normal((60, len(NAMES))), columns=NAMES)
    network = net().fit(frame, frame.to_numpy()[:, 6])
    write(to_c(network, header=True, name="tank", X=frame), tmp_path, "tank")
    row = frame.iloc[[0]]
    places = "".join(
        f"    x[{word}] = {float(value)!r};\n"
        for word, value in zip(enumerators("TANK", NAMES), row.iloc[0], strict=True)
    )
    (tmp_path / "main.cpp").write_text(
        '#include <cstdio>\n#include "tank.h"\n#include "tank.h"\n\n'
        f"int main()\n{{\n    double x[{len(NAMES)}], y[1];\n{places}"
        '    tank(x, y);\n    std::printf("%.17g\\n", y[0]);\n}\n'
    )
    run([*COMPILERS["gcc"], *STRICT, "-c", "tank.c"], tmp_path)
    run([*COMPILERS["g++"], *STRICT, "main.cpp", "tank.o", "-o", "main", "-lm"], tmp_path)
    printed = float(run(["./main"], tmp_path).stdout)
    assert abs(printed - network.predict(row)[0]) < 1e-12


def test_names_become_names_in_c():
    words = enumerators("NET", NAMES)
    assert words == [
        *("NET_TEMP_C_0", "NET_TEMP_C_1", "NET_TEMP_C_2", "NET_INT_EVIL"),
        *("NET_X1ST", "NET_X5", "NET_H", "NET_X_1_7"),
    ]
    for names in (["a", "a", "a_0"], ["a", "a-", "a_1", "a_0"], ["1", "温", "x1"]):
        assert len(set(enumerators("NET", names))) == len(names)
    assert [comment(name) for name in NAMES[:5:3]] == ["Temp (_C)", "__ int evil; __"]
    header = to_c(net().fit(X, Y), header=True).header
    assert "PREDICT_X2 = 2 /* x2 */" in header
    assert "extern" in header and "const double x[3], double y[2]" in header


PGMSPACE = """
#include <stdint.h>
#define PROGMEM __attribute__((section("progmem")))
extern long reads;
#define pgm_read_float(p) (reads++, *(const float *)(p))
#define pgm_read_byte(p) (reads++, *(const uint8_t *)(p))
#define pgm_read_word(p) (reads++, *(const uint16_t *)(p))
#define pgm_read_dword(p) (reads++, *(const uint32_t *)(p))
"""


COUNT = """
#include <stdio.h>
long reads;
__attribute__((destructor)) static void tell(void) { printf("%ld", reads); }
"""


@needs_compilers
@pytest.mark.parametrize("dtype", DTYPES[1:])
@pytest.mark.parametrize("case", ["network", "ensemble, outputs with a table"])
def test_flash_memory(case, dtype, tmp_path):
    # A double of AVR is a float. What is not read by avr-libc's functions would be read as RAM.
    network, rows = SELF_TESTED[case]()
    rows = rows[:20]
    files = to_c(network, dtype=dtype, header=True, X=rows, progmem=True)
    (tmp_path / "avr").mkdir()
    (tmp_path / "avr" / "pgmspace.h").write_text(PGMSPACE)
    source = files.source.replace("static const double", "static const float")
    write(files._replace(source=source), tmp_path)
    (tmp_path / "count.c").write_text(COUNT)
    command = ["gcc", "-D__AVR__", "-I.", "-DTEST", "predict.c", "count.c", "-o", "test", "-lm"]
    run(command, tmp_path)
    passed, reads = run(["./test"], tmp_path).stdout.splitlines()[-2:]
    assert passed.startswith("passed")
    if dtype == "float32":
        members = len(getattr(network, "weights_", []))
        assert int(reads) == 10 * (network.n_parameters_ + members)
    else:
        assert int(reads) > 10 * network.n_parameters_
    tables = re.findall(r"^static const \w+ predict_(?!test)\w+(?:\[\d+\])+(.*) =$", source, re.M)
    assert set(tables) == {" predict_flash"}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"dtype": "int16"}, "dtype='int16' needs X, rows"),
        ({"dtype": "int4"}, "dtype must be 'float32', 'float64', 'int8', 'int16' or None"),
        ({"header": 1}, "header must be True or False, got 1"),
        ({"progmem": "yes"}, "progmem must be True or False, got 'yes'"),
        ({"progmem": True}, "progmem=True needs dtype='float32', 'int16' or 'int8'"),
        ({"header": True, "name": "class"}, "name must be a name in C that is not taken"),
        ({"X": X[:, :2]}, "X has 2 features, but TinyMLPRegressor is expecting 3"),
        ({"X": X[:0]}, "minimum of 1 is required"),
        ({"X": np.full((2, 3), np.nan)}, "Input X contains NaN"),
    ],
)
def test_what_is_refused(options, sentence):
    network = net().fit(X, Y)
    with pytest.raises(ValueError, match=re.escape(sentence)):
        to_c(network, **options)


def test_what_fixed_point_cannot_hold_is_refused():
    with pytest.raises(ValueError, match="exp overflows within the ranges of X"):
        _table_of(Formula("exp", called="exp"), 0.0, 1000.0, 2**15 - 1)


def test_x_without_a_header_adds_the_self_test_alone():
    network = net().fit(X, Y)
    plain, tested = to_c(network), to_c(network, X=X)
    assert tested.startswith(plain) and "#ifdef TEST" in tested[len(plain) :]
    assert to_c(network, header=True).error_bound is None
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    named = TinyMLPRegressor(hidden_layer_sizes=(2,), max_iter=5).fit(frame, Y)
    assert "#ifdef TEST" in to_c(named, X=frame)  # without a warning about names


@needs_compilers
def test_names_of_the_c_library_are_refused(tmp_path):
    headers = "".join(f"#include <{name}.h>\n" for name in ("math", "stdint", "stdio"))
    (tmp_path / "all.c").write_text(headers)
    declared = run([C, "-E", "-P", "all.c"], tmp_path).stdout
    macros = re.sub(r"#define (\w+).*", r"\1", run([C, "-E", "-dM", "all.c"], tmp_path).stdout)
    names = set(re.findall(r"\b[A-Za-z]\w*", declared + macros))
    assert {"log", "pow", "sqrt", "round", "NAN", "int8_t", "float", "printf"} <= names
    network = net().fit(X, Y)
    for name in (*names, "abs", "x", "y", "j", "row", "failed", "TEST", "main"):
        with pytest.raises(ValueError, match="name must be a name in C that is not taken"):
            to_c(network, name=name, X=X)


@needs_compilers
@pytest.mark.parametrize("dtype", DTYPES)
def test_other_names_compile(dtype, tmp_path):
    for name in ("a", "n", "rows", "logs", "expf_", "i8", "k1", "int8", "stride", "FLT"):
        files = to_c(net().fit(X, Y), name=name, dtype=dtype, X=X, header=True)
        write(files, tmp_path, name)
        run([C, *STRICT, "-DTEST", f"{name}.c", "-o", "test", "-lm"], tmp_path)


def test_a_feature_whose_constant_would_be_a_macro_is_refused():
    frame = pd.DataFrame(X, columns=["pi", "b", "c"])
    network = net().fit(frame, Y)
    with pytest.raises(ValueError, match="name must be a name in C that is not taken, got 'm'"):
        to_c(network, name="m", header=True)


@needs_compilers
@pytest.mark.parametrize("offset", [1e4, 1e6])
@pytest.mark.parametrize("dtype", DTYPES)
def test_self_test_of_single_precision_far_from_zero(dtype, offset, tmp_path):
    rows = (offset + np.random.default_rng(0).normal(size=(100, 2))).astype(np.float32)
    z = rows - rows.mean(axis=0)
    network = TinyMLPRegressor(random_state=0).fit(rows, np.sin(z[:, 0]) + z[:, 1])
    (tmp_path / "test.c").write_text(to_c(network, dtype=dtype, X=rows))
    run([C, "-DTEST", "test.c", "-o", "test", "-lm"], tmp_path)
    run(["./test"], tmp_path)


@pytest.mark.parametrize("beta", [0.7, 5.0])
@pytest.mark.parametrize("name", [*OUTPUT_ACTIVATIONS, "swish", "leaky_relu 2"])
def test_largest_change_of_an_activation(name, beta):
    constants = {"swish": ("beta", beta), "leaky_relu 2": ("negative_slope", beta)}.get(name)
    formula = Formula(name.split()[0], (constants,)) if constants else formula_of(name, np.float64)

    def value_of(z):
        return formula.value_and_slope(z)[0]

    rng = np.random.default_rng(0)
    z, distance = rng.normal(size=200) * 20, 10.0 ** rng.uniform(-6, 2, 200)
    bound = largest_change(formula, z, distance)
    fine = z + distance * np.linspace(-1, 1, 2001)[:, np.newaxis]
    found = np.abs(value_of(fine.ravel()).reshape(fine.shape) - value_of(z)).max(axis=0)
    assert (found <= bound * (1 + 1e-12) + 1e-14).all()
    if name != "sin":  # the bound is attained, unless the slope vanishes at an end
        assert np.median(bound / np.maximum(found, 1e-300)) < 1.01


def test_the_bound_of_single_precision_looks_at_all_slopes(tmp_path):
    # An error of 20 in the sum of the first unit, whose slope is 0 there, and at most a fifth of
    # the way to either side.
    network = net(hidden_layer_sizes=(1,), standardize=False).fit(X, Y[:, 0])
    network.coefs_[0][:] = [[1e8], [-1e8], [0.0]]
    network.coefs_[1][:], network.intercepts_[0][:] = 1.0, 3.0
    rows = np.array([[1.0, 1.0, 0.0]])
    _, bound = rounded_outputs(network, parts_of(network, "to_c")[0], rows, np.dtype(np.float32))
    assert bound > 1.9  # tanh of anything between -17 and 23


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of sums that check X
@pytest.mark.parametrize("dtype", DTYPES)
def test_no_file_holds_infinity(dtype):
    network = net(output_activation="exp", solver="lbfgs").fit(Z, np.exp(Z[:, 0]))
    network.coefs_[-1][:] = np.abs(network.coefs_[-1]) + 500.0
    with pytest.raises(ValueError, match="finite|overflows"):
        to_c(network, dtype=dtype, X=Z)
    plain = net().fit(Z, Y[:, 0])
    huge = np.where(np.arange(3) == 0, 1.7e308 * np.sign(Z), Z)
    if dtype == "float64":  # tanh of huge numbers
        assert not re.search(r"\b(inf|nan)\b", to_c(plain, X=huge))
        return
    with pytest.raises(ValueError, match="finite|overflow"), np.errstate(all="ignore"):
        to_c(plain, dtype=dtype, X=huge)

"""Which module may import which: read from the imports, held by these tests."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import sklearn_tinymlp

FOLDER = Path(sklearn_tinymlp.__file__).parent
SOURCES = {path.stem: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.py")}

# What of the package a module may import.
ALLOWED = {
    "_compilation": set(),
    "_parameters": set(),
    "_interruption": set(),
    "_training": {"_interruption"},
    "_callbacks": set(),
    "_threads": set(),
    "_validation": set(),
    "_restarts": {"_interruption", "_training"},
    "_activations": {"_compilation"},
    "_products": {"_compilation", "_linear_algebra"},
    "_linear_algebra": {"_compilation"},
    "_kernels": {"_compilation", "_linear_algebra", "_products"},
    "_evidence": {"_compilation", "_linear_algebra"},
    "_dual": {"_compilation", "_evidence", "_linear_algebra"},
    "_scaling": {"_parameters"},
    "_diagram": {"_activations", "_objective", "_parameters"},
    "_display": {"_diagram"},
    "_html": {"_diagram", "_training"},
    "_objective": {
        "_activations",
        "_compilation",
        "_dual",
        "_evidence",
        "_kernels",
        "_linear_algebra",
        "_parameters",
        "_products",
    },
    "_posterior": {"_objective"},
    "_stochastic": {"_training", "_objective", "_kernels", "_parameters"},
    "_lbfgs": {"_training", "_objective", "_kernels"},
    "_persistence": {"_kernels", "_posterior", "_scaling", "_stochastic", "_training"},
    "_levenberg_marquardt": {
        "_training",
        "_objective",
        "_evidence",
        "_kernels",
        "_parameters",
    },
    "_look": {"_activations", "_parameters"},
    "_feasibility": {"_activations", "_look"},
    "_diagnosis": {"_activations", "_look", "_feasibility"},
    "activations": {"_activations"},
    "_formulas": {"_activations", "activations"},
}

# These stand above the estimator: they read what it found.
ABOVE_THE_ESTIMATOR = {
    "_diagnose": {"_diagnosis", "_look", "_parameters"},
    "_export": {"_activations", "_formulas"},
    "onnx": {"_activations", "_formulas"},
}

KNOW_ESTIMATORS = {"_regressor", "_callbacks", *ABOVE_THE_ESTIMATOR}
ESTIMATORS = ("sklearn.base", "sklearn.callback")


def imports(source):
    """Names of the package's own modules, and of all others, that a source imports anywhere."""
    own, other = set(), set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"sklearn_tinymlp.{node.module}"]
        elif isinstance(node, ast.ImportFrom):
            names = [f"sklearn_tinymlp.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            package, _, rest = name.partition(".")
            if package == "sklearn_tinymlp":
                own.add(rest.partition(".")[0] or "__init__")
            else:
                other.add(name)
    return own, other


def test_imports_of_every_form_are_found():
    source = (
        "import numpy as np\n"
        "import sklearn_tinymlp\n"
        "from sklearn.base import clone\n"
        "from . import _kernels, _lbfgs\n"
        "from ._training import Monitor\n"
        "def f():\n"
        "    from sklearn_tinymlp._objective import predict\n"
    )
    own, other = imports(source)
    assert own == {"__init__", "_kernels", "_lbfgs", "_training", "_objective"}
    assert other == {"numpy", "sklearn.base.clone"}


@pytest.mark.parametrize("module", ALLOWED)
def test_module_imports_only_what_it_may(module):
    own, _ = imports(SOURCES[module])
    assert own <= ALLOWED[module], f"{module} must not import {own - ALLOWED[module]}"


@pytest.mark.parametrize("module", ABOVE_THE_ESTIMATOR)
def test_modules_above_the_estimator_import_little_else(module):
    own, _ = imports(SOURCES[module])
    assert own <= ABOVE_THE_ESTIMATOR[module] | {"_regressor"}


@pytest.mark.parametrize("module", sorted(set(SOURCES) - {"__init__", *ABOVE_THE_ESTIMATOR}))
def test_nothing_but_the_public_names_imports_what_is_above_the_estimator(module):
    own, _ = imports(SOURCES[module])
    assert not own & set(ABOVE_THE_ESTIMATOR)


def test_the_public_names_do_not_import_onnx():
    own, _ = imports(SOURCES["__init__"])
    assert "onnx" not in own


@pytest.mark.parametrize("module", sorted(set(SOURCES) - KNOW_ESTIMATORS))
def test_only_the_regressor_and_the_callbacks_know_estimators(module):
    own, other = imports(SOURCES[module])
    assert not [name for name in other if name.startswith(ESTIMATORS)]
    if module != "__init__":
        assert not own & {"_regressor", "__init__"}


def test_no_module_imports_itself_by_way_of_others():
    graph = {module: imports(source)[0] for module, source in SOURCES.items()}
    order = list(TopologicalSorter(graph).static_order())  # raises CycleError
    assert set(order) == set(SOURCES)


OPTIONAL = ("matplotlib", "pandas", "polars", "skops", "onnx", "skl2onnx", "onnxruntime", "dask")


@pytest.mark.parametrize("module", sorted(set(SOURCES) - {"onnx"}))
def test_optional_packages_are_imported_within_functions_only(module):
    tree = ast.parse(SOURCES[module])
    at_import = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
    _, other = imports(ast.unparse(ast.Module(body=at_import, type_ignores=[])))
    assert not [name for name in other if name.split(".")[0] in OPTIONAL]


def test_the_package_is_imported_without_optional_packages():
    # scikit-learn imports pandas where there is one, so looking at sys.modules would not do.
    code = (
        "import sys\n"
        "sys.path.insert(0, sys.argv[1])\n"
        f"sys.modules.update(dict.fromkeys({OPTIONAL}))\n"
        "import sklearn_tinymlp\n"
    )
    subprocess.run([sys.executable, "-c", code, str(FOLDER.parent)], check=True)

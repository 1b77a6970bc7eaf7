"""The layers of the house: who may import whom, read from the imports of every file."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import sklearn_tinymlp

FOLDER = Path(sklearn_tinymlp.__file__).parent

# From the top; an import goes down, or to a neighbour in the same folder, never up. Each folder and
# each file beside the folders stands here once.
LAYERS = (
    {"__init__", "onnx"},  # the public names; onnx registers the estimator with skl2onnx
    {"_ensemble"},
    {"_selection"},
    {"_regressor", "_mlp_regressor", "_piecewise_linear_encoder", "_prediction_interval"},
    {"_network_estimator"},
    {"_fitted_network"},
    {"_base"},
    {"_export", "_displays"},
    {"_diagnosis"},
    {"_training"},
    {"_relevance"},
    {"_solvers"},
    {"_data"},
    {"_bayes"},
    {"_objective"},
    {"_engine"},
    {"_network", "_losses"},
    {"_activations", "activations"},
    {"_machine"},
)
LAYER_OF = {folder: number for number, layer in enumerate(LAYERS) for folder in layer}


def module_name(path: Path) -> str:
    """Return 'folder.file' or 'file', of a folder's own __init__ the folder's name."""
    parts = path.relative_to(FOLDER).with_suffix("").parts
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


SOURCES = {module_name(path): path.read_text(encoding="utf-8") for path in FOLDER.rglob("*.py")}


def folder_of(module) -> str:
    return module.partition(".")[0]


def imports(source, module="x", modules=SOURCES):
    """Names of the package's own modules, and of all others, that a source imports anywhere."""
    own, other = set(), set()
    is_folder = any(name.startswith(f"{module}.") for name in modules)
    package = module.split(".") if is_folder else module.split(".")[:-1]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package[: len(package) - node.level + 1]
                base = ".".join(["sklearn_tinymlp", *above, *filter(None, [base])])
            names = [f"{base}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            first, _, rest = name.partition(".")
            if first != "sklearn_tinymlp":
                other.add(name)
                continue
            while rest and rest not in modules:  # a name within a module
                rest = rest.rpartition(".")[0]
            own.add(rest or "__init__")
    return own, other


def test_imports_of_every_form_are_found():
    modules = {
        "__init__",
        "_engine",
        "_engine.kernels",
        "_engine.compiled",
        "_fit",
        "_training.plan",
    }
    source = (
        "import numpy as np\n"
        "import sklearn_tinymlp\n"
        "from sklearn.base import clone\n"
        "from . import kernels\n"
        "from .._training.plan import Plan\n"
        "def f():\n"
        "    from sklearn_tinymlp._engine.compiled import slices\n"
    )
    own, other = imports(source, "_engine.products", modules)
    assert own == {"__init__", "_engine.kernels", "_engine.compiled", "_training.plan"}
    assert other == {"numpy", "sklearn.base.clone"}
    assert imports("from .plan import Plan", "_training", modules)[0] == {"_training.plan"}
    assert imports("from ._training.plan import Plan", "_regressor", modules)[0] == {
        "_training.plan"
    }


def test_every_room_has_a_floor_and_every_floor_its_rooms():
    assert {folder_of(module) for module in SOURCES} == set(LAYER_OF)


@pytest.mark.parametrize("module", sorted(SOURCES))
def test_imports_go_down(module):
    own, _ = imports(SOURCES[module], module)
    up = {
        name
        for name in own
        if folder_of(name) != folder_of(module)
        and LAYER_OF[folder_of(name)] <= LAYER_OF[folder_of(module)]
        # The public activations are a front of their folder, whose formulas read them.
        and {folder_of(name), folder_of(module)} != {"activations", "_activations"}
    }
    assert not up, f"{module} must not import {up}, on its own layer or above"


def test_no_module_imports_itself_by_way_of_others():
    graph = {module: imports(source, module)[0] for module, source in SOURCES.items()}
    order = list(TopologicalSorter(graph).static_order())  # raises CycleError
    assert set(order) == set(SOURCES)


# scikit-learn's base classes belong to the estimators; `_training.callbacks` speaks its protocol,
# and the members of an ensemble are clones of its template.
KNOW_ESTIMATORS = {
    "_piecewise_linear_encoder",
    "_mlp_regressor",
    "_regressor",
    "_network_estimator",
    "_ensemble",
    "_selection.ensemble_fit",
    "_training.callbacks",
}
ESTIMATORS = ("sklearn.base", "sklearn.callback")


@pytest.mark.parametrize("module", sorted(set(SOURCES) - KNOW_ESTIMATORS))
def test_only_the_regressor_and_the_callbacks_know_estimators(module):
    _, other = imports(SOURCES[module], module)
    assert not [name for name in other if name.startswith(ESTIMATORS)]


@pytest.mark.parametrize("module", sorted(SOURCES))
def test_the_first_line_says_the_one_job_of_a_file(module):
    docstring = ast.get_docstring(ast.parse(SOURCES[module]))
    assert docstring and docstring.splitlines()[0].endswith(".")


def test_every_public_name_is_there_and_type_checkers_are_told_of_it():
    tree = ast.parse(SOURCES["__init__"])
    told = {
        alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level
        for alias in node.names
    }
    assert set(sklearn_tinymlp.__all__) == set(told) | {"__version__"}
    assert sklearn_tinymlp._LATER.items() <= told.items()
    for name in sklearn_tinymlp.__all__:
        assert name in dir(sklearn_tinymlp) and getattr(sklearn_tinymlp, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'TinyMLPClassifier'"):
        sklearn_tinymlp.TinyMLPClassifier  # noqa: B018


def test_one_network_loads_neither_the_ensemble_nor_pictures_nor_exports():
    code = "import sys, sklearn_tinymlp; print(*(m for m in sys.modules if 'tinymlp' in m))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=600
    )
    for module in ("_ensemble", "_selection", "_displays.network", "_export.c"):
        assert f"sklearn_tinymlp.{module}" not in done.stdout.split(), done.stdout


def test_the_public_names_do_not_import_onnx():
    own, _ = imports(SOURCES["__init__"], "__init__")
    assert "onnx" not in own


OPTIONAL = ("matplotlib", "pandas", "polars", "skops", "onnx", "skl2onnx", "onnxruntime", "dask")


@pytest.mark.parametrize("module", sorted(set(SOURCES) - {"onnx"}))
def test_optional_packages_are_imported_within_functions_only(module):
    tree = ast.parse(SOURCES[module])
    at_import = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
    _, other = imports(ast.unparse(ast.Module(body=at_import, type_ignores=[])), module)
    assert not [name for name in other if name.split(".")[0] in OPTIONAL]


def test_the_package_is_imported_without_optional_packages():
    # scikit-learn imports pandas where there is one, so looking at sys.modules would not do.
    code = (
        "import sys\n"
        "sys.path.insert(0, sys.argv[1])\n"
        f"sys.modules.update(dict.fromkeys({OPTIONAL}))\n"
        "import sklearn_tinymlp\n"
    )
    subprocess.run([sys.executable, "-c", code, str(FOLDER.parent)], check=True, timeout=600)


WITHOUT_NUMBA = (
    "_activations.derivative_check",
    "_activations.formulas",
    "_activations.lookup",
    "_activations.table",
    "_activations.users_own",
    "_bayes.laplace",
    "_training.train",
    "_losses.table",
    "_machine.lapack",
    "_network.derivatives",
    "_objective.objective",
    "_solvers.table",
    "activations",
)


def test_what_is_not_compiled_is_imported_without_numba():
    code = (
        "import importlib, sys, types\n"
        "package = types.ModuleType('sklearn_tinymlp')\n"  # an empty one, which imports nothing
        "package.__path__ = [sys.argv[1]]\n"
        "sys.modules['sklearn_tinymlp'] = package\n"
        "for module in sys.argv[2:]:\n"
        "    importlib.import_module('sklearn_tinymlp.' + module)\n"
        "    assert 'numba' not in sys.modules, module\n"
    )
    subprocess.run(
        [sys.executable, "-c", code, str(FOLDER), *WITHOUT_NUMBA], check=True, timeout=600
    )

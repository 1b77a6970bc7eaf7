"""Mutation testing: change the package in one place at a time and see whether a test fails.

    python -m tests.mutate --file _bayes/evidence.py --sample 60 --seed 0

The tests run without compilation, on a copy of the package in a temporary folder, each mutant in a
process of its own: a crash or an endless loop counts as a failure. Statements within functions are
changed; the constants of a module are decisions with reasons of their own, not logic.

Of the tools that exist, mutmut 3 puts a trampoline in place of each function, which numba cannot
compile, and cosmic-ray replaces each operator by all others: most of its mutants do not know how to
add, and die of that.
"""

import argparse
import ast
import copy
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

# Which tests a file's mutants have to pass, the most telling first.
TESTS = {
    "_engine/kernels.py": ("stochastic", "kernels"),
    "_network/architecture.py": ("curvature", "parameters"),
    "_network/network.py": ("curvature",),
    "_network/derivatives.py": ("curvature", "effects"),
    "_objective/samples.py": ("curvature", "levenberg_marquardt"),
    "_objective/objective.py": ("curvature", "levenberg_marquardt"),
    "_machine/lapack.py": ("curvature",),
    "_bayes/curvature.py": ("curvature", "many_rows"),
    "_bayes/precision.py": ("curvature", "evidence_formulas"),
    "_bayes/dense.py": ("curvature", "evidence_formulas"),
    "_bayes/several_outputs.py": ("curvature", "evidence_formulas"),
    "_bayes/low_rank.py": ("curvature", "evidence_formulas"),
    "_bayes/evidence.py": ("evidence_formulas", "levenberg_marquardt"),
    "_bayes/irls.py": ("curvature", "other_losses"),
    "_solvers/levenberg_marquardt.py": ("lm_solution", "levenberg_marquardt"),
    "_solvers/preconditioned_lbfgs.py": ("curvature",),
    "_solvers/held_curvature.py": ("many_rows", "other_losses"),
    "_solvers/stochastic.py": ("stochastic", "kernels"),
}

# Whole fits and large networks are slow without compilation; what they look at other tests do too.
SLOW = (
    "interpreted_kernels",
    "BLAS-csr",
    "300-BLAS",
    "where_memory_lies",
    "compiled_engine",
)

SWAPS = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.And: (ast.Or,),
    ast.Or: (ast.And,),
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Div,),
    ast.Div: (ast.Mult,),
    ast.FloorDiv: (ast.Mult,),
    ast.Mod: (ast.FloorDiv,),
    ast.Pow: (ast.Mult,),
    ast.BitAnd: (ast.BitOr,),
    ast.BitOr: (ast.BitAnd,),
    ast.BitXor: (ast.BitOr,),
    ast.LShift: (ast.RShift,),
    ast.RShift: (ast.LShift,),
}
OTHER_FUNCTION = {"min": "max", "max": "min", "any": "all", "all": "any"}


def changes_of(node):
    """Return what may stand in the place of a node."""
    if isinstance(node, ast.Compare):
        for i, operator in enumerate(node.ops):
            for other in SWAPS.get(type(operator), ()):
                yield _with(node, ops=[*node.ops[:i], other(), *node.ops[i + 1 :]])
    elif isinstance(node, ast.BoolOp | ast.BinOp | ast.AugAssign):
        for other in SWAPS.get(type(node.op), ()):
            yield _with(node, op=other())
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
        yield node.operand
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield ast.Constant(not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        yield ast.Constant(node.value + 1)
    elif isinstance(node, ast.Call) and getattr(node.func, "id", None) in OTHER_FUNCTION:
        yield _with(node, func=ast.Name(OTHER_FUNCTION[node.func.id]))
    elif isinstance(node, ast.If | ast.While | ast.IfExp):
        yield _with(node, test=ast.UnaryOp(ast.Not(), node.test))
    elif isinstance(node, ast.Break):
        yield ast.Continue()
    elif isinstance(node, ast.Continue):
        yield ast.Break()
    if _may_be_removed(node):
        yield ast.Pass()


def _with(node, **fields):
    changed = copy.copy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed


def _may_be_removed(node):
    """Without a local name's only assignment every test fails: that teaches nothing."""
    if isinstance(node, ast.Assign):
        return not all(isinstance(target, ast.Name | ast.Tuple) for target in node.targets)
    if isinstance(node, ast.Expr):
        return not isinstance(node.value, ast.Constant)  # a docstring
    return isinstance(node, ast.AugAssign | ast.Raise)


def _first_line(statement):
    return ast.unparse(statement).splitlines()[0]


def mutants_of(source):
    """List the line, the statement that was, the one that is instead, and the mutant's source."""
    tree, found = ast.parse(source), []

    def visit(parent, statement):
        for name, value in ast.iter_fields(parent):
            if name in ("annotation", "returns", "decorator_list"):
                continue
            for i, node in enumerate(value if isinstance(value, list) else [value]):
                if not isinstance(node, ast.AST) or isinstance(node, ast.JoinedStr):
                    continue
                here = node if isinstance(node, ast.stmt) else statement
                for change in changes_of(node):
                    before = _first_line(here)
                    put(parent, name, i, change)
                    after = _first_line(change if here is node else here)
                    found.append((node.lineno, before, after, ast.unparse(tree)))
                    put(parent, name, i, node)
                visit(node, here)

    def put(parent, name, i, node):
        if isinstance(getattr(parent, name), list):
            getattr(parent, name)[i] = node
        else:
            setattr(parent, name, node)

    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef):
            for function in node.body:
                if isinstance(function, ast.FunctionDef):
                    visit(function, function)
    return found


def run_tests(folder, names, markers, log):
    """Run tests of a copy in this process, which ends with their verdict."""
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    with open(log, "w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    import pytest

    chosen = "not (" + " or ".join(SLOW) + ")"
    for name in names:
        path = f"tests/test_{name}.py"
        if pytest.main(["-xq", "-p", "no:cacheprovider", "-m", markers, "-k", chosen, path]):
            sys.exit(1)


def outcome(folder, names, markers, seconds):
    """Say whether the tests passed, failed, or were not done in time."""
    fork = multiprocessing.get_context("fork")  # numba and scikit-learn are imported once, here
    process = fork.Process(target=run_tests, args=(folder, names, markers, folder / "log"))
    process.start()
    process.join(seconds)
    if process.is_alive():
        process.kill()
        process.join()
        return "timeout"
    return "survived" if process.exitcode == 0 else "killed"


def main():
    """Report on a sample of a file's mutants."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--file", required=True, choices=TESTS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sample", type=int, help="how many mutants; all unless given")
    parser.add_argument("--markers", default="", help="pytest's -m; all tests unless given")
    parser.add_argument("--only", type=int, nargs="+", help="numbers of mutants, to look again")
    arguments = parser.parse_args()

    os.environ["NUMBA_DISABLE_JIT"] = os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    import pytest  # noqa: F401

    import sklearn_tinymlp  # noqa: F401

    # What the package imports stays loaded in the processes that are forked, the package does not.
    for name in [name for name in sys.modules if name.startswith("sklearn_tinymlp")]:
        del sys.modules[name]

    root, folder = Path(__file__).parents[1], Path(tempfile.mkdtemp())
    for name in ("sklearn_tinymlp", "tests", "pyproject.toml"):
        (shutil.copytree if (root / name).is_dir() else shutil.copy2)(root / name, folder / name)
    path, names = folder / "sklearn_tinymlp" / arguments.file, TESTS[arguments.file]
    begun = time.perf_counter()
    if outcome(folder, names, arguments.markers, None) != "survived":
        sys.exit(f"The tests fail without a change:\n{(folder / 'log').read_text()}")
    seconds = time.perf_counter() - begun
    sys.dont_write_bytecode = True  # two mutants within a second would be taken for one

    mutants = mutants_of(path.read_text())
    chosen = arguments.only or range(len(mutants))
    if arguments.sample is not None and arguments.sample < len(chosen):
        chosen = sorted(random.Random(arguments.seed).sample(chosen, arguments.sample))
    counts = dict.fromkeys(("killed", "timeout", "survived"), 0)
    print(f"{arguments.file}: {len(chosen)} of {len(mutants)} mutants, {seconds:.0f} s each")
    for number in chosen:
        line, before, after, source = mutants[number]
        path.write_text(source)
        found = outcome(folder, names, arguments.markers, 5 + 3 * seconds)
        counts[found] += 1
        if found != "killed":
            print(f"{found} {number}, line {line}\n    - {before}\n    + {after}")
        print(sum(counts.values()), end="\r", flush=True)
    print(*(f"{count} {name}" for name, count in counts.items()), sep=", ")
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()

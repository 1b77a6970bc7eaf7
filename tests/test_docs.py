"""The programs in documentation and examples run and print what is printed there."""

import ast
import doctest
import importlib
import importlib.util
import re
import runpy
from pathlib import Path

import pytest
from numpy.testing import assert_allclose
from sklearn.neural_network import MLPRegressor

import sklearn_tinymlp
from sklearn_tinymlp import activations

ROOT = Path(__file__).parents[1]
INDEX = ROOT / "docs" / "why_doesnt_my_network_converge.md"
PAGES = (INDEX, *sorted((ROOT / "docs" / "convergence").glob("*.md")))
NUMBER = re.compile(r"-?\d+(?:\.\d*)?(?:e[+-]?\d+)?")


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


run_page = load(ROOT / "docs" / "run_page.py")
PROGRAMS = [
    pytest.param(program, run_page.preamble(page), id=f"{path.stem}-{number}")
    for path in PAGES
    for page in [path.read_text(encoding="utf-8")]
    for number, program in enumerate(run_page.programs(page))
]


def findings(output):
    """Return the codes in their order."""
    text = " ".join(output.split())
    return re.findall(
        r"\d\. (?:error|warning|info): [^\[]*(?:\[-?[\d.]+, [^\]]*\][^\[]*)?\[(\w+)\]", text
    )


@pytest.mark.slow
@pytest.mark.parametrize(("program", "preamble"), PROGRAMS)
def test_program_prints_what_the_page_says(program, preamble):
    if program.output is None:
        return
    printed, variables = run_page.run(program.code, preamble)
    assert findings(printed) == findings(program.output)
    last, said = printed.splitlines()[-1], program.output.splitlines()[-1]
    assert NUMBER.sub("", last) == NUMBER.sub("", said)
    assert_allclose(
        [float(number) for number in NUMBER.findall(last)],
        [float(number) for number in NUMBER.findall(said)],
        rtol=0.1,
        atol=0.05,
    )
    if "diagnosis" in variables:
        first = variables["diagnosis"][0]
        assert first.code == findings(program.output)[0]
        assert f"Try {first.remedy}" in program.output


# Run elsewhere: each block of the first is a program, the other is run by `test_extending`. What
# needs a cluster is guarded by `__name__`, and abridged from scripts that `test_scaling_out` runs.
ELSEWHERE = {INDEX.stem, "extending"}
IN_ORDER = [
    path
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
    if path.stem not in ELSEWHERE and "```python" in path.read_text(encoding="utf-8")
]
OPTIONAL = ("dask", "ray", "skops", "onnx", "onnxruntime", "skl2onnx", "rich", "sklearn.callback")


# Pages show fits that do not converge (the README's network without bias), and scikit-learn's
# callbacks say of themselves that they are experimental.
@pytest.mark.slow
@pytest.mark.parametrize("path", IN_ORDER, ids=lambda path: path.stem)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:.*experimental:")
def test_blocks_of_a_page_run_in_order_and_print_what_it_says(path, tmp_path, monkeypatch):
    (tmp_path / "examples").symlink_to(ROOT / "examples")  # some read the data of a clone
    monkeypatch.chdir(tmp_path)
    try:
        said = run_page.run_in_order(path.read_text(encoding="utf-8"))
    except ModuleNotFoundError as error:
        if error.name.startswith(OPTIONAL):
            # `.ci/run` installs all of them for the newest releases, and fails on this skip.
            pytest.skip(f"{error.name} is not installed")
        raise
    for code, text, given in said:
        words = ["".join(NUMBER.sub("", side).split()) for side in (given, text)]
        assert words[0] == words[1], code
        numbers = ([float(number) for number in NUMBER.findall(side)] for side in (given, text))
        assert_allclose(*numbers, rtol=0.1, atol=0.006, err_msg=code)


def test_a_page_that_says_something_else_is_noticed():
    page = (
        "```python\na = 2\nprint(a, 0.123456)  # 3 0.12\n(a, 'x')  # (2, 'x')\na  # a number\n```\n"
    )
    page += "\n```text\n2 0.123456\n```\n\n```python\nprint(a)\n```\n\n```text\n4\n```\n"
    said = run_page.run_in_order(page)
    assert [(one.said.strip(), one.given.strip()) for one in said] == [
        *(("3 0.12", "2 0.123456"), ("(2, 'x')", "(2, 'x')")),
        *(("2 0.123456", "2 0.123456"), ("4", "2")),
    ]


def anchors(path):
    """Return the places of a page that links can lead to."""
    titles = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return [re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in titles]


def test_pages_have_a_picture_for_each_finding_and_none_is_large():
    text = "".join(path.read_text(encoding="utf-8") for path in PAGES)
    pictures = re.findall(r"\]\(\.\./(images/[^)]*)\)", text)
    assert len(pictures) == len(set(pictures)) == 17
    for picture in pictures:
        assert (ROOT / "docs" / picture).stat().st_size < 60_000


def test_the_index_leads_to_each_finding_and_keeps_its_anchor():
    index = INDEX.read_text(encoding="utf-8")
    rows = re.findall(r"^\|\[[^\]]*\]\(([^)#]*)#([^)]*)\)<a id=\"([^\"]*)\"></a>\|", index, re.M)
    for page, anchor, kept in rows:
        assert anchor == kept and anchor in anchors(INDEX.parent / page)
    codes = [code for program in PROGRAMS for code in findings(program.values[0].output or "")]
    assert set(codes) == set(re.findall(r"^\|\[`(\w+)`\]", index, re.M))
    assert len(rows) == len(set(codes)) + 2  # two faults of programs that are no findings


def test_a_picture_is_drawn(tmp_path):
    ((program, preamble),) = [p.values for p in PROGRAMS if "no_bias" in str(p.values[0].picture)]
    _, variables = run_page.run(program.code, preamble)
    run_page.draw(tmp_path / "no_bias.png", variables)
    assert (tmp_path / "no_bias.png").stat().st_size > 1000


PUBLIC = [getattr(sklearn_tinymlp, name) for name in sklearn_tinymlp.__all__]
MODULES = {activations.__name__, *(p.__module__ for p in PUBLIC if hasattr(p, "__module__"))}


# Some examples show fits that fail, and pictures are drawn without a screen.
@pytest.mark.slow
@pytest.mark.parametrize("module", sorted(MODULES))
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:.*non-interactive:UserWarning")  # plt.show
def test_examples_in_docstrings(module):
    failed, attempted = doctest.testmod(importlib.import_module(module))
    assert attempted > 0
    assert failed == 0


@pytest.mark.parametrize("thing", PUBLIC, ids=lambda thing: getattr(thing, "__name__", "version"))
def test_public_names_have_an_example(thing):
    if callable(thing) and thing is not sklearn_tinymlp.Finding:  # that one is made by `diagnose`
        assert ">>> " in thing.__doc__


def test_every_parameter_and_attribute_is_on_the_page_for_mlpregressor():
    page = (ROOT / "docs" / "mlpregressor.md").read_text(encoding="utf-8")
    net = sklearn_tinymlp.TinyMLPRegressor
    for name in (*net().get_params(), *re.findall(r"^    (\w+_) : ", net.__doc__, re.MULTILINE)):
        assert f"`{name}`" in page, name
    theirs = {}
    table = page.partition("## Every parameter")[2].partition("## ")[0]
    for cells in re.findall(r"^\| (`[^|]*`) \| (`[^|]*`) \|", table, re.MULTILINE):
        names, default = (cell.replace("`", "") for cell in cells)
        names, default = names.split(", "), ast.literal_eval(default)
        theirs.update(zip(names, default if len(names) > 1 else [default], strict=True))
    assert theirs == MLPRegressor().get_params()


@pytest.mark.filterwarnings("default")  # set aside by the script
def test_three_points_from_the_failing_program_to_the_working_one(capsys):
    runpy.run_path(str(ROOT / "examples" / "three_points.py"), run_name="__main__")
    lines = " ".join(capsys.readouterr().out.split())
    for step in (
        "it works",
        "at z = -5.12 it is 1, but it should be 0.01",
        "below 2.571. [no_bias] Try bias=True",
        "w2 before delta_1: w1 is off by 1.1e-05",
        "w2 after delta_1 : w1 is off by 0.0e+00",
        "predictions [4.99 4. 3.01]",
    ):
        assert step in lines
        lines = lines.partition(step)[2]


@pytest.mark.filterwarnings("ignore:.*non-interactive:UserWarning")  # plt.show
def test_a_step_by_hand_is_that_of_the_engine(capsys):
    matplotlib = pytest.importorskip("matplotlib", reason="the page draws")
    matplotlib.use("Agg")
    # It compares by itself.
    runpy.run_path(str(ROOT / "examples" / "teaching" / "plot_step_by_hand.py"))
    importlib.import_module("matplotlib.pyplot").close("all")
    lines = capsys.readouterr().out.splitlines()
    for step in ("a2 = [0.7607]", "delta1 = [-2.54358    0.0211965 -0.0127179]"):
        assert any(line.startswith(step) for line in lines)
    assert any("loss 0.0000 [4.998 3.999 3.001]" in line for line in lines)

"""Run the programs of a page of this folder: fill in what they print, draw their pictures.

Usage: python docs/run_page.py docs/convergence/*.md docs/why_doesnt_my_network_converge.md

Each block of Python is a program. A block of text right after it is its output, and a figure after
that is drawn from its variables: by default `net` (before) and `mended` (after). If the first block
has no output, it is a preamble (imports and data) that runs before each of the others, and outputs
then show only the first finding of a diagnosis.

On other pages the blocks are run in order, as one program (`run_in_order`). What they print is said
by a block of text right after, or by a comment behind a `print`; a comment that is a value, such as
`# (True, 'validation')`, says that of the expression before it.
"""

import argparse
import ast
import contextlib
import io
import re
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np

PROGRAM = re.compile(
    r"```python\n(?P<code>.*?)```\n(?:\n```text\n(?P<output>.*?)```\n)?"
    r"(?:\n!\[[^\]]*\]\((?P<picture>[^)]*)\))?",
    re.DOTALL,
)

DIAGNOSIS = re.compile(
    r"\A[^\n]+\n(?:[^\n]+\n)??"  # the summary, of one or two lines
    r"(?P<first>1\. (?:error|warning|info): .*?\n   Try [^\n]*\n)"
    r"(?:\d+\. .*?\n   Try [^\n]*\n)*(?:And \d+ more: [^\n]*\n)?",
    re.DOTALL,
)


class Program(NamedTuple):
    """A block of Python with what follows it."""

    code: str
    output: str | None
    picture: str | None


def programs(page: str) -> list[Program]:
    """Find the programs of a page."""
    return [Program(**match.groupdict()) for match in PROGRAM.finditer(page)]


def preamble(page: str) -> str:
    """Return the first block of a page if it has no output, else an empty string."""
    blocks = programs(page)
    return blocks[0].code if blocks and blocks[0].output is None else ""


def first_finding(printed: str) -> str:
    """Remove the summary of a diagnosis and all findings but the first."""
    return DIAGNOSIS.sub(lambda match: match["first"], printed)


def run(code: str, before: str = "") -> tuple[str, dict]:
    """Run a program after a preamble; return what to show of its output, and its variables."""
    printed, variables = io.StringIO(), {"__name__": "program"}
    with contextlib.redirect_stdout(printed), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(compile(before + code, "program", "exec"), variables)
    output = printed.getvalue()
    return first_finding(output) if before else output, variables


class Said(NamedTuple):
    """What a page says that a piece of code gives, and what it gave."""

    code: str
    said: str
    given: str


def run_in_order(page: str) -> list[Said]:
    """Run the blocks of a page as one program; give what is said of them beside what they gave."""
    variables, result = {"__name__": "page"}, []
    for code, output, _ in programs(page):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            for statement in ast.parse(code).body:
                result += _run_statement(statement, code, variables)
        if output is not None:
            result.append(Said(code, output, printed.getvalue()))
    return result


def _run_statement(statement, code, variables) -> list[Said]:
    """Run a statement; what it prints is printed too."""
    decorators = getattr(statement, "decorator_list", [])  # they come before the statement's line
    first = min([statement.lineno, *(decorator.lineno for decorator in decorators)])
    source = "".join(code.splitlines(keepends=True)[first - 1 : statement.end_lineno])
    comment = source.encode().splitlines()[-1][statement.end_col_offset :].decode()
    said = comment.strip().removeprefix("#").strip()
    if not isinstance(statement, ast.Expr):
        exec(compile(source, "page", "exec"), variables)
        return []
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        value = eval(compile(ast.Expression(statement.value), "page", "eval"), variables)
    print(printed.getvalue(), end="")
    if said and printed.getvalue():
        return [Said(source, said, printed.getvalue())]
    return [Said(source, said, repr(value))] if _is_a_value(said) else []


def _is_a_value(text) -> bool:
    try:
        ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return False
    return True


def draw_fit(axes, v):
    """Draw the loss by iteration and the fit, before and after."""
    X, y = np.asarray(v["X"]), np.asarray(v["y"])
    for net, label, colour in ((v["net"], "before", "#d95f02"), (v["mended"], "after", "#1f4e79")):
        losses = np.maximum(net.loss_curve_, 1e-12)
        axes[0].plot(np.arange(1, len(losses) + 1), losses, color=colour, label=label, lw=1.2)
        if X.shape[1] == 1:
            grid = np.linspace(X.min(), X.max(), 300)[:, np.newaxis]
            axes[1].plot(grid.ravel(), net.predict(grid), color=colour, lw=1.5)
        else:
            axes[1].plot(y, net.predict(X), ".", color=colour)
    axes[0].set(xlabel="iteration", ylabel="loss", yscale="log", xscale="log")
    axes[0].legend()
    if X.shape[1] == 1:
        axes[1].plot(X.ravel(), y, ".", color="black", ms=5 if len(X) > 5 else 9)
        axes[1].set(xlabel="x", ylabel="y")
    else:
        axes[1].plot([y.min(), y.max()], [y.min(), y.max()], "k--", lw=0.8)
        axes[1].set(xlabel="y", ylabel="prediction")


def draw_derivative(axes, v):
    """Draw the function, and its derivative as given and as it is."""
    z, step = np.linspace(-3, 3, 301), 1e-6
    axes[0].plot(z, v["f"](z), color="black")
    axes[0].set(xlabel="z", title="f(z)")
    axes[1].plot(z, v["df"](z), color="#d95f02", label="df as given")
    numeric = (v["f"](z + step) - v["f"](z - step)) / (2 * step)
    axes[1].plot(z, numeric, "--", color="#1f4e79", label="central difference")
    axes[1].set(xlabel="z", title="f'(z)")
    axes[1].legend()


def draw_order(axes, v):
    """Draw how far the first layer's step is off, by learning rate."""
    rates = np.logspace(-4, -1, 50)
    step = np.abs(v["delta_2"] * v["w2"]).max()
    error = np.abs(v["delta_2"] * (v["delta_2"] * v["y1"][:, np.newaxis])).max()
    axes[0].loglog(rates, rates * step, color="#1f4e79", label="step of w1")
    axes[0].loglog(rates, rates**2 * error, color="#d95f02", label="its error")
    axes[0].set(xlabel="learning rate", ylabel="size")
    axes[0].legend()
    axes[1].semilogx(rates, rates * error / step, color="#d95f02")
    axes[1].set(xlabel="learning rate", ylabel="error / step")


DRAWINGS = {"wrong_derivative": draw_derivative, "order_of_updates": draw_order}


def draw(path: Path, variables) -> None:
    """Draw the picture of a program."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(7.2, 2.7), layout="constrained")
    DRAWINGS.get(path.stem, draw_fit)(axes, variables)
    figure.savefig(path, dpi=80, metadata={"Software": None})
    plt.close(figure)


def renew(path: Path) -> None:
    """Write outputs into a page and draw its figures."""
    page = path.read_text(encoding="utf-8")
    before = preamble(page)
    for program in programs(page):
        if program.output is None and program.picture is None:
            continue
        printed, variables = run(program.code, before)
        if program.output is not None:
            block = f"{program.code}```\n\n```text\n{program.output}```"
            assert block in page, program.code
            page = page.replace(block, f"{program.code}```\n\n```text\n{printed}```")
        if program.picture:
            draw(path.parent / program.picture, variables)
    path.write_text(page, encoding="utf-8")


def main():
    """Renew the pages given."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pages", type=Path, nargs="+")
    for path in parser.parse_args().pages:
        renew(path)


if __name__ == "__main__":
    main()

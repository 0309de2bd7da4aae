"""What a chapter shows, in a notebook and in a terminal."""

from __future__ import annotations

import ast
import base64
import inspect
import io
import os
import re
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from minisparse.experiments.results import Results, seeds_of_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from minisparse.gradcheck import Report

_COMMENT = re.compile(r" *# (type: ignore|noqa|fmt:).*")  # for tools, not for readers
QUICK = "MINISPARSE_BOOK_QUICK"
_NUMBER = r"[-+]?[\d,.]+(e[-+]?\d+)?( ?± ?[\d.]+)?( ?(%|x|s|ms|us|MB|kB))?"


def quick(full: Any, reduced: Any) -> Any:
    """Return `full`, or `reduced` in a quick run, where the numbers of a chapter mean nothing.

    The environment variable MINISPARSE_BOOK_QUICK=1 asks for a quick run; the tests do.
    """
    return reduced if os.environ.get(QUICK, "0") not in ("", "0") else full


def in_notebook() -> bool:
    """Tell whether a notebook's kernel runs the chapter."""
    module = sys.modules.get("IPython")
    shell = module.get_ipython() if module is not None else None
    return shell is not None and hasattr(shell, "kernel")


def markdown(text: str) -> None:
    """Show Markdown: rendered in a notebook, as it is in a terminal."""
    _display({"text/markdown": text}, {}, text)


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Show a table; numbers stand on the right.

    >>> table(["layer", "weights"], [["fc1", 235200], ["fc2", 30000]])
    | layer | weights |
    | :--- | ---: |
    | fc1 | 235200 |
    | fc2 | 30000 |
    """
    title, *cells = [[str(cell).replace("|", "\\|") for cell in row] for row in (head, *rows)]
    for row in cells:
        if len(row) != len(head):
            raise ValueError(f"this table has {len(head)} columns, a row has {len(row)}: {row}")
    numeric = [
        bool(cells) and all(_is_number(row[column]) for row in cells) for column in range(len(head))
    ]
    rule = ["---:" if right else ":---" for right in numeric]
    markdown("\n".join("| " + " | ".join(line) + " |" for line in [title, rule, *cells]))


def checks(reports: Mapping[str, Report]) -> None:
    """Show what `minisparse.gradcheck` found: a line for each argument of each function.

    Parameters
    ----------
    reports : mapping from the name of a function to its report
    """
    table(
        ["function", "gradient for", "shape", "largest relative error", "at kinks", "verdict"],
        [
            [
                name,
                a.name,
                list(a.shape),
                f"{a.error:.0e}",
                a.kinks,
                "holds" if report.ok else report.cause,
            ]
            for name, report in reports.items()
            for a in report.arguments
        ],
    )


def outcomes(results: Results) -> None:
    """Show how far the rows of an experiment are compressed, and on how much they err.

    Parameters
    ----------
    results : mapping
        What `minisparse.book.results` returns.
    """
    table(
        [seeds_of_rows(results), "compression", "training error, %", "test error, %"],
        [
            [
                row["name"],
                f"{row['ours']['compression_mean']:.1f}x",
                f"{row['ours']['train_error_mean']:.2f}",
                _with_sd(row["ours"]["error_mean"], row["ours"]["error_sd"]),
            ]
            for row in results["rows"]
        ],
    )


def _with_sd(mean: float, sd: float | None) -> str:
    return f"{mean:.2f}" if sd is None else f"{mean:.2f} ± {sd:.2f}"


def claims(found: Sequence[Mapping[str, Any]]) -> None:
    """Show registered claims and what became of them: a line for each.

    Parameters
    ----------
    found : sequence of mapping
        "claims" of an experiment's results, as `minisparse.experiments.claims` judges them.  A
        difference is that of the test errors, in points, if nothing else is said.
    """
    columns: dict[str, Callable[[Mapping[str, Any]], str]] = {
        "difference": lambda c: f"{c['one']} - {c['other']}{_QUANTITIES.get(c['quantity'], '')}",
        "mean and 95 % interval": _interval,
        "claimed": lambda c: c["direction"],
        "Holm's p": lambda c: _probability(c.get("p_adjusted")),
        "verdict": lambda c: c["verdict"],
    }
    if not any("family" in claim for claim in found):
        del columns["Holm's p"]
    table(list(columns), [[cell(claim) for cell in columns.values()] for claim in found])


_QUANTITIES = {"compression": ", compression", "removed_each": ", nodes removed, %"}


def _interval(claim: Mapping[str, Any]) -> str:
    if claim["verdict"] == "not admitted":
        return str(claim["manipulation_check"]["found"])
    if claim["difference"] is None:
        return "-"
    if claim["interval"] is None:  # one seed
        return f"{claim['difference']:+.2f}"
    low, high = claim["interval"]
    return f"{claim['difference']:+.2f} ({low:+.2f} to {high:+.2f})"


def _probability(p: float | None) -> str:
    return "-" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def _is_number(cell: str) -> bool:
    return cell in ("", "-") or re.fullmatch(_NUMBER, cell) is not None


def new_figure(width: float = 7.5, height: float = 3.6, **grid: Any) -> tuple[Figure, Any]:
    """Return a figure and its axes in the style of the experiments' figures.

    The style stays in force for the rest of the process: a chapter has one of its own.

    Parameters
    ----------
    width, height : float
        In inches.
    **grid
        For several axes: what `Figure.subplots` takes, e.g. ``ncols=2``.
    """
    import matplotlib as mpl
    from cycler import cycler
    from matplotlib.figure import Figure

    from minisparse.drawing import COLOURS, STYLE

    mpl.rcParams.update({**STYLE, "axes.prop_cycle": cycler(color=list(COLOURS))})
    figure = Figure(figsize=(width, height), layout="constrained")  # Agg: no window
    return figure, figure.subplots(**grid)


def show(figure: Figure, alt: str) -> None:
    """Show a figure.

    Parameters
    ----------
    figure : Figure
    alt : str
        What is to be seen, for those who cannot see it; a terminal prints only this.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150, metadata={"Software": None})
    png = base64.b64encode(buffer.getvalue()).decode("ascii")
    width = round(figure.get_figwidth() * 96)
    _display({"image/png": png}, {"image/png": {"alt": alt, "width": width}}, f"[figure: {alt}]")


def show_svg(svg: str, alt: str) -> None:
    """Show a picture that is written as SVG."""
    _display({"image/svg+xml": svg}, {"image/svg+xml": {"alt": alt}}, f"[figure: {alt}]")


def show_source(
    *objects: Any, docstring: bool = True, start: str = "", stop: str = "", note: str = ""
) -> None:
    """Show how the library writes something: its own source, not a copy.

    Parameters
    ----------
    *objects : function, class or method
        All from one file, shown one under the other.
    docstring : bool
        Whether to show docstrings; those of one line are shown in any case.
    start, stop : str
        Of a long function show only the lines from the first that contains `start` to the first
        after it that contains `stop`.
    note : str
        Said behind the file's name.

    Raises
    ------
    ValueError
        The source does not contain `start` or `stop`, or the objects are from several files.
    """
    files = {_file(thing) for thing in objects}
    if len(files) != 1:
        raise ValueError(f"show one file at a time, not {sorted(files)}")
    parts = [_excerpt(thing, docstring, start, stop) for thing in objects]
    code = "\n\n\n".join(part.rstrip() for part in parts)
    text = f"From `{files.pop()}`{note and ', ' + note}:\n\n```python\n{code}\n```"
    _display({"text/markdown": text}, {}, text)


def _file(thing: Any) -> str:
    module = inspect.getmodule(thing)
    if module is None:
        raise ValueError(f"{thing!r} has no source file")
    path = module.__name__.replace(".", "/")
    return f"{path}/__init__.py" if hasattr(module, "__path__") else f"{path}.py"


def _excerpt(thing: Any, docstring: bool, start: str, stop: str) -> str:
    source = textwrap.dedent(inspect.getsource(thing))
    source = source.replace("@door\n", "")  # it tells of wrong arguments: no part of the idea
    lines = source.splitlines()
    if not docstring:
        for first, last in reversed(_long_docstrings(source)):
            del lines[first:last]
            if first < len(lines) and not lines[first].strip():
                del lines[first]
    begin = _find(lines, start, 0) if start else 0
    end = _find(lines, stop, begin) + 1 if stop else len(lines)
    whole = (begin, end) == (0, len(lines))
    chosen = _COMMENT.sub("", textwrap.dedent("\n".join(lines[begin:end])))
    return chosen if whole else f"# ...\n{chosen}"


def _long_docstrings(source: str) -> list[tuple[int, int]]:
    """Return the lines, from 0, of docstrings that are longer than one."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and ast.get_docstring(node):
            doc = node.body[0]
            if doc.end_lineno is not None and doc.end_lineno > doc.lineno:
                found.append((doc.lineno - 1, doc.end_lineno))
    return sorted(found)


def _find(lines: Sequence[str], text: str, begin: int) -> int:
    for i in range(begin, len(lines)):
        if text in lines[i]:
            return i
    raise ValueError(f"the source has no {text!r} any more: choose other lines to show")


def _display(data: dict[str, str], metadata: dict[str, Any], plain: str) -> None:
    if in_notebook():
        from IPython.display import display

        display({**data, "text/plain": plain}, raw=True, metadata=metadata)
    else:
        print(plain)

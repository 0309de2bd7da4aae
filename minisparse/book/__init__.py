"""The book: what its chapters use, and what turns them into pages.

A chapter is a file of cells, ``tutorials/NN_name.py``: a notebook for Jupyter and VS Code, and a
program for Python.  The names below are for chapters, and do the sensible thing in both.

| file | what it holds |
| --- | --- |
| `display.py` | show a figure, a table or the library's own source; what a quick run leaves out |
| `graph.py` | the picture of a tape |
| `pictures.py` | weights and masks as images |
| `terminal.py` | commands with what they print |
| `chapters.py` | where the chapters and the committed results are |
| `mathematics.py` | formulas that survive GitHub's Markdown, and the refusal of the others |
| `running.py` | chapter -> cells with their outputs |
| `pages.py` | cells with outputs -> ``pages/NN_name.md`` with figures; which pages are stale |
| `html.py` | the offline site |
| `command.py` | ``minisparse book`` |
"""

from minisparse.experiments.results import passes_text

from .chapters import contents, results
from .display import (
    checks,
    claims,
    markdown,
    new_figure,
    outcomes,
    quick,
    show,
    show_source,
    table,
)
from .graph import graph_svg, show_graph
from .pictures import tiles
from .terminal import Terminal

__all__ = [
    "Terminal",
    "checks",
    "claims",
    "contents",
    "graph_svg",
    "markdown",
    "new_figure",
    "outcomes",
    "passes_text",
    "quick",
    "results",
    "show",
    "show_graph",
    "show_source",
    "table",
    "tiles",
]

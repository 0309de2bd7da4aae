"""The book as an offline site: Sphinx and MyST-NB read the chapters, MathJax is one file beside."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from .chapters import BookError, Chapter, folder
from .mathematics import for_github
from .running import run_chapter, tools

_CONF = """\
project = "minisparse"
html_title = "minisparse: the book"
copyright = "the minisparse authors"
extensions = ["myst_nb", "sphinx.ext.mathjax"]
nb_custom_formats = {".py": "minisparse.book.html.notebook_of"}
source_suffix = {".py": "myst-nb", ".md": "myst-nb"}
exclude_patterns = ["conf.py", "results"]
nb_execution_mode = "off"  # notebook_of has run them
nb_render_markdown_format = "myst"  # tables, and links to chapters
nb_mime_priority_overrides = [("html", "text/markdown", 5)]
myst_enable_extensions = ["dollarmath"]
myst_fence_as_directive = ["math"]
suppress_warnings = ["myst.header", "misc.highlighting_failure"]
mathjax_path = "tex-svg.js"
html_theme = "furo"
html_static_path = ["static"]
html_show_sourcelink = False
html_copy_source = False
"""


def build_site(chapters: list[Chapter], out: Path) -> None:
    """Build the site.

    Parameters
    ----------
    chapters : list of Chapter
    out : Path
        The folder to write; ``out/index.html`` is its first page.

    Raises
    ------
    BookError
        A chapter fails, Sphinx warns, or a tool is missing.
    """
    tools("sphinx", "myst_nb", "furo")
    with tempfile.TemporaryDirectory() as name:
        source = Path(name)
        for chapter in chapters:
            shutil.copy(chapter.path, source)
        results = chapters[0].path.parent / "results"
        if results.exists():
            shutil.copytree(results, source / "results", ignore=shutil.ignore_patterns("runs"))
        (source / "static").mkdir()
        shutil.copy(mathjax(), source / "static" / "tex-svg.js")
        (source / "conf.py").write_text(_CONF, encoding="utf-8")
        (source / "index.md").write_text(_index(chapters), encoding="utf-8")
        options = ["-q", "-W", "--keep-going", "-d", str(source / ".doctrees"), "-b", "html"]
        command = [sys.executable, "-m", "sphinx", *options, str(source), str(out)]
        done = subprocess.run(command, check=False)
    if done.returncode:
        raise BookError("Sphinx could not build the site; it says above why")


def notebook_of(text: str) -> Any:
    """Return a chapter as a notebook with outputs; called by MyST-NB."""
    title = re.search(r"^# # (.+)$", text, re.MULTILINE)
    notebook = run_chapter(text, folder(), title[1] if title else "a chapter")
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            for_github(cell.source)  # refuses what a page would not show
        for output in cell.get("outputs", ()):
            for kind, content in output.get("metadata", {}).items():
                if kind.startswith("image/"):
                    cell.metadata.setdefault("mystnb", {})["image"] = {"alt": content["alt"]}
                    content.clear()
    return notebook


def mathjax() -> Path:
    """Return MathJax's single file for TeX to SVG.

    Raises
    ------
    BookError
        The package that brings it is not installed.
    """
    package = "sphinx-mathjax-offline"
    try:
        files = importlib.metadata.files(package) or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name == "tex-svg.js":
            return Path(str(file.locate()))
    raise BookError(f"building the site needs {package}: pip install 'minisparse[docs]'")


def _index(chapters: list[Chapter]) -> str:
    names = "\n".join(chapter.name for chapter in chapters)
    first = f"Begin with [{chapters[0].title}]({chapters[0].path.name})."
    return f"# minisparse: the book\n\n{first}\n\n```{{toctree}}\n:maxdepth: 1\n\n{names}\n```\n"

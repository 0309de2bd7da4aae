"""A chapter's page: Markdown as GitHub shows it, and figures beside it.

A page is stale if its text is: source, printed outputs, tables, names of figures.  Pixels are not
compared, they differ between versions of Matplotlib; nor are the digits of what a cell tagged
``varies`` prints (times, and what a training gives on another processor).
"""

from __future__ import annotations

import base64
import difflib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from ..experiments.store import replacing
from .chapters import BookError, Chapter
from .display import QUICK
from .mathematics import MathError, for_github
from .running import run_chapter

VARIES = "<!-- digits vary -->"
_NUMBER = re.compile(r"[-+]?\d[\d,]*(\.\d+)?(e[-+]?\d+)?")
_LINK = re.compile(r"(\]\()(?![a-z]+:|#)([^)\s]+)(\))")
_SOURCE_FILE = re.compile(r"(?<![\[`])`(minisparse/[\w/]+\.py)`(?!\])")


@dataclass
class Page:
    """What a chapter becomes: text, and figures by file name."""

    text: str
    figures: dict[str, bytes] = field(default_factory=dict)


def make_page(chapter: Chapter, others: Sequence[Chapter]) -> Page:
    """Run a chapter and make its page.

    Parameters
    ----------
    chapter : Chapter
    others : sequence of Chapter
        All chapters in order, for the links to the neighbours.

    Raises
    ------
    BookError
        The chapter fails, or a formula would not be shown.
    """
    source = chapter.path.read_text(encoding="utf-8")
    os.environ.pop(QUICK, None)  # a page shows the whole chapter
    notebook = run_chapter(source, chapter.path.parent, chapter.path.name)
    page = Page("")
    made = f'Made from tutorials/{chapter.path.name} by "minisparse book"; do not edit.'
    parts = [f"<!-- {made} Source {_digest(source)} -->", _neighbours(chapter, others)]
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            parts.append(_prose(cell.source, chapter))
        elif cell.source.strip():
            parts += _code(cell, chapter, page)
    parts.append("---\n\n" + _neighbours(chapter, others))
    page.text = "\n\n".join(part.strip("\n") for part in parts if part.strip()) + "\n"
    return page


def write_page(chapter: Chapter, page: Page) -> None:
    """Write a page and its figures, and remove figures that it no longer has."""
    folder = chapter.page.parent / "figures"
    for old in folder.glob(f"{chapter.name}-*"):
        if old.name not in page.figures:
            old.unlink()
    for name, data in page.figures.items():
        with replacing(folder / name) as temporary:
            temporary.write_bytes(data)
    with replacing(chapter.page) as temporary:
        temporary.write_text(page.text, encoding="utf-8", newline="\n")


def difference(chapter: Chapter, page: Page) -> str:
    """Return how the committed page differs from what it should be; "" if it is current."""
    if not chapter.page.exists():
        return "there is no page"
    committed = chapter.page.read_text(encoding="utf-8")
    folder = chapter.page.parent / "figures"
    missing = [name for name in page.figures if not (folder / name).exists()]
    if missing:
        return f"figures are missing: {', '.join(missing)}"
    lines = difflib.unified_diff(
        comparable(committed), comparable(page.text), "committed", "made now", lineterm="", n=1
    )
    return "\n".join(lines)


def is_of_source(chapter: Chapter) -> bool:
    """Tell, without running it, whether the page was made of the chapter as it is now."""
    if not chapter.page.exists():
        return False
    source = chapter.path.read_text(encoding="utf-8")
    first = chapter.page.read_text(encoding="utf-8").partition("\n")[0]
    return f"Source {_digest(source)} " in first


def orphans(all_chapters: Sequence[Chapter]) -> list[Path]:
    """Return pages and figures that belong to no chapter."""
    if not all_chapters:
        return []
    folder = all_chapters[0].page.parent
    names = {chapter.name for chapter in all_chapters}
    files = [*folder.glob("*.md"), *(folder / "figures").glob("*")]
    return [f for f in files if re.sub(r"-\d+$", "", f.stem) not in names]


def comparable(text: str) -> list[str]:
    """Return the lines of a page without what may differ between machines."""
    lines, varies, fence = [], False, False
    for line in text.splitlines():
        if line == VARIES:
            varies = True
        elif varies and (line.startswith("```") or (fence and not line)):
            fence = not fence
            varies = fence
        elif varies and not fence and line.startswith("|"):
            line = re.sub(r"[ -]+", " ", _NUMBER.sub("0", line))
        elif varies and not fence and line:
            varies = False
        lines.append(re.sub(r" +", " ", _NUMBER.sub("0", line)) if varies and fence else line)
    return lines


def _digest(source: str) -> str:
    return sha256(source.encode()).hexdigest()[:16]


def _neighbours(chapter: Chapter, others: Sequence[Chapter]) -> str:
    """Link the chapters before and after."""
    names = [other.name for other in others]
    i = names.index(chapter.name)
    links = []
    if i > 0:
        before = others[i - 1]
        links.append(f"← [{before.number}. {before.title}]({before.name}.md)")
    if i > 1:
        links.append(f"[contents]({others[0].name}.md)")
    if i + 1 < len(others):
        after = others[i + 1]
        links.append(f"[{after.number}. {after.title}]({after.name}.md) →")
    return " · ".join(links)


def _prose(text: str, chapter: Chapter) -> str:
    try:
        text = for_github(text)
    except MathError as error:
        raise BookError(
            f"{chapter.path.name}: {error}\nin the cell that begins\n{text[:200]}"
        ) from error
    return _relinked(text)


def _relinked(text: str) -> str:
    """Point links from ``tutorials/`` to where they lead from ``tutorials/pages/``."""

    def moved(match: re.Match[str]) -> str:
        target = match[2]
        chapter = re.fullmatch(r"((?:\d\d|[A-Z])_\w+)\.py(#.*)?", target)
        new = f"{chapter[1]}.md{chapter[2] or ''}" if chapter else f"../{target}"
        return f"{match[1]}{new}{match[3]}"

    text = _LINK.sub(moved, text)
    return _SOURCE_FILE.sub(r"[`\1`](../../\1)", text)


def _code(cell: Any, chapter: Chapter, page: Page) -> list[str]:
    tags = cell.metadata.get("tags", ())
    code = f"```python\n{cell.source.strip()}\n```"
    if "hide-input" in tags:
        code = f"<details>\n<summary>Code</summary>\n\n{code}\n\n</details>"
    parts = [] if "remove-input" in tags else [code]
    for output in _merged(cell.outputs):
        if output["output_type"] == "stream":
            shown = f"```text\n{output['text'].strip(chr(10))}\n```"
        else:
            shown = _data(output, chapter, page)
        if "varies" in tags and shown.startswith(("```text", "| ")):
            parts.append(VARIES)
        parts.append(shown)
    return parts


def _merged(outputs: Sequence[Any]) -> list[Any]:
    """Join what was printed in several pieces."""
    merged: list[Any] = []
    for output in outputs:
        if merged and output["output_type"] == merged[-1]["output_type"] == "stream":
            merged[-1] = {**merged[-1], "text": merged[-1]["text"] + output["text"]}
        else:
            merged.append(dict(output))
    return merged


def _data(output: Any, chapter: Chapter, page: Page) -> str:
    data = output["data"]
    for kind, suffix in (("image/svg+xml", "svg"), ("image/png", "png")):
        if kind in data:
            content = data[kind].encode() if suffix == "svg" else base64.b64decode(data[kind])
            name = f"{chapter.name}-{len(page.figures) + 1}.{suffix}"
            page.figures[name] = content
            alt = output["metadata"].get(kind, {}).get("alt", "")
            if not alt:
                raise BookError(
                    f"{chapter.path.name}: a figure without a description: use book.show"
                )
            return f"![{alt}](figures/{name})"
    if "text/markdown" in data:
        return _relinked(data["text/markdown"])
    return f"```text\n{data['text/plain'].strip(chr(10))}\n```"

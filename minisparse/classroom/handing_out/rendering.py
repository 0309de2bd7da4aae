"""Text of definitions, edited at nodes of the syntax tree; everything else stays as it was written."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from .needs import NOTHING, Edit
from .sources import Source


def blank(node: ast.FunctionDef, message: str) -> list[Edit]:
    """Return the edits that take a function's body away; its signature and docstring stay."""
    body = node.body
    if ast.get_docstring(node) is not None:
        body = body[1:]
    replacement = f"raise NotImplementedError({message!r})".replace("'", '"')
    if not body:  # nothing but a docstring
        return [(_After(node.body[0]), f"\n{' ' * node.body[0].col_offset}{replacement}")]
    return [(_Span(body[0], node), replacement)]


class _Span(ast.AST):
    """From the start of a node (comments above it included) to the end of another."""

    def __init__(self, first: ast.stmt, last: ast.stmt) -> None:
        super().__init__()
        self.lineno, self.col_offset = first.lineno, first.col_offset
        self.end_lineno, self.end_col_offset = last.end_lineno, last.end_col_offset
        self.with_comments = True


class _After(ast.AST):
    """The place behind a node."""

    def __init__(self, node: ast.stmt) -> None:
        super().__init__()
        self.lineno = self.end_lineno = node.end_lineno
        self.col_offset = self.end_col_offset = node.end_col_offset


def text(source: Source, node: ast.stmt, edits: Iterable[Edit]) -> str:
    """Return a statement's lines, decorators and the comments right above included, edited.

    Parameters
    ----------
    source : Source
    node : ast.stmt
        A top-level statement of it.
    edits : iterable of (node, text)
        An empty text removes the lines.
    """
    lines = source.text.encode().split(b"\n")  # columns of the syntax tree count bytes
    first = first_line(source, node)
    last = node.end_lineno or node.lineno
    spans = {(*_span(n, lines), new) for n, new in edits}
    outer = [s for s in spans if not any(_inside(s, other) for other in spans)]
    for (r0, c0), (r1, c1), new in sorted(outer, reverse=True):
        if new:
            middle = lines[r0][:c0] + new.replace(NOTHING, "").encode() + lines[r1][c1:]
            lines[r0 : r1 + 1] = [middle]
        else:
            del lines[r0 : r1 + 1]
        last -= (r1 - r0 + 1) - bool(new)
    return b"\n".join(lines[first:last]).decode()


def first_line(source: Source, node: ast.stmt) -> int:
    """Return where a statement's text begins, from 0: at its decorators and the comments above."""
    lines = source.text.split("\n")
    first: int = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))]) - 1
    while (
        first > 0 and lines[first - 1].startswith("#") and not lines[first - 1].startswith("# --")
    ):
        first -= 1
    return first


_Place = tuple[int, int]


def _inside(a: tuple[_Place, _Place, str], b: tuple[_Place, _Place, str]) -> bool:
    return b[0] <= a[0] and a[1] <= b[1] and a[:2] != b[:2]


def _span(node: ast.AST, lines: list[bytes]) -> tuple[_Place, _Place]:
    n: ast.expr = node  # type: ignore[assignment]
    assert n.end_lineno is not None
    assert n.end_col_offset is not None
    r0, c0 = n.lineno - 1, n.col_offset
    if getattr(n, "with_comments", False):
        while lines[r0 - 1].lstrip().startswith(b"#"):
            r0 -= 1
        c0 = len(lines[r0]) - len(lines[r0].lstrip())
    return (r0, c0), (n.end_lineno - 1, n.end_col_offset)

"""The picture of a tape: values on the nodes, and on every edge what flows back along it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from ..autodiff import Tensor, gradients, no_grad
from .display import show_svg

_COLUMN, _ROW, _WIDTH, _HEIGHT, _MARGIN, _ARCH = 190, 84, 104, 46, 12, 32  # in pixels
_MINUS = "\N{MINUS SIGN}"
_SYMBOLS = {
    "Add": "+", "Sub": _MINUS, "Mul": "\N{MULTIPLICATION SIGN}", "Div": "/", "Neg": _MINUS,
    "Sum": "sum", "MatMul": "@", "PowConstant": "power", "BroadcastTo": "broadcast",
}  # fmt: skip
_MARKER = (
    '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" '
    'markerHeight="8" orient="auto"><path d="M0 0 L8 4 L0 8 z" fill="#767676"/></marker></defs>'
)


@dataclass
class _Node:
    tensor: Tensor
    column: int
    row: float = 0.0

    @property
    def x(self) -> float:
        return _MARGIN + self.column * _COLUMN

    @property
    def y(self) -> float:
        return _MARGIN + _ARCH + self.row * _ROW


def show_graph(y: Tensor, alt: str, *, backward: bool = True) -> None:
    """Show the tape of `y`; the arguments are those of `graph_svg`, `alt` that of `show`."""
    show_svg(graph_svg(y, backward=backward), alt)


def graph_svg(y: Tensor, *, backward: bool = True) -> str:
    """Draw the tape that led to a number, from the leaves on the left to `y` on the right.

    Parameters
    ----------
    y : Tensor
        A single number with a graph; its graph is left intact.
    backward : bool
        Write on each edge the cotangent that flows back along it, and the sum on each node.

    Returns
    -------
    str
        SVG.  Numbers are written out, of arrays only the shape.
    """
    nodes = _arranged(y)
    place = {id(node.tensor): node for node in nodes}
    gradient = {}
    if backward:
        tensors = [n.tensor for n in nodes if n.tensor.requires_grad]
        found = gradients(y, tensors, retain_graph=True, allow_unused=True)
        gradient = {id(t): g for t, g in zip(tensors, found, strict=True)}
    arrows, boxes = [], []
    for node in nodes:
        t = node.tensor
        flows = _flows(t, gradient.get(id(t)))
        same: dict[int, int] = {}
        for i, x in enumerate(t.inputs):
            bend = same[id(x)] = same.get(id(x), -1) + 1
            twins = sum(other is x for other in t.inputs)
            arrows.append(_arrow(place[id(x)], node, flows[i], bend - (twins - 1) / 2))
        boxes.append(_box(node, gradient.get(id(t))))
    width = 2 * _MARGIN + max(n.column for n in nodes) * _COLUMN + _WIDTH
    height = (
        2 * _MARGIN + _ARCH + max(n.row for n in nodes) * _ROW + _HEIGHT + (16 if backward else 0)
    )
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width:g}" height="{height:g}" font-family="Helvetica, Arial, sans-serif">'
    )
    sheet = f'<rect width="{width:g}" height="{height:g}" fill="white"/>'
    return "\n".join([head, _MARKER, sheet, *arrows, *boxes, "</svg>"])


def _arranged(y: Tensor) -> list[_Node]:
    """Give every tensor a column, one right of its last input, and a row near its inputs."""
    order: list[Tensor] = []  # inputs before results
    seen: set[int] = set()
    stack = [(y, False)]
    while stack:
        t, ready = stack.pop()
        if ready:
            order.append(t)
        elif id(t) not in seen:
            seen.add(id(t))
            stack.append((t, True))
            stack.extend((x, False) for x in reversed(t.inputs))
    column: dict[int, int] = {}
    for t in order:
        column[id(t)] = 1 + max((column[id(x)] for x in t.inputs), default=-1)
    for t in reversed(order):  # a leaf stands right before its first use
        for x in t.inputs:
            if x.op is None:
                first = min(column[id(u)] for u in order if any(i is x for i in u.inputs))
                column[id(x)] = first - 1
    nodes = {id(t): _Node(t, column[id(t)]) for t in order}
    taken: dict[int, list[float]] = {}
    next_row = 0.0
    for t in order:
        node = nodes[id(t)]
        if t.op is None:
            node.row, next_row = next_row, next_row + 1
        else:
            node.row = sum(nodes[id(x)].row for x in t.inputs) / len(t.inputs)
        rows = taken.setdefault(node.column, [])
        while any(abs(node.row - row) < 0.95 for row in rows):
            node.row += 0.5
        rows.append(node.row)
    return list(nodes.values())


def _flows(t: Tensor, grad: Tensor | None) -> Sequence[Tensor | None]:
    """Return what the operation that made `t` passes back to each of its inputs."""
    if t.op is None or grad is None:
        return [None] * len(t.inputs)
    with no_grad():
        rules = t.op.backward(grad, t, *t.inputs)
        rules = rules if isinstance(rules, tuple) else (rules,)
        flows = [rule() if callable(rule) else rule for rule in rules]
    return [flow if x.requires_grad else None for flow, x in zip(flows, t.inputs, strict=True)]


def _arrow(start: _Node, end: _Node, flow: Tensor | None, bend: float) -> str:
    """Draw an edge; twins bend apart, and one that skips a column of its row passes above it."""
    if end.column - start.column > 1 and abs(end.row - start.row) < 0.6:
        x0, x1, y0, y1 = start.x + 0.8 * _WIDTH, end.x + 0.2 * _WIDTH, start.y, end.y
        rise = -2.0 * (_ARCH - 14)
    else:
        x0, x1, y0, y1 = start.x + _WIDTH, end.x - 1, start.y, end.y
        y0, y1, rise = y0 + _HEIGHT / 2, y1 + _HEIGHT / 2, 56 * bend
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    path = (
        f'<path d="M{x0:g} {y0:g} Q{x:g} {y + rise:g} {x1:g} {y1:g}" fill="none" '
        'stroke="#767676" stroke-width="1.4" marker-end="url(#tip)"/>'
    )
    if flow is None:
        return path
    below = 13 if bend > 0 else -5
    return path + _text(x, y + rise / 2 + below, _number(flow), "#D55E00", halo=True)


def _box(node: _Node, grad: Tensor | None) -> str:
    t = node.tensor
    leaf = t.op is None
    fill, line = ("#eef4fa", "#0072B2") if leaf else ("#ffffff", "#333333")
    x, y = node.x, node.y
    label = t.name or ("" if leaf else "result")
    symbol = "" if t.op is None else _SYMBOLS.get(t.op.name, t.op.name)
    head = " ".join(part for part in (label, f"({symbol})" if symbol and label else symbol) if part)
    outline = (
        f'<rect x="{x:g}" y="{y:g}" width="{_WIDTH}" height="{_HEIGHT}" rx="{6 if leaf else 22}" '
        f'fill="{fill}" stroke="{line}" stroke-width="1.4"/>'
    )
    parts = [
        outline,
        _text(x + _WIDTH / 2, y + 19, head or "constant", "#000000", weight="bold"),
        _text(x + _WIDTH / 2, y + 37, _number(t), "#000000"),
    ]
    if grad is not None:
        parts.append(_text(x + _WIDTH / 2, y + _HEIGHT + 15, f"bar {_number(grad)}", "#D55E00"))
    return "".join(parts)


def _number(t: Tensor) -> str:
    values = np.asarray(t.numpy())
    return f"{values.item():.4g}".replace("-", _MINUS) if values.size == 1 else str(list(t.shape))


def _text(
    x: float, y: float, text: str, colour: str, *, weight: str = "normal", halo: bool = False
) -> str:
    outline = ' stroke="white" stroke-width="4" paint-order="stroke"' if halo else ""
    return (
        f'<text x="{x:g}" y="{y:g}" text-anchor="middle" font-size="13" fill="{colour}" '
        f'font-weight="{weight}"{outline}>{escape(text)}</text>'
    )

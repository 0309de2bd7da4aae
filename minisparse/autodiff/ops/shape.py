"""Operations that move elements without changing them.

Each is a linear map P of zeros and ones; its backward is P^T: what was read from a place is
added back to that place.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from ...arrays import array_module, is_array
from ..tape import Array, Op, Tensor, as_tensor
from ._pair import same_dtype


class Reshape(Op):
    """The same elements in the same order under another shape."""

    is_view = True

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape

    def forward(self, x: Array) -> Array:
        return x.reshape(self.shape)

    def backward(self, grad: Tensor, y: Tensor, x: Tensor) -> Tensor:
        return reshape(grad, grad.shape[: grad.ndim - y.ndim] + x.shape)


class Transpose(Op):
    """Permute the last axes;  the backward permutes with the inverse."""

    is_view = True

    def __init__(self, axes: tuple[int, ...]) -> None:
        self.axes = axes

    def forward(self, x: Array) -> Array:
        lead = x.ndim - len(self.axes)  # leading axes stay where they are
        return array_module(x).transpose(x, (*range(lead), *(lead + a for a in self.axes)))

    def backward(self, grad: Tensor, y: Tensor, x: Tensor) -> Tensor:
        return Transpose(tuple(int(i) for i in np.argsort(self.axes)))(grad)


class Slice(Op):
    """y = x[index] for slices, integers, None and Ellipsis: every element is read at most once."""

    is_view = True

    def __init__(self, index: tuple[Any, ...]) -> None:
        self.index = index

    def forward(self, x: Array) -> Array:
        return x[self.index]

    def backward(self, grad: Tensor, y: Tensor, x: Tensor) -> Tensor:
        return PutSlice(self.index, x.shape, y.ndim)(grad)


class PutSlice(Op):
    """Zeros with x[index] = g: the transpose of `Slice`."""

    def __init__(self, index: tuple[Any, ...], shape: tuple[int, ...], ndim: int) -> None:
        self.index, self.shape, self.ndim = index, shape, ndim

    def _full(self, lead: int) -> tuple[Any, ...]:
        return (slice(None),) * lead + self.index

    def forward(self, g: Array) -> Array:
        lead = g.shape[: g.ndim - self.ndim]
        out = array_module(g).zeros(lead + self.shape, dtype=g.dtype)
        out[self._full(len(lead))] = g
        return out

    def backward(self, grad: Tensor, y: Tensor, g: Tensor) -> Tensor:
        return Slice(self._full(grad.ndim - len(self.shape)))(grad)


class Take(Op):
    """y = elements of x, flattened, at flat positions;  repeated positions are read repeatedly."""

    def __init__(self, positions: Array, ndim: int) -> None:
        self.positions, self.ndim = positions, ndim

    def forward(self, x: Array) -> Array:
        lead = x.shape[: x.ndim - self.ndim]
        return x.reshape(*lead, -1)[..., self.positions]

    def backward(self, grad: Tensor, y: Tensor, x: Tensor) -> Tensor:
        return AddAt(self.positions, x.shape[x.ndim - self.ndim :])(grad)


class AddAt(Op):
    """Zeros with g added at flat positions, repeated ones accumulating: the transpose of `Take`."""

    def __init__(self, positions: Array, shape: tuple[int, ...]) -> None:
        self.positions, self.shape = positions, shape

    def forward(self, g: Array) -> Array:
        xp = array_module(g)
        lead = g.shape[: g.ndim - self.positions.ndim]
        out = xp.zeros((math.prod(lead), math.prod(self.shape)), dtype=g.dtype)
        rows = xp.arange(out.shape[0])[:, None]
        xp.add.at(out, (rows, self.positions.reshape(1, -1)), g.reshape(out.shape[0], -1))
        return out.reshape(lead + self.shape)

    def backward(self, grad: Tensor, y: Tensor, g: Tensor) -> Tensor:
        return Take(self.positions, len(self.shape))(grad)


class Concatenate(Op):
    """Join along one axis;  each part gets its stretch of the cotangent."""

    def __init__(self, axis: int) -> None:
        self.axis = axis  # negative

    def forward(self, *parts: Array) -> Array:
        return array_module(*parts).concatenate(parts, axis=self.axis)

    def backward(self, grad: Tensor, y: Tensor, *parts: Tensor) -> Any:
        rest = (slice(None),) * (-self.axis - 1)
        ends = list(accumulate(part.shape[self.axis] for part in parts))
        return tuple(
            Slice((Ellipsis, slice(start, stop), *rest))(grad)
            for start, stop in pairwise([0, *ends])
        )


class Pad(Op):
    """Zeros around x;  the backward cuts them off."""

    def __init__(self, width: tuple[tuple[int, int], ...]) -> None:
        self.width = width

    def forward(self, x: Array) -> Array:
        return array_module(x).pad(x, self.width)

    def backward(self, grad: Tensor, y: Tensor, x: Tensor) -> Tensor:
        inner = (slice(a, a + n) for (a, _), n in zip(self.width, x.shape, strict=True))
        return Slice((Ellipsis, *inner))(grad)


def reshape(x: Any, *shape: Any) -> Tensor:
    """Return `x` under another shape with as many elements; -1 stands for what is left over."""
    x = as_tensor(x)
    new = shape[0] if len(shape) == 1 and not isinstance(shape[0], int) else shape
    new = tuple(int(n) for n in new)
    if -1 in new:
        known = -math.prod(new)
        if new.count(-1) > 1 or known <= 0 or x.size % known:
            raise ValueError(f"cannot reshape {x.shape} ({x.size} elements) to {new}")
        new = tuple(x.size // known if n == -1 else n for n in new)
    if math.prod(new) != x.size:
        raise ValueError(f"cannot reshape {x.shape} ({x.size} elements) to {new}")
    return x if new == x.shape else Reshape(new)(x)


def flatten(x: Any, start: int = 1) -> Tensor:
    """Return `x` with all axes from `start` on merged into one."""
    x = as_tensor(x)
    return reshape(x, (*x.shape[:start], math.prod(x.shape[start:])))


def transpose(x: Any, *axes: Any) -> Tensor:
    """Permute the axes (reverse them if none are given)."""
    x = as_tensor(x)
    order = axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes
    order = tuple(a % x.ndim for a in order) if order else tuple(range(x.ndim))[::-1]
    if sorted(order) != list(range(x.ndim)):
        raise ValueError(f"transpose needs each of {x.ndim} axes once, got {axes}")
    return Transpose(order)(x)


def matrix_transpose(x: Any) -> Tensor:
    """Swap the last two axes."""
    return Transpose((1, 0))(as_tensor(x))


def getitem(x: Any, index: Any) -> Tensor:
    """Return ``x[index]`` with NumPy's rules; elements that are read twice get both gradients."""
    x = as_tensor(x)
    index = index if isinstance(index, tuple) else (index,)
    index = tuple(i._array if isinstance(i, Tensor) else i for i in index)
    basic = (int, slice, type(None), type(Ellipsis), np.integer)
    if all(isinstance(i, basic) and not isinstance(i, bool) for i in index):
        if Ellipsis not in index:
            index = (*index, Ellipsis)  # a result with no axes left stays an array
        return Slice(index)(x)
    xp = array_module(x._array)
    positions = xp.arange(x.size).reshape(x.shape)[
        tuple(xp.asarray(i) if isinstance(i, list) or is_array(i) else i for i in index)
    ]
    return Take(positions, x.ndim)(x)


def concatenate(parts: Sequence[Any], axis: int = 0) -> Tensor:
    """Join tensors along an existing axis."""
    tensors = [as_tensor(p) for p in parts]
    if not tensors:
        raise ValueError("concatenate needs at least one tensor")
    first = tensors[0]
    tensors = [first, *(same_dtype(first, t)[1] for t in tensors[1:])]
    if not -first.ndim <= axis < first.ndim:
        raise ValueError(f"axis {axis} is out of range for {first.ndim} axes")
    axis = axis % first.ndim
    if any(
        t.ndim != first.ndim or t.shape[:axis] + t.shape[axis + 1 :]
        != first.shape[:axis] + first.shape[axis + 1 :]
        for t in tensors
    ):
        raise ValueError(
            f"concatenate along axis {axis}: the other lengths differ in "
            f"{[t.shape for t in tensors]}"
        )
    return Concatenate(axis - first.ndim)(*tensors)


def stack(parts: Sequence[Any], axis: int = 0) -> Tensor:
    """Join tensors of equal shape along a new axis."""
    tensors = [as_tensor(p) for p in parts]
    if not tensors:
        raise ValueError("stack needs at least one tensor")
    axis = axis % (tensors[0].ndim + 1)
    return concatenate(
        [reshape(t, (*t.shape[:axis], 1, *t.shape[axis:])) for t in tensors], axis
    )


def pad(x: Any, width: int | Sequence[tuple[int, int]]) -> Tensor:
    """Put zeros around `x`: the same number everywhere, or (before, after) for each axis."""
    x = as_tensor(x)
    pairs = ((width, width),) * x.ndim if isinstance(width, int) else tuple(width)
    pairs = tuple((int(a), int(b)) for a, b in pairs)
    if len(pairs) != x.ndim or any(a < 0 or b < 0 for a, b in pairs):
        raise ValueError(f"pad needs (before, after) >= 0 for each of {x.ndim} axes, got {width}")
    return Pad(pairs)(x)

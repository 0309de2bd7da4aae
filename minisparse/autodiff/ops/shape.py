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
from .broadcast import listed, several, whole


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
        return x.reshape(*lead, math.prod(x.shape[len(lead) :]))[..., self.positions]

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
        columns = self.positions.reshape(1, self.positions.size)
        xp.add.at(out, (rows, columns), g.reshape(out.shape[0], columns.size))
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
    asked = new = _several(shape)
    if new.count(-1) == 1 and (known := -math.prod(new)) > 0:
        new = tuple(x.size // known if n == -1 else n for n in new)
    if math.prod(new) != x.size or any(n < 0 for n in new):
        raise ValueError(f"cannot reshape {x.shape} ({x.size} elements) to {asked}")
    return x if new == x.shape else Reshape(new)(x)


def _several(numbers: tuple[Any, ...]) -> tuple[int, ...]:
    """Return the integers of f(1, 2) or of f((1, 2)) alike."""
    one = len(numbers) == 1 and not hasattr(numbers[0], "__index__")
    return several(numbers[0] if one else numbers, "lengths and axes")


def _axis_from_0(axis: int, ndim: int) -> int:
    axis = whole(axis)
    if not -ndim <= axis < ndim:
        raise ValueError(f"axis {axis} is out of range for {ndim} axes")
    return axis % ndim


def flatten(x: Any, start: int = 1) -> Tensor:
    """Return `x` with all axes from `start` on merged into one."""
    x, start = as_tensor(x), whole(start)
    if not -x.ndim <= start <= x.ndim:
        raise ValueError(f"flatten from axis {start} on: out of range for {x.ndim} axes")
    return reshape(x, (*x.shape[:start], math.prod(x.shape[start:])))


def transpose(x: Any, *axes: Any) -> Tensor:
    """Permute the axes (reverse them if none are given)."""
    x = as_tensor(x)
    order = tuple(a + x.ndim if a < 0 else a for a in _several(axes)) or tuple(range(x.ndim))[::-1]
    if sorted(order) != list(range(x.ndim)):
        raise ValueError(f"transpose needs each of {x.ndim} axes once, got {axes}")
    return Transpose(order)(x)


def matrix_transpose(x: Any) -> Tensor:
    """Swap the last two axes."""
    x = as_tensor(x)
    if x.ndim < 2:
        raise ValueError(f"a matrix has two axes, this tensor has shape {x.shape}")
    return Transpose((1, 0))(x)


def getitem(x: Any, index: Any) -> Tensor:
    """Return ``x[index]`` with NumPy's rules; elements that are read twice get both gradients."""
    x = as_tensor(x)
    index = index if isinstance(index, tuple) else (index,)
    index = tuple(i._array if isinstance(i, Tensor) else i for i in index)
    basic = (int, slice, type(None), type(Ellipsis), np.integer)
    if all(isinstance(i, basic) and not isinstance(i, bool) for i in index):
        if Ellipsis not in index:
            index = (*index, Ellipsis)  # a result with no axes left stays an array
        try:
            return Slice(index)(x)
        except IndexError as error:
            raise IndexError(f"a tensor of shape {x.shape} has no such part: {error}") from error
    xp = array_module(x._array)
    try:
        positions = xp.arange(x.size).reshape(x.shape)[
            tuple(xp.asarray(i) if isinstance(i, list) or is_array(i) else i for i in index)
        ]
    except (IndexError, TypeError, ValueError) as error:
        raise IndexError(f"a tensor of shape {x.shape} has no [{index}]: {error}") from error
    return Take(positions, x.ndim)(x)


def _tensors(parts: Any) -> list[Tensor]:
    return [as_tensor(p) for p in listed(parts, "a list of tensors can be joined")]


def concatenate(parts: Sequence[Any], axis: int = 0) -> Tensor:
    """Join tensors along an existing axis."""
    tensors = _tensors(parts)
    if not tensors:
        raise ValueError("concatenate needs at least one tensor")
    widest = tensors[0]
    for t in tensors[1:]:
        widest = same_dtype(widest, t)[0]
    tensors = [same_dtype(t, widest)[0] for t in tensors]
    first = tensors[0]
    axis = _axis_from_0(axis, first.ndim)
    if any(
        t.ndim != first.ndim
        or t.shape[:axis] + t.shape[axis + 1 :] != first.shape[:axis] + first.shape[axis + 1 :]
        for t in tensors
    ):
        raise ValueError(
            f"concatenate along axis {axis}: the other lengths differ in "
            f"{[t.shape for t in tensors]}"
        )
    return Concatenate(axis - first.ndim)(*tensors)


def stack(parts: Sequence[Any], axis: int = 0) -> Tensor:
    """Join tensors of equal shape along a new axis."""
    tensors = _tensors(parts)
    if not tensors:
        raise ValueError("stack needs at least one tensor")
    axis = _axis_from_0(axis, tensors[0].ndim + 1)
    return concatenate([reshape(t, (*t.shape[:axis], 1, *t.shape[axis:])) for t in tensors], axis)


def pad(x: Any, width: int | Sequence[tuple[int, int]]) -> Tensor:
    """Put zeros around `x`: the same number everywhere, or (before, after) for each axis."""
    x = as_tensor(x)
    try:
        pairs = ((width, width),) * x.ndim if isinstance(width, int) else tuple(width)
        pairs = tuple((whole(a), whole(b)) for a, b in pairs)
    except (TypeError, ValueError):
        pairs = ((-1, -1),)
    if len(pairs) != x.ndim or not all(0 <= a < 1 << 40 and 0 <= b < 1 << 40 for a, b in pairs):
        raise ValueError(f"pad needs (before, after) >= 0 for each of {x.ndim} axes, got {width}")
    return Pad(pairs)(x) if pairs else x

"""The gradient is right for another cotangent: the upstream gradient was changed on the way in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import combinations, permutations

import numpy as np

from ..examination import Examination
from ..numeric import dot
from ..problem import Array, Fault
from .evidence import FIT, Evidence

Change = Callable[[Array], Array]


def upstream_changed(e: Evidence) -> Fault | None:
    """Try averages, sums, transposes and slices of the cotangent."""
    exam = e.exam
    if len(exam.outputs) != 1 or exam.here.size < 2:
        return None
    for cause, words, change in _changes(exam, e.i):
        if _right_for(e, change):
            return Fault(cause, f"The gradient for {e.name} {words}.")
    ratios = []
    for u, s in e.smooth_directions(np.ones(exam.here.size)):
        measured = float(s.value.sum())
        if abs(measured) > 1e5 * float(s.error.sum()):
            ratios.append(dot(u.ravel(), e.claimed()) / measured)
    if len(ratios) >= 3 and np.ptp(ratios) <= FIT * np.abs(ratios).max():
        return Fault(
            "upstream-ignored",
            f"The gradient for {e.name} is the one for a cotangent of ones, times a single number: "
            "every output's own upstream gradient is ignored.",
        )
    return None


def _right_for(e: Evidence, change: Change) -> bool:
    """Tell whether the gradients fit the changed cotangents."""
    for k, c in enumerate(e.exam.cotangents[:2]):
        changed = np.asarray(change(c.vector.reshape(e.exam.outputs[0].shape)), np.float64).ravel()
        if np.allclose(changed, c.vector, rtol=1e-9, atol=0):
            return False
        if not e.fits(e.claimed(k), changed):
            return False
    return True


def _changes(exam: Examination, i: int) -> Iterator[tuple[str, str, Change]]:
    """Yield (cause, words, change) for everything that happens to cotangents in practice."""
    shape = exam.outputs[0].shape
    axes = tuple(range(len(shape)))
    repeated = exam.values[i].shape != shape  # the argument was broadcast, or reduced
    for axis in axes:
        for at, which in ((0, "first"), (-1, "last")):
            if shape[axis] < 2:
                continue
            yield (
                "upstream-ignored",
                f"uses the {which} slice of the cotangent along axis {axis} for all of them",
                partial(_spread_slice, axis=axis, at=at),
            )
            if repeated:
                words = (
                    f"uses only the {which} slice of the cotangent along axis {axis}: it should be "
                    "summed over the axes along which the argument was repeated"
                )
                yield "missing-broadcast-sum", words, partial(_only_slice, axis=axis, at=at)
    if len(shape) <= 4:
        for order in permutations(axes):
            if order != axes and tuple(shape[a] for a in order) == shape:
                words = f"is right for a cotangent whose axes are permuted by {order}"
                yield "transposed", words, partial(np.transpose, axes=order)
    words = "is right for a cotangent that was reshaped in Fortran order"
    yield "transposed", words, lambda g: g.ravel(order="F").reshape(g.shape)
    for axis in axes:
        words = f"is right for a cotangent that is reversed along axis {axis}"
        yield "transposed", words, partial(np.flip, axis=axis)
    for count in range(1, len(shape) + 1):
        for some in combinations(axes, count):
            for word, reduce in (("mean", np.mean), ("sum", np.sum)):
                words = (
                    f"uses the {word} of the cotangent over axes {some} in place of the cotangent "
                    "itself: every output's own upstream gradient is lost"
                )
                yield "upstream-ignored", words, partial(_pooled, axes=some, reduce=reduce)


def _spread_slice(g: Array, axis: int, at: int) -> Array:
    return np.broadcast_to(g.take([at], axis=axis), g.shape)


def _only_slice(g: Array, axis: int, at: int) -> Array:
    kept = np.zeros_like(g)
    index: list[slice | int] = [slice(None)] * g.ndim
    index[axis] = at
    kept[tuple(index)] = g[tuple(index)]
    return kept


def _pooled(g: Array, axes: tuple[int, ...], reduce: Callable[..., Array]) -> Array:
    return np.broadcast_to(reduce(g, axis=axes, keepdims=True), g.shape)

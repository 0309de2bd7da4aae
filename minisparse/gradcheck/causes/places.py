"""Right numbers in wrong places: swapped arguments, transposes, reshapes, an earlier input."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from ..examination import Examination, move
from ..numeric import SAFETY
from ..problem import Array, Fault
from .evidence import Evidence


def swapped(e: Evidence) -> Fault | None:
    """See whether this gradient was returned for another argument of the same shape."""
    for j, other in enumerate(e.exam.problem.arguments):
        if j == e.i or other.value.shape != e.x.shape:
            continue
        first, second = e.exam.cotangents[:2]
        if e.fits(first.gradients[j]) and e.fits(second.gradients[j], second.vector):
            return Fault(
                "swapped-arguments",
                f"The gradient returned for {other.name} is the one for {e.name}: return the "
                "gradients in the order of the arguments.",
            )
    return None


def rearranged(e: Evidence) -> Fault | None:
    """Try permuted axes, other reshapes, reversals, shifts, and any other shuffle."""
    if e.x.size < 2:
        return None
    second = e.exam.cotangents[1]
    for words, order in rearrangements(e.exam, e.x.shape):
        if e.fits(e.claimed()[order]) and e.fits(e.claimed(1)[order], second.vector):
            return Fault(
                "transposed",
                f"The gradient for {e.name} holds the right numbers in the wrong places: {words}.",
            )
    table = e.table
    if not table.complete or table.kink.any():
        return None
    a, n = np.sort(table.analytic), np.sort(table.numeric)
    allowed = e.tolerance(table.tolerance / SAFETY, np.abs(n))
    moved = np.abs(table.analytic - table.numeric) > allowed
    some = np.maximum(np.abs(table.analytic), np.abs(table.numeric)) > allowed  # zeros stay zeros
    if (np.abs(a - n) <= allowed).all() and moved.sum() > 0.3 * some.sum():
        return Fault(
            "transposed",
            f"The gradient for {e.name} holds the right numbers in the wrong places. Look at "
            "transpose, reshape and index arithmetic.",
        )
    return None


def rearrangements(
    exam: Examination, shape: tuple[int, ...]
) -> Iterator[tuple[str, NDArray[np.int_]]]:
    """Yield (words, order): the gradient taken in that flat order would be right."""
    size = int(np.prod(shape))
    index = np.arange(size).reshape(shape)
    seen = {index.tobytes()}

    def fresh(order: Array) -> bool:
        if order.tobytes() in seen:
            return False
        seen.add(order.tobytes())
        return True

    if len(shape) <= 4:
        for axes in permutations(range(len(shape))):
            order = index.transpose(axes)
            if order.shape == shape and fresh(order):
                yield f"its axes are permuted by {axes}; a transpose is missing", order.ravel()
    shapes = [shape, *(y.shape for y in exam.outputs if y.size == size)]
    for s in shapes:
        for order in (
            index.ravel(order="F").reshape(shape),
            index.ravel(order="F").reshape(s, order="F").reshape(shape),
            np.arange(size).reshape(s, order="F").ravel().reshape(shape),
            np.arange(size).reshape(s).ravel(order="F").reshape(shape),
            np.argsort(np.arange(size).reshape(s).ravel(order="F")).reshape(shape),
        ):
            if fresh(order):
                yield "it was reshaped in Fortran order (or a transpose is missing)", order.ravel()
        if len(s) <= 4:
            for axes in permutations(range(len(s))):
                order = np.arange(size).reshape(s).transpose(axes).reshape(shape)
                if fresh(order):
                    yield f"a transpose by {axes} is missing or not inverted", order.ravel()
    for axis in range(len(shape)):
        order = np.flip(index, axis)
        if fresh(order):
            yield f"it is reversed along axis {axis}", order.ravel()
        for shift in (1, -1):
            order = np.roll(index, shift, axis)
            if fresh(order):
                yield f"it is shifted by one along axis {axis}", order.ravel()


def transposed_inside(e: Evidence) -> Fault | None:
    """See whether the gradient would be right if one of the arguments were transposed."""
    for j, v in enumerate(e.exam.values):
        name = e.exam.problem.arguments[j].name
        for words, turned in _turned(v):
            values = list(e.exam.values)
            values[j] = move(turned, np.zeros(v.shape))
            if not np.array_equal(values[j], v) and e.right_at(values):
                return Fault(
                    "transposed", f"The gradient for {e.name} is right if {name} is {words}."
                )
    return None


def _turned(v: Array) -> Iterator[tuple[str, Array]]:
    """Yield (words, array): `v` transposed, or reversed along axes as a kernel may be."""
    axes = tuple(range(v.ndim))
    for order in permutations(axes) if 2 <= v.ndim <= 4 else ():
        if order != axes and tuple(v.shape[a] for a in order) == v.shape:
            yield (
                f"transposed (axes {order}): a transpose is missing in the backward",
                v.transpose(order),
            )
    reversible = [(axis,) for axis in axes] + [axes[:2], axes[-2:]] if v.ndim else []
    for some in dict.fromkeys(reversible):
        where = " and ".join(map(str, some))
        yield f"reversed along axis {where}: check the order of the indices", np.flip(v, some)


def stale(e: Evidence) -> Fault | None:
    """See whether the gradient is right for the inputs of the very first call."""
    if e.exam.first_call is None or not e.right_at(e.exam.first_call):
        return None
    return Fault(
        "nondeterministic",
        f"The gradient for {e.name} belongs to the inputs of an earlier call: the functions keep "
        "something and never refresh it.",
    )

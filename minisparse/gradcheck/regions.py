"""Conditions in words that may separate wrong elements from right ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .directions import Table
from .examination import Examination
from .numeric import Bools, Floats
from .problem import Array


@dataclass(frozen=True)
class Region:
    """A set of elements that a few words describe.

    Attributes
    ----------
    words : str
        Completes "wrong where ...".
    mask : array of bool
        Flat, over all elements of the argument.
    by_value : bool
        It follows the values around; otherwise it stays where it is.
    by_place: bool
        It speaks of positions only.
    """

    words: str
    mask: Bools
    by_value: bool
    by_place: bool = False

    @property
    def kind(self) -> str:
        """The words without the numbers that differ from point to point."""
        return self.words.partition(" (")[0]


def matching(exam: Examination, i: int, table: Table, wrong: Bools) -> Iterator[Region]:
    """Yield the regions that hold for exactly the wrong ones among the elements of the table."""
    judged = ~table.kink | wrong
    if not wrong.any():
        return
    for region in regions(exam, i, table, wrong):
        inside = region.mask[table.index]
        if (inside == wrong)[judged].all() and (inside[judged].any()):
            yield region


def regions(exam: Examination, i: int, table: Table, wrong: Bools) -> Iterator[Region]:
    """Yield every describable set of elements, the most telling first."""
    x = exam.values[i]
    name = exam.problem.arguments[i].name
    everything_wrong = bool(wrong.all())
    yield from _repeated_indices(exam, i, table, everything_wrong)
    if everything_wrong:
        return
    yield from _signs(x, name)
    yield from _ties(x, name)
    yield from _other_arrays(exam, i)
    yield from _places(x)
    yield from _outputs(exam, x)
    yield from _uses(table, x)
    yield from _thresholds(exam, i, table, wrong)
    yield from _claims(table, x)


def _signs(x: Array, name: str) -> Iterator[Region]:
    flat = x.ravel()
    yield Region(f"{name} < 0", flat < 0, True)
    yield Region(f"{name} > 0", flat > 0, True)
    yield Region(f"{name} = 0", flat == 0, True)
    yield Region(f"{name} <= 0", flat <= 0, True)
    yield Region(f"{name} >= 0", flat >= 0, True)
    yield Region(f"{name} is not 0", flat != 0, True)


def _ties(x: Array, name: str) -> Iterator[Region]:
    _, inverse, counts = np.unique(x.ravel(), return_inverse=True, return_counts=True)
    tied = counts[inverse.ravel()] > 1
    yield Region(f"{name} has the same value more than once (ties)", tied, True)
    if x.ndim >= 1 and x.size:
        for axis in range(x.ndim):
            along = f" along axis {axis}" if x.ndim > 1 else ""
            for word, end in (("largest", np.max), ("smallest", np.min)):
                mask = (x == end(x, axis=axis, keepdims=True)).ravel()
                yield Region(f"{name} is the {word}{along}", mask, True)
                yield Region(f"{name} is not the {word}{along}", ~mask, True)


def _thresholds(exam: Examination, i: int, table: Table, wrong: Bools) -> Iterator[Region]:
    """Yield the threshold that separates wrong from right, on x, |x|, or an array beside it."""
    judged = ~table.kink | wrong
    name, x = exam.problem.arguments[i].name, exam.values[i].ravel()
    measures = [(name, x, True), (f"|{name}|", np.abs(x), True)]
    for label, beside in _beside(exam, i):
        if beside.dtype.kind == "f":
            measures += [(label, beside, False), (f"|{label}|", np.abs(beside), False)]
    measures += [
        ("the output", y.ravel(), True)
        for y in exam.outputs
        if y.shape == exam.values[i].shape and y.dtype.kind == "f"
    ]
    for label, values, own in measures:
        here = values[table.index]
        bad, good = here[wrong], here[judged & ~wrong]
        if bad.size == 0 or good.size == 0:
            continue
        if bad.min() > good.max():
            words = f"{label} is large ({bad.min():.4g} and more; right up to {good.max():.4g})"
            yield Region(words, values >= bad.min(), own)
        if bad.max() < good.min():
            words = f"{label} is small ({bad.max():.4g} and less; right from {good.min():.4g} on)"
            yield Region(words, values <= bad.max(), own)
        inner = (values >= bad.min()) & (values <= bad.max())
        outer = (good < bad.min()).any() and (good > bad.max()).any()
        if bad.size > 1 and outer and not inner[table.index][judged & ~wrong].any():
            words = f"{label} lies in a range (from {bad.min():.4g} to {bad.max():.4g})"
            yield Region(words, inner, own)


def _places(x: Array) -> Iterator[Region]:
    if x.ndim == 0:
        return
    grid = np.indices(x.shape).reshape(x.ndim, -1)
    border = np.zeros(x.size, bool)
    for axis, (at, n) in enumerate(zip(grid, x.shape, strict=True)):
        what = {0: "row", 1: "column"}.get(axis, "slice") if x.ndim == 2 else "slice"
        along = f" of axis {axis}" if x.ndim != 2 else ""
        word = "element" if x.ndim == 1 else what
        if n > 1:
            border |= (at == 0) | (at == n - 1)
        for k in {0, n - 1}:
            which = "first" if k == 0 else "last"
            yield Region(f"it is the {which} {word}{along}", at == k, False, True)
            yield Region(f"it is not the {which} {word}{along}", at != k, False, True)
        yield Region(
            f"it is the first or last {word}{along}", (at == 0) | (at == n - 1), False, True
        )
        yield Region(f"its index along axis {axis} is odd", at % 2 == 1, False, True)
        yield Region(f"its index along axis {axis} is even", at % 2 == 0, False, True)
        if x.ndim > 1:
            for k in range(1, n - 1):
                yield Region(f"it is {word} {k}{along}", at == k, False, True)
        for k in range(2, n - 1):
            yield Region(f"it is one of the first {k} {word}s{along}", at < k, False, True)
            yield Region(f"it is one of the last {n - k} {word}s{along}", at >= k, False, True)
    yield Region("it lies on the border", border, False, True)
    yield Region("it lies inside the border", ~border, False, True)
    if x.ndim >= 2 and x.shape[-1] == x.shape[-2]:
        row, column = grid[-2], grid[-1]
        yield Region("it lies on the diagonal", row == column, False, True)
        yield Region("it lies off the diagonal", row != column, False, True)
        yield Region("it lies above the diagonal", row < column, False, True)
        yield Region("it lies below the diagonal", row > column, False, True)
        yield Region("it lies on or above the diagonal", row <= column, False, True)
        yield Region("it lies on or below the diagonal", row >= column, False, True)


def _beside(exam: Examination, i: int) -> Iterator[tuple[str, Array]]:
    """Yield the other arrays that fit the argument's shape: masks, labels, other arguments."""
    arguments = zip(exam.problem.arguments, exam.values, strict=True)
    others = exam.problem.constants | {a.name: v for j, (a, v) in enumerate(arguments) if j != i}
    for name, other in others.items():
        if other.dtype.kind in "fiub" and other.size and other.ndim:
            try:
                yield name, np.broadcast_to(other, exam.values[i].shape).ravel()
            except ValueError:
                continue


def _other_arrays(exam: Examination, i: int) -> Iterator[Region]:
    """Yield conditions on masks and other arguments."""
    x, label = exam.values[i].ravel(), exam.problem.arguments[i].name
    for name, beside in _beside(exam, i):
        yield Region(f"{name} = 0", beside == 0, False)
        yield Region(f"{name} is not 0", beside != 0, False)
        if beside.dtype.kind == "f":
            yield Region(f"{name} < 0", beside < 0, False)
            yield Region(f"{name} > 0", beside > 0, False)
            yield Region(f"{label} = {name}, a tie", x == beside, True)
            yield Region(f"{label} < {name}", x < beside, True)
            yield Region(f"{label} > {name}", x > beside, True)
            yield Region(f"|{label}| < |{name}|", np.abs(x) < np.abs(beside), True)
            yield Region(f"|{label}| > |{name}|", np.abs(x) > np.abs(beside), True)


def _repeated_indices(
    exam: Examination, i: int, table: Table, everything_wrong: bool
) -> Iterator[Region]:
    """Yield the elements that an integer array among the arguments picks more than once.

    If that is all of them, it says something only if several outputs read each of them: labels
    repeat themselves too.
    """
    x = exam.values[i]
    if everything_wrong and (
        table.rows is None or (np.count_nonzero(table.rows, axis=0) < 2).any()
    ):
        return
    for name, index in exam.problem.constants.items():
        if index.dtype.kind not in "iu" or index.size == 0:
            continue
        for axis, n in enumerate(x.shape):
            if index.min() < -n or index.max() >= n:
                continue
            counts = np.bincount(index.ravel() % n, minlength=n)
            shape = [-1 if a == axis else 1 for a in range(x.ndim)]
            for words, hit in (
                (f"the index {name} occurs more than once", counts > 1),
                (f"the index {name} occurs", counts > 0),
                (f"the index {name} does not occur", counts == 0),
            ):
                if hit.any() and (not hit.all() or (everything_wrong and "once" in words)):
                    mask = np.broadcast_to(hit.reshape(shape), x.shape).ravel()
                    yield Region(words, mask, False)


def _outputs(exam: Examination, x: Array) -> Iterator[Region]:
    """Yield conditions on an output of the argument's shape: zeros, and clipped extremes."""
    for y in exam.outputs:
        if y.shape != x.shape or y.dtype.kind != "f" or y.size == 0:
            continue
        flat = y.ravel()
        yield Region("the output is 0", flat == 0, True)
        yield Region("the output is not 0", flat != 0, True)
        yield Region("the output is negative", flat < 0, True)
        yield Region("the output is positive", flat > 0, True)
        for word, end in (("largest", flat.max()), ("smallest", flat.min())):
            if np.count_nonzero(flat == end) > 1:
                yield Region(f"the output is at its {word} value (clipped)", flat == end, True)
        clipped = (flat == flat.max()) | (flat == flat.min())
        yield Region("the output is clipped", clipped, True)


def _uses(table: Table, x: Array) -> Iterator[Region]:
    """Yield the elements that several outputs read."""
    if table.rows is None or not table.complete:
        return
    count = np.zeros(x.size, np.int_)
    count[table.index] = np.count_nonzero(table.rows, axis=0)
    yield Region("several outputs read the same element (repeats, overlaps)", count > 1, False)
    yield Region("only one output reads the element", count == 1, False)
    if count.size and count.max() > 2:
        fewer = count < count.max()
        yield Region("fewer outputs than elsewhere read the element (borders)", fewer, False)


def _claims(table: Table, x: Array) -> Iterator[Region]:
    """Yield the elements whose true gradient is zero, or of one sign."""
    numeric = np.full(x.size, np.nan)
    numeric[table.index] = _zeroed(table)
    yield Region("the true gradient is 0 (masked, clipped or unused elements)", numeric == 0, True)
    yield Region("the true gradient is not 0", numeric != 0, True)
    yield Region("the true gradient is negative", numeric < 0, True)
    yield Region("the true gradient is positive", numeric > 0, True)


def _zeroed(table: Table) -> Floats:
    small: Floats = np.where(np.abs(table.numeric) <= table.tolerance, 0.0, table.numeric)
    return small

"""Stage 4, on failure only: which elements are wrong.

In a small argument every element has been checked already.  In a large one, widespread errors
show in a sample.  A few wrong elements are found by halving: a group whose random projection fails
is split until single elements are left, some forty projections for one in half a million.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .directions import Comparison, Table, gap, tabulate
from .examination import Examination, spread
from .numeric import Floats

MANY = 256  # elements to check one by one, if the function is fast enough
PATIENCE = 4.0  # seconds for one argument
FOUND_ENOUGH = 32


def localise(exam: Examination, found: Comparison) -> Table:
    """Return a table of elements that contains the wrong ones."""
    table = found.table
    assert table is not None
    if table.complete:
        return table
    stored = exam.problem.arguments[found.argument].stored
    size = exam.values[found.argument].size
    every = np.arange(size) if stored is None else np.flatnonzero(stored)
    affordable = max(32, int(PATIENCE / (14 * exam.pace + 3e-4)))
    limit = min(MANY, affordable, every.size)
    sample = exam.rng.choice(every, limit, replace=False)
    few = np.union1d(sample[: max(limit // 4, 8)], table.index)
    if tabulate(exam, Comparison(found.argument), few).wrong.mean() < 0.1:
        sample = bisect(exam, found, every)
    return tabulate(exam, Comparison(found.argument), np.union1d(sample, few))


def bisect(exam: Examination, found: Comparison, every: NDArray[np.int_]) -> NDArray[np.int_]:
    """Find single wrong elements by halving groups that fail.

    The error along a direction is the sum of the errors along its two halves, so the direction that
    failed leads to a wrong element.
    """
    pattern = _worst_direction(exam, found)
    wrong: list[int] = []
    queue = [every]
    while queue and len(wrong) < FOUND_ENOUGH:
        group = queue.pop()
        if not _fails(exam, found, group, pattern):
            continue
        if group.size == 1:
            wrong.append(int(group[0]))
        else:
            queue += [group[: group.size // 2], group[group.size // 2 :]]
    return np.array(wrong, dtype=np.int_)


def _worst_direction(exam: Examination, found: Comparison) -> Floats:
    """Return the joint direction along which gradient and measurement are farthest apart."""
    severity = [0.0]
    best = exam.units[found.argument].ravel()
    for _, u, s in found.directions:
        for c in exam.cotangents[:2]:
            if (s.kink | s.lost).any():
                c = exam.cotangent(np.where(s.kink | s.lost, 0.0, c.vector))
            t = gap(exam, found.argument, "", u, s, c, sure=False)
            if t is not None and abs(t.analytic - t.numeric) / t.tolerance > max(severity):
                severity.append(abs(t.analytic - t.numeric) / t.tolerance)
                best = u.ravel()
    return best


def _fails(exam: Examination, found: Comparison, group: NDArray[np.int_], pattern: Floats) -> bool:
    """Tell whether a projection on the group misses: the pattern's, or a random one."""
    x = exam.values[found.argument]
    for attempt in range(1 if group.size == 1 else 2):
        u = np.zeros(x.size)
        u[group] = exam.units[found.argument].ravel()[group] * spread(group.shape, exam.rng)
        if attempt == 0 and pattern[group].any():
            u[group] = pattern[group]
        direction = u.reshape(x.shape)
        s = exam.slope(found.argument, direction)
        rough = s.kink | s.lost
        for c in exam.cotangents[:2]:
            if rough.any():
                c = exam.cotangent(np.where(rough, 0.0, c.vector))
            t = gap(exam, found.argument, "", direction, s, c, sure=group.size == 1)
            if t is not None:
                return True
    return False

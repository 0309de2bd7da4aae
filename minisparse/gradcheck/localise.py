"""Stage 4, on failure only: which elements are wrong.

In a small argument every element has been checked already.  In a large one, widespread errors
show in a sample.  A few wrong elements are found by halving: a group whose random projection fails
is split until single elements are left, some forty projections for one in half a million.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .examination import Examination, spread, units
from .project import Comparison, Table, gap, tabulate

MANY = 512  # elements to check one by one, if the function is fast enough
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
    probe = Comparison(found.argument)
    chosen = exam.rng.choice(every, limit, replace=False)
    if table.wrong.mean() < 0.1:
        suspects = bisect(exam, found, every)
        chosen = np.concatenate([suspects, chosen[: max(limit // 4, 8)]])
    elif every.size <= limit:
        chosen = every
    return tabulate(exam, probe, np.unique(np.concatenate([chosen, table.index])))


def bisect(exam: Examination, found: Comparison, every: NDArray[np.int_]) -> NDArray[np.int_]:
    """Find single wrong elements by halving groups that fail."""
    x = exam.values[found.argument]
    unit = units(x).ravel()
    wrong: list[int] = []
    queue = [every]
    while queue and len(wrong) < FOUND_ENOUGH:
        group = queue.pop()
        if not _fails(exam, found, group, unit):
            continue
        if group.size == 1:
            wrong.append(int(group[0]))
        else:
            queue += [group[: group.size // 2], group[group.size // 2 :]]
    return np.array(wrong, dtype=np.int_)


def _fails(
    exam: Examination, found: Comparison, group: NDArray[np.int_], unit: NDArray[np.float64]
) -> bool:
    """Tell whether a random projection on the group misses; two tries, as one can cancel."""
    x = exam.values[found.argument]
    for _ in range(1 if group.size == 1 else 2):
        u = np.zeros(x.size)
        u[group] = unit[group] * spread(group.shape, exam.rng)
        direction = u.reshape(x.shape)
        s = exam.slope(found.argument, direction)
        rough = s.kink | s.lost
        for c in exam.cotangents[:2]:
            if rough.any():
                c = exam.cotangent(np.where(rough, 0.0, c.vector))
            if gap(exam, found.argument, "", direction, s, c, sure=group.size == 1):
                return True
    return False

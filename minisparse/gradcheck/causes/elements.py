"""Right in most places: single wrong elements, wrong regions, missing terms of the Jacobian."""

from __future__ import annotations

import numpy as np

from ..directions import Comparison, Table, tabulate
from ..examination import SMALL, Examination, move
from ..numeric import Bools, Floats
from ..problem import Fault
from ..randomness import own_stream
from ..regions import Region, matching
from .evidence import FIT, Evidence

FURTHER = 8  # elements that a region found in a sample has to be right about


def wrong_elements(e: Evidence) -> Fault | None:
    """Find a describable region, or a few elements, that are wrong while the rest is right."""
    table = e.table
    wrong = table.wrong & ~table.kink
    count, judged = int(wrong.sum()), int((~table.kink).sum())
    if count == 0:
        return None
    if _only_zeros_are_right(table):
        return None
    how = _how_wrong(table, wrong)
    region = _region(e, wrong)
    if region is not None:
        return Fault(
            "wrong-region",
            f"The gradient for {e.name} is wrong exactly where {region.words}{how}, and right "
            "elsewhere.",
        )
    if count == judged or count > max(3, 0.5 * judged):
        return None
    overwritten = missing_terms(e, whole_elements=False)
    if overwritten is not None:
        return overwritten
    shape = e.x.shape
    positions = [np.unravel_index(int(k), shape) for k in table.index[wrong][:4]]
    where = ", ".join(f"{e.name}[{', '.join(str(int(k)) for k in p)}]" for p in positions)
    more = "" if count <= 4 else " and others"
    return Fault(
        "wrong-elements",
        f"The gradient for {e.name} is wrong at {where}{more}{how}, and right elsewhere: look at "
        "index arithmetic, off-by-one limits and special cases.",
    )


def _only_zeros_are_right(table: Table) -> bool:
    """Tell a wrong formula, which is right where it is 0 anyway, from a case that is wrong."""
    right = ~table.wrong & ~table.kink
    zero = (np.abs(table.numeric) <= table.tolerance) & (table.analytic == 0)
    ratios = _ratios(table)
    return bool(right.any() and zero[right].all() and ratios.size > 2 and np.ptp(ratios) > FIT)


def _ratios(table: Table) -> Floats:
    """Return analytic / numeric of the wrong elements that have one."""
    wrong = table.wrong & ~table.kink & (np.abs(table.numeric) > table.tolerance)
    ratios: Floats = table.analytic[wrong] / table.numeric[wrong]
    return ratios if ratios.all() else ratios[:0]


def wrong_formula(e: Evidence) -> Fault | None:
    """See whether all that is right is what is 0 anyway."""
    if not _only_zeros_are_right(e.table):
        return None
    ratios = _ratios(e.table)
    return Fault(
        "wrong-formula",
        f"The gradient for {e.name} is wrong wherever it should not be 0, by factors from "
        f"{ratios.min():.3g} to {ratios.max():.3g}: the mistake is in the formula, not in a special "
        f"case of it. Compare it with the derivation{e.starting_at_the_worst}.",
    )


def _how_wrong(table: Table, wrong: Bools) -> str:
    """Say it if all wrong elements are wrong in one way."""
    a, n = table.analytic[wrong], table.numeric[wrong]
    if not a.any():
        return " (it is 0 there)"
    if (np.abs(n) <= table.tolerance[wrong]).all():
        return " (it should be 0 there)"
    ratio = a / n
    if np.isfinite(ratio).all() and np.ptp(ratio) <= 1e-5 * np.abs(ratio).max():
        if abs(ratio[0] + 1) < 1e-5:
            return " (it has the wrong sign there)"
        return f" (it is {ratio[0]:.4g} times the right value there)"
    return ""


def _region(e: Evidence, wrong: Bools) -> Region | None:
    """Return the first description of the wrong elements that holds at a second point too.

    A lone wrong element happens to be the first, the largest, ... of something; only a
    description by its value, by a mask or by an index says more than its position.
    """
    candidates = list(matching(e.exam, e.i, e.table, wrong))
    lone = int(wrong.sum()) == 1
    if lone:
        candidates = [c for c in candidates if not c.by_place]
    if not e.table.complete:
        return next((c for c in candidates if _holds_beyond_the_table(e, c, lone)), None)
    probe = _probe(e)
    if not candidates or probe is None:
        return candidates[0] if candidates else None
    other, table = probe
    bad = table.wrong & ~table.kink
    there = {c.kind for c in matching(other, e.i, table, bad)}
    for c in candidates:
        if c.by_value and c.kind in there:
            return c
        if not c.by_value and (c.mask[table.index] == bad)[~table.kink].all():
            return c
    return None


def _holds_beyond_the_table(e: Evidence, region: Region, lone: bool) -> bool:
    """Check further elements of the region: they have to be wrong too."""
    further = np.setdiff1d(np.flatnonzero(region.mask), e.table.index)
    stored = e.exam.problem.arguments[e.i].stored
    if stored is not None:
        further = further[stored.ravel()[further]]
    if further.size == 0:
        return not lone
    some = own_stream(19).choice(further, min(further.size, FURTHER), replace=False)
    table = tabulate(e.exam, Comparison(e.i), some)
    return bool((table.wrong | table.kink).all())


def _probe(e: Evidence) -> tuple[Examination, Table] | None:
    """Check the elements again with the argument's values moved on by one place."""
    if e.table.index.size > SMALL:
        return None
    values = list(e.exam.values)
    values[e.i] = move(np.roll(e.x.ravel(), 1).reshape(e.x.shape), np.zeros(e.x.shape))
    other = e.exam.at(values)
    return None if other is None else (other, tabulate(other, Comparison(e.i), e.table.index))


def missing_terms(e: Evidence, whole_elements: bool = True) -> Fault | None:
    """See whether entries of the Jacobian are right or missing, and nothing else.

    Without `whole_elements` every element must have some that are right, as where = stands for +=.
    """
    jacobian, true = e.exam.jacobian, e.table.rows
    if jacobian is None or true is None or not e.table.complete:
        return None
    claimed = jacobian[e.i][:, e.table.index]
    right = np.abs(claimed - true) <= 1e-6 * np.abs(true).max(initial=0.0)
    missing = ~right & (claimed == 0)
    there = right & (true != 0)
    if not (right | missing).all() or not missing.any() or not there.any():
        return None
    if not whole_elements and not there.any(axis=0)[missing.any(axis=0)].all():
        return None
    m, n = true.shape
    if m == n and not claimed[~np.eye(m, dtype=bool)].any() and right.diagonal().all():
        return Fault(
            "missing-terms",
            f"The gradient for {e.name} has only the diagonal of the Jacobian: element k of the "
            "output is taken to depend on element k of the input alone. The terms through the "
            "other elements (a sum inside the forward) are missing.",
        )
    return Fault(
        "missing-terms" if whole_elements else "wrong-elements",
        f"The gradient for {e.name} leaves out what reaches it through some of the outputs, and is "
        "right for the others: contributions must be added up (+=), not overwritten.",
    )

"""What the Jacobian that the backward claims looks like beside the measured one."""

from __future__ import annotations

import numpy as np

from ..numeric import Bools, Floats
from ..problem import Fault
from .evidence import Evidence

RANK = 1e-5  # relative: singular values below it are differences' noise


def terms_through_few_numbers(e: Evidence) -> Fault | None:
    """See whether what is wrong reaches the argument through a few numbers, as a mean does.

    Then claimed minus measured Jacobian is a matrix of low rank: one for each number.
    """
    both = _jacobians(e)
    if both is None:
        return None
    claimed, true = both
    here, rest = _rank(true, true), _rank(claimed - true, true)
    if not 0 < rest <= 0.5 * here or _rank(claimed, true) < here - rest:
        return None
    through = "one number" if rest == 1 else f"{rest} numbers"
    return Fault(
        "missing-terms",
        f"The gradient for {e.name} lacks terms, or has some too many: what is wrong depends on "
        f"{e.name} through {through} alone, such as a mean, a sum, a norm or a maximum that the "
        f"forward computes{e.starting_at_the_worst}.",
    )


def wrong_slopes(e: Evidence) -> Fault | None:
    """Compare which elements depend on which: the same ones, fewer, or others."""
    both = _jacobians(e)
    if both is None:
        return _everywhere(e)
    claimed, true = (np.abs(j) > 1e-9 * np.abs(both[1]).max(initial=0.0) for j in both)
    worst = e.starting_at_the_worst
    if (claimed == true).all():
        return Fault(
            "wrong-formula",
            f"The gradient for {e.name} goes to the right elements, with wrong values everywhere: the "
            f"mistake is in the formula. Compare it with the derivation{worst}.",
        )
    if not (claimed & ~true).any():
        share = f"{int((true & ~claimed).sum())} of {int(true.sum())}"
        return Fault(
            "missing-terms",
            f"The gradient for {e.name} lacks terms: {share} pairs of an output and an element that "
            f"depend on each other have a slope of 0{worst}.",
        )
    return Fault(
        "wrong-structure",
        f"The gradient for {e.name} goes to wrong elements: it claims a slope where the output does "
        "not depend on the element at all. Look at axes, orders, indices and broadcasting"
        f"{worst}.",
    )


def _everywhere(e: Evidence) -> Fault | None:
    """Judge by the elements that were checked, where the Jacobian is too large to be known."""
    table = e.table
    seen = ~table.kink & (np.abs(table.numeric) > table.tolerance)
    if not seen.any() or not table.wrong[seen].all():
        return None
    return Fault(
        "wrong-formula",
        f"The gradient for {e.name} is wrong at every element that was looked at: the mistake is in "
        f"the formula, not in a special case. Compare it with the derivation{e.starting_at_the_worst}.",
    )


def _jacobians(e: Evidence) -> tuple[Floats, Floats] | None:
    """Return the claimed and the measured Jacobian, away from kinks."""
    jacobian, true = e.exam.jacobian, e.table.rows
    smooth: Bools = ~e.table.kink
    if jacobian is None or true is None or not e.table.complete or not smooth.any():
        return None
    claimed = jacobian[e.i][:, e.table.index]
    if not np.isfinite(claimed).all() or not np.isfinite(true).all():
        return None
    return claimed[:, smooth], true[:, smooth]


def _rank(matrix: Floats, beside: Floats) -> int:
    largest = np.abs(beside).max(initial=0.0)
    if largest == 0 or matrix.size == 0:
        return 0
    return int((np.linalg.svd(matrix / largest, compute_uv=False) > RANK).sum())

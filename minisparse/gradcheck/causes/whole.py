"""Explanations that need no hypothesis: all zeros, kinks only, rounding."""

from __future__ import annotations

import numpy as np

from ..problem import Fault
from .evidence import Evidence


def zero(e: Evidence) -> Fault | None:
    """See whether the gradient is all zeros, for every cotangent."""
    if any(c.gradients[e.i].any() for c in e.exam.cotangents):
        return None
    return Fault(
        "zero-gradient",
        f"The gradient for {e.name} is all zeros, but the output does change with it. "
        "Either its formula was never filled in, or it cancels: a cotangent of ones hides that.",
    )


def at_kinks(e: Evidence) -> Fault | None:
    """See whether the gradient is right wherever the function is smooth."""
    smooth_wrong = e.table.wrong & ~e.table.rough_only
    somewhere = e.found.kinks or e.table.kink.any()
    if not e.found.only_kinks and (smooth_wrong.any() or not somewhere):
        return None
    together = (
        " Each element alone could be right, but not all together: at a tie the gradient goes to "
        "one of the equal elements, or is shared, and is not given to each in full."
    )
    return Fault(
        "kink",
        f"The gradient for {e.name} is right where the function is smooth, but at a kink it lies "
        "outside of the one-sided derivatives, where no choice is legal."
        + ("" if e.table.wrong.any() else together),
    )


def rounded(e: Evidence) -> Fault | None:
    """See whether it is right up to scattered errors of the size of single precision."""
    if e.exam.nominal is not np.float64:
        return None
    smooth = ~e.table.kink
    a, n = e.table.analytic[smooth], e.table.numeric[smooth]
    if n.size == 0:
        return None
    size = np.maximum(np.abs(a), np.abs(n))
    error = np.abs(a - n) / np.where(size > 0, size, 1.0)
    large = size > 1e-3 * np.sqrt(np.mean(n**2))
    if not large.any() or error[large].max() > 1e-5:
        return None
    many = e.table.wrong.sum() >= 0.3 * max(int((size > 0).sum()), 1)
    if not many and e.table.wrong.any():
        return None
    return Fault(
        "low-precision",
        f"The gradient for {e.name} is right to {error[large].max():.0e} only, scattered like "
        "rounding: something inside is computed in single precision, or by a difference quotient, "
        "although the inputs are float64.",
    )

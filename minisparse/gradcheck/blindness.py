"""Points at which a wrong gradient looks right, and what to look at instead.

At x = 0 every factor x is 0, at x = 1 every power of x is the same, and where all elements are equal
nobody sees them exchanged: 3 g x passes for the gradient of x^2 at 0.  So a check that was held at
such a point is held beside it too.  Where the function does not move at all, only zeros were
compared; that is said.
"""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np

from .examination import Examination
from .problem import Argument, Array, Problem
from .randomness import own_stream


def special(argument: Argument) -> str:
    """Return what is special about the values of an argument; "" if nothing is."""
    x = argument.value if argument.stored is None else argument.value[argument.stored]
    if x.size == 0 or not np.isfinite(x).all():
        return ""
    if not x.any():
        return "zero" if x.size == 1 else "all zeros"
    if np.isin(x, (0, 1, -1)).all():
        return "all zeros and ones" if x.size > 1 else "1" if x.ravel()[0] > 0 else "-1"
    return "all equal" if x.size > 1 and np.ptp(x) == 0 else ""


def blind(problem: Problem) -> list[str]:
    """Return a sentence part for each argument whose values hide mistakes."""
    return [f"{a.name} is {how}" for a in problem.arguments if (how := special(a))]


def beside(problem: Problem, up: bool) -> Problem:
    """Return the same problem at a point beside the special one.

    Parameters
    ----------
    problem : Problem
    up : bool
        Move everything up: into the domain of a root or a logarithm.
    """
    rng = own_stream(23)

    def moved(a: Argument) -> Argument:
        if not special(a):
            return a
        size = max(1.0, float(np.abs(a.value).max(initial=0.0)))
        signs = 1 if up else rng.choice([-1.0, 1.0], a.value.shape)
        step: Array = 0.25 * size * signs * rng.uniform(0.5, 1, a.value.shape)
        if a.stored is not None:
            step = np.where(a.stored, step, 0.0)
        return replace(a, value=(a.value + step).astype(a.value.dtype))

    other = copy.copy(problem)
    other.arguments = tuple(moved(a) for a in problem.arguments)
    other.notes = []
    return other


def unmoved(exam: Examination) -> list[str]:
    """Return the arguments that nothing was seen of: the function and its gradient stand still."""
    names = []
    for i, a in enumerate(exam.problem.arguments):
        if a.value.size and not any(c.gradients[i].any() for c in exam.cotangents):
            names.append(a.name)
    return names

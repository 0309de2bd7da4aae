"""Confidence intervals of means over a few seeds."""

import math
from collections.abc import Sequence
from itertools import starmap
from operator import sub
from statistics import fmean, stdev

# 97.5 % quantile of Student's t by degrees of freedom; beyond, the normal's is near enough.
_T = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)


def paired(a: Sequence[float], b: Sequence[float]) -> tuple[float, float | None]:
    """Return the mean of a - b and half the width of its 95 % interval.

    The differences are taken to be normal: mean +- t sd / sqrt(n), t of n - 1 degrees of freedom.

    Parameters
    ----------
    a, b : sequence of float
        Of the same seeds in the same order.

    Returns
    -------
    mean : float
    half : float or None
        None for a single pair.

    Examples
    --------
    >>> mean, half = paired([3.0, 5.0, 4.0], [2.0, 3.0, 1.0])
    >>> round(mean, 3), round(half, 3)
    (2.0, 2.484)
    """
    if len(a) != len(b) or not a:
        raise ValueError(f"expected as many of one as of the other, got {len(a)} and {len(b)}")
    differences = list(starmap(sub, zip(a, b, strict=True)))
    n = len(differences)
    if n == 1:
        return differences[0], None
    t = _T[n - 2] if n - 2 < len(_T) else 1.96 + 2.5 / (n - 1)
    return fmean(differences), t * stdev(differences) / math.sqrt(n)

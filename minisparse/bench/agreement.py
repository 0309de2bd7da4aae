"""Do two nets compute the same thing?  Only then is it worth knowing which is faster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

TOLERANCE = 1e-3  # of the largest number; rounding alone leaves about 1e-6


def disagreement(
    ours: Mapping[str, Sequence[float]], theirs: Mapping[str, Sequence[float]]
) -> str | None:
    """Say in which result a peer differs from ours, and by how much.

    Parameters
    ----------
    ours, theirs : mapping from what it is to numbers
        E.g. the losses of the first training steps, and the logits after them.

    Returns
    -------
    str or None
        None if all of them agree to `TOLERANCE`.

    Examples
    --------
    >>> disagreement({"loss": [2.0, 1.0]}, {"loss": [2.0, 1.0001]})
    >>> disagreement({"loss": [2.0, 1.0]}, {"loss": [2.0, 1.1]})
    'its loss differs from ours by 5 % (allowed: 0.1 %)'
    """
    for what, expected in ours.items():
        if what not in theirs:
            return f"it does not tell its {what}"
        a, b = np.asarray(expected, float), np.asarray(theirs[what], float)
        if a.shape != b.shape:
            return f"its {what} are {b.size} numbers, ours {a.size}"
        error = float(np.abs(a - b).max() / max(np.abs(a).max(), 1e-30))
        if not error <= TOLERANCE:  # NaN is no agreement
            return f"its {what} differs from ours by {100 * error:.2g} % (allowed: 0.1 %)"
    return None

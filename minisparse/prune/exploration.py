r"""ITOP, in-time over-parameterization (Liu, Yin, Mocanu and Pechenizkiy, ICML 2021): R_s.

How much of the dense network a method has tried, whatever its mask is at any moment:

    R_s = (number of weights that were active at least once) / (number of weights)

At the start R_s is the density; a mask that stays keeps it there, and 1 means that every weight
had its turn.  The paper's claim: dynamic sparse training is as good as R_s is high, provided that
each weight is given time before it is judged.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..nn import Module
from ..optim import Optimizer
from .about import About
from .mask import Mask
from .method import Method, Run

ABOUT = (
    About(
        "itop",
        "ITOP, the rate of exploration R_s",
        "dynamic",
        2021,
        "Liu, Yin, Mocanu and Pechenizkiy, ICML 2021 (arXiv 2102.02887)",
        formula="exploration_rate",
        code="Exploration",
        removes="nothing: a measure of what others do",
        when="at each step",
        chapter="13",
    ),
)

# ---- formulas -----------------------------------------------------------------------------------


def exploration_rate(ever_active: Mapping[str, np.ndarray]) -> float:
    """Return R_s, the share of weights that were active at least once.

    Parameters
    ----------
    ever_active : mapping from parameter name to bool array

    Examples
    --------
    >>> exploration_rate({"w": np.array([True, False, True, True])})
    0.75
    """
    count = sum(int(np.count_nonzero(e)) for e in ever_active.values())
    return count / sum(e.size for e in ever_active.values())


# ---- in training --------------------------------------------------------------------------------


class Exploration(Method):
    """Watch the mask of another method, whichever it is.

    Stands after that method in the list of methods; the history gets "exploration": R_s.

    Parameters
    ----------
    watched : Method
        One that keeps a mask.

    Examples
    --------
    ``train(..., methods=[rigl, Exploration(rigl)])``
    """

    def __init__(self, watched: Method) -> None:
        self.watched = watched

    def attach(self, model: Module, optimizer: Optimizer, rng: np.random.Generator) -> None:
        """Begin with nothing seen."""
        self._ever = {n: np.zeros(m.shape, bool) for n, m in self.watched.mask().items()}
        self._last: Mask | None = None

    def begin(self, run: Run) -> None:
        """See the first mask."""
        self.look()

    def after_step(self, run: Run) -> None:
        """See the mask of this step."""
        self.look()

    def after_epoch(self, run: Run) -> None:
        """See what has changed after the last step, and note R_s."""
        self.look()
        run.metrics["exploration"] = self.rate

    def look(self) -> None:
        """Take in the present mask; one that has not been replaced costs nothing."""
        mask = self.watched.mask()
        if mask is not self._last:
            self._last = mask
            for name, kept in mask.items():
                self._ever[name] |= kept

    @property
    def rate(self) -> float:
        """R_s, up to now."""
        return exploration_rate(self._ever)

    def mask(self) -> Mask:
        """Return which weights were active at least once."""
        return Mask(self._ever)

    def state_dict(self) -> dict[str, Any]:
        """Return which weights were active."""
        return {n: e.copy() for n, e in self._ever.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore them."""
        seen = Mask(state)
        if seen.shapes() != {n: e.shape for n, e in self._ever.items()}:
            raise ValueError(f"this state belongs to another model: {seen}")
        self._ever = {n: m.copy() for n, m in seen.items()}


__no_gradient__ = ("exploration_rate",)
__all__ = ["Exploration", "exploration_rate"]

r"""Penalties that large weights pay only once: weight elimination and transformed L1.

    weight elimination   R(w) = sum (w/w_0)^2 / (1 + (w/w_0)^2)             (Weigend, Rumelhart, Huberman)
    transformed L1       R(w) = sum (a + 1) |w| / (a + |w|)                 (Zhang and Xin, a = 1 in DeepHoyer)

Both rise from 0 to a limit, 1 and a + 1, so that the sum counts weights, and a large one feels hardly
any force, unlike under L2 and L1.  Weight elimination is quadratic at 0 and never makes a weight zero: a
weight below w_0 decays, one above is free.  Transformed L1 has a corner at 0 and goes from L1 (a to
infinity) to a count (a to 0).  Its proximal step is known in closed form (Zhang and Xin 2018, theorem 2.5),

    w <- sign(w) (2/3 (a + |w|) cos(phi/3) - 2a/3 + |w|/3)       if |w| > t,  else 0
    phi = arccos(1 - 27 tau a (a + 1) / (2 (a + |w|)^3)),        tau = eta lambda
    t = tau (a + 1) / a  if tau <= a^2 / (2 (a + 1)),  else  sqrt(2 tau (a + 1)) - a/2

beyond t the step is smaller the larger the weight; where tau is large, w jumps to 0.
"""

from __future__ import annotations

import math
from typing import Any

from .. import autodiff as ad
from ..arrays import array_module
from ..autodiff import Tensor, as_tensor
from .about import About
from .penalized import LayerPenalty
from .penalties import Penalty

ABOUT = (
    About(
        "weight-elimination",
        "Weight elimination",
        "regularizer",
        1990,
        "Weigend, Rumelhart and Huberman, NIPS 1990",
        formula="weight_elimination",
        code="WeightElimination",
        removes="weights",
        when="a penalty in the loss, then a cut",
    ),
    About(
        "transformed-l1",
        "Transformed L1, proximal",
        "regularizer",
        2009,
        "Lv and Fan 2009; the step: Zhang and Xin 2018 (arXiv 1411.5735)",
        formula="transformed_l1_step",
        code="TransformedL1",
        removes="weights",
        when="at each step",
    ),
)

# ---- formulas -----------------------------------------------------------------------------------


def weight_elimination(w: Any, w0: float) -> Tensor:
    """Return sum (w/w_0)^2 / (1 + (w/w_0)^2): a weight of w_0 counts 1/2, a large one 1."""
    squares = as_tensor(w) * as_tensor(w) / w0**2
    total: Tensor = (squares / (1 + squares)).sum()
    return total


def transformed_l1(w: Any, a: float = 1.0) -> Tensor:
    """Return sum (a + 1) |w| / (a + |w|)."""
    size = ad.absolute(as_tensor(w))
    total: Tensor = ((a + 1) * size / (a + size)).sum()
    return total


def transformed_l1_threshold(amount: float, a: float) -> float:
    """Return t: what is not larger goes to 0 in a proximal step of `amount` = eta lambda."""
    if amount <= a * a / (2 * (a + 1)):
        return amount * (a + 1) / a
    return math.sqrt(2 * amount * (a + 1)) - a / 2


def transformed_l1_step(w: Any, amount: float, a: float = 1.0) -> Any:
    """Return argmin_z (z - w)^2 / 2 + eta lambda (a + 1) |z| / (a + |z|), elementwise.

    Parameters
    ----------
    w : array
    amount : float
        eta lambda.
    a : float > 0
    """
    xp = array_module(w)
    size = abs(w)
    # beyond the threshold the cosine of phi is -1 or more; below it what comes out is not used
    phi = xp.arccos(xp.clip(1 - 13.5 * amount * a * (a + 1) / (a + size) ** 3, -1.0, 1.0))
    moved = 2 / 3 * (a + size) * xp.cos(phi / 3) - 2 * a / 3 + size / 3
    above = (size > transformed_l1_threshold(amount, a)).astype(w.dtype)
    return xp.sign(w) * moved * above


# ---- in training --------------------------------------------------------------------------------


class WeightElimination(LayerPenalty):
    """lambda sum_l R(w_l), then a cut.

    Parameters
    ----------
    strength, at, quality, names : see `minisparse.prune.penalized.LayerPenalty`
    w0 : float
        The size at which a weight counts half.

    Raises
    ------
    ValueError
        w0 is not above 0, and as `LayerPenalty`.
    """

    def __init__(
        self,
        strength: float,
        at: int,
        w0: float = 0.1,
        quality: float = 0.5,
        names: list[str] | None = None,
    ) -> None:
        super().__init__(strength, at, quality, names)
        if not w0 > 0:
            raise ValueError(f"w0, the size at which a weight counts half, is > 0, got {w0}")
        self.w0 = w0

    def of_layer(self, w: Tensor) -> Tensor:
        """Return `weight_elimination`."""
        return weight_elimination(w, self.w0)


class TransformedL1(Penalty):
    """Take the proximal step after the optimizer's.

    Parameters
    ----------
    strength : float
        lambda.
    a : float
        Near 0 a count of weights, large an L1 penalty.
    names, start, stop : see `minisparse.prune.penalties.Penalty`

    Raises
    ------
    ValueError
        a is not above 0, and as `Penalty`.
    """

    def __init__(
        self,
        strength: float,
        a: float = 1.0,
        names: list[str] | None = None,
        *,
        start: float = 0.0,
        stop: float = math.inf,
    ) -> None:
        super().__init__(strength, names, start=start, stop=stop)
        if not a > 0:
            raise ValueError(f"a, the shape of transformed L1, is > 0, got {a}")
        self.a = a

    def step(self, w: Any, amount: float) -> Any:
        """Return `transformed_l1_step`."""
        return transformed_l1_step(w, amount, self.a)


__no_gradient__ = ("transformed_l1_threshold",)
__all__ = [
    "TransformedL1",
    "WeightElimination",
    "transformed_l1",
    "transformed_l1_step",
    "transformed_l1_threshold",
    "weight_elimination",
]

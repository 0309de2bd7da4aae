r"""L2, L1 and the group lasso as steps on the weights, taken after the optimizer's.

For a penalty R(w) next to the loss L, a step of length eta is split in two: the optimizer follows
dL/dw, then w is moved on account of R alone,

    w <- w - eta dL/dw                              whatever the optimizer does
    w <- prox_{eta lambda R}(w) = argmin_z  |z - w|^2 / 2 + eta lambda R(z)     (forward-backward)

with eta the present learning rate.  So momentum and Adam's scaling do not touch the penalty, and
where dL/dw = 0 the path of a weight is known:

    =======  =====================  ==================================  ========================
    penalty  R(w)                   step                                alone, after t steps
    =======  =====================  ==================================  ========================
    none     0                      w                                   w: frozen
    L2       |w|^2 / 2              (1 - eta lambda) w                  (1 - eta lambda)^t w
    L1       |w|                    sign(w) max(|w| - eta lambda, 0)    max(|w| - t eta lambda, 0)
    group    sum_g sqrt(n_g) |w_g|  w_g max(1 - s_g / |w_g|, 0),        the same for the norm |w_g|
                                    s_g = eta lambda sqrt(n_g)
    =======  =====================  ==================================  ========================

L2 takes the gradient step, as weight decay does; its prox, w / (1 + eta lambda), differs from it in
second order.  L1 has the plain subgradient step too, w - eta lambda sign(w), for comparison: it
overshoots and never comes to rest at zero.  Only L1 and the group lasso reach zero exactly.

Soft threshold: Tibshirani 1996; group lasso: Yuan and Lin 2006; splitting: Parikh and Boyd 2014.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..arrays import array_module
from ..nn import Module, Parameter
from ..optim import Optimizer
from .about import About, Figure
from .granularity import Granularity, group_scores, ungroup
from .mask import Mask, prunable
from .method import Method, Run

ABOUT = (
    About(
        "l2",
        "Weight decay",
        "regularizer",
        1988,
        "Hanson and Pratt, NIPS 1988",
        formula="l2_step",
        code="L2",
        removes="nothing by itself",
        when="at each step",
        chapter="06",
    ),
    About(
        "l1",
        "L1, proximal",
        "regularizer",
        1996,
        "Tibshirani 1996; forward-backward: Parikh and Boyd 2014",
        formula="l1_step",
        code="L1",
        removes="weights",
        when="at each step",
        chapter="06",
    ),
    About(
        "group-lasso",
        "Group lasso, proximal",
        "regularizer",
        2006,
        "Yuan and Lin 2006; for networks: Wen et al., NIPS 2016 (arXiv 1608.03665)",
        formula="group_lasso_step",
        code="GroupLasso",
        removes="units, inputs, filters, kernels or blocks",
        when="at each step",
        chapter="06",
        published=(
            # Of the same network Neklyudov et al. 2017 print 1.49 % (see structured_sparsity.py).
            Figure(
                "784-500-300-10",
                1.53,
                "434-174-78",
                "quoted",
                "Wen et al. 2016",
                "Liu et al. 2017, Table 3",
            ),
            Figure(
                "LeNet-5",
                1.0,
                "3-12-192-500",
                "recalled",
                "Wen et al. 2016, as Louizos et al. 2018 list it",
            ),
        ),
    ),
)

# ---- formulas -----------------------------------------------------------------------------------


def l2_step(w: Any, amount: float) -> Any:
    """Return (1 - eta lambda) w, with `amount` = eta lambda."""
    return (1 - amount) * w


def l1_subgradient_step(w: Any, amount: float) -> Any:
    """Return w - eta lambda sign(w), with `amount` = eta lambda and sign(0) = 0.

    It passes zero by up to eta lambda and then swings around it.
    """
    return w - amount * array_module(w).sign(w)


def l1_step(w: Any, amount: float) -> Any:
    """Return sign(w) max(|w| - eta lambda, 0), the soft threshold, with `amount` = eta lambda.

    Examples
    --------
    >>> l1_step(np.array([0.5, -0.3, 0.1]), 0.25)
    array([ 0.25, -0.05,  0.  ])
    """
    xp = array_module(w)
    return xp.sign(w) * xp.maximum(abs(w) - amount, 0)


def l1_steps_to_zero(w: float, amount: float) -> int:
    """Return ceil(|w| / (eta lambda)): after how many steps the soft threshold alone leaves 0.

    Parameters
    ----------
    w : float
    amount : float
        eta lambda.

    Raises
    ------
    ValueError
        If `amount` is not above 0.
    """
    if amount <= 0:
        raise ValueError(f"eta lambda > 0 expected, or no step gets nearer to zero; got {amount}")
    return math.ceil(abs(w) / amount)


def group_lasso_step(w: Any, amount: float, granularity: Granularity) -> Any:
    """Return w_g max(1 - eta lambda sqrt(n_g) / |w_g|, 0) for each group g of n_g weights.

    Parameters
    ----------
    w : array, [in, out] or [kh, kw, in, out]
    amount : float
        eta lambda.
    granularity : {"weight", "unit", "input", "kernel"} or (int, int)
        As `group_scores` takes it.

    Returns
    -------
    array of the same shape
        A group shrinks as a whole and vanishes as a whole, when its norm is at most
        eta lambda sqrt(n_g).
    """
    xp = array_module(w)
    norm = xp.sqrt(group_scores(w * w, granularity))
    reach = amount * math.sqrt(w.size / norm.size)
    factor = xp.maximum(1 - reach / xp.maximum(norm, reach), 0) if reach else xp.ones_like(norm)
    return w * ungroup(factor, w.shape, granularity)


# ---- in training --------------------------------------------------------------------------------


class Penalty(Method):
    """Take the penalty's step after the optimizer's; a subclass says which.

    Stands before a method that zeroes weights in the list of methods: the update is then complete
    before weights are zeroed.

    Parameters
    ----------
    strength : float
        lambda.
    names : list of str, optional
        Parameters to penalize; all weights (no biases) if left out.
    start, stop : float
        The times in epochs from which the penalty is on, and off again.

    Raises
    ------
    ValueError
        The strength is negative or not finite, or `stop` is not > `start` >= 0.
    """

    model: Module
    _parameters: dict[str, Parameter]

    def __init__(
        self,
        strength: float,
        names: list[str] | None = None,
        *,
        start: float = 0.0,
        stop: float = math.inf,
    ) -> None:
        if not (math.isfinite(strength) and strength >= 0):
            raise ValueError(f"lambda, the strength, is a finite number >= 0, got {strength}")
        if not 0 <= start < stop:
            raise ValueError(
                f"the penalty acts between two times, 0 <= start < stop, got {start} and {stop}"
            )
        self.strength, self.names, self.start, self.stop = strength, names, start, stop

    def step(self, w: Any, amount: float) -> Any:
        """Return the weights after the step, `amount` = eta lambda."""
        raise NotImplementedError(f"{type(self).__name__} has no step")

    def attach(self, model: Module, optimizer: Optimizer, rng: np.random.Generator) -> None:
        """Find the parameters."""
        super().attach(model, optimizer, rng)
        self.model, self._parameters = model, prunable(model, self.names)

    def planned_until(self) -> float:
        """Return when the penalty begins to act."""
        return self.start

    def after_step(self, run: Run) -> None:
        """Move every penalized weight, when it is the penalty's time."""
        if not self.start <= run.time < self.stop:
            return
        amount = run.optimizer.lr * self.strength
        if amount > 0:
            for p in self._parameters.values():
                with p.writing() as w:
                    w[...] = self.step(w, amount)

    def mask(self) -> Mask:
        """Return which of the penalized weights are not zero now."""
        return Mask.of_nonzeros(self.model, list(self._parameters))


class L2(Penalty):
    """Weight decay, w <- (1 - eta lambda) w.  By itself it makes no weight zero."""

    def step(self, w: Any, amount: float) -> Any:
        """Return `l2_step`."""
        return l2_step(w, amount)

    def attach(self, model: Module, optimizer: Optimizer, rng: np.random.Generator) -> None:
        """Find the parameters, and refuse a decay that overshoots."""
        if optimizer.lr * self.strength >= 1:
            raise ValueError(
                f"eta lambda = {optimizer.lr} * {self.strength} must be below 1, or the decay "
                "does not shrink the weights but turns their sign"
            )
        super().attach(model, optimizer, rng)


class L1(Penalty):
    """Soft thresholding, or with ``proximal=False`` the subgradient step that reaches no zero.

    Parameters
    ----------
    strength : float
        lambda.
    proximal : bool
    names, start, stop : see `Penalty`
    """

    def __init__(
        self,
        strength: float,
        proximal: bool = True,
        names: list[str] | None = None,
        *,
        start: float = 0.0,
        stop: float = math.inf,
    ) -> None:
        super().__init__(strength, names, start=start, stop=stop)
        self.proximal = proximal

    def step(self, w: Any, amount: float) -> Any:
        """Return `l1_step` or `l1_subgradient_step`."""
        return l1_step(w, amount) if self.proximal else l1_subgradient_step(w, amount)


class GroupLasso(Penalty):
    """Shrink groups of weights as a whole; see `group_lasso_step`.

    Parameters
    ----------
    strength : float
        lambda.
    granularity : see `minisparse.prune.granularity.group_scores`
        ``"unit"`` removes nodes and filters by their incoming weights, ``"input"`` by their
        outgoing ones.
    names, start, stop : see `Penalty`
    """

    def __init__(
        self,
        strength: float,
        granularity: Granularity = "unit",
        names: list[str] | None = None,
        *,
        start: float = 0.0,
        stop: float = math.inf,
    ) -> None:
        super().__init__(strength, names, start=start, stop=stop)
        self.granularity = granularity

    def step(self, w: Any, amount: float) -> Any:
        """Return `group_lasso_step`."""
        return group_lasso_step(w, amount, self.granularity)

    def attach(self, model: Module, optimizer: Optimizer, rng: np.random.Generator) -> None:
        """Find the parameters, and check that the groups divide them."""
        super().attach(model, optimizer, rng)
        for name, p in self._parameters.items():
            try:
                group_scores(np.empty(p.shape, bool), self.granularity)
            except ValueError as error:
                raise ValueError(f"'{name}': {error}") from None


__no_gradient__ = ("l1_steps_to_zero",)
__all__ = [
    "L1",
    "L2",
    "GroupLasso",
    "Penalty",
    "group_lasso_step",
    "l1_step",
    "l1_steps_to_zero",
    "l1_subgradient_step",
    "l2_step",
]

r"""Top-KAST (Jayakumar et al., NeurIPS 2020): sparse forward, sparse backward.

Of the dense weights theta two sets are chosen in each layer, every so many steps,

    A = the largest |theta|, a share D            the forward uses theta on A, 0 elsewhere
    B = the largest |theta|, a share D + M        the gradient at that point moves theta on B

so B \ A can work its way in, while what is outside B has neither forward nor gradient and rests.
What is in reach has to pay, more so outside A, where no data resist (exploration loss):

    R = lambda (sum over A of |theta|  +  (1 / D) sum over B \ A of |theta|)

With M = 0 this is training under the largest weights, with D + M = 1 straight-through top-k.  Here
the state of an optimizer is reset outside B, since momentum would move what has to rest.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from .. import nn
from ..arrays import array_module, to_numpy
from ..autodiff import Tensor
from ..doors import door
from ..nn import Module
from ..optim import Optimizer
from .about import About
from .magnitude import magnitude
from .method import Run
from .scope import Scope, keep_largest
from .straight_through import Masked, MaskedForward, through_mask

ABOUT = (
    About(
        "top-kast",
        "Top-KAST",
        "dynamic",
        2020,
        "Jayakumar, Pascanu, Rae, Osindero and Elsen, NeurIPS 2020 (arXiv 2106.03517)",
        formula="exploration_penalty",
        code="TopKAST",
        removes="weights, which may come back from near",
        when="every so many steps",
        chapter="13",
    ),
)

# ---- formulas -----------------------------------------------------------------------------------


def exploration_penalty(theta: Any, a: Any, b: Any, density: float) -> Tensor:
    """Return sum_A |theta| + (1 / D) sum_{B without A} |theta|.

    Parameters
    ----------
    theta : Tensor
    a, b : arrays of 0 and 1, of the shape and dtype of theta
        A, and B that holds it.
    density : float
        D.
    """
    price: Tensor = (abs(theta) * Tensor(a + (b - a) / density)).sum()
    return price


# ---- a layer ------------------------------------------------------------------------------------


class Explored(Masked):
    """The masks of A, in use, and of B, in reach; made by `add_explored`.

    Attributes
    ----------
    mask, reach : arrays of 0 and 1, of the weight's shape and dtype
    """

    reach: Any

    def __init__(self, weight: Tensor) -> None:
        super().__init__(weight)
        self.register_buffer("reach", self.mask.copy())

    def forward(  # type: ignore[override]
        self, weight: Tensor, bias: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Return the weight on A, and the bias as it is; the gradient passes on B."""
        return through_mask(weight, self.mask, self.reach), bias


@door
def add_explored(model: Module, names: Iterable[str]) -> None:
    """Give layers both masks, before the model's optimizer and average are made.

    Parameters
    ----------
    model : Module
    names : iterable of str
        Dotted names of Linear and Conv2d layers.

    Raises
    ------
    KeyError, ValueError
        As `minisparse.nn.parametrize`.
    """
    nn.parametrize(model, dict.fromkeys(names, lambda layer: Explored(layer.weight)))


# ---- in training --------------------------------------------------------------------------------


class TopKAST(MaskedForward):
    """Use the share D of largest weights, and train the share D + M.

    Parameters
    ----------
    sparsity : float
        1 - D.
    reach : float
        D + M.
    strength : float
        lambda.
    every : int
        Choose A and B every so many steps.
    scope : see `minisparse.prune.scope.keep_largest`

    Raises
    ------
    ValueError
        Not 0 < D <= D + M <= 1, a negative lambda, an `every` below 1.
    """

    kind, put_in_by = Explored, "add_explored"

    def __init__(
        self,
        sparsity: float,
        reach: float,
        strength: float = 1e-4,
        every: int = 100,
        scope: Scope = "layer",
    ) -> None:
        if not (0 < 1 - sparsity <= reach <= 1 and strength >= 0 and every >= 1):
            raise ValueError(
                "expected 0 < D = 1 - sparsity <= reach <= 1, a strength >= 0 and a number of "
                f"steps >= 1, got {sparsity}, {reach}, {strength} and {every}"
            )
        self.sparsity, self.reach, self.strength = sparsity, reach, strength
        self.every, self.scope = every, scope

    def attach(self, model: Module, optimizer: Optimizer, rng: np.random.Generator) -> None:
        """Find the masks, and refuse a weight decay: it would move what has to rest."""
        super().attach(model, optimizer, rng)
        if getattr(optimizer, "weight_decay", 0):
            raise ValueError(
                "the optimizer's weight decay would move what has to rest outside B: use `strength`"
            )

    def begin(self, run: Run) -> None:
        """Choose the first A and B."""
        self.update()

    def before_loss(self, run: Run) -> Tensor | None:
        """Return lambda R."""
        if not self.strength:
            return None
        terms = [
            exploration_penalty(layer.weight, held.mask, held.reach, 1 - self.sparsity)
            for layer, held in self.explored()
        ]
        return sum(terms[1:], terms[0]) * self.strength

    def after_backward(self, run: Run) -> None:
        """Let what is outside B rest."""
        for layer, held in self.explored():
            run.optimizer.reset_state(layer.weight, held.reach == 0)

    def after_step(self, run: Run) -> None:
        """Choose A and B, if this step is one of `every`."""
        if run.step % self.every == 0:
            self.update()

    def explored(self) -> list[tuple[Any, Explored]]:
        """Return the layers and their masks."""
        return [(layer, held) for layer, held in self.layers.values() if isinstance(held, Explored)]

    def update(self) -> None:
        """Choose A and B by the weights of now."""
        scores = {name: to_numpy(magnitude(w.array)) for name, w in self.weights().items()}
        self.use(keep_largest(scores, 1 - self.sparsity, self.scope))
        near = keep_largest(scores, self.reach, self.scope)
        for (_, held), (_, m) in zip(self.explored(), near.items(), strict=True):
            held.reach = array_module(held.mask).asarray(m.astype(held.mask.dtype))


__all__ = ["Explored", "TopKAST", "add_explored", "exploration_penalty"]

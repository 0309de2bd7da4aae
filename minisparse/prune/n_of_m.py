r"""N:M sparsity with SR-STE (Zhou et al., ICLR 2021): n of every m weights, learned from scratch.

Of every m consecutive inputs of an output the n largest |w| are in use: the pattern that GPUs can
use (2:4).  The mask is chosen anew at each step, and all weights learn, straight through, with a
decay for those that are not in use:

    w <- w - eta (g + lambda_W (1 - m) w),            g = dL/d(m w)

Without it, lambda_W = 0, masks flicker: a removed weight goes where the gradient at another point
sends it, and comes back.  The decay makes what is removed stay removed unless the gradient
insists.

    add_masks(model, ["fc1", "fc2"])                           # see straight_through.py
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays import to_numpy
from ..nn import Module
from ..optim import Optimizer
from .about import About
from .magnitude import magnitude
from .mask import Mask
from .method import Run
from .scope import keep_n_of_m
from .straight_through import MaskedForward

ABOUT = (
    About(
        "sr-ste",
        "N:M sparsity with SR-STE",
        "magnitude",
        2021,
        "Zhou, Ma, Zhu, Liu, Zhang, Yuan, Sun and Li, ICLR 2021 (arXiv 2102.04010)",
        formula="sr_ste",
        code="SRSTE",
        removes="m - n of every m inputs of an output",
        when="at each step",
    ),
)

# ---- formulas -----------------------------------------------------------------------------------


def sr_ste(g: Any, w: Any, mask: Any, strength: float) -> Any:
    """Return g + lambda_W (1 - m) w, what the weights are moved by.

    Parameters
    ----------
    g, w, mask : arrays of one shape and dtype
        The gradient at m w, all weights, and 0 or 1.
    strength : float
        lambda_W.
    """
    return g + strength * ((1 - mask) * w)


# ---- in training --------------------------------------------------------------------------------


class SRSTE(MaskedForward):
    """Use n of every m weights, and let the others decay.

    Parameters
    ----------
    n, m : int
    strength : float
        lambda_W; 2e-4 in the paper.

    Raises
    ------
    ValueError
        Not 0 < n <= m, a negative strength, and by `attach` a layer whose inputs m does not divide.
    """

    def __init__(self, n: int = 2, m: int = 4, strength: float = 2e-4) -> None:
        if not (0 < n <= m and strength >= 0):
            raise ValueError(
                f"N:M needs 0 < n <= m, and a strength >= 0; got {n}:{m} and {strength}"
            )
        self.n, self.m, self.strength = n, m, strength

    def attach(self, model: Module, optimizer: Optimizer, rng: np.random.Generator) -> None:
        """Check that m divides the inputs of each layer."""
        super().attach(model, optimizer, rng)
        for name, w in self.weights().items():
            if w.shape[-2] % self.m:
                raise ValueError(
                    f"'{name}' has {w.shape[-2]} inputs, which {self.m} does not divide: give "
                    "masks only to layers where it does"
                )

    def begin(self, run: Run) -> None:
        """Choose the first mask."""
        self.update()

    def after_backward(self, run: Run) -> None:
        """Let what is not in use decay."""
        for layer, held in self.layers.values():
            if layer.weight.grad is not None:
                g = layer.weight.grad.array
                g[...] = sr_ste(g, layer.weight.array, held.mask, self.strength)

    def after_step(self, run: Run) -> None:
        """Choose the mask of the next forward."""
        self.update()

    def update(self) -> None:
        """Use the n largest of every m."""
        self.use(
            Mask(
                {
                    name: keep_n_of_m(to_numpy(magnitude(w.array)), self.n, self.m)
                    for name, w in self.weights().items()
                }
            )
        )


__all__ = ["SRSTE", "sr_ste"]

r"""Straight-through: the forward uses the masked weights, the gradient reaches them all.

    w~     = m w                         what the layer uses
    g      = dL/dw~                      at the masked weights, and for all of them
    w      <- w - eta g                  removed weights too: they may come back
    m      = the largest |w| of now

The gradient that w gets is not dL/dw = m g but g itself, straight through the mask (Bengio,
Leonard and Courville 2013).  With the mask chosen anew after each step this is straight-through
top-k.  DPF, dynamic pruning with feedback (Lin, Stich, Barba, Dmitriev and Jaggi, ICLR 2020),
chooses it every 16 steps to a sparsity that grows along a cubic schedule: the dense weights
remember the error that the mask makes, and give it back.

What the layers use is sparse at each moment; what is trained is dense, so nothing is held at 0 and
a weight decay acts on all.

Between two choices all removed weights follow a gradient that does not see them, so each choice
after many steps is a jump: the learning rate has to fall to the end, as in the papers, or the
network never recovers from the last one.

    add_masks(model, ["fc1", "fc2", "fc3"])                        # before optimizer and average
    train(..., methods=[DPF(gradual(0.95, 0, 6))])
    plain, kept = nn.harden(model)
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from .. import nn
from ..arrays import array_module, to_numpy
from ..autodiff import Op, Tensor
from ..doors import door
from ..nn import Module, Parameter, Parametrization
from ..nn.names import joined
from ..nn.weighted import Weighted
from .about import About
from .magnitude import magnitude
from .mask import Mask
from .method import Run
from .parametrized import ParametrizedTraining
from .schedule import Sparsity, end_of, wanted
from .scope import Scope, count_for, keep_largest

ABOUT = (
    About(
        "straight-through",
        "Straight-through top-k",
        "magnitude",
        2013,
        "estimator: Bengio, Leonard and Courville (arXiv 1308.3432)",
        formula="through_mask",
        code="StraightThroughPruning",
        removes="weights, which may come back",
        when="at each step",
    ),
    About(
        "dpf",
        "DPF, dynamic pruning with feedback",
        "magnitude",
        2020,
        "Lin, Stich, Barba, Dmitriev and Jaggi, ICLR 2020 (arXiv 2006.07253)",
        formula="through_mask",
        code="DPF",
        removes="weights, which may come back",
        when="every 16 steps, to a sparsity that is cubic in time",
    ),
)

# ---- formulas -----------------------------------------------------------------------------------


class ThroughMask(Op):
    """y = m w;  wbar = b ybar with a mask b of its own, and wbar = ybar if there is none."""

    def __init__(self, mask: Any, through: Any = None) -> None:
        self.mask, self.through = mask, through

    def forward(self, *arrays: Any) -> Any:
        """Return m w."""
        return arrays[0] * self.mask

    def backward(self, grad: Tensor, y: Tensor, *inputs: Tensor) -> Tensor:
        """Return the gradient that passes."""
        return grad if self.through is None else grad * Tensor(self.through)

    def surrogate(self, *inputs: Tensor) -> Tensor:
        """Return what the backward is the derivative of."""
        return inputs[0] if self.through is None else inputs[0] * Tensor(self.through)


def through_mask(w: Any, mask: Any, through: Any = None) -> Tensor:
    """Return m w, with a gradient that goes straight through.

    Parameters
    ----------
    w : Tensor
    mask : array of 0 and 1, of the shape and dtype of w
        m.
    through : array of 0 and 1, of the shape and dtype of w, optional
        Where the gradient passes; everywhere if left out.
    """
    return ThroughMask(mask, through)(w)


# ---- a layer ------------------------------------------------------------------------------------


class Masked(Parametrization):
    """A mask of the weights in use; made by `add_masks`, changed by a method.

    Attributes
    ----------
    mask : array of 0 and 1, of the weight's shape and dtype
    """

    mask: Any

    def __init__(self, weight: Tensor) -> None:
        self.register_buffer("mask", array_module(weight.array).ones_like(weight.array))

    def forward(  # type: ignore[override]
        self, weight: Tensor, bias: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Return the masked weight, and the bias as it is."""
        return through_mask(weight, self.mask), bias

    def kept(self, weight: Tensor, bias: Tensor | None) -> tuple[np.ndarray, None]:
        """Return the mask; nothing is said about biases."""
        return to_numpy(self.mask) != 0, None


@door
def add_masks(model: Module, names: Iterable[str]) -> None:
    """Give layers masks that keep everything, before the model's optimizer and average are made.

    Parameters
    ----------
    model : Module
    names : iterable of str
        Dotted names of Linear and Conv2d layers.

    Raises
    ------
    KeyError
        The model has no such layer.
    ValueError
        A layer has a parametrization already.
    """
    nn.parametrize(model, dict.fromkeys(names, lambda layer: Masked(layer.weight)))


# ---- in training --------------------------------------------------------------------------------


class MaskedForward(ParametrizedTraining[Masked]):
    """Base of the methods that train dense weights and use masked ones; `use` says which."""

    kind: type[Masked] = Masked
    put_in_by = "add_masks"
    instead_of_decay = None  # it may act on all weights

    def treated(self) -> dict[str, tuple[Weighted, Masked]]:
        """Return the layers with masks, by the name of their weight."""
        return {joined(name, "weight"): pair for name, pair in self.layers.items()}

    def weights(self) -> dict[str, Parameter]:
        """Return the dense weights under masks, by name."""
        return {name: layer.weight for name, (layer, _) in self.treated().items()}

    def use(self, mask: Mask) -> None:
        """Use from now on what `mask` keeps."""
        for name, (layer, held) in self.treated().items():
            xp = array_module(layer.weight.array)
            held.mask = xp.asarray(mask[name].astype(layer.weight.dtype))


class StraightThroughPruning(MaskedForward):
    """Use the largest weights of now, and train all of them.

    Parameters
    ----------
    sparsity : function of time
        Wanted sparsity when so many epochs are finished; see `minisparse.prune.schedule`.
    every : int
        Choose the mask every so many steps.  On a CPU the choice among all weights of LeNet-300-100
        takes about as long as two steps.
    scope : see `minisparse.prune.scope.keep_largest`

    Raises
    ------
    ValueError
        An `every` below 1.
    """

    def __init__(self, sparsity: Sparsity, every: int = 1, scope: Scope = "global") -> None:
        if every < 1:
            raise ValueError(f"every is a number of steps >= 1, got {every}")
        self.sparsity, self.every, self.scope = sparsity, every, scope

    def planned_until(self) -> float:
        """Return the end of the schedule, if it says one."""
        return end_of(self.sparsity)

    def begin(self, run: Run) -> None:
        """Choose the first mask."""
        self.update(run)

    def after_step(self, run: Run) -> None:
        """Choose the mask, if this step is one of `every`."""
        if run.step % self.every == 0:
            self.update(run)

    def after_epoch(self, run: Run) -> None:
        """Choose the mask only if more is to be gone by now.

        A mask is as good as the steps that were taken under it: a new one right before an
        evaluation costs most of what was learned.
        """
        mask = self.mask()
        if count_for(1 - wanted(self.sparsity, run.finished), mask.total) < mask.kept:
            self.update(run)

    def update(self, run: Run) -> None:
        """Use the largest weights of now."""
        scores = {name: to_numpy(magnitude(w.array)) for name, w in self.weights().items()}
        self.use(keep_largest(scores, 1 - wanted(self.sparsity, run.finished), self.scope))


class DPF(StraightThroughPruning):
    """The same every 16 steps; with `schedule.gradual` it is the paper's."""

    def __init__(self, sparsity: Sparsity, every: int = 16, scope: Scope = "global") -> None:
        super().__init__(sparsity, every, scope)


__all__ = [
    "DPF",
    "Masked",
    "MaskedForward",
    "StraightThroughPruning",
    "ThroughMask",
    "add_masks",
    "through_mask",
]

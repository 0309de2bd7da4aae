"""The four hooks through which a pruning method takes part in training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from ..autodiff import Tensor
    from ..nn import Module
    from ..optim import Optimizer
    from ..train import Run
    from .mask import Mask


class Method:
    """Base class of everything that acts on a network while it is trained.

    A subclass overrides the hooks that it needs; `minisparse.train.train` calls them in this
    order (what is not overridden costs nothing):

    ====================  =====================================================================
    `attach`              once, before the first step
    `before_loss`         every step, after the forward: may return a penalty for the loss
    `after_backward`      every step: ``p.grad`` is there, the parameters are still the old ones
    `after_step`          every step, after the optimizer: masks act here
    `after_epoch`         before the evaluation and the line of the history
    ====================  =====================================================================

    All hooks get the `minisparse.train.Run`: its model, optimizer, present batch, position, and
    ``run.metrics``, whose entries go into the history of the epoch.

    Two rules make a method safe.  What it zeroes in `after_step` it also resets in the optimizer
    (``run.optimizer.reset_state``), or momentum revives it.  And whatever changes during the run
    is in `state_dict`, or a resumed run takes another path; random numbers come from ``run.rng``.

    Attributes
    ----------
    wants_layers : bool
        Record the input and the pre-activation of every layer of the model in ``run.layers``.

    Examples
    --------
    Decay towards zero, apart from the gradient:

    >>> class Shrink(Method):
    ...     def __init__(self, rate):
    ...         self.rate = rate
    ...     def after_step(self, run):
    ...         for p in run.model.parameters():
    ...             with p.writing() as w:
    ...                 w *= 1 - self.rate
    """

    wants_layers: bool = False

    def attach(self, model: Module, optimizer: Optimizer, rng: np.random.Generator) -> None:
        """Check names, shapes and settings against the model, and make what depends on them.

        Also called when a run is resumed, before `load_state_dict`.
        """

    def before_loss(self, run: Run) -> Tensor | None:
        """Act between forward and loss; a scalar returned is added to the loss."""

    def after_backward(self, run: Run) -> None:
        """Act on the gradients."""

    def after_step(self, run: Run) -> None:
        """Act on the parameters that the optimizer has just changed."""

    def after_epoch(self, run: Run) -> None:
        """Act at the end of an epoch."""

    def mask(self) -> Mask:
        """Return which weights are kept now.

        Raises
        ------
        NotImplementedError
            The method keeps no mask, e.g. a penalty.
        """
        raise NotImplementedError(f"{type(self).__name__} keeps no mask")

    def state_dict(self) -> dict[str, Any]:
        """Return what changes during a run: NumPy arrays, numbers, strings, None, nested."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        if state:
            raise KeyError(f"{type(self).__name__} keeps no state, got {sorted(state)}")


__all__ = ["Method"]

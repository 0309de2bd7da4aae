"""Training under a mask: what every method that keeps one shares.

w     <- m w            after each step of the optimizer, so that removed weights stay zero
state <- 0              of the optimizer, where a weight is removed and where one comes back:
momentum would revive the one, and carry old speed into the other
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..arrays import array_module
from ..nn import Module
from ..optim import Optimizer
from .mask import Mask
from .method import Method, Run


class MaskedTraining(Method):
    """Train under a mask, which a subclass changes by `tighten` or `set_mask`.

    Parameters
    ----------
    names : list of str, optional
        Parameters to prune; all weights (no biases) if left out.
    """

    model: Module
    optimizer: Optimizer

    def __init__(self, names: list[str] | None = None) -> None:
        self.names = names
        self._mask: Mask | None = None

    def attach(self, model: Module, optimizer: Optimizer, rng: np.random.Generator) -> None:
        """Begin with everything kept."""
        super().attach(model, optimizer, rng)
        self.model, self.optimizer = model, optimizer
        self._mask = Mask.full(model, self.treated())

    def treated(self) -> list[str] | None:
        """Return the names of the parameters to prune, None for all weights; called by `attach`."""
        return self.names

    def mask(self) -> Mask:
        """Return the present mask."""
        return self._held()

    def _held(self) -> Mask:
        """Return the mask that is held, of which `mask` of a subclass may return a part."""
        if self._mask is None:
            raise RuntimeError("the method is not attached to a model yet")
        return self._mask

    def tighten(self, mask: Mask) -> None:
        """Keep from now on only what `mask` keeps too."""
        self._mask = self._held() & mask
        self.hold()

    def set_mask(self, mask: Mask, *, fresh: bool = True) -> None:
        """Keep from now on what `mask` keeps: weights may go and come back.

        A weight that comes back has the value that is in the model, 0 unless the method has
        written another one there.

        Parameters
        ----------
        mask : Mask
            For the same parameters as the present one.
        fresh : bool
            What comes back starts without a past in the optimizer.  False if it was trained all
            the time, that is, if the mask was not held.

        Raises
        ------
        ValueError
            A mask for other parameters.
        """
        before = self._held()
        if mask.shapes() != before.shapes():
            raise ValueError(f"expected a mask for {before.shapes()}, got {mask.shapes()}")
        self._mask = mask
        self.hold()
        if fresh:
            for name, p, m in mask.parameters(self.model):
                self.optimizer.reset_state(p, array_module(p.array).asarray(m & ~before[name]))

    def hold(self) -> None:
        """Set removed weights, and their state in the optimizer, to zero."""
        mask = self.mask()
        if mask.kept == mask.total:
            return
        for name, p, _ in list(mask.parameters(self.model)):
            with p.writing() as w:
                mask.clear(name, w)
            for array in self.optimizer.state_of(p):
                mask.clear(name, array)

    def after_step(self, run: Run) -> None:
        """Hold the mask: the optimizer has moved removed weights, too."""
        self.hold()

    def state_dict(self) -> dict[str, Any]:
        """Return the mask that is held."""
        return dict(self._held().items())

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the mask."""
        mask, own = Mask(state), self._held()
        if mask.shapes() != own.shapes():
            raise ValueError(f"this state belongs to another model: {mask}, expected {own}")
        self._mask = mask


class FixedMask(MaskedTraining):
    """Train under a mask that is given and stays.

    Examples
    --------
    A lottery ticket (Frankle and Carbin 2019): train, choose a mask, go back to the first weights,
    and train again under the mask.

    >>> from minisparse import data, nn, optim
    >>> from minisparse.prune.magnitude import magnitude_mask
    >>> from minisparse.train import train
    >>> rng = np.random.default_rng(0)
    >>> split = data.Split(rng.integers(0, 256, (200, 28, 28, 1), np.uint8), np.arange(200) % 10)
    >>> model = nn.LeNet300(rng=rng)
    >>> first = model.state_dict()
    >>> _ = train(model, split, optim.SGD(model, 0.1), epochs=1, rng=rng, progress=False)
    >>> ticket = FixedMask(magnitude_mask(model, density=0.2))
    >>> rewind(model, first)
    >>> run = train(
    ...     model, split, optim.SGD(model, 0.1), epochs=1, rng=rng, methods=[ticket], progress=False
    ... )
    >>> ticket.mask()
    Mask(3 parameters, 53,240 of 266,200 weights kept)
    """

    def __init__(self, mask: Mask) -> None:
        super().__init__(list(mask))
        self.given = mask

    def attach(self, model: Module, optimizer: Optimizer, rng: np.random.Generator) -> None:
        """Take the mask, and remove what it does not keep."""
        super().attach(model, optimizer, rng)
        self.set_mask(self.given)


def rewind(
    model: Module,
    state: Mapping[str, Any],
    mask: Mask | None = None,
    optimizer: Optimizer | None = None,
) -> None:
    """Go back to earlier weights: those of the start, or of an early epoch.

    Parameters
    ----------
    model : Module
    state : mapping
        What ``model.state_dict()`` returned then.
    mask : Mask, optional
        What it does not keep is zero afterwards.
    optimizer : Optimizer, optional
        Forgets its state, which belongs to other weights.
    """
    model.load_state_dict(dict(state))
    if mask is not None:
        mask.apply(model)
    if optimizer is not None:
        optimizer.reset()


__no_gradient__ = ("rewind",)
__all__ = ["FixedMask", "MaskedTraining", "rewind"]

"""Inference of a whole model in one compiled call.

Layer by layer, each result passes through Python: a few microseconds that a batch does not notice,
but a single image does.  `compiled` follows a model once, writes down its layers as a program
(see program.py), and from then on computes a forward without gradients in one call.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import kernels
from ..autodiff import Tensor
from ..doors import door
from ..nn import Module, Selected
from ..nn.graph import example_for
from .past_the_tape import PastTheTape
from .program import ModelProgram


class Compiled(PastTheTape):
    """A model, and the program of its layers; made by `compiled`.

    The parameters are the model's own: training it, or writing to a parameter, changes both.  Where
    gradients are recorded, in training mode, and for inputs of another shape or dtype than the
    example's, the model computes as usual.

    Attributes
    ----------
    model : Module
    """

    def __init__(self, model: Module, example: np.ndarray) -> None:
        self.model = model
        self._program = ModelProgram(model, example)

    def _past_the_tape(self, x: Any) -> np.ndarray | None:
        array = x.array if isinstance(x, Tensor) else x
        own = self._program
        if self.training or type(array) is not np.ndarray or array.shape[1:] != own.in_shape:
            return None
        program = own.current()
        if program is None or program.numbers.dtype != array.dtype:
            return None
        if any(dropout.training for dropout in own.dropouts):
            return None
        y: np.ndarray = kernels.run_program(array, program)
        return y

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """Compute as the model does, where one call will not do."""
        return self.model(x)


@door
def compiled(model: Module, example: Any = None) -> Module:
    """Return a model whose forward without gradients is one compiled call.

    It computes the same up to rounding, and has the same parameters.

    Parameters
    ----------
    model : Module
        Convolutions and then linear layers, one after another, with relus and 2 x 2 max-pools (after
        a convolution) between them.  Dropout may stand anywhere.
    example : array or Tensor, [n, ...], optional
        An input that it takes; needed where the size of images does not follow from the layers.

    Returns
    -------
    Compiled
        Or, of a model in front of which inputs are left out, a `Selected` one with its model
        compiled.

    Raises
    ------
    NotCompilableError
        The model is something else; the message says what stands in the way.

    Examples
    --------
    >>> from minisparse.autodiff import no_grad
    >>> from minisparse.nn import LeNet5
    >>> model = LeNet5(rng=np.random.default_rng(0)).eval()
    >>> fast, images = compiled(model), np.ones((2, 28, 28, 1), np.float32)
    >>> with no_grad():
    ...     bool(np.allclose(fast(images).numpy(), model(images).numpy(), rtol=1e-4, atol=1e-5))
    True
    """
    x = example_for(model) if example is None else example
    array = x.array if isinstance(x, Tensor) else x
    if isinstance(model, Selected):
        inner = compiled(model.model, model.selected(Tensor(array)).array)
        return Selected(inner, model.index, model.channels).train(model.training)
    return Compiled(model, array).train(model.training)


__all__ = ["Compiled", "compiled"]

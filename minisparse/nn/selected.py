"""A model in front of which unused inputs are left out."""

from __future__ import annotations

from typing import Any

from ..autodiff import Tensor
from ..autodiff.ops import flatten, getitem
from .module import Module


class Selected(Module):
    """A model that reads some of its inputs only.

    Parameters
    ----------
    model : Module
    index : int array
        Which of the flattened inputs, or which channels of an image.
    channels : bool

    Attributes
    ----------
    model : Module
    index : int array
    """

    index: Any

    def __init__(self, model: Module, index: Any, channels: bool = False) -> None:
        self.model = model
        self.register_buffer("index", index)
        self.channels = channels

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """Apply the model to what it reads."""
        return self.model(self.selected(x))

    def selected(self, x: Tensor) -> Tensor:
        """Return what the model reads of x."""
        if self.channels:
            return getitem(x, (..., self.index))
        return getitem(flatten(x), (slice(None), self.index))

    def _describe(self) -> str:
        return f"{self.index.size} {'channels' if self.channels else 'inputs'}"


__all__ = ["Selected"]

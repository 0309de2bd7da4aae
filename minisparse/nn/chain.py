"""What a forward through a chain of layers leaves: enough for its gradients, without a tape."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ..definitions.program import Layer


@dataclass(frozen=True)
class ChainLayer:
    """A linear or convolution layer, what follows it, and what it was given.

    Attributes
    ----------
    name : str
        Of the layer, in the model.
    layer : Layer
        Weight, bias, whether a ReLU and a 2 x 2 max-pool follow, and the geometry.
    input : array, [B, ...]
        Behind a ReLU, that is positive where the ReLU let through.  Not to be written to.
    winner : uint8 array, [B, height, width, out], or None
        Behind a pool: where in each window the maximum was, 4 if the ReLU switched it off.
    """

    name: str
    layer: Layer
    input: Any
    winner: Any


@dataclass(frozen=True)
class Chain:
    """A batch in a network that is one layer after another.

    Attributes
    ----------
    layers : tuple of ChainLayer
    logits : array, [B, classes]
        What the last one returned; it is linear, and nothing follows it.
    """

    layers: tuple[ChainLayer, ...]
    logits: Any

    def first(self, examples: int | None) -> Chain:
        """Return it with the first examples of the batch alone; with all, if that is None."""
        if examples is None or examples >= len(self.logits):
            return self
        layers = [
            replace(
                each,
                input=each.input[:examples],
                winner=None if each.winner is None else each.winner[:examples],
            )
            for each in self.layers
        ]
        return Chain(tuple(layers), self.logits[:examples])


__all__ = ["Chain", "ChainLayer"]

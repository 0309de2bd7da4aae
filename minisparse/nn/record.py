"""Watch the inputs and pre-activations of a model's layers during a forward."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

from ..autodiff import Tensor
from ..doors import door
from .layers import Conv2d, Linear
from .module import Module, observe, refuse_many


@dataclass(frozen=True)
class LayerRecord:
    """One application of a linear or convolution layer.

    Attributes
    ----------
    name : str
        Dotted name of the layer in the model.
    module : Linear or Conv2d
    input : Tensor
    output : Tensor
        The pre-activation: what the layer returned, before any nonlinearity.
    """

    name: str
    module: Linear | Conv2d
    input: Tensor
    output: Tensor


@door
def record_layers(model: Module) -> AbstractContextManager[list[LayerRecord]]:
    """Collect a `LayerRecord` for every Linear and Conv2d of `model` that is applied inside.

    Examples
    --------
    >>> import numpy as np
    >>> from minisparse.nn import LeNet300
    >>> model = LeNet300(rng=np.random.default_rng(0))
    >>> with record_layers(model) as layers:
    ...     _ = model(np.zeros((2, 28, 28, 1), np.float32))
    >>> [(r.name, r.output.shape) for r in layers]
    [('fc1', (2, 300)), ('fc2', (2, 100)), ('fc3', (2, 10))]
    """
    names: dict[int, str] = {}
    for name, m in model.named_modules():
        names.setdefault(id(m), name)  # a shared layer has the name of its parameters: the first
    return _recording(names)


@contextlib.contextmanager
def _recording(names: dict[int, str]) -> Iterator[list[LayerRecord]]:
    records: list[LayerRecord] = []

    def note(module: Module, x: Tensor, y: Tensor) -> None:
        if isinstance(module, Linear | Conv2d) and id(module) in names:
            refuse_many(names[id(module)], module, y)
            records.append(LayerRecord(names[id(module)], module, x, y))

    with observe(note):
        yield records

"""Inference of a whole model in one compiled call.

Layer by layer, each result passes through Python: a few microseconds that a batch does not notice,
but a single image does.  `compiled` follows a model once, writes down its layers as a program
(see kernels/program.py), and from then on computes a forward without gradients in one call.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import kernels
from ..autodiff import Op, Tensor
from ..autodiff.ops import activations, pool, shape
from ..autodiff.ops.pool import HALVING
from ..autodiff.tape import is_recording, wrap
from ..kernels.program import Layer, Program, build_program
from ..nn import Conv2d, Dropout, Linear, Module
from .graph import INPUT, Graph, Node, example_for, follow
from .selected import Selected

_DTYPES = (np.dtype(np.float32), np.dtype(np.float64))


class NotCompilableError(ValueError):
    """The model is not one layer after another of the kinds that a program has."""


@dataclass
class _Plan:
    """What was seen when the model was followed.

    Attributes
    ----------
    layers : list of (module, whether a relu follows, whether a pool follows)
    places : list of (attributes, name, module)
        Every module, and where it hangs.
    dropouts : list of Module
    """

    layers: list[tuple[Linear | Conv2d, bool, bool]]
    places: list[tuple[dict[str, Any], str, Module]]
    dropouts: list[Module]


class Compiled(Module):
    """A model, and the program of its layers; made by `compiled`.

    The parameters are the model's own: training it, or writing to a parameter, changes both.  Where
    gradients are recorded, in training mode, and for inputs of another shape or dtype than the
    example's, the model computes as usual.

    Attributes
    ----------
    model : Module
    """

    def __init__(self, model: Module, in_shape: tuple[int, ...]) -> None:
        self.model, self.in_shape = model, in_shape
        self._plan = _Plan([], [], [])
        self._program: Program | None = None
        self._packed_from: list[tuple[Tensor, Any]] = []  # each parameter and its array

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """Map images to logits."""
        array = x._array
        if (
            self.training
            or is_recording()
            or type(array) is not np.ndarray
            or array.shape[1:] != self.in_shape
            or array.dtype not in _DTYPES
        ):
            return self.model(x)
        program = self._current()
        if program is None or program.numbers.dtype != array.dtype:
            return self.model(x)
        return wrap(kernels.run_program(array, program))

    def _current(self) -> Program | None:
        """Return the program, made anew where a layer or a parameter was exchanged."""
        for home, name, module in self._plan.places:
            if home[name] is not module:
                self._follow(np.zeros((1, *self.in_shape), self.model.parameters()[0].dtype))
                break
        for dropout in self._plan.dropouts:
            if dropout.training:
                return None
        for p, array in self._packed_from:
            if p._array is not array:
                self._packed_from = []
                break
        if not self._packed_from:
            self._pack()
        return self._program

    def _follow(self, example: np.ndarray) -> None:
        graph = follow(self.model, example)
        places = [
            (vars(parent), name, child)
            for parent in self.model.modules()
            for name, child in vars(parent).items()
            if isinstance(child, Module)
        ]
        dropouts: list[Module] = [
            m for m in self.model.modules() if isinstance(m, Dropout) and m.p
        ]
        self._plan = _Plan([_layer(*each) for each in _in_order(graph)], places, dropouts)
        self._packed_from = []

    def _pack(self) -> None:
        """Write the program; the parameters become parts of its numbers.

        A graph that waits for its backward must find the arrays that it saved.  Then nothing is
        shared, and the next call packs again.
        """
        parameters = [p for m, *_ in self._plan.layers for p in (m.weight, m.bias) if p is not None]
        if {(type(p._array), p.dtype) for p in parameters}.isdisjoint(
            {(np.ndarray, dtype) for dtype in _DTYPES}
        ) or len({p.dtype for p in parameters}) > 1:
            self._program = None  # on a device, or of several types
            return
        layers = []
        for m, relu, pooled in self._plan.layers:
            bias = None if m.bias is None else m.bias._array
            layer = Layer(m.weight._array, bias, relu, pooled)
            if isinstance(m, Conv2d):
                layer = layer._replace(stride=m.stride, padding=m.padding)
            layers.append(layer)
        self._program = build_program(layers, self.in_shape)
        if any(p.memory.held for p in parameters):
            return
        arrays = [a for layer in self._program.layers for a in layer[:2] if a is not None]
        for p, array in zip(parameters, arrays, strict=True):
            p._adopt(array)
        self._packed_from = [(p, p._array) for p in parameters]


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
    array = x._array if isinstance(x, Tensor) else x
    if isinstance(model, Selected):
        inner = compiled(model.model, model.selected(Tensor(array))._array)
        return Selected(inner, model.index, model.channels).train(model.training)
    new = Compiled(model, tuple(array.shape[1:]))
    new._follow(array[:1])
    try:
        new._pack()
    except ValueError as error:
        raise NotCompilableError(f"{type(model).__name__} cannot be compiled: {error}") from None
    return new.train(model.training)


def _in_order(graph: Graph) -> Iterator[tuple[Node, list[Op]]]:
    """Yield the layers from the input to the output, each with what is applied to its result."""
    last, ops_after = graph.end
    chain: list[tuple[Node, list[Op]]] = []
    while last != INPUT:
        if last is None:
            raise NotCompilableError(
                "the model is not one layer after another: "
                + "; ".join(f"'{name}': {why}" for name, why in graph.fixed.items())
            )
        node = graph.nodes[last]
        chain.append((node, ops_after))
        last, ops_after = node.source, node.ops
    if len(chain) != len(graph.nodes):
        unused = sorted(graph.nodes.keys() - {node.name for node, _ in chain})
        raise NotCompilableError(f"layers beside the way from input to output: {unused}")
    if not all(isinstance(op, shape.Reshape) for op in ops_after):
        raise NotCompilableError(f"before the first layer stands {_names(ops_after)}")
    return reversed(chain)


def _layer(node: Node, ops: list[Op]) -> tuple[Linear | Conv2d, bool, bool]:
    """Return a layer, whether a relu follows, and whether a pool follows."""
    module = node.module
    if type(module) not in (Linear, Conv2d):
        raise NotCompilableError(f"'{node.name}' is a {type(module).__name__}")
    if module.parametrization is not None:
        raise NotCompilableError(
            f"'{node.name}' has a parametrization ({type(module.parametrization).__name__}); "
            "harden or remove it first"
        )
    relus = [op for op in ops if isinstance(op, activations.ReLU)]
    pools = [op for op in ops if isinstance(op, pool.MaxPool2d) and op.geometry == HALVING]
    shapes = [op for op in ops if isinstance(op, shape.Reshape)]
    if len(relus) + len(pools) + len(shapes) < len(ops) or len(pools) > 1:
        raise NotCompilableError(f"behind '{node.name}' stands {_names(ops)}")
    return module, bool(relus), bool(pools)


def _names(ops: list[Op]) -> str:
    return " of ".join(op.name for op in ops)


__all__ = ["Compiled", "NotCompilableError", "compiled"]

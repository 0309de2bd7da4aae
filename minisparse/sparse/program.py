"""A model as a program: its layers followed, its parameters packed one after another.

See kernels/program.py for what a program is, and compiling.py and minisparse/one_step/ for what is
done with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .. import kernels
from ..autodiff import Op
from ..autodiff.ops import activations, pool, shape
from ..autodiff.ops.pool import HALVING
from ..definitions.program import Layer, Program
from ..nn import Conv2d, Dropout, Linear, Module, Parameter
from ..nn.graph import INPUT, Graph, Node, follow

DTYPES = (np.dtype(np.float32), np.dtype(np.float64))


class NotCompilableError(ValueError):
    """The model is not one layer after another of the kinds that a program has."""


class ModelProgram:
    """The program of a model, kept up to date.

    Parameters
    ----------
    model : Module
    example : array, [n, ...]
        An input that it takes.

    Attributes
    ----------
    in_shape : tuple of int
        Of one image.
    dropouts : list of Module
        Those that would act in training mode.
    parameters : list of Parameter
        Of the layers in their order, each one's weight and then its bias.
    places : list of (int, int)
        Where each lies in the program's numbers.
    modules : list of Module
        The layers in their order.

    Raises
    ------
    NotCompilableError
        The model is not one layer after another.
    """

    def __init__(self, model: Module, example: np.ndarray) -> None:
        self.model, self.in_shape = model, tuple(example.shape[1:])
        self._packed_from: list[tuple[Parameter, Any]] = []  # each with its array
        self._follow(example[:1])
        try:
            self._pack()
        except ValueError as error:
            raise NotCompilableError(
                f"{type(model).__name__} cannot be compiled: {error}"
            ) from None

    def current(self) -> Program | None:
        """Return the program, made anew where a layer or a parameter was exchanged.

        None where parameters are on a device, or of several types, or no kernel is compiled.
        """
        for home, name, module in self._places:
            if home[name] is not module:
                dtype = self.model.parameters()[0].dtype
                self._follow(np.zeros((1, *self.in_shape), dtype))
                break
        for layer in self.modules:
            if layer.parametrization is not None:
                raise _parametrized(str(layer), layer.parametrization)
        for p, array in self._packed_from:
            if p.array is not array:
                self._packed_from = []
                break
        if not self._packed_from:
            self._pack()
        return self._program

    @property
    def is_shared(self) -> bool:
        """Whether the parameters are parts of the program's numbers."""
        return bool(self._packed_from)

    @property
    def is_full(self) -> bool:
        """Whether the numbers have no places besides, as those of a missing bias."""
        return len(self.parameters) == 2 * len(self._layers)

    @property
    def ends_linear(self) -> bool:
        """Whether the last layer is linear and nothing follows it."""
        module, relu, _ = self._layers[-1]
        return isinstance(module, Linear) and not relu

    def _follow(self, example: np.ndarray) -> None:
        graph = follow(self.model, example)
        self._layers = [_layer(node, ops) for node, ops in _in_order(graph)]
        self.modules = [module for module, *_ in self._layers]
        self._places = [  # every module, and where it hangs
            (vars(parent), name, child)
            for parent in self.model.modules()
            for name, child in vars(parent).items()
            if isinstance(child, Module)
        ]
        self.dropouts = [m for m in self.model.modules() if isinstance(m, Dropout) and m.p]
        self._packed_from = []

    def _pack(self) -> None:
        """Write the program; the parameters become parts of its numbers.

        A graph that waits for its backward must find the arrays that it saved.  Then nothing is
        shared, and the next call packs again.
        """
        parameters = [p for m, *_ in self._layers for p in (m.weight, m.bias) if p is not None]
        self.parameters = parameters
        self._program: Program | None = None
        kinds = {(type(p.array), p.dtype) for p in parameters}
        if len(kinds) > 1 or kinds.isdisjoint((np.ndarray, dtype) for dtype in DTYPES):
            return
        if kernels.in_use() == "numpy":  # many calls of NumPy in one call are no faster
            return
        from ..kernels.program import build_program  # Numba: only when it is needed

        layers = []
        for m, relu, pooled in self._layers:
            bias = None if m.bias is None else m.bias.array
            layer = Layer(m.weight.array, bias, relu, pooled)
            if isinstance(m, Conv2d):
                layer = layer._replace(stride=m.stride, padding=m.padding)
            layers.append(layer)
        self._program = build_program(layers, self.in_shape)
        self.places = [
            (start, start + p.size)
            for (m, *_), row in zip(self._layers, self._program.table.tolist(), strict=True)
            for p, start in zip((m.weight, m.bias), row[:2], strict=True)
            if p is not None
        ]
        if any(p.memory.held for p in parameters):
            return
        arrays = [a for layer in self._program.layers for a in layer[:2] if a is not None]
        for p, array in zip(parameters, arrays, strict=True):
            p._adopt(array)
        self._packed_from = [(p, p.array) for p in parameters]


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
        raise _parametrized(f"'{node.name}'", module.parametrization)
    relus = [op for op in ops if isinstance(op, activations.ReLU)]
    pools = [op for op in ops if isinstance(op, pool.MaxPool2d) and op.geometry == HALVING]
    shapes = [op for op in ops if isinstance(op, shape.Reshape)]
    if len(relus) + len(pools) + len(shapes) < len(ops) or len(pools) > 1:
        raise NotCompilableError(f"behind '{node.name}' stands {_names(ops)}")
    return module, bool(relus), bool(pools)


def _parametrized(layer: str, by: Module) -> NotCompilableError:
    what = type(by).__name__
    return NotCompilableError(f"{layer} has a parametrization ({what}); harden or remove it first")


def _names(ops: list[Op]) -> str:
    return " of ".join(op.name for op in ops)


__all__ = ["ModelProgram", "NotCompilableError"]

"""Who reads whose units: the layers of a model, followed through one forward.

The forward is recorded, and from the input of each layer the operations are followed back to the
layer that its numbers come from.  On the way every operation must leave units in their places:
unit j of the result depends on unit j of its operand alone, and on nothing else that has units.
Where that is not so (a sum of two branches, a product with a learned vector, a concatenation), the
layers concerned are noted with the reason, and their units can be left alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..arrays import to_numpy
from ..autodiff import Op, Tensor, enable_grad
from ..autodiff.ops import activations, arithmetic, elementwise, pool, shape
from ..autodiff.ops._pair import AsType
from ..kernels.dispatch import definitions
from ..nn import BatchNorm1d, BatchNorm2d, Conv2d, Linear, Module, Parameter
from ..nn.module import in_mode, observe
from .layers import CSRLinear, SparseConv2d

Layer = Linear | Conv2d | CSRLinear | SparseConv2d
INPUT = "(input)"  # the name of what the model is given

_UNITWISE = (
    *(activations.ReLU, activations.Sigmoid, activations.Tanh, activations.Softplus),
    *(arithmetic.Neg, arithmetic.PowConstant, elementwise.Abs, elementwise.Clip, elementwise.Sqrt),
    *(elementwise.Exp, elementwise.Log, pool.MaxPool2d, pool.AvgPool2d, AsType),
)
_WITH_A_NUMBER = (arithmetic.Add, arithmetic.Sub, arithmetic.Mul, arithmetic.Div)


@dataclass
class Node:
    """One layer or batch norm, as it was applied.

    Attributes
    ----------
    name : str
        Dotted name in the model.
    module : Linear, Conv2d, their sparse forms, BatchNorm1d or BatchNorm2d
    source : str or None
        The node that it reads, `INPUT`, or None if that is not one node with its units in place.
    ops : list of Op
        What was applied to that node's result on the way, in reverse.
    input : array
        What it saw.
    output_shape : tuple of int
    """

    name: str
    module: Any
    source: str | None
    ops: list[Op]
    input: np.ndarray
    output_shape: tuple[int, ...]

    @property
    def is_norm(self) -> bool:
        """Whether this is a batch norm: it has the units of its source."""
        return isinstance(self.module, BatchNorm1d | BatchNorm2d)

    @property
    def units(self) -> int:
        """Number of outputs or filters."""
        return self.output_shape[-1]


@dataclass
class Graph:
    """The nodes of a model in the order of execution.

    Attributes
    ----------
    nodes : dict from name to Node
    fixed : dict from name to str
        Nodes whose units must stay, and why; `INPUT` may be among them.
    output : array
        What the model returned.
    end : (str or None, list of Op)
        The node that the output comes from, and the operations after it.
    """

    nodes: dict[str, Node]
    fixed: dict[str, str]
    output: np.ndarray
    end: tuple[str | None, list[Op]]

    @property
    def layers(self) -> list[Node]:
        """The nodes with weights."""
        return [n for n in self.nodes.values() if not n.is_norm]

    def owner(self, name: str | None) -> str | None:
        """Return the layer whose units a node's result has: itself, or that before a batch norm."""
        while name in self.nodes and self.nodes[name].is_norm:
            name = self.nodes[name].source
        return name

    def readers(self, name: str) -> list[Node]:
        """Return the layers that read the units of a layer, or the model's input."""
        return [n for n in self.layers if self.owner(n.source) == name]

    def norms(self, name: str) -> list[Node]:
        """Return the batch norms that act on the units of a layer."""
        return [n for n in self.nodes.values() if n.is_norm and self.owner(n.name) == name]


class _Unclear(Exception):
    """The units of a tensor are not those of one node, in their places."""


@dataclass
class _Tracer:
    start: Tensor
    made_by: dict[int, str] = field(default_factory=dict)

    def origin(self, t: Tensor) -> tuple[str, list[Op]]:
        """Return the node that t comes from and the operations in between."""
        ops: list[Op] = []
        while True:
            if id(t) in self.made_by:
                return self.made_by[id(t)], ops
            if t is self.start:
                return INPUT, ops
            if t.op is None:
                raise _Unclear("something that is no part of the model's layers is read")
            t = self._operand(t)
            ops.append(self._last_op)

    def _operand(self, t: Tensor) -> Tensor:
        op, inputs = t.op, t.inputs
        assert op is not None
        self._last_op: Op = op
        if isinstance(op, _UNITWISE):
            return inputs[0]
        if isinstance(op, shape.Reshape):
            if t.shape[0] == inputs[0].shape[0] and t.shape[-1] % max(inputs[0].shape[-1], 1) == 0:
                return inputs[0]
        elif isinstance(op, _WITH_A_NUMBER):
            units = [x for x in inputs if not self._is_number(x)]
            if len(units) == 1:
                return units[0]
        raise _Unclear(f"{op.name} mixes or moves units, or adds others to them")

    def _is_number(self, t: Tensor) -> bool:
        """Return whether this is a number for all samples; one sample of one value is none."""
        learned = t.size == 1 and isinstance(t, Parameter)
        return t.op is None and t is not self.start and (learned or t.ndim == 0)

    def upstream(self, t: Tensor) -> set[str]:
        """Return all nodes that t depends on without another node in between."""
        found: set[str] = set()
        seen: set[int] = set()
        stack = [t]
        while stack:
            t = stack.pop()
            if id(t) in seen:
                continue
            seen.add(id(t))
            if id(t) in self.made_by:
                found.add(self.made_by[id(t)])
            elif t is self.start:
                found.add(INPUT)
            else:
                stack.extend(t.inputs)
        return found


def follow(model: Module, example: Any) -> Graph:
    """Run a model in evaluation mode and find out which layers read which.

    Parameters
    ----------
    model : Module
    example : array or Tensor, [n, ...]
        An input that the model takes; one sample is enough.

    Examples
    --------
    >>> from minisparse.nn import LeNet5
    >>> model = LeNet5(rng=np.random.default_rng(0))
    >>> graph = follow(model, np.zeros((1, 28, 28, 1), np.float32))
    >>> {node.name: node.source for node in graph.layers}
    {'conv1': '(input)', 'conv2': 'conv1', 'fc1': 'conv2', 'fc2': 'fc1'}
    >>> graph.fixed
    {'fc2': 'its units are the outputs of the model'}
    """
    names: dict[int, str] = {}
    for name, module in model.named_modules():
        names.setdefault(id(module), name)
    x = Tensor(example._array if isinstance(example, Tensor) else example, requires_grad=True)
    tracer = _Tracer(x)
    calls: list[tuple[str, Module, Tensor, Tensor]] = []

    def note(module: Module, given: Tensor, result: Tensor) -> None:
        if isinstance(module, Layer | BatchNorm1d | BatchNorm2d) and id(module) in names:
            calls.append((names[id(module)], module, given, result))
            tracer.made_by[id(result)] = names[id(module)]

    with in_mode(model, training=False), enable_grad(), observe(note), definitions():
        output = model(x)

    fixed: dict[str, str] = {}
    nodes: dict[str, Node] = {}

    def source_of(t: Tensor) -> tuple[str | None, list[Op]]:
        try:
            return tracer.origin(t)
        except _Unclear as unclear:
            for name in tracer.upstream(t):
                fixed.setdefault(name, str(unclear))
            return None, []

    for name, module, given, result in calls:
        source, ops = source_of(given)
        if name in nodes:
            again = "it is applied more than once"
            for other in (name, source, nodes[name].source):
                if other is not None:
                    fixed[other] = again
            continue
        seen = to_numpy(given._array)
        nodes[name] = Node(name, module, source, ops, seen, result.shape)
    end = source_of(output)
    for name in tracer.upstream(output):
        fixed[name] = "its units are the outputs of the model"
    graph = Graph(nodes, fixed, to_numpy(output._array), end)
    _fix_what_is_tied(model, graph)
    # What holds for a batch norm holds for the layer whose units it has.
    for name, reason in list(fixed.items()):
        owner = graph.owner(name)
        if owner is not None:
            fixed.setdefault(owner, reason)
    for node in graph.layers:
        if not graph.readers(node.name):
            fixed.setdefault(node.name, "no layer is seen to read it")
        for reader in graph.readers(node.name):
            if reader.input.shape[-1] % max(node.units, 1):
                fixed.setdefault(node.name, f"'{reader.name}' does not read whole images of it")
    return graph


def _fix_what_is_tied(model: Module, graph: Graph) -> None:
    """Note layers that share a parameter with another module."""
    holders: dict[int, list[str]] = {}
    for name, module in model.named_modules():
        for value in vars(module).values():
            if isinstance(value, Tensor):
                holders.setdefault(id(value), []).append(name)
    for several in holders.values():
        if len(several) > 1:
            for name in several:
                for concerned in (name, graph.nodes[name].source if name in graph.nodes else None):
                    if concerned is not None:
                        graph.fixed.setdefault(concerned, "it shares parameters with another layer")


def example_for(model: Module, input_shape: tuple[int, ...] | None = None) -> np.ndarray:
    """Return one random sample that the model takes.

    Parameters
    ----------
    model : Module
    input_shape : tuple of int, optional
        Of one sample.  Without it: what a first linear layer takes, and 28 x 28 images where the
        first layer is a convolution of one channel.

    Raises
    ------
    ValueError
        The shape must be given: it does not follow from the first layer.
    """
    layers = [m for m in model.modules() if isinstance(m, Layer)]
    if not layers:
        raise ValueError(f"{type(model).__name__} has no linear or convolution layer")
    first = layers[0]
    if input_shape is None:
        if isinstance(first, Linear):
            input_shape = (first.weight.shape[0],)
        elif isinstance(first, CSRLinear):
            input_shape = (first.n_in,)
        elif _channels(first) == 1 and type(model).__name__ == "LeNet5":
            input_shape = (28, 28, 1)
        else:
            raise ValueError(
                "the size of the images does not follow from a convolution: give "
                "example=array [n, height, width, channels] (or input_shape)"
            )
    dtype = model.parameters()[0].dtype
    return np.random.default_rng(0).standard_normal((1, *input_shape)).astype(dtype)


def _channels(layer: Conv2d | SparseConv2d) -> int:
    return layer.weight.shape[2] if isinstance(layer, Conv2d) else layer.filters[2]


__all__ = ["INPUT", "Graph", "Layer", "Node", "example_for", "follow"]

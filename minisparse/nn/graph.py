"""Who reads whose units: the layers of a model, followed through one forward.

The forward is recorded, and for each tensor on the way it is noted which units stand at its places,
the entries of its last axis.  Behind a layer each unit has a place of its own.  Elementwise operations
and pooling leave units where they are; flattening an image repeats them for each of its positions; in
a sum of two branches two units meet at each place; a concatenation puts them side by side.  Where an
operation does anything else (a sum over units, a transposition, a part of the axis), the layers
concerned are noted with the reason, and their units can be left alone.

Units that meet at a place are coupled: the arrays of their layers have the same length there, so
they can only be taken out together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arrays import DEFAULT_DTYPE, to_numpy
from ..autodiff import Op, Tensor, enable_grad
from ..autodiff.ops import activations, arithmetic, broadcast, elementwise, pool, reduce, shape
from ..autodiff.ops._pair import AsType
from ..kernels.dispatch import by_definition
from .batchnorm import BatchNorm1d, BatchNorm2d
from .module import Module, Parameter, in_mode, observe, refuse_many
from .weighted import Layer

INPUT = "(input)"  # what the model is given
LEARNED = "(learned)"  # a parameter, or something computed of parameters alone
OUTSIDE = "(outside)"  # anything else that is no unit of a layer, and may depend on the input
_WHAT = {INPUT: "the input", LEARNED: "a learned array", OUTSIDE: "something that is no layer's"}

# Place j of the result depends on place j of the operands alone.
_UNITWISE = (
    *(activations.ReLU, activations.Sigmoid, activations.Tanh, activations.Softplus),
    *(arithmetic.Add, arithmetic.Sub, arithmetic.Mul, arithmetic.Div, arithmetic.Neg),
    *(arithmetic.PowConstant, elementwise.Abs, elementwise.Clip, elementwise.Sqrt),
    *(elementwise.Exp, elementwise.Log, elementwise.Maximum, elementwise.Minimum),
    *(pool.MaxPool2d, pool.AvgPool2d, broadcast.BroadcastTo, AsType),
)

Units = dict[str, np.ndarray]  # source -> which of its units stands at each place; -1: none


@dataclass
class Node:
    """One layer or batch norm, as it was applied.

    Attributes
    ----------
    name : str
        Dotted name in the model.
    module : Linear, Conv2d, their sparse forms, BatchNorm1d or BatchNorm2d
    units : dict from source to int array, [inputs]
        Which unit of a layer stands at each of its inputs, -1 where none of that layer does.  What is
        no unit has a name, too: `INPUT`, `LEARNED`, `OUTSIDE`.
    source : str or None
        The node that it reads, or `INPUT`, if the way from there is a single line.
    ops : list of Op
        What is applied on that line, in reverse.
    input : array
        What it saw.
    output_shape : tuple of int
    """

    name: str
    module: Any
    units: Units
    source: str | None
    ops: list[Op]
    input: np.ndarray
    output_shape: tuple[int, ...]

    @property
    def is_norm(self) -> bool:
        """Whether this is a batch norm: it has the units that it is given."""
        return isinstance(self.module, BatchNorm1d | BatchNorm2d)

    @property
    def count(self) -> int:
        """Number of its own units: outputs or filters."""
        return self.output_shape[-1]

    def where(self, source: str) -> np.ndarray:
        """Return at which of its inputs the units of a layer stand, int [positions, units].

        A flattened image has as many positions as it has pixels.
        """
        at = self.units[source]
        order = np.argsort(at, kind="stable")[np.count_nonzero(at < 0) :]
        return order.reshape(int(at.max(initial=-1)) + 1, -1).T

    def places(self, chosen: Mapping[str, np.ndarray], *, learned: bool = True) -> np.ndarray:
        """Return at which of its inputs a chosen unit stands, or something that is no unit.

        Parameters
        ----------
        chosen : mapping from layer name to bool array, [units]
        learned : bool
            Whether `LEARNED` counts as such a thing.

        Returns
        -------
        bool array, [inputs]
        """
        found = np.full(self.input.shape[-1], not self.units)
        for source, at in self.units.items():
            if source in chosen:
                found |= (at >= 0) & chosen[source][at]
            elif learned or source != LEARNED:
                found |= at >= 0
        return found


@dataclass
class Graph:
    """The nodes of a model in the order of execution.

    Attributes
    ----------
    nodes : dict from name to Node
    outputs : set of str
        Layers that the output depends on without another one in between.
    unclear : dict from name to str
        Layers whose units cannot be followed, and why; `INPUT` may be among them.
    joined : dict from name to str
        Layers whose units meet something that is no unit and keeps its length, and where.
    output : array
        What the model returned.
    end : (str or None, list of Op)
        The node that the output comes from in a single line, and the operations after it.
    """

    nodes: dict[str, Node]
    outputs: set[str]
    unclear: dict[str, str]
    joined: dict[str, str]
    output: np.ndarray
    end: tuple[str | None, list[Op]]

    @property
    def layers(self) -> list[Node]:
        """The nodes with weights."""
        return [n for n in self.nodes.values() if not n.is_norm]

    @property
    def hidden(self) -> list[Node]:
        """The layers all of whose readers are known: others may depend on any of their units."""
        seen = (n for n in self.layers if n.name not in self.outputs | self.unclear.keys())
        return [n for n in seen if self.readers(n.name)]

    @property
    def fixed(self) -> dict[str, str]:
        """The layers whose number of units must stay, and why; `INPUT` may be among them."""
        unread = [n.name for n in self.layers if not self.readers(n.name)]
        return (
            dict.fromkeys(unread, "no layer is seen to read it")
            | self.joined
            | self.unclear
            | dict.fromkeys(self.outputs, "its units are the outputs of the model")
        )

    def readers(self, name: str) -> list[Node]:
        """Return the layers that read the units of a layer, or the model's input."""
        return [n for n in self.layers if name in n.units]

    def groups(self) -> dict[str, np.ndarray]:
        """Return the number of its group for each unit of each layer, int [units].

        Units of the same number meet at some place, or meet the same third ones: they can only be
        taken out together.
        """
        labels, total = {}, 0
        for node in self.layers:
            labels[node.name] = np.arange(total, total + node.count)
            total += node.count
        changing = True
        while changing:
            changing = False
            for node in self.nodes.values():
                own = {s: at for s, at in node.units.items() if s in labels}
                if len(own) < 2:
                    continue
                least = np.full(node.input.shape[-1], total)
                for s, at in own.items():
                    np.minimum(least, np.where(at < 0, total, labels[s][at]), out=least)
                for s, at in own.items():
                    before = labels[s].copy()
                    np.minimum.at(labels[s], at[at >= 0], least[at >= 0])
                    changing |= not np.array_equal(before, labels[s])
        return labels

    def coupled(self, name: str) -> list[str]:
        """Return the other layers whose units are in groups with those of a layer."""
        labels = self.groups()
        own = labels.pop(name)
        return [other for other, label in labels.items() if np.isin(label, own).any()]


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
    >>> graph.nodes["fc1"].where("conv2").shape  # 16 positions, 50 filters
    (16, 50)
    """
    names: dict[int, str] = {}
    for name, module in model.named_modules():
        names.setdefault(id(module), name)
    start = example.array if isinstance(example, Tensor) else example
    x = Tensor(
        start if start.dtype.kind == "f" else start.astype(DEFAULT_DTYPE), requires_grad=True
    )
    calls: list[tuple[str, Module, Tensor, Tensor]] = []

    def note(module: Module, given: Tensor, result: Tensor) -> None:
        if isinstance(module, Layer | BatchNorm1d | BatchNorm2d) and id(module) in names:
            refuse_many(names[id(module)], module, result)
            calls.append((names[id(module)], module, given, result))

    with in_mode(model, training=False), enable_grad(), observe(note), by_definition():
        output = model(x)
    if not isinstance(output, Tensor):
        raise TypeError(
            f"{type(model).__name__} returned a {type(output).__name__}: units can be followed to one "
            "Tensor; put the model into a Module that returns the one that counts"
        )

    tracer = _Tracer(x, calls)
    nodes: dict[str, Node] = {}
    for name, module, given, result in calls:
        way = tracer.way(given)
        if name in nodes:
            again = f"layer '{name}' is applied more than once: its nodes are shared"
            tracer.unclear |= dict.fromkeys((name, *nodes[name].units, *way.units), again)
            continue
        seen = to_numpy(given.array)
        nodes[name] = Node(name, module, way.units, *way.line, seen, result.shape)
    unclear = dict(tracer.unclear)  # what is done to the outputs concerns nobody else
    last = tracer.way(output)
    if INPUT in last.above:
        unclear.setdefault(INPUT, "it reaches the output past the layers")
    outputs = {s for name in last.above for s in _owners(nodes, name)}
    _note_what_is_tied(model, nodes, unclear)
    return Graph(nodes, outputs, unclear, tracer.joined, to_numpy(output.array), last.line)


def _owners(nodes: dict[str, Node], name: str) -> set[str]:
    """Return the layers whose units a node's result has."""
    node = nodes.get(name)
    return set(node.units) & nodes.keys() if node is not None and node.is_norm else {name} - {INPUT}


def _note_what_is_tied(model: Module, nodes: dict[str, Node], unclear: dict[str, str]) -> None:
    """Note layers that share a parameter with another module, and those that they read."""
    holders: dict[int, list[str]] = {}
    for name, module in model.named_modules():
        for value in vars(module).values():
            if isinstance(value, Tensor):
                holders.setdefault(id(value), []).append(name)
    tied = (name for several in holders.values() if len(several) > 1 for name in several)
    for name in tied:
        for concerned in (name, *(nodes[name].units if name in nodes else ())):
            unclear.setdefault(concerned, f"'{name}' shares parameters with another layer")


# ---- the units on their way ---------------------------------------------------------------------


@dataclass
class _Way:
    """What stands at the places of a tensor, the nodes directly above it, and the line to one."""

    units: Units
    above: frozenset[str]
    line: tuple[str | None, list[Op]]


class _Tracer:
    def __init__(self, start: Tensor, calls: list[tuple[str, Module, Tensor, Tensor]]) -> None:
        self.unclear: dict[str, str] = {}
        self.joined: dict[str, str] = {}
        self.known = {id(start): _Way(_whole(INPUT, start), frozenset({INPUT}), (INPUT, []))}
        self.norms: dict[int, tuple[str, Tensor]] = {}
        for name, module, given, result in calls:
            if isinstance(module, Layer):
                own = {name: np.arange(result.shape[-1])}
                self.known[id(result)] = _Way(own, frozenset({name}), (name, []))
            else:
                self.norms[id(result)] = name, given

    def way(self, t: Tensor) -> _Way:
        """Return what is known of a tensor, after all that it is made of."""
        stack = [t]
        while stack:
            t = stack[-1]
            norm, given = self.norms.get(id(t), ("", None))
            parts = t.inputs if given is None else (given,)
            missing = [] if id(t) in self.known else [p for p in parts if id(p) not in self.known]
            if missing:
                stack.extend(missing)
                continue
            stack.pop()
            if id(t) in self.known:
                continue
            if given is not None:
                units = self.known[id(given)].units
                self.known[id(t)] = _Way(units, frozenset({norm}), (norm, []))
            elif t.op is None:
                self.known[id(t)] = _Way(_of_leaf(t), frozenset(), (None, []))
            else:
                self.known[id(t)] = self._after(t.op, t, [self.known[id(p)] for p in t.inputs])
        return self.known[id(t)]

    def _after(self, op: Op, t: Tensor, ways: list[_Way]) -> _Way:
        carriers = [w for w in ways if w.units]  # a number for all places changes nothing
        line: tuple[str | None, list[Op]] = (None, [])
        if len(carriers) == 1 and carriers[0].line[0] is not None:
            line = carriers[0].line[0], [op, *carriers[0].line[1]]
        sources = {s for w in carriers for s in w.units}
        units = _moved(op, t, ways)
        if units is None:
            line, layers = (None, []), sorted(sources - _WHAT.keys())
            why = f"{op.name} comes after {', '.join(layers) or 'the input'}: it may mix or move units"
            for source in sources - {LEARNED, OUTSIDE}:
                self.unclear.setdefault(source, f"{why}, so nodes cannot be followed through it")
            units = _whole(LEARNED if sources <= {LEARNED} else OUTSIDE, t) if sources else {}
        elif len(carriers) > 1:
            self._note_joins(op, units)
        return _Way(units, frozenset().union(*(w.above for w in ways)), line)

    def _note_joins(self, op: Op, units: Units) -> None:
        for other in units.keys() & _WHAT.keys():
            for source in units.keys() - {other, LEARNED, OUTSIDE}:
                if ((units[other] >= 0) & (units[source] >= 0)).any():
                    self.joined.setdefault(source, f"{op.name} joins them with {_WHAT[other]}")


def _of_leaf(t: Tensor) -> Units:
    """Return what stands in a tensor that nothing was recorded of."""
    if t.ndim == 0 or (isinstance(t, Parameter) and t.shape[-1] == 1):
        return {}
    return _whole(LEARNED if isinstance(t, Parameter) else OUTSIDE, t)


def _whole(source: str, t: Tensor) -> Units:
    return {source: np.zeros(t.shape[-1] if t.ndim else 1, np.int64)}


def _moved(op: Op, t: Tensor, ways: list[_Way]) -> Units | None:
    """Return what stands in the result of an operation; None if it mixes places, or moves them."""
    if isinstance(op, shape.Reshape):
        return _reshaped(ways[0].units, t.inputs[0].shape, t.shape)
    if isinstance(op, shape.Concatenate):
        if op.axis not in (-1, t.ndim - 1):
            return None
        return _side_by_side([w.units for w in ways], [p.shape[-1] for p in t.inputs])
    if isinstance(op, reduce.Sum | reduce.Max):
        if {-1, -t.inputs[0].ndim} & set(op.axes):  # over places, or over samples
            return None
    elif not isinstance(op, _UNITWISE):
        return None
    found: Units = {}
    for way in ways:
        for source, at in way.units.items():
            here = np.broadcast_to(at, t.shape[-1:])
            before = found.setdefault(source, here)
            if source in _WHAT:
                found[source] = np.maximum(before, here)
            elif not np.array_equal(before, here):
                return None  # a unit meets another one of its own layer
    return found


def _reshaped(units: Units, before: tuple[int, ...], after: tuple[int, ...]) -> Units | None:
    found = {}
    for source, at in units.items():
        if before[:1] != after[:1] or not after[1:]:
            return None
        spread = np.broadcast_to(at, before[1:]).reshape(-1, after[-1])
        if (spread != spread[:1]).any():
            return None  # what was a place is a position now
        found[source] = spread[0]
    return found


def _side_by_side(parts: list[Units], lengths: list[int]) -> Units | None:
    found: Units = {}
    stops = np.cumsum(lengths)
    for units, stop, length in zip(parts, stops, lengths, strict=True):
        for source, at in (units or {LEARNED: np.zeros(length, np.int64)}).items():
            if source in found and source not in _WHAT:
                return None  # a unit of one layer at several places of the axis
            found.setdefault(source, np.full(stops[-1], -1))[stop - length : stop] = at
    return found


# ---- an input -----------------------------------------------------------------------------------


def example_for(model: Module, input_shape: tuple[int, ...] | None = None) -> np.ndarray:
    """Return one random sample that the model takes.

    Parameters
    ----------
    model : Module
    input_shape : tuple of int, optional
        Of one sample.  Without it: what a first linear layer takes, and 28 x 28 images for LeNet-5.

    Raises
    ------
    ValueError
        The shape must be given: it does not follow from the first layer.
    """
    layers = [m for m in model.modules() if isinstance(m, Layer)]
    if not layers:
        raise ValueError(f"{type(model).__name__} has no linear or convolution layer")
    shape = layers[0].in_shape if input_shape is None else input_shape
    if None in shape and type(model).__name__ == "LeNet5" and shape[-1] == 1:
        shape = (28, 28, 1)
    if None in shape:
        raise ValueError(
            "the size of the images does not follow from a convolution: give "
            "example=array [n, height, width, channels] (or input_shape)"
        )
    dtype = model.parameters()[0].dtype
    sample = np.random.default_rng(0).standard_normal((1, *shape))  # type: ignore[arg-type]
    return sample.astype(dtype)


__all__ = ["INPUT", "LEARNED", "OUTSIDE", "Graph", "Node", "example_for", "follow"]

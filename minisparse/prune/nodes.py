r"""Nodes: the hidden units of a network, which of them are dead, and how to take them out.

A node is one output of a linear layer or one filter of a convolution.  Its incoming weights are a
column ``w[..., j]`` of its own layer; its outgoing weights are the rows of the layers that read it
(with an image flattened in the order height, width, channel, channel j of c is read at j, j + c,
j + 2c, ...).  A node counts as removed when

    all its incoming weights are zero,  or  all its outgoing weights are zero,

and only hidden nodes are counted: the inputs are given and the outputs are the classes.

Without outgoing weights a node is of no consequence.  Without incoming weights it is a constant:
with bias b, activation relu and outgoing weights v, it adds relu(b) v to what the next layer sees,

    b_next <- b_next + relu(b) v,      then v <- 0,

and nothing has changed.  With batch norm, pooling or another activation in between, relu(b)
becomes whatever constant arrives at the next layer; `remove_dead_nodes` reads it off there.  That
it is one follows from the way there, on which nothing but the node has a part; what a few images
show proves nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arrays import DEFAULT_DTYPE, array_module, to_numpy
from ..autodiff import Op, Tensor, enable_grad
from ..autodiff.ops import activations, arithmetic, broadcast, elementwise, pool, reduce, shape
from ..autodiff.ops._pair import AsType
from ..nn import BatchNorm1d, BatchNorm2d, Conv2d, Linear, Module
from ..nn.module import in_mode, observe

# Operations under which unit j of the result depends on unit j of the operands alone.
_UNITWISE = (
    *(activations.ReLU, activations.Sigmoid, activations.Tanh, activations.Softplus),
    *(arithmetic.Add, arithmetic.Sub, arithmetic.Mul, arithmetic.Div, arithmetic.Neg),
    *(arithmetic.PowConstant, elementwise.Abs, elementwise.Clip, elementwise.Sqrt),
    *(elementwise.Maximum, elementwise.Minimum, broadcast.BroadcastTo, AsType),
    *(pool.MaxPool2d, pool.AvgPool2d, shape.Reshape),
)

_OUTSIDE = "(outside)"  # a source that is no layer: the model's input, or an unknown array

# ---- formulas -----------------------------------------------------------------------------------


def has_incoming(w: np.ndarray) -> np.ndarray:
    """Return which units have a nonzero incoming weight.

    Parameters
    ----------
    w : array, [in, out] or [kh, kw, in, out]

    Returns
    -------
    bool array, [out]
    """
    found: np.ndarray = (w != 0).any(axis=tuple(range(w.ndim - 1)))
    return found


def has_outgoing(reader: np.ndarray, units: int) -> np.ndarray:
    """Return which of the `units` units that a layer reads have a nonzero outgoing weight there.

    Parameters
    ----------
    reader : array, [in, out] or [kh, kw, in, out]
        Weights of the reading layer.  Input i belongs to unit i mod `units`: more inputs than
        units are positions of a flattened image.
    units : int

    Returns
    -------
    bool array, [units]

    Raises
    ------
    ValueError
        If the inputs are no multiple of `units`, or `units` < 1.

    Examples
    --------
    >>> has_outgoing(np.array([[0.0], [1.0], [0.0], [0.0]]), 2)
    array([False,  True])
    """
    n_in = reader.shape[-2]
    if units < 1 or n_in % units:
        raise ValueError(f"{n_in} inputs are not positions of {units} units")
    positions = reads(reader).reshape(-1, units)
    return np.asarray(positions.any(axis=0))


def reads(w: np.ndarray) -> np.ndarray:
    """Return which inputs have a nonzero weight.

    Parameters
    ----------
    w : array, [in, out] or [kh, kw, in, out]

    Returns
    -------
    bool array, [in]
    """
    axes = tuple(i for i in range(w.ndim) if i != w.ndim - 2)
    found: np.ndarray = (w != 0).any(axis=axes)
    return found


def foldable(seen: np.ndarray, w: np.ndarray, units: int, *, zeros_only: bool) -> np.ndarray:
    """Return which units, if constant, the bias of a reader can take over exactly.

    Parameters
    ----------
    seen : array, [..., in]
        What the reader saw in one forward.  A constant unit is the same at every place of its
        channel, or at every position of a flattened image; padding in between may spoil that.
    w : array, [in, out] or [kh, kw, in, out]
        Its weights; inputs that they ignore need no folding.
    units : int
    zeros_only : bool
        The reader has no bias, or pads with zeros: it can only do without zeros.

    Returns
    -------
    bool array, [units]
    """
    seen = seen.reshape(-1, seen.shape[-1])
    # Equal but for the last bits, in which vectorized and single evaluations may differ.
    fits = np.ptp(seen, axis=0) <= 8 * np.finfo(seen.dtype).eps * np.abs(seen[0])
    if zeros_only:
        fits &= seen[0] == 0
    fits |= ~reads(w)
    return np.asarray(fits.reshape(-1, units).all(axis=0))


def folded_bias(bias: np.ndarray, values: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Return b + sum_i c_i w_i: the bias that takes over constant inputs.

    Parameters
    ----------
    bias : array, [out]
    values : array, [k]
        c, what the inputs always are.
    w : array, [k, out] or [kh, kw, k, out]
        Their weights.  A filter sees the constant at each of its kh kw places, so these are summed;
        that is exact where no padding puts zeros in place of the constant.

    Returns
    -------
    array, [out]

    Examples
    --------
    >>> folded_bias(np.array([1.0]), np.array([2.0, 3.0]), np.array([[10.0], [0.5]]))
    array([22.5])
    """
    per_input = w.sum(axis=tuple(range(w.ndim - 2)))
    folded: np.ndarray = bias + values @ per_input
    return folded


# ---- the nodes of a model -----------------------------------------------------------------------


@dataclass(frozen=True)
class HiddenUnits:
    """The units of one hidden layer, and who is concerned if one of them goes.

    Attributes
    ----------
    layer : str
        Dotted name of the Linear or Conv2d whose outputs they are.
    count : int
    readers : tuple of str
        The layers that read them.
    norms : tuple of str
        The batch norms that act on them alone.
    """

    layer: str
    count: int
    readers: tuple[str, ...]
    norms: tuple[str, ...]


@dataclass(frozen=True)
class _Trace:
    """One forward: the layers in order of execution, what feeds each, what each saw."""

    hidden: list[HiddenUnits]
    sources: dict[str, set[str]]
    inputs: dict[str, np.ndarray]


def hidden_units(model: Module, x: Any) -> list[HiddenUnits]:
    """Find out which layers of a model read which, by following one forward.

    Parameters
    ----------
    model : Module
        Run in evaluation mode; nothing is changed.
    x : Tensor or array, [n, height, width, channels]
        Any input that the model takes; one image is enough.

    Returns
    -------
    list of HiddenUnits
        In the order of execution.  A layer that the outputs depend on without another layer in
        between is not hidden.

    Raises
    ------
    ValueError
        A layer is applied twice, or an operation between two layers mixes or moves units (a
        concatenation, a transposition), so that nodes would be counted wrongly.

    Examples
    --------
    >>> from minisparse.nn import LeNet5
    >>> model = LeNet5(rng=np.random.default_rng(0))
    >>> for units in hidden_units(model, np.zeros((1, 28, 28, 1), np.float32)):
    ...     print(units.layer, units.count, "read by", *units.readers)
    conv1 20 read by conv2
    conv2 50 read by fc1
    fc1 500 read by fc2
    """
    return _follow(model, x).hidden


def nodes_left(model: Module, hidden: list[HiddenUnits]) -> dict[str, int]:
    """Count for each hidden layer the nodes that have incoming and outgoing weights.

    Parameters
    ----------
    model : Module
    hidden : list of HiddenUnits
        From `hidden_units`.

    Returns
    -------
    dict from layer name to int
    """
    layers = _layers(model)
    return {u.layer: int(np.count_nonzero(_live(layers, u))) for u in hidden}


def remove_dead_nodes(model: Module, x: Any) -> dict[str, int]:
    """Take every removed node out of a trained model without changing what it computes.

    A node without incoming weights is folded into the biases of its readers.  Then all that
    belongs to a removed node becomes zero: incoming and outgoing weights, bias, batch norm.  That
    may leave other nodes without weights, so it is repeated until no node changes.

    Parameters
    ----------
    model : Module
        Changed in place.  In evaluation mode its outputs stay the same up to rounding.
    x : Tensor or array, [n, height, width, channels]
        Any input that the model takes.

    Returns
    -------
    dict from layer name to int
        How many nodes of each hidden layer are all zero now.  A constant node stays where it cannot
        be folded exactly: its reader has no bias, pads a nonzero constant with zeros, or adds
        something else to it.

    Raises
    ------
    ValueError
        As `hidden_units`.
    """
    layers, modules = _layers(model), dict(model.named_modules())
    trace = _follow(model, x)  # once: what the living see stays the same
    gone = {u.layer: np.zeros(u.count, bool) for u in trace.hidden}
    while True:
        changed = False
        for units in trace.hidden:
            dead = ~_live(layers, units) & ~gone[units.layer]
            if not dead.any():
                continue
            constant = dead & ~has_incoming(_weight(layers[units.layer]))
            for reader in units.readers:
                dead &= ~constant | _fits(layers[reader], trace, reader, units)
            for reader in units.readers:
                _fold(layers[reader], dead, constant & dead, trace.inputs[reader])
            for name in (units.layer, *units.norms):
                _zero_units(modules[name].weight, dead)  # type: ignore[attr-defined]
                _zero_units(modules[name].bias, dead)  # type: ignore[attr-defined]
            gone[units.layer] |= dead
            changed |= bool(dead.any())
        if not changed:
            return {name: int(np.count_nonzero(g)) for name, g in gone.items()}


# ---- how it is done -----------------------------------------------------------------------------


def _layers(model: Module) -> dict[str, Any]:
    layers = {n: m for n, m in model.named_modules() if isinstance(m, Linear | Conv2d)}
    for name, module in layers.items():
        if module.parametrization is not None:
            raise ValueError(
                f"the weights of '{name}' are mapped by {type(module.parametrization).__name__} "
                "before use, so its nodes cannot be told from its parameters: write the effective "
                "weights to the parameters first"
            )
    return layers


def _weight(layer: Any) -> np.ndarray:
    return to_numpy(layer.weight._array)


def _live(layers: dict[str, Any], units: HiddenUnits) -> np.ndarray:
    """Return which units have both, incoming and outgoing weights."""
    out = np.zeros(units.count, bool)
    for reader in units.readers:
        out |= has_outgoing(_weight(layers[reader]), units.count)
    return has_incoming(_weight(layers[units.layer])) & out


def _follow(model: Module, x: Any) -> _Trace:
    names = {id(m): name for name, m in model.named_modules()}
    order: list[str] = []
    seen: dict[str, Tensor] = {}
    made_by: dict[int, tuple[Tensor, str]] = {}  # the tensor too: a living one keeps its id
    norms: dict[int, tuple[Tensor, str, Tensor]] = {}
    start = x._array if isinstance(x, Tensor) else x
    if start.dtype.kind != "f":
        start = start.astype(DEFAULT_DTYPE)

    def note(module: Module, given: Tensor, result: Tensor) -> None:
        name = names.get(id(module))
        if name is None:
            return
        if isinstance(module, Linear | Conv2d):
            if name in seen:
                raise ValueError(f"layer '{name}' is applied more than once: its nodes are shared")
            order.append(name)
            seen[name] = given
            made_by[id(result)] = result, name
        elif isinstance(module, BatchNorm1d | BatchNorm2d):
            norms[id(result)] = result, name, given

    with in_mode(model, training=False), enable_grad(), observe(note):
        outputs = model(Tensor(start, requires_grad=True))  # so that all its ways are recorded

    known = {i: {name} for i, (_, name) in made_by.items()}
    known |= {id(p): set() for p in model.parameters()}
    ways = {i: given for i, (_, _, given) in norms.items()}
    sources = {name: _sources(seen[name], ways, known) for name in order}
    last = _sources(outputs, ways, known)
    single = [(norm, _sources(given, ways, known)) for _, norm, given in norms.values()]
    widths = {name: t.shape[-1] for t, name in made_by.values()}
    hidden = []
    for name in order:
        readers = tuple(r for r in order if name in sources[r])
        if name in last or not readers:
            continue
        for r in readers:
            if seen[r].shape[-1] % widths[name]:
                raise ValueError(
                    f"'{r}' has {seen[r].shape[-1]} inputs, which are not positions of the "
                    f"{widths[name]} units of '{name}'"
                )
        own = tuple(norm for norm, found in single if found == {name})
        hidden.append(HiddenUnits(name, widths[name], readers, own))
    return _Trace(hidden, sources, {name: to_numpy(t._array) for name, t in seen.items()})


def _sources(t: Tensor, norms: dict[int, Tensor], known: dict[int, set[str]]) -> set[str]:
    """Return the layers whose outputs arrive at a tensor with their units in place.

    `_OUTSIDE` is among them if something else arrives that may depend on the input.  A batch norm
    leads from its result to what it is given.
    """
    if id(t) in known:
        return known[id(t)]
    if id(t) in norms:
        found = _sources(norms[id(t)], norms, known)
    elif t.op is None:
        found = set() if t.ndim == 0 else {_OUTSIDE}
    else:
        found = set().union(*(_sources(given, norms, known) for given in t.inputs))
        layers = sorted(found - {_OUTSIDE})
        if layers and not _unitwise(t.op):
            raise ValueError(
                f"{t.op.name} comes after {', '.join(layers)}: it may mix or move units, so nodes "
                "cannot be followed through it"
            )
    known[id(t)] = found
    return found


def _unitwise(op: Op) -> bool:
    if isinstance(op, reduce.Sum | reduce.Max):
        return -1 not in op.axes  # over positions, not over units
    return isinstance(op, _UNITWISE)


def _fits(reader: Any, trace: _Trace, name: str, units: HiddenUnits) -> np.ndarray:
    """Return which units, if constant, could be folded into a reader."""
    w = _weight(reader)
    if trace.sources[name] != {units.layer}:
        return ~has_outgoing(w, units.count)
    padded = isinstance(reader, Conv2d) and reader.padding != (0, 0)
    zeros_only = reader.bias is None or padded
    return foldable(trace.inputs[name], w, units.count, zeros_only=zeros_only)


def _fold(layer: Any, dead: np.ndarray, constant: np.ndarray, seen: np.ndarray) -> None:
    """Move the constants of units into a reader's bias, and forget the rows of the dead ones."""
    w = _weight(layer)
    repeat = w.shape[-2] // dead.size
    values = seen.reshape(-1, seen.shape[-1])[0]
    rows = np.tile(constant, repeat) & (values != 0) & reads(w)
    if rows.any():
        with layer.bias.writing() as b:
            folded = folded_bias(to_numpy(b), values[rows], w[..., rows, :])
            b[...] = array_module(b).asarray(folded)
    with layer.weight.writing() as w:
        w *= array_module(w).asarray(~np.tile(dead, repeat)[:, None])


def _zero_units(p: Any, dead: np.ndarray) -> None:
    """Zero the entries of `dead` units in the last axis of a parameter, if there is one."""
    if p is not None:
        with p.writing() as w:
            w *= array_module(w).asarray(~np.tile(dead, w.shape[-1] // dead.size))


__all__ = [
    "HiddenUnits",
    "foldable",
    "folded_bias",
    "has_incoming",
    "has_outgoing",
    "hidden_units",
    "nodes_left",
    "reads",
    "remove_dead_nodes",
]

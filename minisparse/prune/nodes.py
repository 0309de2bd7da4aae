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
it is one follows from the way there, on which nothing but constants may have a part (in a sum of two
branches both nodes); what a few images show proves nothing.  And it must be one at every place:
behind a convolution that pads with zeros it is another one at the border, and the node stays.  (After
flattening each place has a weight of its own, so there each may have its own constant.)
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from ..arrays import array_module, to_numpy
from ..doors import door
from ..nn import Conv2d, Module
from ..nn.graph import Graph, Node, follow
from ..nn.hardening import refuse_parametrizations
from ..nn.weighted import Weighted

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
    where : tuple of int arrays, [positions, units]
        For each reader, at which of its inputs they stand.
    """

    layer: str
    count: int
    readers: tuple[str, ...]
    norms: tuple[str, ...]
    where: tuple[np.ndarray, ...] = field(compare=False, repr=False)


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
        A layer is applied twice, or an operation between two layers mixes or moves units (a sum
        over them, a transposition), so that nodes would be counted wrongly.

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
    graph = _follow(model, x)
    norms = [n for n in graph.nodes.values() if n.is_norm]
    found = []
    for node in graph.hidden:
        name, readers = node.name, graph.readers(node.name)
        own = tuple(n.name for n in norms if n.units.keys() == {name})
        where = tuple(reader.where(name) for reader in readers)
        found.append(HiddenUnits(name, node.count, tuple(r.name for r in readers), own, where))
    return found


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
    refuse_parametrizations(model)
    w = {n: to_numpy(m.weight.array) for n, m in model.named_modules() if isinstance(m, Weighted)}
    left = {}
    for u in hidden:
        read = _are_read([(w[r], at) for r, at in zip(u.readers, u.where, strict=True)])
        left[u.layer] = int(np.count_nonzero(has_incoming(w[u.layer]) & read))
    return left


@door
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
        be folded exactly: its reader has no bias, pads a nonzero constant with zeros, or something
        that is no constant is added to it.

    Raises
    ------
    ValueError
        As `hidden_units`.
    """
    graph = _follow(model, x)
    dead = DeadUnits(graph).remove()
    for node in graph.nodes.values():
        p, stays = node.module, node.places(dead.alive)
        if node.is_norm:
            weight, bias = (to_numpy(a.array) * stays for a in (p.weight, p.bias))
        else:
            weight, bias = dead.weights[node.name], dead.biases[node.name]
        _write(p.weight, weight)
        _write(p.bias, bias)
    return {n.name: int(np.count_nonzero(~dead.alive[n.name])) for n in graph.hidden}


def _follow(model: Module, x: Any) -> Graph:
    """Follow a model all of whose nodes can be told apart."""
    refuse_parametrizations(model)
    graph = follow(model, x)
    for name in graph.unclear.keys() & graph.nodes.keys():
        raise ValueError(graph.unclear[name])
    return graph


def _write(p: Any, array: Any) -> None:
    if p is not None and not np.array_equal(p.numpy(), array):
        with p.writing() as w:
            w[...] = array_module(w).asarray(array)


# ---- their removal ------------------------------------------------------------------------------


class DeadUnits:
    """The weights of a model that lose all that belongs to dead units; copies, not the model's.

    What the living see stays the same, so one forward tells all constants.

    Parameters
    ----------
    graph : Graph
        The model, followed; its weights are what its parameters say, see
        `minisparse.nn.hardening.refuse_parametrizations`.  Units that could not be followed are
        left alone.

    Attributes
    ----------
    weights, biases : dict from layer name to array
        A layer without bias has None there.
    alive : dict from layer name to bool array, [units]
    folded : dict from layer name to int
        How many of the dead were constants, which the biases of their readers have taken over.
    unfoldable : dict from layer name to str
        Why others could not be folded.

    Raises
    ------
    ValueError
        A layer is sparse already.
    """

    def __init__(self, graph: Graph) -> None:
        sparse = [n.name for n in graph.layers if not isinstance(n.module, Weighted)]
        if sparse:
            raise ValueError(
                f"{', '.join(sparse)}: sparse already; take the dense model, or the one that "
                "minisparse.sparse.densify returns"
            )
        self.graph = graph
        self.weights = {n.name: n.module.weight.numpy() for n in graph.layers}
        self.biases: dict[str, Any] = {}
        for node in graph.layers:
            bias = node.module.bias
            self.biases[node.name] = None if bias is None else bias.numpy()
        self.alive = {n.name: np.ones(n.count, bool) for n in graph.layers}
        self.folded = dict.fromkeys(self.alive, 0)
        self.unfoldable: dict[str, str] = {}

    def remove(self) -> Self:
        """Zero everything that belongs to a dead unit, fold constants, until nothing changes."""
        hidden = self.graph.hidden
        changing = True
        while changing:
            changing = False
            for node in hidden:
                changing |= self._remove_from(node.name, self.graph.readers(node.name))
        return self

    def _remove_from(self, name: str, readers: list[Node]) -> bool:
        w, bias = self.weights[name], self.biases[name]
        read = _are_read([(self.weights[r.name], r.where(name)) for r in readers])
        dead = self.alive[name] & ~(has_incoming(w) & read)
        constant = dead & read
        for reader in readers if constant.any() else ():
            fits = self._foldable(reader, name)
            if (constant & ~fits).any():
                self.unfoldable[name] = f"their constants cannot go into the bias of {reader.name}"
            dead &= ~constant | fits
        if not dead.any():
            return False
        for reader in readers:
            self._fold(reader, reader.where(name), dead, constant & dead)
        w[..., dead] = 0
        if bias is not None:
            bias[dead] = 0
        self.alive[name] &= ~dead
        self.folded[name] += int((constant & dead).sum())
        return True

    def _foldable(self, reader: Node, name: str) -> np.ndarray:
        """Return which units, if constant, a reader's bias can take over exactly."""
        where, w = reader.where(name), self.weights[reader.name]
        rows, units = where.reshape(-1), where.shape[1]
        padded = isinstance(reader.module, Conv2d) and reader.module.padding != (0, 0)
        zeros_only = padded or self.biases[reader.name] is None
        fits = foldable(reader.input[..., rows], w[..., rows, :], units, zeros_only=zeros_only)
        # What else stands there must be constant, too, whatever a few images show.
        varying = {
            source: has_incoming(self.weights[source])
            for source in reader.units
            if source in self.weights
        }
        meets = reads(w) & reader.places(varying, learned=False)
        return np.asarray(fits & ~meets[where].any(axis=0))

    def _fold(
        self, reader: Node, where: np.ndarray, dead: np.ndarray, constant: np.ndarray
    ) -> None:
        """Move the constants of units into a reader's bias, and forget the weights of the dead."""
        w, bias = self.weights[reader.name], self.biases[reader.name]
        values = reader.input.reshape(-1, reader.input.shape[-1])[0]
        rows = where[:, constant].reshape(-1)
        rows = rows[(values[rows] != 0) & reads(w)[rows]]
        if rows.size:
            wide = np.float64
            bias[:] = folded_bias(
                bias.astype(wide), values[rows].astype(wide), w[..., rows, :].astype(wide)
            )
        w[..., where[:, dead].reshape(-1), :] = 0


def _are_read(readers: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Return which units have an outgoing weight, given their readers' weights and their places."""
    read = [has_outgoing(w[..., at.reshape(-1), :], at.shape[1]) for w, at in readers]
    return np.asarray(np.any(read, axis=0))


__no_gradient__ = (
    "foldable",
    "folded_bias",
    "has_incoming",
    "has_outgoing",
    "hidden_units",
    "nodes_left",
    "reads",
    "remove_dead_nodes",
)
__all__ = [
    "DeadUnits",
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

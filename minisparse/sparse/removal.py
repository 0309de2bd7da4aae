r"""A physically smaller model: units that matter no more are taken out of the arrays.

A unit is one output of a linear layer or one filter.  It matters no more if all its outgoing weights
are zero, or if all its incoming weights are: then it is a constant.  With bias b and relu its
readers see c = relu(b), whatever the input, and their biases can take that over,

    b_next <- b_next + sum_j c_j v_j          v_j the outgoing weights of unit j

where v_j is summed over the window of a convolution.  What arrives at the reader (through batch
norm, pooling, any activation) is read off from one forward.  A constant must really be one at every
place: behind a convolution that pads with zeros, or pooling whose windows reach into zeros, it is
not the same at the border, and the unit stays.  (After flattening each place has its own weight, so
there each may have its own constant.)

Taking a unit out may leave others without weights, so all this is repeated until nothing changes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays import array_module, to_numpy
from ..autodiff.ops.shape import Reshape
from ..nn import Conv2d, Module, Parameter, Selected
from ..nn.names import joined
from ..prune.nodes import foldable, folded_bias, has_incoming, has_outgoing, reads
from .graph import INPUT, Graph, Node
from .layers import SparseLayer


class Cut:
    """For each parameter and buffer that shrinks: along which axes, and what stays there."""

    def __init__(self) -> None:
        self.axes: dict[str, list[tuple[int, np.ndarray]]] = {}

    def note(self, name: str, axis: int, stays: np.ndarray) -> None:
        """Remember that an axis of an array keeps only some of its entries."""
        if not stays.all():
            self.axes.setdefault(name, []).append((axis, np.flatnonzero(stays)))

    def of(self, name: str, array: Any) -> Any:
        """Return what is left of an array that has the shape of the named one."""
        for axis, index in self.axes.get(name, ()):
            place = [slice(None)] * array.ndim
            place[axis] = array_module(array).asarray(index)
            array = array[tuple(place)]
        return array


class Removal:
    """A masked model that is losing its dead units: in the weights first, then in their shapes."""

    def __init__(self, model: Module, graph: Graph) -> None:
        sparse = [n.name for n in graph.layers if isinstance(n.module, SparseLayer)]
        if sparse:
            raise ValueError(
                f"{', '.join(sparse)}: sparse already; shrink the dense model, or the one that "
                "minisparse.sparse.densify returns"
            )
        self.model, self.graph = model, graph
        self.weights = {n.name: _host(n.module.weight) for n in graph.layers}
        self.biases = {
            n.name: None if n.module.bias is None else _host(n.module.bias) for n in graph.layers
        }
        self.alive = {n.name: np.ones(n.units, bool) for n in graph.layers}
        self.folded = dict.fromkeys(self.alive, 0)
        self.unfoldable: dict[str, str] = {}
        self.used: np.ndarray | None = None
        self.input_channels = False

    # ---- in the weights -------------------------------------------------------------------------

    def remove_dead_units(self) -> None:
        """Zero everything that belongs to a dead unit, fold constants, until nothing changes."""
        changing = True
        while changing:
            changing = False
            for node in self.graph.layers:
                if node.name not in self.graph.fixed:
                    changing |= self._remove_from(node)

    def _remove_from(self, node: Node) -> bool:
        name, readers = node.name, self.graph.readers(node.name)
        incoming = has_incoming(self.weights[name])
        outgoing = np.zeros(node.units, bool)
        for reader in readers:
            outgoing |= has_outgoing(self.weights[reader.name], node.units)
        dead = self.alive[name] & ~(incoming & outgoing)
        if not dead.any():
            return False
        constant = dead & outgoing
        for reader in readers:
            fits = self._foldable(reader, node.units)
            if bool((constant & ~fits).any()):
                self.unfoldable[name] = f"their constants cannot go into the bias of {reader.name}"
            dead &= ~constant | fits
        if dead.sum() == self.alive[name].sum():
            dead[np.flatnonzero(dead)[0]] = False  # arrays without elements help nobody
        for reader in readers:
            self._fold(reader, dead, constant & dead)
        self.weights[name][..., dead] = 0
        bias = self.biases[name]
        if bias is not None:
            bias[dead] = 0
        self.alive[name] &= ~dead
        self.folded[name] += int((constant & dead).sum())
        return bool(dead.any())

    def _foldable(self, reader: Node, units: int) -> np.ndarray:
        """Return which units, if constant, a reader's bias can take over exactly."""
        padded = isinstance(reader.module, Conv2d) and reader.module.padding != (0, 0)
        zeros_only = padded or self.biases[reader.name] is None
        return foldable(reader.input, self.weights[reader.name], units, zeros_only=zeros_only)

    def _fold(self, reader: Node, dead: np.ndarray, constant: np.ndarray) -> None:
        """Move the constants of units into a reader's bias, and forget the weights of the dead."""
        w, bias = self.weights[reader.name], self.biases[reader.name]
        places = w.shape[-2] // dead.size
        values = reader.input.reshape(-1, reader.input.shape[-1])[0]
        rows = np.tile(constant, places) & (values != 0) & reads(w)
        if rows.any():
            assert bias is not None
            wide = np.float64
            bias[:] = folded_bias(
                bias.astype(wide), values[rows].astype(wide), w[..., rows, :].astype(wide)
            )
        w[..., np.tile(dead, places), :] = 0

    def reasons(self) -> dict[str, str]:
        """Return for the layers that have dead units left why they stay."""
        found = {}
        for node in self.graph.layers:
            name, alive = node.name, self.alive[node.name]
            incoming = has_incoming(self.weights[name])
            if (~incoming & alive).any():
                why = self.graph.fixed.get(name, self.unfoldable.get(name))
                if why and "outputs of the model" not in why:
                    found[name] = why
        return found

    # ---- in the shapes --------------------------------------------------------------------------

    def build(self, inputs: bool) -> tuple[Module, Cut]:
        """Return the model with smaller arrays, and how they were cut."""
        cut = Cut()
        for node in self.graph.layers:
            weight, bias = joined(node.name, "weight"), joined(node.name, "bias")
            cut.note(weight, node.module.weight.ndim - 1, self.alive[node.name])
            cut.note(bias, 0, self.alive[node.name])
            owner = self.graph.owner(node.source)
            if owner in self.alive:
                length = node.module.weight.shape[-2]
                cut.note(weight, node.module.weight.ndim - 2, _tile(self.alive[owner], length))
        for name, alive in self.alive.items():
            for norm in self.graph.norms(name):
                stays = _tile(alive, norm.units)
                for part in ("weight", "bias", "running_mean", "running_var"):
                    cut.note(joined(norm.name, part), 0, stays)
        if inputs:
            self._find_used_inputs(cut)
        for node in self.graph.nodes.values():
            self._rebuild(node, cut)
        if inputs:
            index = array_module(self.model.parameters()[0]._array).asarray(self.used)
            return Selected(self.model, index, self.input_channels), cut
        return self.model, cut

    def _rebuild(self, node: Node, cut: Cut) -> None:
        module = node.module
        if node.is_norm:
            for part in ("running_mean", "running_var"):
                setattr(module, part, cut.of(joined(node.name, part), getattr(module, part)).copy())
            new = {"weight": module.weight._array, "bias": module.bias._array}
        else:
            xp = array_module(module.weight._array)
            new = {"weight": xp.asarray(self.weights[node.name])}
            bias = self.biases[node.name]
            if bias is not None:
                new["bias"] = xp.asarray(bias)
        for part, array in new.items():
            old = getattr(module, part)
            fresh = Parameter(cut.of(joined(node.name, part), array), name=old.name)
            fresh.requires_grad = old.requires_grad
            setattr(module, part, fresh)

    def _find_used_inputs(self, cut: Cut) -> None:
        readers = self.graph.readers(INPUT)
        unclear = [n.name for n in readers if any(type(op) is not Reshape for op in n.ops)]
        if unclear or INPUT in self.graph.fixed or not readers:
            raise ValueError(
                "unused inputs can be dropped where layers read the inputs themselves, but here "
                f"{self.graph.fixed.get(INPUT) or f'something is applied before {unclear}'}; "
                "leave out inputs=True"
            )
        used = np.zeros(readers[0].module.weight.shape[-2], bool)
        self.input_channels = isinstance(readers[0].module, Conv2d)
        for reader in readers:
            read = reads(self.weights[reader.name])
            if read.size != used.size or isinstance(reader.module, Conv2d) != self.input_channels:
                raise ValueError(
                    "unused inputs can be dropped where all layers that read them read the same, "
                    f"but {readers[0].name} and {reader.name} differ; leave out inputs=True"
                )
            used |= read
        if not used.any():
            used[0] = True
        for reader in readers:
            weight = reader.module.weight
            cut.note(joined(reader.name, "weight"), weight.ndim - 2, used)
        self.used = np.flatnonzero(used)


# ---- small things -------------------------------------------------------------------------------


def _tile(alive: np.ndarray, length: int) -> np.ndarray:
    """Repeat what is said of units for the positions of a flattened image; channels run fastest."""
    return np.tile(alive, length // alive.size)


def _host(p: Parameter) -> np.ndarray:
    return np.array(to_numpy(p._array))


__all__ = ["Cut", "Removal"]

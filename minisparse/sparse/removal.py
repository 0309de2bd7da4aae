"""A physically smaller model: what is dead in the weights goes from the arrays.

`minisparse.prune.nodes.DeadUnits` has taken the dead units out of the weights, with all constants in
the biases of their readers.  Here a unit's entries are cut out of its layer's arrays, and its places
out of those of its readers and batch norms.  Units that meet others on the way (in a sum of two
branches) can be cut where all that meet are dead; otherwise they stay, as zeros.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays import array_module
from ..autodiff.ops.shape import Reshape
from ..nn import Conv2d, Module, Parameter, Selected
from ..nn.graph import INPUT, Graph, Node
from ..nn.names import joined
from ..prune.nodes import DeadUnits, has_incoming, reads


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
    """A masked model that has lost its dead units in the weights, and loses them in their shapes.

    Attributes
    ----------
    dead : DeadUnits
    stays : dict from layer name to bool array, [units]
        Units that stay in the arrays: the living; those that are coupled with living ones; and one
        of each layer, since arrays without elements help nobody.
    used : int array or None
        The inputs that the model reads, if others were dropped.
    """

    def __init__(self, model: Module, graph: Graph) -> None:
        self.model, self.graph = model, graph
        self.dead = DeadUnits(graph).remove()
        self.used: np.ndarray | None = None
        self.input_channels = False
        groups, fixed = graph.groups(), graph.fixed
        stay = np.zeros(sum(node.count for node in graph.layers), bool)
        for name, labels in groups.items():
            stay[labels[self.dead.alive[name] | (name in fixed)]] = True
        for labels in groups.values():
            if not stay[labels].any():
                stay[labels[:1]] = True
        self.stays = {name: stay[labels] for name, labels in groups.items()}

    def folded(self) -> dict[str, int]:
        """Return for each layer how many constants the biases of its readers have taken over."""
        return {name: n for name, n in self.dead.folded.items() if n}

    def reasons(self) -> dict[str, str]:
        """Return for the layers that have dead units left why they stay."""
        found = {}
        for name, stays in self.stays.items():
            if (stays & ~has_incoming(self.dead.weights[name])).any():
                why = [self.graph.fixed.get(name) or self.dead.unfoldable.get(name)]
                if others := self.graph.coupled(name):
                    why.append(f"they are coupled with units of {', '.join(others)}")
                if name not in self.graph.outputs and any(why):
                    found[name] = "; ".join(filter(None, why))
        return found

    def build(self, inputs: bool) -> tuple[Module, Cut]:
        """Return the model with smaller arrays, and how they were cut."""
        cut = Cut()
        for node in self.graph.nodes.values():
            read = node.places(self.stays)
            if node.is_norm:
                for part in ("weight", "bias", "running_mean", "running_var"):
                    cut.note(joined(node.name, part), 0, read)
                continue
            weight, axes = joined(node.name, "weight"), node.module.weight.ndim
            cut.note(weight, axes - 1, self.stays[node.name])
            cut.note(joined(node.name, "bias"), 0, self.stays[node.name])
            cut.note(weight, axes - 2, read)
        if inputs:
            self._find_used_inputs(cut)
        for node in self.graph.nodes.values():
            self._rebuild(node, cut)
        if inputs:
            index = array_module(self.model.parameters()[0].array).asarray(self.used)
            return Selected(self.model, index, self.input_channels), cut
        return self.model, cut

    def _rebuild(self, node: Node, cut: Cut) -> None:
        module = node.module
        if node.is_norm:
            for part in ("running_mean", "running_var"):
                setattr(module, part, cut.of(joined(node.name, part), getattr(module, part)).copy())
            new = {"weight": module.weight.array, "bias": module.bias.array}
        else:
            xp = array_module(module.weight.array)
            new = {"weight": xp.asarray(self.dead.weights[node.name])}
            bias = self.dead.biases[node.name]
            if bias is not None:
                new["bias"] = xp.asarray(bias)
        for part, array in new.items():
            old = getattr(module, part)
            fresh = Parameter(cut.of(joined(node.name, part), array), name=old.name)
            fresh.requires_grad = old.requires_grad
            setattr(module, part, fresh)

    def _find_used_inputs(self, cut: Cut) -> None:
        readers = self.graph.readers(INPUT)
        unclear = [
            n.name
            for n in readers
            if n.source != INPUT or any(type(op) is not Reshape for op in n.ops)
        ]
        if unclear or INPUT in self.graph.fixed or not readers:
            raise ValueError(
                "unused inputs can be dropped where layers read the inputs themselves, but here "
                f"{self.graph.fixed.get(INPUT) or f'something is applied before {unclear}'}; "
                "leave out inputs=True"
            )
        used = np.zeros(readers[0].module.weight.shape[-2], bool)
        self.input_channels = isinstance(readers[0].module, Conv2d)
        for reader in readers:
            read = reads(self.dead.weights[reader.name])
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


__all__ = ["Cut", "Removal"]

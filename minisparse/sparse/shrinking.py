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

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..arrays import array_module, to_numpy
from ..autodiff import Tensor, no_grad
from ..autodiff.ops import flatten, getitem
from ..autodiff.ops.shape import Reshape
from ..nn import Conv2d, Linear, Module, Parameter, num_parameters
from ..optim import Optimizer
from ..prune.mask import Mask
from ..prune.nodes import evaluating, folded_bias, has_incoming, has_outgoing
from .graph import INPUT, Graph, Node, example_for, follow
from .layers import SparseLayer
from .models import Model, copied, joined, refuse_parametrizations


@dataclass
class ShrinkReport:
    """What was removed; its text has a line "A => B" for every layer that changed.

    Attributes
    ----------
    lines : list of str
    before, after : int
        Numbers of parameters, biases included.
    removed : dict from layer name to int array
        Numbers of the units that are gone, as they were counted before.
    folded : dict from layer name to int
        How many of these were constants that the next biases took over.
    kept_whole : dict from layer name to str
        Layers with dead units that could not be removed, and why.
    mask : Mask or None
        The given mask, without what is gone: for further training of the small model.
    inputs : int array or None
        The inputs that the small model reads, if unused ones were dropped.
    """

    lines: list[str]
    before: int
    after: int
    removed: dict[str, np.ndarray]
    folded: dict[str, int]
    kept_whole: dict[str, str] = field(default_factory=dict)
    mask: Mask | None = None
    inputs: np.ndarray | None = None

    def __str__(self) -> str:
        lines = list(self.lines) or ["nothing to remove"]
        lines += [f"{name}: dead units stay: {why}" for name, why in self.kept_whole.items()]
        folded = sum(self.folded.values())
        if folded:
            units = "1 constant unit" if folded == 1 else f"{folded} constant units"
            lines.append(f"{units} folded into the next biases")
        share = self.after / max(self.before, 1)
        lines.append(f"parameters: {self.before:,} => {self.after:,} ({100 * share:.1f} %)")
        return "\n".join(lines)


class Selected(Module):
    """A model that reads some of its inputs only.

    Parameters
    ----------
    model : Module
    index : int array
        Which of the flattened inputs, or which channels of an image.
    channels : bool

    Attributes
    ----------
    model : Module
    index : int array
    """

    index: Any

    def __init__(self, model: Module, index: Any, channels: bool = False) -> None:
        self.model = model
        self.register_buffer("index", index)
        self.channels = channels

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """Apply the model to what it reads."""
        return self.model(self.selected(x))

    def selected(self, x: Tensor) -> Tensor:
        """Return what the model reads of x."""
        if self.channels:
            return getitem(x, (..., self.index))
        return getitem(flatten(x), (slice(None), self.index))

    def _describe(self) -> str:
        return f"{self.index.size} {'channels' if self.channels else 'inputs'}"


def shrink(
    model: Model,
    masks: Mask | None = None,
    optimizer: Optimizer | None = None,
    example: Any = None,
    *,
    inputs: bool = False,
) -> tuple[Any, ShrinkReport]:
    """Return a model without the units that matter no more, and a report of what was removed.

    In evaluation mode its outputs equal those of the masked model up to rounding; that is checked
    on the example before it is returned.  The model itself is not changed.

    Parameters
    ----------
    model : Module
        Made of Linear, Conv2d, BatchNorm1d and 2d, pooling, elementwise activations, Dropout and
        Flatten, as modules or functions, in any class.  Units whose way is not clear (a sum of two
        branches, a layer used twice, the outputs of the model) are left alone.
    masks : Mask, optional
        Of any pruning method; without it, weights that are zero are gone.
    optimizer : Optimizer, optional
        One that trains `model`.  It is handed over to the small model: its parameters are exchanged
        for the new ones, and its state (momentum, moments) loses what is gone.
    example : array [n, ...], optional
        An input that the model takes; needed where the size of the images does not follow from the
        model.
    inputs : bool
        Drop inputs that nothing reads, too.  The result is then a `Selected`, which holds the
        index of those that it reads.

    Returns
    -------
    small : Module
        Of the same class with the same names, or a `Selected` around it.
    report : ShrinkReport

    Raises
    ------
    ValueError
        A layer's weights are mapped by a parametrization, the example does not fit, or the small
        model would not compute the same: its class contains something that cannot be followed.

    Examples
    --------
    >>> from minisparse.nn import LeNet300
    >>> model = LeNet300(rng=np.random.default_rng(0))
    >>> kept = np.ones((784, 300), bool)
    >>> kept[:, 97:] = False
    >>> small, report = shrink(model, Mask({"fc1.weight": kept}))
    >>> print(report)
    fc1: 784-300 => 784-97
    fc2: 300-100 => 97-100
    203 constant units folded into the next biases
    parameters: 266,610 => 86,955 (32.6 %)
    """
    refuse_parametrizations(model)
    masked = copied(model)
    if masks is not None:
        masks.apply(masked)
    x = example_for(model) if example is None else np.asarray(to_numpy(_array(example)))
    x = array_module(model.parameters()[0]._array).asarray(x)
    graph = follow(masked, x)
    work = Removal(masked, graph)
    work.remove_dead_units()
    small, cut = work.build(inputs)
    _check_equal(small, x, graph)
    lines, prefix = _lines(model, work.model, work), "model." if inputs else ""
    report = ShrinkReport(
        lines,
        num_parameters(model),
        num_parameters(small),
        {name: np.flatnonzero(~alive) for name, alive in work.alive.items() if not alive.all()},
        {name: n for name, n in work.folded.items() if n},
        work.reasons(),
        None if masks is None else Mask({prefix + n: cut.of(n, m) for n, m in masks.items()}),
        work.used if inputs else None,
    )
    if optimizer is not None:
        _hand_over(optimizer, model, small, cut, prefix)
    return small, report


class _Cut:
    """For each parameter and buffer that shrinks: along which axes, and what stays there."""

    def __init__(self) -> None:
        self.axes: dict[str, list[tuple[int, np.ndarray]]] = {}

    def note(self, name: str, axis: int, stays: np.ndarray) -> None:
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
        seen = reader.input.reshape(-1, reader.input.shape[-1])
        # Equal but for the last bits, in which vectorized and single evaluations may differ.
        fits = np.ptp(seen, axis=0) <= 8 * np.finfo(seen.dtype).eps * np.abs(seen[0])
        padded = isinstance(reader.module, Conv2d) and reader.module.padding != (0, 0)
        if padded or self.biases[reader.name] is None:
            fits &= seen[0] == 0
        fits |= ~_reads(self.weights[reader.name])
        return np.asarray(fits.reshape(-1, units).all(axis=0))

    def _fold(self, reader: Node, dead: np.ndarray, constant: np.ndarray) -> None:
        """Move the constants of units into a reader's bias, and forget the weights of the dead."""
        w, bias = self.weights[reader.name], self.biases[reader.name]
        places = w.shape[-2] // dead.size
        values = reader.input.reshape(-1, reader.input.shape[-1])[0]
        rows = np.tile(constant, places) & (values != 0) & _reads(w)
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

    def build(self, inputs: bool) -> tuple[Module, _Cut]:
        """Return the model with smaller arrays, and how they were cut."""
        cut = _Cut()
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

    def _rebuild(self, node: Node, cut: _Cut) -> None:
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

    def _find_used_inputs(self, cut: _Cut) -> None:
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
            reads = _reads(self.weights[reader.name])
            if reads.size != used.size or isinstance(reader.module, Conv2d) != self.input_channels:
                raise ValueError(
                    "unused inputs can be dropped where all layers that read them read the same, "
                    f"but {readers[0].name} and {reader.name} differ; leave out inputs=True"
                )
            used |= reads
        if not used.any():
            used[0] = True
        for reader in readers:
            weight = reader.module.weight
            cut.note(joined(reader.name, "weight"), weight.ndim - 2, used)
        self.used = np.flatnonzero(used)


# ---- small things -------------------------------------------------------------------------------


def _reads(w: np.ndarray) -> np.ndarray:
    """Return which inputs have a nonzero weight."""
    axes = tuple(i for i in range(w.ndim) if i != w.ndim - 2)
    return np.asarray((w != 0).any(axis=axes))


def _tile(alive: np.ndarray, length: int) -> np.ndarray:
    """Repeat what is said of units for the positions of a flattened image; channels run fastest."""
    return np.tile(alive, length // alive.size)


def _host(p: Parameter) -> np.ndarray:
    return np.array(to_numpy(p._array))


def _array(x: Any) -> Any:
    return x._array if isinstance(x, Tensor) else x


def _check_equal(small: Module, x: Any, graph: Graph) -> None:
    """Compare on the example: what a model does besides its layers may not be seen in a graph."""
    advice = (
        "the model contains something that cannot be followed (numbers of units written into its "
        "forward, or a dependence on them): its units must stay as they are"
    )
    try:
        with evaluating(small), no_grad():
            found = to_numpy(small(x)._array)
    except (ValueError, IndexError, TypeError) as error:
        raise ValueError(f"the small model cannot be applied ({error}): {advice}") from error
    if found.shape != graph.output.shape:
        raise ValueError(
            f"the small model returns {found.shape}, not {graph.output.shape}: {advice}"
        )
    # Rounding is relative to the numbers on the way, of which the outputs may be small differences.
    seen = (graph.output, *(node.input for node in graph.nodes.values()))
    scale = max(float(np.abs(a).max(initial=0.0)) for a in seen)
    far = float(np.abs(found - graph.output).max(initial=0.0))
    if not far <= 1e3 * np.finfo(found.dtype).eps * scale:
        raise ValueError(f"the small model computes something else (difference {far:g}): {advice}")


def _hand_over(optimizer: Optimizer, model: Module, small: Module, cut: _Cut, prefix: str) -> None:
    """Let an optimizer train the small model, with what is left of its state."""
    names = {id(p): name for name, p in model.named_parameters()}
    new = dict(small.named_parameters())
    for name, p in optimizer.params:
        if id(p) not in names:
            raise ValueError(f"the optimizer trains '{name}', which is no parameter of the model")
    known = [names[id(p)] for _, p in optimizer.params]
    optimizer.params = [(prefix + name, new[prefix + name]) for name in known]
    for slot, arrays in optimizer.state.items():
        optimizer.state[slot] = [cut.of(n, a).copy() for n, a in zip(known, arrays, strict=True)]


def _lines(model: Module, small: Module, work: Removal) -> list[str]:
    before = dict(model.named_modules())
    after = dict(small.named_modules())
    lines = []
    for node in work.graph.nodes.values():
        a, b = _size(before[node.name]), _size(after[node.name])
        if a != b:
            lines.append(f"{node.name or type(model).__name__}: {a} => {b}")
    return lines


def _size(module: Any) -> str:
    """Describe a layer by its inputs and outputs: 784-300, 20-50 (5x5), or 300 for a batch norm."""
    shape = module.weight.shape
    if isinstance(module, Linear):
        return f"{shape[0]}-{shape[1]}"
    if isinstance(module, Conv2d):
        return f"{shape[2]}-{shape[3]} ({shape[0]}x{shape[1]})"
    return str(shape[0])


__all__ = ["Selected", "ShrinkReport", "shrink"]

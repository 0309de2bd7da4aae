"""A physically smaller model, and what was removed from it; prune/nodes.py says what that is and why."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..arrays import array_module, to_numpy
from ..autodiff import Tensor, no_grad
from ..doors import door
from ..nn import Conv2d, Linear, Module, num_parameters
from ..nn.graph import Graph, example_for, follow
from ..nn.hardening import refuse_parametrizations
from ..nn.module import in_mode
from ..nn.names import Model, copied
from ..optim import Optimizer
from ..prune.mask import Mask
from .removal import Cut, Removal


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


@door
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
        Flatten, sums and concatenations of branches, as modules or functions, in any class.  Units
        whose way is not clear (a part of an axis, a layer used twice) are left alone.
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
    x = array_module(model.parameters()[0].array).asarray(x)
    graph = follow(masked, x)
    work = Removal(masked, graph)
    small, cut = work.build(inputs)
    _check_equal(small, x, graph)
    lines, prefix = _lines(model, work.model, work), "model." if inputs else ""
    report = ShrinkReport(
        lines,
        num_parameters(model),
        num_parameters(small),
        {name: np.flatnonzero(~stays) for name, stays in work.stays.items() if not stays.all()},
        work.folded(),
        work.reasons(),
        None if masks is None else Mask({prefix + n: cut.of(n, m) for n, m in masks.items()}),
        work.used if inputs else None,
    )
    if optimizer is not None:
        _hand_over(optimizer, model, small, cut, prefix)
    return small, report


def _array(x: Any) -> Any:
    return x.array if isinstance(x, Tensor) else x


def _check_equal(small: Module, x: Any, graph: Graph) -> None:
    """Compare on the example: what a model does besides its layers may not be seen in a graph."""
    advice = (
        "the model contains something that cannot be followed (numbers of units written into its "
        "forward, or a dependence on them): its units must stay as they are"
    )
    try:
        with in_mode(small, training=False), no_grad():
            found = to_numpy(small(x).array)
    except (ValueError, IndexError, TypeError) as error:
        raise ValueError(f"the small model cannot be applied ({error}): {advice}") from error
    if found.shape != graph.output.shape:
        raise ValueError(
            f"the small model returns {found.shape}, not {graph.output.shape}: {advice}"
        )
    # Rounding is relative to the numbers on the way, of which the outputs may be small differences.
    seen = (graph.output, *(node.input for node in graph.nodes.values()))
    scale = max(float(np.abs(a).max(initial=0.0)) for a in seen)
    if not math.isfinite(scale):
        raise ValueError(
            "the model computes NaN or infinity on the example, so that nothing can be compared: "
            "find the weight or the input that is not finite"
        )
    far = float(np.abs(found - graph.output).max(initial=0.0))
    if not far <= 1e3 * np.finfo(found.dtype).eps * scale:
        raise ValueError(f"the small model computes something else (difference {far:g}): {advice}")


def _hand_over(optimizer: Optimizer, model: Module, small: Module, cut: Cut, prefix: str) -> None:
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


__all__ = ["ShrinkReport", "shrink"]

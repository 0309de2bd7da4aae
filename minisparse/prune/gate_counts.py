"""What gates are worth: weights and multiply-adds, expected or left at evaluation.

Two ways to count, both of them here, since published numbers use the first:

* `authors_counts`, as the authors of L0 regularization count: every layer by itself, so that the
  gate of an input saves nothing in the layer that computes this input;
* `gate_counts`, as it really is: a unit between two layers is left if its own gate is open and some
  gate of the next layer still reads it; a weight counts if its own gate (if it has one), its input
  unit and its output unit are left.  A filter that is removed takes its inputs of the next linear
  layer along (16 of them in LeNet-5), and goes itself when all of these are closed.

Gates are independent, so the probability that a weight is left is a product, and the expected
counts are exact.  With 0 and 1 as probabilities the same formulas count a network after training.

Both need a chain: layers that feed each other one after another, as in the two LeNets.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import numpy as np

from ..arrays import array_module, to_numpy
from ..doors import door
from ..nn import Module
from ..nn.graph import INPUT, follow
from .granularity import Granularity, ungroup
from .hard_concrete import prob_nonzero
from .l0 import Gates

Presence = Literal["expected", "left"]


@dataclass(frozen=True)
class GatedLayer:
    """What counting needs to know of a layer.

    Parameters
    ----------
    name : str
    shape : tuple of int
        Of the weight, [in, out] or [kh, kw, in, out].
    positions : int
        How often the weight is applied to one image: H' W' of a convolution's output, otherwise 1.
    bias : bool
    group : optional
        What a gate multiplies, see `minisparse.prune.l0.Gate`; None without gates.
    open : array, optional
        For each gate the probability that it is open.
    """

    name: str
    shape: tuple[int, ...]
    positions: int = 1
    bias: bool = True
    group: Granularity | None = None
    open: Any = None

    def gates(self, group: str) -> np.ndarray | None:
        """Return the probabilities if gates are in groups of this kind."""
        return np.asarray(self.open, dtype=np.float64) if self.group == group else None


class Count(NamedTuple):
    """Numbers of weights and biases, of multiply-adds, and of additions of a bias, per image.

    A multiply-add is two floating-point operations.
    """

    weights: float
    biases: float
    multiply_adds: float
    bias_adds: float


class AuthorsCount(NamedTuple):
    """L0, biases included, and floating-point operations (a multiplication 1, an addition 1)."""

    l0: float
    flops: float


# ---- formulas -----------------------------------------------------------------------------------


def count_chain(layers: Sequence[GatedLayer], coupled: bool = True) -> dict[str, Count]:
    """Count what is left of each layer of a chain.

    With a_c the gate of output c of a layer and b_i the gates of the r inputs of the next layer
    that read it (r > 1 where images are flattened; a gate that does not exist is open),

        P(output c is left) = a_c (1 - prod_i (1 - b_i)),    P(input i is left) = b_i a_c(i),

    the probability that a weight is left is the product of those of its input, of its output and
    of its own gate, and all counts are sums of these.

    Parameters
    ----------
    layers : list of GatedLayer
        In the order in which they feed each other.
    coupled : bool
        False: where an output has a gate of its own and its readers have theirs, filters are
        counted by a_c and inputs by b_i alone.  That is how a list such as "20-25-45-462" reads:
        45 inputs, also if some of them read one of the 25 removed filters.

    Returns
    -------
    dict from layer name to Count

    Examples
    --------
    >>> first = GatedLayer("fc1", (4, 3), group="input", open=[1, 1, 0, 0])
    >>> second = GatedLayer("fc2", (3, 2), group="input", open=[1, 0, 0])
    >>> for name, count in count_chain([first, second]).items():
    ...     print(name, count)
    fc1 Count(weights=2.0, biases=1.0, multiply_adds=2.0, bias_adds=1.0)
    fc2 Count(weights=2.0, biases=2.0, multiply_adds=2.0, bias_adds=2.0)
    """
    outputs, inputs = [], [_or_ones(layers[0].gates("input"), layers[0].shape[-2])]
    for this, following in pairwise(layers):
        n, fed = this.shape[-1], following.shape[-2]
        flattened = len(this.shape) == 4 and len(following.shape) == 2
        if fed % n or (fed != n and not flattened):
            raise ValueError(
                f"{this.name} has {n} outputs, {following.name} takes {fed} inputs: these layers "
                "do not feed each other, and only a chain can be counted"
            )
        own, readers = this.gates("unit"), following.gates("input")
        a, b = _or_ones(own, n), _or_ones(readers, fed)
        by_channel = b.reshape(-1, n)  # flattened images: the channel runs fastest
        alive, fed_by = 1 - np.prod(1 - by_channel, axis=0), np.tile(a, fed // n)
        if coupled or own is None or readers is None:
            outputs.append(a * alive)
            inputs.append(b * fed_by)
        else:
            outputs.append(a)
            inputs.append(b)
    outputs.append(_or_ones(layers[-1].gates("unit"), layers[-1].shape[-1]))

    counts = {}
    for layer, before, after in zip(layers, inputs, outputs, strict=True):
        each = np.ones(layer.shape)
        if layer.group is not None and layer.group not in ("input", "unit"):
            each = ungroup(np.asarray(layer.open, dtype=np.float64), layer.shape, layer.group)
        weights = float((each * before[:, None] * after).sum())
        biases = float(after.sum()) if layer.bias else 0.0
        counts[layer.name] = Count(
            weights, biases, layer.positions * weights, layer.positions * biases
        )
    return counts


def count_as_authors(layer: GatedLayer) -> AuthorsCount:
    """Count one layer as the authors' code does.

    With P the sum of the gates' probabilities, m outputs, and n = kh kw in, of the whole layer,

        linear, gated inputs:          L0 = P m  (+ m biases)     FLOPs = (2 P - 1) m  (+ m)
        convolution, gated filters:    L0 = P n  (+ P biases)     FLOPs = H' W' P (2 n - 1)  (+ H' W' P)

    (Their H' W' is a fraction where a stride does not divide; ours is the true one.)

    Raises
    ------
    ValueError
        Gates of any other kind, which their code does not have.
    """
    *_, n_in, m = layer.shape
    convolution = len(layer.shape) == 4
    if layer.group != ("unit" if convolution else "input"):
        raise ValueError(
            f"{layer.name} has gates of kind {layer.group!r}; the authors count the inputs of "
            "linear layers and the filters of convolutions only"
        )
    p = float(np.sum(layer.open))
    if convolution:
        n = math.prod(layer.shape[:2]) * n_in
        bias = p if layer.bias else 0.0
        return AuthorsCount(p * n + bias, layer.positions * (p * (2 * n - 1) + bias))
    bias = float(m) if layer.bias else 0.0
    return AuthorsCount(p * m + bias, (2 * p - 1) * m + bias)


# ---- models -------------------------------------------------------------------------------------


def layers_in_chain(
    model: Module, presence: Presence = "expected", image_shape: tuple[int, ...] = (28, 28, 1)
) -> list[GatedLayer]:
    """Describe the layers of a model that feed each other one after another.

    Parameters
    ----------
    model : Module
    presence : {"expected", "left"}
        Gates as P(z != 0), of training, or as zhat > 0, 0 or 1, of evaluation.
    image_shape : (height, width, channels)

    Raises
    ------
    ValueError
        A layer is applied more than once, or does not read the one before it, and that alone.
    """
    if presence not in ("expected", "left"):
        raise ValueError(f'presence is "expected" or "left", got {presence!r}')
    first = model.parameters()[0]
    graph = follow(model, array_module(first.array).zeros((1, *image_shape), dtype=first.dtype))
    layers, before = [], INPUT
    for node in graph.layers:
        if node.name in graph.unclear:
            raise ValueError(graph.unclear[node.name])
        if node.units.keys() != {before}:
            raise ValueError(
                f"'{node.name}' reads {', '.join(node.units)}, not {before} alone, and only a chain "
                "can be counted"
            )
        gates, group, p = node.module.parametrization, None, None
        if isinstance(gates, Gates):
            group = gates.group
            p = gates.open().astype(np.float64)
            if presence == "expected":
                p = to_numpy(prob_nonzero(gates.log_alpha.array, gates.law))
        positions = math.prod(node.output_shape[1:-1])
        bias = node.module.bias is not None
        layers.append(GatedLayer(node.name, node.module.weight.shape, positions, bias, group, p))
        before = node.name
    return layers


@door
def gate_counts(
    model: Module,
    presence: Presence = "expected",
    image_shape: tuple[int, ...] = (28, 28, 1),
    coupled: bool = True,
) -> dict[str, Count]:
    """Count what the gates of a model leave, as it really is; see `layers_in_chain` and `count_chain`.

    Examples
    --------
    >>> from minisparse.nn import LeNet300
    >>> model = LeNet300(rng=np.random.default_rng(0))
    >>> total(gate_counts(model))  # without gates: everything
    Count(weights=266200.0, biases=410.0, multiply_adds=266200.0, bias_adds=410.0)
    """
    return count_chain(layers_in_chain(model, presence, image_shape), coupled)


@door
def authors_counts(
    model: Module,
    presence: Presence = "expected",
    image_shape: tuple[int, ...] = (28, 28, 1),
) -> dict[str, AuthorsCount]:
    """Count each gated layer of a model as the authors' code does; others are not counted."""
    layers = layers_in_chain(model, presence, image_shape)
    return {layer.name: count_as_authors(layer) for layer in layers if layer.group is not None}


def total(counts: dict[str, Any]) -> Any:
    """Add the counts of all layers."""
    values = list(counts.values())
    return type(values[0])(*(sum(column) for column in zip(*values, strict=True)))


def _or_ones(p: np.ndarray | None, n: int) -> np.ndarray:
    return np.ones(n) if p is None else p


__no_gradient__ = (
    "authors_counts",
    "count_as_authors",
    "count_chain",
    "gate_counts",
    "layers_in_chain",
    "total",
)
__all__ = [
    "AuthorsCount",
    "Count",
    "GatedLayer",
    "authors_counts",
    "count_as_authors",
    "count_chain",
    "gate_counts",
    "layers_in_chain",
    "total",
]

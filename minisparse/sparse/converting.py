"""From a masked model to one with sparse layers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ..arrays import array_module
from ..autodiff import Tensor
from ..autodiff.ops.activations import ReLU as ReLUOp
from ..autodiff.ops.shape import Reshape
from ..doors import door
from ..nn import Conv2d, Flatten, LeNet300, Linear, Module, Parameter, ReLU, Selected, Sequential
from ..nn.graph import INPUT, example_for, follow
from ..nn.hardening import refuse_parametrizations
from ..nn.names import copied, joined
from ..prune.mask import Mask
from .chain import Chain
from .fastest import fastest_formats
from .layers import SparseConv2d, SparseLayer, chain_layer, sparse_layer

FORMATS = ("dense", "csr", "blocked")


@door
def sparsify(
    model: Module,
    masks: Mask | None = None,
    format: str | Mapping[str, str] = "auto",
    *,
    batch: int = 100,
    example: Any = None,
) -> Module:
    """Return a copy of a model that stores and multiplies only the weights that are left.

    Every Linear becomes a `CSRLinear` or a `BlockedLinear` of the same name, every Conv2d a
    `SparseConv2d`; a perceptron (a `LeNet300`, or a `Sequential` of Linear, ReLU and Flatten)
    becomes a `Chain`, which computes all layers at once where no gradients are wanted.

    Parameters
    ----------
    model : Module
    masks : Mask, optional
        Of any pruning method; without it, what is not zero is left.
    format : {"auto", "csr", "blocked", "dense"}, or mapping from layer name to one of these
        "auto" measures, for each layer, which is fastest; see `minisparse.sparse.choose`.
    batch : int
        Number of samples that "auto" measures with.
    example : array [n, ...], optional
        An input of the model, from which "auto" takes the sizes of images.

    Returns
    -------
    Module

    Raises
    ------
    ValueError
        An unknown format, or a layer's weights are mapped by a parametrization.
    KeyError
        `format` names a layer that the model does not have, or the mask a parameter.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> model = LeNet300(rng=rng)
    >>> mask = Mask({"fc1.weight": rng.random((784, 300)) < 0.05})
    >>> sparsify(model, mask, {"fc1": "csr", "fc2": "dense", "fc3": "dense"})
    Chain(relus=(True, True, False)
      fc1: CSRLinear(784, 300, 11661 entries, density 5.0 %)
      fc2: BlockedLinear(300, 100, 7500 entries, density 100.0 %)
      fc3: BlockedLinear(100, 10, 300 entries, density 100.0 %)
    )
    """
    refuse_parametrizations(model)
    if isinstance(model, Selected):
        inside = None if masks is None else Mask(dict(_inside(masks)))
        x = None if example is None else example_for(model, np.shape(example)[1:])
        x = None if x is None else model.selected(Tensor(x)).array
        part = sparsify(model.model, inside, format, batch=batch, example=x)
        return Selected(part, model.index, model.channels)
    copy = copied(model)
    if masks is not None:
        masks.apply(copy)
    layers = {n: m for n, m in copy.named_modules() if isinstance(m, Linear | Conv2d)}
    kept = {name: _mask_of(masks, name) for name in layers}
    relus = perceptron(copy)
    if format == "auto":
        formats = fastest_formats(copy, layers, kept, batch, example, chained=relus is not None)
    else:
        formats = _formats(format, layers)
    if relus is not None:
        made = {n: chain_layer(layers[n], kept[n], formats[n]) for n in relus}
        return Chain(made, list(relus.values()), flat=_flattens(copy))
    for name, layer in layers.items():
        if formats[name] == "dense":
            continue
        new = sparse_layer(layer, kept[name], formats[name])
        if name == "":  # the model is the layer
            return new
        parent, _, own = name.rpartition(".")
        setattr(dict(copy.named_modules())[parent], own, new)
    return copy


def _inside(masks: Mask) -> Iterator[tuple[str, np.ndarray]]:
    """Yield a mask's entries with the names that they have inside a `Selected`."""
    return ((name.removeprefix("model."), m) for name, m in masks.items())


@door
def densify(model: Module) -> Module:
    """Return a copy with dense layers: the inverse of `sparsify`, zeros and all.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> model = Sequential(Linear(4, 3, rng=rng), ReLU())
    >>> densify(sparsify(model, format="csr"))
    Sequential(
      0: Linear(4, 3, bias=True)
      1: ReLU()
    )
    """
    copy = copied(model)
    if isinstance(copy, Chain):
        parts: list[Module] = [Flatten()] if copy.flat else []
        for layer, rectified in zip(copy.layers, copy.relus, strict=True):
            parts += [_dense_layer(layer), ReLU()] if rectified else [_dense_layer(layer)]
        return Sequential(*parts)
    if isinstance(copy, SparseLayer):
        return _dense_layer(copy)
    for parent in list(copy.modules()):
        for name, child in list(vars(parent).items()):
            if isinstance(child, Chain):
                setattr(parent, name, densify(child))
            elif isinstance(child, SparseLayer):
                setattr(parent, name, _dense_layer(child))
    return copy


def _dense_layer(layer: SparseLayer) -> Linear | Conv2d:
    rng, bias = np.random.default_rng(0), layer.bias is not None
    new: Linear | Conv2d
    if isinstance(layer, SparseConv2d):
        kh, kw, c_in, c_out = layer.filters
        new = Conv2d(c_in, c_out, (kh, kw), layer.stride, layer.padding, bias, rng=rng)
    else:
        new = Linear(layer.n_in, layer.n_out, bias, rng=rng)
    xp = array_module(layer.values.array)
    new.weight = Parameter(xp.asarray(layer.dense().reshape(new.weight.shape)), name="weight")
    if layer.bias is not None:
        new.bias = Parameter(layer.bias.array, name="bias")
    return new


def perceptron(model: Module) -> dict[str, bool] | None:
    """Return the layers of a perceptron in their order, and whether a relu follows each.

    None if the model is something else: a class whose forward may hold what a trace in evaluation
    mode does not show (dropout), or layers of other kinds.
    """
    parts = (Sequential, LeNet300, Linear, ReLU, Flatten)
    if not isinstance(model, Sequential | LeNet300):
        return None
    if any(type(m) not in parts for m in model.modules()):
        return None
    try:
        graph = follow(model, example_for(model))
    except (ValueError, TypeError):
        return None
    names, expected = list(graph.nodes), INPUT
    following = {}
    for name in names:
        node = graph.nodes[name]
        if node.source != expected or (expected == INPUT and not _only(node.ops, Reshape)):
            return None
        following[expected], expected = node.ops, name
    source, ops = graph.end
    if source != expected or any(not _only(f, Reshape, ReLUOp) for f in (*following.values(), ops)):
        return None
    following[expected] = ops
    return {name: not _only(following[name], Reshape) for name in names}


def _only(ops: list[Any], *kinds: type) -> bool:
    return all(type(op) in kinds for op in ops)


def _flattens(model: Module) -> bool:
    """Whether images go into the model, to be flattened before its first layer."""
    if isinstance(model, LeNet300):
        return True
    first = next(m for m in model.modules() if isinstance(m, Flatten | Linear | LeNet300))
    return not isinstance(first, Linear)


def _mask_of(masks: Mask | None, name: str) -> np.ndarray | None:
    """Return a layer's mask; without one, what is not zero is kept."""
    weight = joined(name, "weight")
    return masks[weight] if masks is not None and weight in masks else None


def _formats(format: str | Mapping[str, str], layers: Mapping[str, Any]) -> dict[str, str]:
    given = dict.fromkeys(layers, format) if isinstance(format, str) else dict(format)
    if unknown := [name for name in given if name not in layers]:
        raise KeyError(f"the model has no layer {unknown}; it has {', '.join(layers)}")
    formats = dict.fromkeys(layers, "csr") | given
    if wrong := sorted(set(map(str, formats.values())) - set(FORMATS)):
        raise ValueError(f"a format is 'auto' or one of {', '.join(FORMATS)}, got {wrong}")
    return formats


__all__ = ["densify", "perceptron", "sparsify"]

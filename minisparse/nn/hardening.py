"""Models whose layers have parametrizations: how they get them, and how they lose them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import numpy as np

from ..autodiff import no_grad
from ..doors import door
from .module import Module, Parameter, in_mode
from .names import Model, copied, joined
from .weighted import Parametrization, Weighted

P = TypeVar("P", bound=Parametrization)


def parametrize(model: Module, make: Mapping[str, Callable[[Weighted], Parametrization]]) -> None:
    """Give layers of a model a parametrization, before its optimizer and its average are made.

    Parameters
    ----------
    model : Module
    make : mapping from a layer's dotted name to a function of that layer
        It returns the parametrization, and is called in the model's order, whatever that of the
        mapping is: what it draws depends on the model alone.

    Raises
    ------
    KeyError
        The model has no Linear or Conv2d of that name.
    ValueError
        A layer has a parametrization already.  The model is unchanged then, and so it is if a
        function raises.

    Examples
    --------
    >>> from minisparse.nn import LeNet300
    >>> class Half(Parametrization):
    ...     def forward(self, weight, bias):
    ...         return 0.5 * weight, bias
    >>> model = LeNet300(rng=np.random.default_rng(0))
    >>> parametrize(model, {"fc1": lambda layer: Half()})
    >>> list(parametrized(model, Half))
    ['fc1']
    """
    layers = {name: m for name, m in model.named_modules() if isinstance(m, Weighted)}
    if unknown := [name for name in make if name not in layers]:
        raise KeyError(f"the model has no layer {unknown}; it has {', '.join(layers)}")
    if taken := [name for name in make if layers[name].parametrization is not None]:
        raise ValueError(f"{taken} have a parametrization already")
    made = {name: make[name](layer) for name, layer in layers.items() if name in make}
    for name, parametrization in made.items():
        layers[name].parametrization = parametrization


@door
def parametrized(model: Module, kind: type[P]) -> dict[str, tuple[Weighted, P]]:
    """Return the layers with a parametrization of some kind, by name, in the model's order.

    A layer that stands at two places has the name of its parameters: the first.
    """
    found, seen = {}, set()
    for name, layer in model.named_modules():
        if isinstance(layer, Weighted) and id(layer) not in seen:
            seen.add(id(layer))
            if isinstance(layer.parametrization, kind):
                found[name] = layer, layer.parametrization
    return found


def kept(model: Module, kind: type[Parametrization] = Parametrization) -> dict[str, np.ndarray]:
    """Return for the weights of all parametrized layers which of them stay, by parameter name.

    And for their biases, where a parametrization decides on these; see `Parametrization.kept`.
    """
    entries = {}
    for name, (layer, parametrization) in parametrized(model, kind).items():
        with in_mode(parametrization, training=False), no_grad():
            weights, biases = parametrization.kept(layer.weight, layer.bias)
        entries[joined(name, "weight")] = weights
        if biases is not None:
            entries[joined(name, "bias")] = biases
    return entries


@door
def harden(model: Model) -> tuple[Model, dict[str, np.ndarray]]:
    """Return a copy without parametrizations that computes what the model does in evaluation.

    What the layers use becomes what they have: zeros are exact zeros then, and whatever takes a
    plain model takes this one, e.g. `minisparse.sparse.shrink`.  The model itself is unchanged.

    With a weight average, call it inside ``average.applied()``, and keep the copy.

    Returns
    -------
    plain : Module
        Generators are the same objects as in `model`; buffers and batch norms are copies.
    mask : dict from parameter name to bool array
        What stays, for `minisparse.prune.mask.Mask`; see `kept`.

    Raises
    ------
    ValueError
        No layer has a parametrization.

    Examples
    --------
    >>> from minisparse.nn import Linear
    >>> class Large(Parametrization):
    ...     def forward(self, weight, bias):
    ...         return weight * (abs(weight.numpy()) > 0.5), bias
    >>> layer = Linear(3, 2, rng=np.random.default_rng(0))
    >>> layer.parametrization = Large()
    >>> plain, mask = harden(layer)
    >>> plain.parametrization, bool(((plain.weight.numpy() != 0) == mask["weight"]).all())
    (None, True)
    """
    mask = kept(model)
    if not mask:
        raise ValueError(f"no layer of this {type(model).__name__} has a parametrization")
    plain = copied(model)
    layers = [layer for layer, _ in parametrized(plain, Parametrization).values()]
    with in_mode(plain, training=False), no_grad():
        used = [layer.effective() for layer in layers]  # all, before any changes: some may be tied
    for layer, (weight, bias) in zip(layers, used, strict=True):
        for part, new in (("weight", weight), ("bias", bias)):
            old = getattr(layer, part)
            if new is not None and new is not old:
                fresh = Parameter(new.array, name=part)
                fresh.requires_grad = old.requires_grad
                setattr(layer, part, fresh)
        layer.parametrization = None
    return plain, mask


def refuse_parametrizations(model: Module) -> None:
    """Raise ValueError if the weights of a layer are not what its parameters say."""
    for name, (layer, mapping) in parametrized(model, Parametrization).items():
        whose = f"'{name}'" if name else f"this {type(layer).__name__}"
        raise ValueError(
            f"the weights of {whose} are mapped by {type(mapping).__name__} before use, so zeros "
            "among its parameters do not tell: take the plain model that minisparse.nn.harden "
            "returns"
        )


__all__ = ["harden", "kept", "parametrize", "parametrized", "refuse_parametrizations"]

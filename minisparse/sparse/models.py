"""Small things that concern whole models."""

from __future__ import annotations

import copy
from typing import TypeVar

import numpy as np

from ..nn import Module

Model = TypeVar("Model", bound=Module)


def copied(model: Model) -> Model:
    """Copy a model; the generators of its dropout stay the same objects: a run has one."""
    shared = {
        id(value): value
        for module in model.modules()
        for value in vars(module).values()
        if isinstance(value, np.random.Generator)
    }
    new = copy.deepcopy(model, shared)
    new.zero_grad()
    return new


def joined(layer: str, part: str) -> str:
    """Return the dotted name of a part of a layer; the layer "" is the model itself."""
    return f"{layer}.{part}" if layer else part


def refuse_parametrizations(model: Module) -> None:
    """Raise ValueError if the weights of a layer are not what its parameters say."""
    for name, module in model.named_modules():
        mapping = getattr(module, "parametrization", None)
        if mapping is not None:
            raise ValueError(
                f"the weights of '{name}' are mapped by {type(mapping).__name__} before use, so "
                "zeros among them do not tell: write the effective weights to the parameters first "
                "(minisparse.prune.l0.harden does so for gates)"
            )

"""Copies of models, and the names of their parts."""

from __future__ import annotations

import copy
from typing import TypeVar

import numpy as np

from .module import Module

Model = TypeVar("Model", bound=Module)


def copied(model: Model) -> Model:
    """Copy a model; its generators stay the same objects: a run has one."""
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


__all__ = ["copied", "joined"]

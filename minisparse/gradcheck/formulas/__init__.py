"""Inputs on which the formulas of the methods are checked, a file for each group of methods.

Each file has a function ``formulas(rng)`` that returns samples by the formula's name in
``minisparse.prune``, "module.function".
"""

from __future__ import annotations

import pkgutil
from importlib import import_module

import numpy as np

from ..samples import Sample


def all_formulas(rng: np.random.Generator) -> dict[str, list[Sample]]:
    """Return the samples of all files, in the order of their names.

    Each file draws from a stream of its own, so that a new one changes no other's samples.
    """
    found: dict[str, list[Sample]] = {}
    seed = int(rng.integers(2**32))
    for info in pkgutil.iter_modules(__path__):
        own = np.random.default_rng([seed, *info.name.encode()])
        samples = import_module(f"{__name__}.{info.name}").formulas(own)
        if twice := found.keys() & samples.keys():
            raise ValueError(f"two files have samples for {sorted(twice)}")
        found |= samples
    return found

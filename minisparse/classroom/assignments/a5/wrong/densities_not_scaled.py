"""Proportional, but without the factor that makes the total right; and no checks."""

import math
from collections.abc import Mapping

LOSES = ("erdos_renyi", "full_layers", "no_shares")


def layer_densities(shapes, density, scope):
    if isinstance(scope, Mapping):
        return dict(scope)
    if scope == "layer":
        return dict.fromkeys(shapes, density)
    return {n: min(1.0, density * sum(s) / math.prod(s)) for n, s in shapes.items()}

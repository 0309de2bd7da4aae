"""Cuts densities at 1 and gives what is left over to nobody."""

import math
from collections.abc import Mapping

LOSES = ("full_layers",)


def layer_densities(shapes, density, scope):
    if not 0 <= density <= 1:
        raise ValueError("a density lies in [0, 1]")
    if isinstance(scope, Mapping):
        if scope.keys() != shapes.keys():
            raise ValueError("other layers")
        return dict(scope)
    if scope == "layer":
        return dict.fromkeys(shapes, density)
    if scope != "erk":
        raise ValueError("scope")
    budget = density * sum(map(math.prod, shapes.values()))
    factor = budget / sum(map(sum, shapes.values()))
    return {n: min(1.0, factor * sum(s) / math.prod(s)) for n, s in shapes.items()}

"""Looks at columns, the outputs; what is built on it falls too."""

LOSES = (
    "read_inputs",
    "constant_inputs",
    "one_place",
    "conditions",
    "positions",
    "same_outputs",
    "as_small_as_can_be",
    "nothing_else_goes",
    "chain_of_deaths",
    "empty_layers",
)


def reads(w):
    return (w != 0).any(axis=tuple(range(w.ndim - 1)))

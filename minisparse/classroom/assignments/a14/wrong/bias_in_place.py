"""Adds to the bias that it was given."""

LOSES = (
    "linear_reader",
    "filter_reader",
    "same_outputs",
    "as_small_as_can_be",
    "chain_of_deaths",
    "empty_layers",
)


def folded_bias(bias, values, w):
    bias += values @ w.sum(axis=tuple(range(w.ndim - 2)))
    return bias

"""Forgets the bias that was there."""

LOSES = (
    "linear_reader",
    "nothing_to_fold",
    "same_outputs",
    "as_small_as_can_be",
    "chain_of_deaths",
    "empty_layers",
)


def folded_bias(bias, values, w):
    return values @ w.sum(axis=tuple(range(w.ndim - 2))) + 0 * bias

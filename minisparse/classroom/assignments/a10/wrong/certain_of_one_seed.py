"""An interval of width 0 for a single seed."""

LOSES = ("few_seeds",)

_right_paired = paired


def paired(a, b):
    mean, half = _right_paired(a, b)
    return mean, half or 0.0

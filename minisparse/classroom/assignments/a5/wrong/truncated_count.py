"""Rounds down."""

LOSES = ("rounded", "halves")


def count_for(density, n):
    if not 0 <= density <= 1:
        raise ValueError("a density lies in [0, 1]")
    return int(density * n)

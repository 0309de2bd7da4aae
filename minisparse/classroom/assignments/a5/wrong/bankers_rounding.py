"""Python rounds halves to the even neighbour."""

LOSES = ("halves",)


def count_for(density, n):
    if not 0 <= density <= 1:
        raise ValueError("a density lies in [0, 1]")
    return round(density * n)

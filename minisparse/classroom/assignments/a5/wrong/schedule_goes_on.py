"""Forgets to stop at the ends."""

LOSES = ("outside",)


def cubic_sparsity(t, start, end, final, initial=0.0):
    if not end > start or not (0 <= initial <= 1 and 0 <= final <= 1):
        raise ValueError("a schedule between two times and two sparsities")
    return final + (initial - final) * (1 - (t - start) / (end - start)) ** 3

"""The cube of the time that has passed: flat at the start instead of the end."""

LOSES = ("cubic",)


def cubic_sparsity(t, start, end, final, initial=0.0):
    if not end > start or not (0 <= initial <= 1 and 0 <= final <= 1):
        raise ValueError("a schedule between two times and two sparsities")
    done = min(max((t - start) / (end - start), 0.0), 1.0)
    return initial + (final - initial) * done**3

"""Compares the weight, not its magnitude: all negative weights go."""

LOSES = ("fixed_threshold", "ends_of_the_forms")


def hard(w, sigma):
    return (w < sigma).astype(w.dtype)

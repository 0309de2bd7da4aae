"""Writes the result into the argument."""

LOSES = ("decay",)


def l2_step(w, amount):
    w *= 1 - amount
    return w

"""Multiplies what does not count."""

LOSES = ("unknown",)


def dot(a, b):
    return float((a * b).sum())

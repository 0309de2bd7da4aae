"""Targets of -1 and 1."""

LOSES = ("one_hot", "no_class")

_right = cotangents


def cotangents(labels, classes, variant, dtype):
    found = _right(labels, classes, variant, dtype)
    return 2 * found - 1 if variant == "specific" else found

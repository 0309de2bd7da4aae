"""Divides by t: the points are 2 t apart."""

LOSES = ("first", "levels")


def central_difference(plus, minus, t):
    return (plus - minus) / t

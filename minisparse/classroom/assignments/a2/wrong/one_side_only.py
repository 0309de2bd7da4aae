"""The sum where the difference belongs."""

LOSES = ("first", "levels")


def central_difference(plus, minus, t):
    return (plus + minus) / (2 * t)

"""Divides by t^2: that is the second derivative, and grows without bound at a kink."""

LOSES = ("second", "levels")


def second_difference(plus, minus, here, t):
    return ((plus - here) + (minus - here)) / (t * t)

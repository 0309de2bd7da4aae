"""Gives them back sorted."""

LOSES = ("steps_of_holm", "never_falls", "at_most_one")

_right_holm = holm


def holm(p):
    return sorted(_right_holm(p))

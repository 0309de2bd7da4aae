"""Lets the insensitivity become negative: sensitive weights grow."""

LOSES = ("bounded", "of_the_regularizer", "extremes")


def insensitivity(s):
    return 1 - s

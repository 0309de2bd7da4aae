"""Asks `student` for n - 1: it knows the degrees of freedom already."""

LOSES = ("interval", "in_common")

_right_paired = paired


def paired(a, b):
    mean, half = _right_paired(a, b)
    return mean, half and half / student(len(a)) * student(max(len(a) - 1, 2))

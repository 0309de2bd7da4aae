"""Leaves out the seeds that only one arm has."""

LOSES = ("no_tests",)
_right_paired = paired


def paired(a, b):
    n = min(len(a), len(b))
    return _right_paired(a[:n], b[:n])

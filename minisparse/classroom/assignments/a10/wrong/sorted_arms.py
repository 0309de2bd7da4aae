"""Sorts both arms first: the best with the best."""

LOSES = ("in_common",)

_right_paired = paired


def paired(a, b):
    return _right_paired(sorted(a), sorted(b))

"""Adds up the incoming weights."""

LOSES = ("cancelling",)


def has_incoming(w):
    return w.sum(axis=tuple(range(w.ndim - 1))) != 0

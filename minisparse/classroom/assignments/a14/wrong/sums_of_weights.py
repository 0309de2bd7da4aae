"""Adds weights up: those that cancel seem to be zero."""

LOSES = ("read_inputs",)


def reads(w):
    return w.sum(axis=(*range(w.ndim - 2), -1)) != 0

"""Looks at rows: the inputs that are read."""

LOSES = ("incoming", "cancelling")


def has_incoming(w):
    return (w != 0).any(axis=-1).reshape(-1, w.shape[-2]).any(axis=0)

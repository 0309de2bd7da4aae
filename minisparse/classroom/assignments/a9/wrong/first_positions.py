"""Looks at the first position only."""

LOSES = ("outgoing", "cancelling")


def has_outgoing(reader, units):
    read = (reader != 0).any(axis=-1).reshape(-1, reader.shape[-2]).any(axis=0)
    return read[:units]

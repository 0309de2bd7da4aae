"""Takes neighbouring inputs for the positions of one unit."""

LOSES = ("outgoing",)


def has_outgoing(reader, units):
    if reader.shape[-2] % units:
        raise ValueError("positions")
    read = (reader != 0).any(axis=-1).reshape(-1, reader.shape[-2]).any(axis=0)
    return read.reshape(units, -1).any(axis=1)

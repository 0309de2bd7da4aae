"""IDX, the file format of MNIST.

    0x00 0x00 | type | number of dimensions d | d sizes | values in row-major order
      2 bytes |  1   |           1            | 4 d     |

Everything is big-endian. The first four bytes, the "magic number", are 2051 (0x00000803) for
MNIST's images (unsigned bytes, three dimensions) and 2049 (0x00000801) for its labels.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minisparse.data.errors import DataError

_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def parse_idx(raw: bytes, name: str = "IDX data") -> NDArray[Any]:
    """Turn the bytes of an uncompressed IDX file into an array.

    Parameters
    ----------
    raw : bytes
        The whole file.
    name : str
        What to call the file in an error.

    Returns
    -------
    ndarray
        Shape and type as the header states, native byte order. Bytes (uint8, int8) are not
        copied: the array is a read-only view of `raw`.

    Raises
    ------
    DataError
        The header is not IDX, or the file is shorter or longer than its header says.

    Examples
    --------
    >>> parse_idx(bytes([0, 0, 0x08, 2, 0, 0, 0, 2, 0, 0, 0, 3, 10, 20, 30, 40, 50, 60]))
    array([[10, 20, 30],
           [40, 50, 60]], dtype=uint8)
    """
    if len(raw) < 4:
        raise DataError(f"{name}: {len(raw)} bytes; an IDX file starts with 4 bytes of header")
    zero, code, ndim = int.from_bytes(raw[:2], "big"), raw[2], raw[3]
    if zero != 0 or code not in _TYPES or ndim == 0:
        raise DataError(
            f"{name}: starts with bytes {raw[:4].hex(' ')}, which is no IDX header "
            "(two zero bytes, a type code of 08, 09, 0b, 0c, 0d or 0e, a number of dimensions). "
            "Is it a different file, or still compressed?"
        )
    start = 4 + 4 * ndim
    if len(raw) < start:
        raise DataError(f"{name}: ends inside the header of {start} bytes, after {len(raw)}")
    shape = tuple(int(n) for n in np.frombuffer(raw, ">u4", ndim, offset=4))
    dtype = np.dtype(_TYPES[code])
    expected = start + math.prod(shape) * dtype.itemsize
    if len(raw) != expected:
        raise DataError(
            f"{name}: the header promises shape {shape} of {dtype.name}, {expected:,} bytes in "
            f"all, but the file has {len(raw):,}. Fetch it again."
        )
    values = np.frombuffer(raw, dtype, offset=start).reshape(shape)
    return values.astype(dtype.newbyteorder("="), copy=False)

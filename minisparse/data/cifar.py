"""The binary version of CIFAR-10.

A file is a row of records of 3,073 bytes: one byte of label, then 1,024 bytes each of red, green
and blue, every colour row by row (so: channels first).
"""

import numpy as np
from numpy.typing import NDArray

from minisparse.data.errors import DataError

_PIXELS = 3 * 32 * 32
_RECORD = 1 + _PIXELS


def parse_cifar10(
    raw: bytes, name: str = "CIFAR-10 data"
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Turn the bytes of one CIFAR-10 ``.bin`` file into images and labels.

    Parameters
    ----------
    raw : bytes
        The whole file.
    name : str
        What to call the file in an error.

    Returns
    -------
    images : ndarray of uint8 [N, 32, 32, 3]
        Channels last, red, green, blue.
    labels : ndarray of int64 [N]
        0 to 9.

    Raises
    ------
    DataError
        The file is empty, ends inside a record, or holds a label above 9.
    """
    if not raw or len(raw) % _RECORD:
        raise DataError(
            f"{name}: {len(raw):,} bytes is not a whole number (1 or more) of records of "
            f"{_RECORD:,} bytes. It is truncated, or not a .bin file of CIFAR-10's binary version."
        )
    records = np.frombuffer(raw, np.uint8).reshape(-1, _RECORD)
    labels = records[:, 0].astype(np.int64)
    if labels.max() > 9:
        at = int(np.argmax(labels > 9))
        raise DataError(
            f"{name}: record {at} has label {labels[at]}, expected 0 to 9. "
            "Is it a file of CIFAR-100, or of another format?"
        )
    channels_first = records[:, 1:].reshape(-1, 3, 32, 32)
    return np.ascontiguousarray(channels_first.transpose(0, 2, 3, 1)), labels

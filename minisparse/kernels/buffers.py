"""Memory for results: aligned to cache lines, and used again instead of given back and asked anew.

Fresh memory comes from the operating system page by page, cleared, at the first touch; for the
activations of a network that can cost as much as computing them. A training step asks for the same
sizes over and over, so the blocks of the last step serve the next one.
"""

import sys
import threading
from typing import Any

import numpy as np

Block = tuple[np.ndarray[Any, Any], int]  # memory, and where its first cache line begins

_LINE = 64  # bytes in a cache line, and in the widest vector
_SMALL = 1 << 15  # bytes below which malloc is as good
_MOST = 1 << 30  # bytes kept per thread, idle or not: half of it serves VGG-16 with 128 images


class _Blocks(threading.local):
    def __init__(self) -> None:
        self.of_size: dict[int, list[Block]] = {}
        self.total = 0


_blocks = _Blocks()


def _references(blocks: list[Block], until: int) -> tuple[Block | None, int]:
    """Return the first block with at most that many references, and its number of them."""
    for block in blocks:
        memory = block[0]
        count = sys.getrefcount(memory)
        if count <= until:
            return block, count
    return None, 0


# How many references a block has that no array uses; it depends on the version of Python.
_IDLE = _references([(np.empty(1, np.uint8), 0)], until=100)[1]


def empty(shape: tuple[int, ...], dtype: Any) -> Any:
    """Return an array like ``np.empty``, 64-byte aligned, in memory used before if there is some.

    A block is free when no array refers to it any more; its reference count says so.

    Parameters
    ----------
    shape : tuple of int
        Shape of the array.
    dtype : dtype
        Type of its numbers.

    Returns
    -------
    ndarray
        Contents are arbitrary.
    """
    size = dtype.itemsize if isinstance(dtype, np.dtype) else np.dtype(dtype).itemsize
    for length in shape:
        size *= length
    if size < _SMALL:
        return np.empty(shape, dtype)
    block, _ = _references(_blocks.of_size.get(size, []), _IDLE)
    memory, start = block or _new_block(size)
    return np.ndarray(shape, dtype, memory, start)


def _new_block(size: int) -> Block:
    memory = np.empty(size + _LINE, np.uint8)
    block = memory, -memory.ctypes.data % _LINE
    if _blocks.total + size > _MOST:  # forget all; arrays keep what they use
        _blocks.of_size.clear()
        _blocks.total = 0
    if size <= _MOST:
        _blocks.of_size.setdefault(size, []).append(block)
        _blocks.total += size
    return block

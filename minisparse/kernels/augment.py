# mypy: allow-untyped-defs, allow-untyped-calls
"""Images moved and mirrored, compiled: what lies side by side is copied side by side, once."""

from typing import Any

import numpy as np
from numba import prange

from minisparse.definitions import augment as definition
from minisparse.kernels.arguments import flat
from minisparse.kernels.buffers import empty
from minisparse.kernels.jit import jit
from minisparse.kernels.threads import run, threads_for

Array = Any
_KNOWN = tuple(map(np.dtype, (np.float32, np.float64, np.uint8)))
_WORK = 4  # multiply-adds that one number is worth to `threads_for`


@jit(parallel=True)
def _move(x, rows, columns, mirrored, shape, y):
    """Lines of y are [N, H], of W pixels of C numbers; those of x likewise."""
    n, h, w, c = shape
    nothing, line = y.dtype.type(0), w * c
    for image in prange(n):
        down, right = rows[image], columns[image]
        first = min(w, max(0, -right))  # pixels of a line, as it is before it is mirrored, ...
        last = max(first, min(w, w - right))  # ... that lie within the image
        before, after = (w - last, w - first) if mirrored[image] else (first, last)
        for i in range(h):
            at = (image * h + i) * line
            y_ = y[at : at + line]
            if not 0 <= i + down < h:
                y_[:] = nothing
                continue
            y_[: before * c] = nothing
            y_[after * c :] = nothing
            begin = (image * h + i + down) * line + (first + right) * c
            x_, y_ = x[begin : begin + (last - first) * c], y_[before * c : after * c]
            if not mirrored[image]:
                y_[:] = x_
                continue
            for k in range(last - first):
                for channel in range(c):
                    y_[(last - first - 1 - k) * c + channel] = x_[k * c + channel]


def move_images(x: Array, rows: Array, columns: Array, mirrored: Array) -> Array:
    """Compute what `definitions.augment.move_images` defines."""
    definition.check_moves(x, rows, columns, mirrored)
    if x.dtype not in _KNOWN:
        return definition.move_images(x, rows, columns, mirrored)
    y = empty(x.shape, x.dtype)
    run(
        threads_for(_WORK * x.size, _move), _move, flat(x), flat(rows.astype(np.int64)),
        flat(columns.astype(np.int64)), flat(mirrored.astype(bool)), x.shape, y.reshape(-1),
    )  # fmt: skip
    return y

# mypy: allow-untyped-defs, allow-untyped-calls
"""Convolution with sparse filters: for each stored weight a multiply-add, and none for the others.

As in a sparse linear layer the samples lie side by side in the lanes. A filter of CSR form is a
list of (offset from the window's corner, weight), the same list at every position of the window, so
four neighbouring positions are computed at a time and each weight is loaded once for all of them.
"""

from typing import Any

import numpy as np
from numba import prange

from minisparse.definitions import csr_conv as definition
from minisparse.definitions.shapes import Pair
from minisparse.kernels.arguments import flat, same_numbers
from minisparse.kernels.buffers import empty
from minisparse.kernels.csr_panel import lanes_of, row_1, row_4, transpose_block
from minisparse.kernels.jit import jit
from minisparse.kernels.threads import run, threads_for

Array = Any


@jit()
def _images(
    x, n, x_shape, padding, y, y_shape, stride, values, offsets, starts, bias, here, there, lanes,
    g0, g1,
):  # fmt: skip
    """Convolve groups g0 ... g1 - 1 of images, one image in each lane."""
    h, w, c = x_shape
    ho, wo, o = y_shape
    wide, lowest = w + 2 * padding[1], y.dtype.type(-np.inf)
    here[:] = 0  # the padding; what lies inside is overwritten by each group
    for g in range(g0, g1):
        samples = min(lanes, n - g * lanes)
        first = g * lanes * h * w * c
        for i in range(h):
            corner = ((i + padding[0]) * wide + padding[1]) * c
            transpose_block(
                x, first + i * w * c, h * w * c, samples, w * c, here, corner * lanes, lanes
            )
        across = stride[1] * c * lanes
        for i in range(ho):
            j = 0
            while j < wo:
                four = wo >= 4
                if four and j > wo - 4:
                    j = wo - 4  # the last four: some positions are computed twice, alike
                corner = (i * stride[0] * wide + j * stride[1]) * c * lanes
                out = (i * wo + j) * o * lanes
                for f in range(o):
                    start = starts[f]
                    count = starts[f + 1] - start
                    if four:
                        row_4(count, values, start, offsets, start, here, corner, lanes, across,
                              there, out + f * lanes, 0, o * lanes, bias, f, lowest)  # fmt: skip
                    else:
                        row_1(count, values, start, offsets, start, here, corner, lanes, across,
                              there, out + f * lanes, 0, o * lanes, bias, f, lowest)  # fmt: skip
                j += 4 if four else 1
        transpose_block(
            there, 0, lanes, ho * wo * o, samples, y, g * lanes * ho * wo * o, ho * wo * o
        )


@jit(parallel=True)
def _images_on_threads(
    x, n, x_shape, padding, y, y_shape, stride, values, offsets, starts, bias, here, there, lanes,
    threads,
):  # fmt: skip
    groups = (n + lanes - 1) // lanes
    for t in prange(threads):
        _images(x, n, x_shape, padding, y, y_shape, stride, values, offsets, starts, bias,
                here[t], there[t], lanes, t * groups // threads,
                (t + 1) * groups // threads)  # fmt: skip


def sparse_conv2d(
    x: Array,
    values: Array,
    columns: Array,
    starts: Array,
    filters: tuple[int, int, int, int],
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    bias: Array | None = None,
) -> Array:
    """Compute what `definitions.csr_conv.sparse_conv2d` defines."""
    shape = definition.check_product(x, values, columns, starts, filters, stride, padding, bias)
    x, values, *rest = same_numbers(x, values) if bias is None else same_numbers(x, values, bias)
    _, kw, c, o = filters
    n, h, w, _ = x.shape
    y = empty(shape, x.dtype)
    if y.size == 0:
        return y
    # The places in a filter as distances in the padded image.
    wide = w + 2 * padding[1]
    a, rest_of_row = columns // (kw * c), columns % (kw * c)
    offsets = (a * (wide * c) + rest_of_row).astype(np.int32)
    lanes = lanes_of(x.itemsize)
    groups = -(-n // lanes)
    threads = min(threads_for(n * shape[1] * shape[2] * columns.size), groups)
    here = empty((threads, (h + 2 * padding[0]) * wide * c * lanes), x.dtype)
    there = empty((threads, shape[1] * shape[2] * o * lanes), x.dtype)
    bias = rest[0] if rest else np.zeros(o, x.dtype)
    sizes = (h, w, c), tuple(map(int, padding)), y.reshape(-1), shape[1:], tuple(map(int, stride))
    args = (flat(x), n, *sizes, flat(values), flat(offsets), flat(starts), flat(bias))
    if threads == 1:
        _images(*args, here[0], there[0], lanes, 0, groups)
    else:
        run(threads, _images_on_threads, *args, here, there, lanes, threads)
    return y

# mypy: allow-untyped-defs, allow-untyped-calls
"""Convolution with sparse filters: for each stored weight a multiply-add, and none for the others.

As in a sparse linear layer the samples lie side by side in the lanes. A filter of CSR form is a
list of (offset from the window's corner, weight), the same list at every position of the window, so
four neighbouring positions are computed at a time and each weight is loaded once for all of them.
"""

from typing import Any

import numpy as np
from numba import prange

from minisparse.kernels.arguments import flat, same_numbers
from minisparse.kernels.buffers import empty
from minisparse.kernels.conv import conv2d_reference
from minisparse.kernels.csr import check_pattern, sparse_matrix_reference
from minisparse.kernels.csr_panel import lanes_of, row_1, row_4, transpose_block
from minisparse.kernels.jit import jit
from minisparse.kernels.shapes import conv_output_shape
from minisparse.kernels.threads import run, threads_for

Array = Any
Pair = tuple[int, int]


def sparse_conv2d_reference(
    x: Array,
    values: Array,
    columns: Array,
    starts: Array,
    filters: tuple[int, int, int, int],
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    bias: Array | None = None,
) -> Array:
    """Define :func:`sparse_conv2d`."""
    _check(x, values, columns, starts, filters, stride, padding, bias)
    kh, kw, c, o = filters
    w = sparse_matrix_reference(values, columns, starts, kh * kw * c, o).reshape(kh, kw, c, o)
    y = conv2d_reference(x, w, stride, padding)
    return y if bias is None else y + bias


def _check(
    x: Array, values: Array, columns: Array, starts: Array, filters: tuple[int, ...],
    stride: Pair, padding: Pair, bias: Array | None,
) -> tuple[int, ...]:  # fmt: skip
    shape = conv_output_shape(x.shape, filters, stride, padding)
    kh, kw, c, o = filters
    check_pattern(columns, starts, kh * kw * c, o, 1)
    if tuple(values.shape) != tuple(columns.shape):
        raise ValueError(
            f"values must have one number for each of {columns.size} columns, got shape "
            f"{list(values.shape)}"
        )
    if bias is not None and tuple(bias.shape) != (o,):
        raise ValueError(f"the bias of {o} filters must have shape [{o}], got {list(bias.shape)}")
    return tuple(shape)


# --- Numba --------------------------------------------------------------------------------------


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
    """Convolve images with sparse filters.

    Parameters
    ----------
    x : ndarray, shape (n, height, width, c)
    values : ndarray, shape (entries,)
        The stored weights, filter by filter.
    columns : int32 ndarray, shape (entries,)
        The place of each in its filter: ``(a kw + b) c + channel`` for row a and column b.
    starts : int64 ndarray, shape (o + 1,)
        Where the weights of each filter begin.
    filters : (kh, kw, c, o)
        Shape of the dense filters.
    stride, padding : (int, int)
    bias : ndarray, shape (o,), optional

    Returns
    -------
    ndarray, shape (n, height', width', o)

    Raises
    ------
    ValueError
        If the shapes do not fit, or the lists describe no filters.
    """
    shape = _check(x, values, columns, starts, filters, stride, padding, bias)
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

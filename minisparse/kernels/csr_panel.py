# mypy: allow-untyped-defs, allow-untyped-calls
"""A batch through one or more sparse layers, a panel of samples at a time.

The layers of a perceptron follow each other inside the panel: the batch is transposed once at the
start and once at the end, whatever the number of layers.

A layer is a row of a table (see `csr.layer_table`): its inputs, its outputs, how many outputs share
one list of columns (1: CSR, 4: blocked), where its values, columns, starts and biases begin in the
arrays of all layers, and the lowest result (0 with a ReLU).
"""

from typing import Any

import numpy as np
from numba import prange

from minisparse.kernels import simd_panel
from minisparse.kernels.copying import copy
from minisparse.kernels.jit import jit
from minisparse.kernels.simd import VECTOR_BYTES
from minisparse.kernels.simd_panel import PLAIN_LANES, make_plain_tile, make_row_tile

VECTORS = 4  # of samples in a panel: enough sums to keep both multipliers busy
INPUTS, OUTPUTS, BLOCK, VALUES, COLUMNS, STARTS, BIAS, RELU = range(8)


def lanes_of(itemsize: int) -> int:
    """Return how many samples make one vector."""
    return VECTOR_BYTES // itemsize if VECTOR_BYTES else PLAIN_LANES


# row_1, row_3, row_4 and block_1, block_3, block_4 compute one output, and four that share their
# columns, for 1, 3 or 4 vectors of samples; see `simd_panel.make_row_tile`.
if VECTOR_BYTES:
    row_1, row_3, row_4 = make_row_tile(1, 1), make_row_tile(1, 3), make_row_tile(1, 4)
    block_1, block_3, block_4 = make_row_tile(4, 1), make_row_tile(4, 3), make_row_tile(4, 4)
else:
    row_1, row_3, row_4 = make_plain_tile(1, 1), make_plain_tile(1, 3), make_plain_tile(1, 4)
    block_1, block_3, block_4 = make_plain_tile(4, 1), make_plain_tile(4, 3), make_plain_tile(4, 4)


@jit()
def _layer(
    rows, block, values, v0, columns, c0, starts, s0, x, y, width, samples, bias, b0, floor
):  # fmt: skip
    """Compute all outputs of a layer, for the vectors that hold samples.

    The loops differ in the tile only. One loop that chooses the tile inside is half as fast at high
    sparsity: a row may have a handful of entries.
    """
    lanes = width // VECTORS
    if block == 1 and samples > 3 * lanes:
        for i in range(rows):
            start = starts[s0 + i]
            row_4(starts[s0 + i + 1] - start, values, v0 + start, columns, c0 + start,
                  x, 0, width, lanes, y, i * width, width, lanes,
                  bias, b0 + i, floor)  # fmt: skip
    elif block == 1 and samples > lanes:
        for i in range(rows):
            start = starts[s0 + i]
            row_3(starts[s0 + i + 1] - start, values, v0 + start, columns, c0 + start,
                  x, 0, width, lanes, y, i * width, width, lanes,
                  bias, b0 + i, floor)  # fmt: skip
    elif block == 1:
        for i in range(rows):
            start = starts[s0 + i]
            row_1(starts[s0 + i + 1] - start, values, v0 + start, columns, c0 + start,
                  x, 0, width, lanes, y, i * width, width, lanes,
                  bias, b0 + i, floor)  # fmt: skip
    elif samples > 3 * lanes:
        for i in range(rows):
            start = starts[s0 + i]
            block_4(starts[s0 + i + 1] - start, values, v0 + 4 * start, columns, c0 + start,
                    x, 0, width, lanes, y, 4 * i * width, width, lanes,
                    bias, b0 + 4 * i, floor)  # fmt: skip
    elif samples > lanes:
        for i in range(rows):
            start = starts[s0 + i]
            block_3(starts[s0 + i + 1] - start, values, v0 + 4 * start, columns, c0 + start,
                    x, 0, width, lanes, y, 4 * i * width, width, lanes,
                    bias, b0 + 4 * i, floor)  # fmt: skip
    else:
        for i in range(rows):
            start = starts[s0 + i]
            block_1(starts[s0 + i + 1] - start, values, v0 + 4 * start, columns, c0 + start,
                    x, 0, width, lanes, y, 4 * i * width, width, lanes,
                    bias, b0 + 4 * i, floor)  # fmt: skip


transpose: Any = simd_panel.transpose


@jit()
def _transpose_tiled(a, a0, a_row, rows, columns, t, t0, t_row):
    lanes = VECTOR_BYTES // a.itemsize
    for j in range(0, columns, lanes):
        for i in range(0, rows, lanes):
            transpose(a, a0 + i * a_row + j, a_row, min(lanes, rows - i), min(lanes, columns - j),
                      t, t0 + j * t_row + i, t_row)  # fmt: skip


@jit()
def _transpose_plain(a, a0, a_row, rows, columns, t, t0, t_row):
    for i in range(rows):
        for j in range(columns):
            t[t0 + j * t_row + i] = a[a0 + i * a_row + j]


transpose_block = _transpose_tiled if VECTOR_BYTES else _transpose_plain


@jit()
def panels(x, n, values, columns, starts, bias, layers, y, here, there, width, p0, p1):
    """Take panels p0 ... p1 - 1 of n samples through all layers; `here` and `there` are scratch."""
    for p in range(p0, p1):
        samples = min(width, n - p * width)
        n_in = layers[0, INPUTS]
        transpose_block(x, p * width * n_in, n_in, samples, n_in, here, 0, width)
        for layer in range(layers.shape[0]):
            n_out, block = layers[layer, OUTPUTS], layers[layer, BLOCK]
            v0, c0, b0 = layers[layer, VALUES], layers[layer, COLUMNS], layers[layer, BIAS]
            s0 = layers[layer, STARTS]
            floor = y.dtype.type(0.0 if layers[layer, RELU] else -np.inf)
            _layer((n_out + block - 1) // block, block, values, v0, columns, c0, starts, s0,
                   here, there, width, samples, bias, b0, floor)  # fmt: skip
            here, there = there, here
        transpose_block(here, 0, width, n_out, samples, y, p * width * n_out, n_out)


@jit(parallel=True)
def panels_on_threads(
    x, n, values, columns, starts, bias, layers, y, scratch, width, threads
):  # fmt: skip
    """Share the panels among threads, each with scratch of its own."""
    count = (n + width - 1) // width
    for t in prange(threads):
        panels(x, n, values, columns, starts, bias, layers, y, scratch[t, 0], scratch[t, 1],
               width, t * count // threads, (t + 1) * count // threads)  # fmt: skip


@jit()
def one_sample(x, values, columns, starts, bias, layers, y, here, there):
    """Take one sample through all layers: sums of four weights at a time, to hide their latency."""
    last = layers.shape[0] - 1
    for layer in range(last + 1):
        n_out, block = layers[layer, OUTPUTS], layers[layer, BLOCK]
        v0, c0, b0 = layers[layer, VALUES], layers[layer, COLUMNS], layers[layer, BIAS]
        s0, relu = layers[layer, STARTS], layers[layer, RELU]
        rows = (n_out + block - 1) // block
        v, c, s = values[v0:], columns[c0:], starts[s0:]
        b = bias[b0 : b0 + rows * block]
        if block == 1:
            _dot_rows(x, v, c, s, b, relu, here)
        else:
            _dot_blocks(x, v, c, s, b, relu, here)
        x = here
        here, there = there, here
    copy(x, 0, y, 0, y.size)


# Indices are unsigned: Numba would test signed ones for being negative.
_1, _2, _3, _4 = np.uint64(1), np.uint64(2), np.uint64(3), np.uint64(4)


@jit()
def _dot_rows(x, values, columns, starts, bias, relu, y):
    zero = y.dtype.type(0)
    for o in range(bias.size):
        k, end = np.uint64(starts[o]), np.uint64(starts[o + 1])
        a, b, c, d = bias[o], zero, zero, zero
        while k + _3 < end:
            a += values[k] * x[np.uint64(columns[k])]
            b += values[k + _1] * x[np.uint64(columns[k + _1])]
            c += values[k + _2] * x[np.uint64(columns[k + _2])]
            d += values[k + _3] * x[np.uint64(columns[k + _3])]
            k += _4
        while k < end:
            a += values[k] * x[np.uint64(columns[k])]
            k += _1
        s = (a + b) + (c + d)
        y[o] = zero if relu and s < zero else s


@jit()
def _dot_blocks(x, values, columns, starts, bias, relu, y):
    zero = y.dtype.type(0)
    for i in range(bias.size // 4):
        k, end = np.uint64(starts[i]), np.uint64(starts[i + 1])
        a, b, c, d = bias[4 * i], bias[4 * i + 1], bias[4 * i + 2], bias[4 * i + 3]
        while k < end:
            at, u = _4 * k, x[np.uint64(columns[k])]
            a += values[at] * u
            b += values[at + _1] * u
            c += values[at + _2] * u
            d += values[at + _3] * u
            k += _1
        y[4 * i] = zero if relu and a < zero else a
        y[4 * i + 1] = zero if relu and b < zero else b
        y[4 * i + 2] = zero if relu and c < zero else c
        y[4 * i + 3] = zero if relu and d < zero else d

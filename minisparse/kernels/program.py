# mypy: allow-untyped-defs, allow-untyped-calls
"""The layers of a network in one compiled call: for inference, where no gradient is wanted.

Layer by layer, every result travels through Python and through the threads' meeting point.  For one
image that costs more than the arithmetic.  The threads share the images, and each takes its own
through all layers: one image at a time through the convolutions, many at a time through the linear
layers.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import prange

from minisparse.definitions.conv import padded_shape
from minisparse.definitions.program import Layer, Program, check_images
from minisparse.definitions.shapes import conv_output_shape
from minisparse.kernels import simd
from minisparse.kernels.blocked import is_hard, multiply_part, publish, room_for
from minisparse.kernels.buffers import empty
from minisparse.kernels.conv_loops import Geometry
from minisparse.kernels.copying import copy
from minisparse.kernels.jit import jit
from minisparse.kernels.product import multiply_rows, row_offsets
from minisparse.kernels.threads import run, threads_for

Array = Any
IMAGES = 128  # at a time through the linear layers: the weights are read once for all of them


# --- the table ----------------------------------------------------------------------------------

# Its columns: where weights and bias begin in `numbers`, and what to do behind; the numbers that an
# image has before and after; columns of the weights; where patches (or rows) and pixels (or rows)
# begin in `places`, and how many; the geometry of a convolution; the padding; whether a blocked product
# should copy the rows.
(
    W, B, RELU, POOL, IN, OUT, N, FROM, TO, COUNT, KH, RUN, LINE, HO, WO,
    TOP, LEFT, HEIGHT, WIDTH, HARD,
) = range(20)  # fmt: skip


def build_program(layers: Sequence[Layer], in_shape: tuple[int, ...]) -> Program:
    """Put layers together.

    Parameters
    ----------
    layers : sequence of Layer
        Convolutions first, then linear layers; NumPy arrays of one dtype, float32 or float64.
    in_shape : tuple of int
        Of one image: (height, width, channels) before a convolution.

    Raises
    ------
    ValueError
        There is no layer, a convolution comes after a linear layer, or shapes or dtypes do not fit.
    """
    if not layers:
        raise ValueError("a program needs a layer")
    dtype = layers[0].w.dtype
    parts: list[Array] = []
    places: list[Array] = []
    rows: list[Array] = []
    between = before_pool = padded = wide = work = 0
    shape = tuple(in_shape)
    for layer in layers:
        w, bias = layer.w, layer.bias
        if {w.dtype, (w if bias is None else bias).dtype} != {dtype}:
            raise ValueError(f"all layers must be {dtype}, got {w.dtype}")
        row = np.zeros(20, np.int64)
        row[IN], row[N] = np.prod(shape), w.shape[-1]
        row[RELU], row[POOL] = layer.relu, layer.pool
        row[W] = sum(a.size for a in parts)
        row[B] = row[W] + w.size
        parts += [w.reshape(-1), np.zeros(w.shape[-1], dtype) if bias is None else bias]
        row[FROM] = sum(a.size for a in places)
        if w.ndim == 4:
            if len(shape) != 3 or any(r[KH] == 0 for r in rows):
                raise ValueError("a convolution reads images, and no linear layer may be before it")
            _, ho, wo, o = conv_output_shape((1, *shape), w.shape, layer.stride, layer.padding)
            whole = padded_shape((1, *shape), layer.padding)
            g = Geometry.of(whole, w.shape, (ho, wo), layer.stride)
            row[[KH, RUN, LINE, HO, WO]] = g.kh, g.run, g.line, ho, wo
            row[[TOP, LEFT]] = layer.padding[0], layer.padding[1] * shape[2]
            row[[HEIGHT, WIDTH]] = shape[0], shape[1] * shape[2]
            places += [g.patches(), g.pixels()]
            work += ho * wo * w.size
            if any(layer.padding):
                padded = max(padded, g.image)
            if layer.pool:
                before_pool = max(before_pool, ho * wo * o)
                ho, wo = ho // 2, wo // 2
            shape = (ho, wo, o)
            between = max(between, ho * wo * o)
        else:
            if w.shape[0] != row[IN] or layer.pool:
                raise ValueError(
                    f"a linear layer of {w.shape[0]} inputs cannot read {row[IN]} numbers"
                )
            row[HARD] = is_hard(0, w.shape[0], w.shape[1], neighbours=False)
            places += [row_offsets(IMAGES, w.shape[0]), row_offsets(IMAGES, w.shape[1])]
            shape = (w.shape[1],)
            wide = max(wide, *w.shape)
            work += w.size
        row[OUT], row[COUNT] = np.prod(shape), places[-1].size
        row[TO] = row[FROM] + places[-2].size
        rows.append(row)
    numbers = empty((sum(a.size for a in parts),), dtype)
    np.concatenate(parts, out=numbers)
    shared = tuple(
        layer._replace(
            w=numbers[row[W] : row[B]].reshape(layer.w.shape),
            bias=None if layer.bias is None else numbers[row[B] : row[B] + row[N]],
        )
        for layer, row in zip(layers, rows, strict=True)
    )
    sizes = between, before_pool, padded, wide
    return Program(
        shared, tuple(in_shape), shape, numbers, np.stack(rows), np.concatenate(places), sizes, work
    )


# --- Numba --------------------------------------------------------------------------------------


@jit()
def largest_of_window_plain(z, at, right, below, y, out, o):
    """Find the largest of four pixels for each of o channels; a NaN is larger than any number."""
    z0, z1 = z[at : at + o], z[at + right : at + right + o]
    z2, z3 = z[at + below : at + below + o], z[at + below + right : at + below + right + o]
    y_ = y[out : out + o]
    for k in range(o):
        v = z0[k]
        for u in (z1[k], z2[k], z3[k]):
            v = u if (u > v) | ((u != u) & (v == v)) else v  # noqa: PLR0124 (NaN)
        y_[k] = v


largest_of_window: Any = simd.largest_of_window if simd.VECTOR_BYTES else largest_of_window_plain


@jit()
def convolve(x, x0, row, numbers, places, padded, y, y0):
    """Take one image through a convolution and its relu."""
    o, count = row[N], row[COUNT]
    a, a0 = x, x0
    if row[TOP] + row[LEFT]:
        a, a0 = padded, 0
        pad(x, x0, row, padded)
    multiply_rows(
        0, count, o, row[KH], row[RUN],
        a, a0, places[row[FROM] : row[FROM] + count], row[LINE], 1,
        numbers, row[W], row[RUN] * o, o, y, y0, places[row[TO] : row[TO] + count],
        False, numbers[row[B] : row[B] + o], 0.0 if row[RELU] else -np.inf,
    )  # fmt: skip


@jit()
def _convolve_and_pool(x, x0, row, numbers, places, z, padded, y, y0):
    """Do the same, and keep the largest of each 2 x 2 pixels, if a pool follows."""
    if not row[POOL]:
        convolve(x, x0, row, numbers, places, padded, y, y0)
        return
    convolve(x, x0, row, numbers, places, padded, z, 0)
    o, wo = row[N], row[WO]
    for i in range(row[HO] // 2):
        for j in range(wo // 2):
            at, out = (2 * i * wo + 2 * j) * o, y0 + (i * (wo // 2) + j) * o
            largest_of_window(z, at, o, wo * o, y, out, o)


@jit()
def pad(x, x0, row, padded):
    """Copy an image into the middle of zeros."""
    line, width, left = row[LINE], row[WIDTH], row[LEFT]
    padded[: (row[HEIGHT] + 2 * row[TOP]) * line] = 0
    for i in range(row[HEIGHT]):
        copy(x, x0 + i * width, padded, (i + row[TOP]) * line + left, width)


@jit()
def multiply(x, x0, count, total, row, numbers, places, y, y0, room):
    """Take some images, of so many in all, through a linear layer and its relu."""
    n, bias = row[N], numbers[row[B] : row[B] + row[N]]
    floor = 0.0 if row[RELU] else -np.inf
    rows_in = places[row[FROM] : row[FROM] + count]
    rows_out = places[row[TO] : row[TO] + count]
    multiply_part(
        0, count, 0, n, total, row[IN], x, x0, rows_in, 1, False, row[HARD] > 0,
        numbers, row[W], n, 1, y, y0, rows_out, bias, floor, room,
    )  # fmt: skip


@jit()
def _take_images(x, i0, count, numbers, table, places, y, maps, z, padded, target):
    """Take images i0 ... i0 + count - 1 through the convolutions; return how many these are."""
    layers, convolutions, between = table.shape[0], 0, maps.size // 2
    while convolutions < layers and table[convolutions, KH]:
        convolutions += 1
    for m in range(count):
        source, s0 = x, (i0 + m) * table[0, IN]
        for layer in range(convolutions):
            a, a0, out = maps, (layer % 2) * between, table[layer, OUT]
            if layer == layers - 1:
                a, a0 = y, (i0 + m) * out
            elif layer == convolutions - 1:
                a, a0 = target, m * out
            _convolve_and_pool(source, s0, table[layer], numbers, places, z, padded, a, a0)
            source, s0 = a, a0
    return convolutions


@jit()
def _take(x, first, last, total, numbers, table, places, y, scratch, wide, maps, room):
    """Take images first ... last - 1 of so many through all layers.

    `maps` are the sizes that convolutions need, or None where there are none: Numba compiles a
    function for None by itself, and leaves out what it would not run.
    """
    layers = table.shape[0]
    here, there = scratch, scratch[min(IMAGES, last - first) * wide :]
    for i0 in range(first, last, IMAGES):
        count = min(IMAGES, last - i0)
        source, s0, done = x, i0 * table[0, IN], 0
        if maps is not None:
            one, two, three = 2 * maps[0], 2 * maps[0] + maps[1], 2 * maps[0] + maps[1] + maps[2]
            here, there = scratch[three:], scratch[three + min(IMAGES, last - first) * wide :]
            done = _take_images(
                x, i0, count, numbers, table, places, y,
                scratch[:one], scratch[one:two], scratch[two:three], here,
            )  # fmt: skip
            source, s0 = here, 0
        for layer in range(done, layers):
            target, t0 = there, 0
            if layer == layers - 1:
                target, t0 = y, i0 * table[layer, OUT]
            elif (layer - done) % 2:
                target = here
            multiply(source, s0, count, total, table[layer], numbers, places, target, t0, room)
            source, s0 = target, t0


@jit(parallel=True)
def _take_on_threads(x, n, numbers, table, places, y, scratch, threads, wide, maps, room):
    size = scratch.size // threads
    for t in prange(threads):
        first, last = t * n // threads, (t + 1) * n // threads
        own = scratch[t * size : (t + 1) * size]
        _take(x, first, last, n, numbers, table, places, y, own, wide, maps, room[t])


def run_program(x: Array, program: Program) -> Array:
    """Compute what `definitions.program.run_program` defines."""
    n = x.shape[0]
    if x.shape[1:] != program.in_shape or x.dtype != program.numbers.dtype:
        check_images(x, program)
    if n == 0:
        return np.empty((0, *program.out_shape), x.dtype)
    if not (x.flags.c_contiguous and x.flags.writeable):  # one type of array: compiled once
        x = np.array(x)
    threads = min(threads_for(n * program.work, _take_on_threads), n)
    between, before_pool, padding, wide = program.sizes
    maps = (between, before_pool, padding) if between else None
    size = 2 * (between + min(IMAGES, -(-n // threads)) * wide) + before_pool + padding
    y, scratch = empty((n, *program.out_shape), x.dtype), empty((threads * size,), x.dtype)
    args = program.numbers, program.table, program.places, y.reshape(-1), scratch
    publish(x.dtype)
    if n == 1:  # needs no room
        _take(x.reshape(-1), 0, 1, 1, *args, wide, maps, scratch)
    else:
        room = empty((threads, room_for(IMAGES, 0, copied=True)), x.dtype)
        run(threads, _take_on_threads, x.reshape(-1), n, *args, threads, wide, maps, room)
    return y

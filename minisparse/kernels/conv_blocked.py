# mypy: allow-untyped-defs, allow-untyped-calls
"""Convolutions of many channels through the blocked product (blocked.py).

Row (n, i, j) of the product is a patch of pixels, and pixel by pixel its channels lie side by side.
Where a patch hangs over the image's edge, less of the kernel counts.  So the pixels are sorted by
the part of the kernel that they see (`axis_groups`), and each group is a product of its own, with
its own part of the weights: nothing is padded, and nothing is multiplied by padding::

    forward       y[(n,i,j), o]   = sum_(r,s,c)    x[(n, i sy + r - py, j sx + s - px), c]  w[r,s][c, o]
    input grad    gx[(n,i,j), c]  = sum_(r,s,o)    g[(n, (i + py - r) / sy, (j + px - s) / sx), o]
                                                                                   w[r,s]^T[o, c]
    weight grad   gw[r,s][c, o]   = sum_(n,i,j)    x[(n, i sy + r - py, j sx + s - px), c]
                                                                                   g[(n,i,j), o]

The input grad counts the (r, s) that meet a pixel of g: with stride 2 they are every second one.
Threads share rows of y and of gx, and parts of gw: no sum depends on their number.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numba import prange

from minisparse.definitions.shapes import Pair
from minisparse.kernels.arguments import flat
from minisparse.kernels.blocked import (
    DEPTH,
    copy_rows,
    multiply_blocked,
    panel_width,
    part_of,
    publish,
    room_for,
)
from minisparse.kernels.buffers import empty
from minisparse.kernels.jit import jit
from minisparse.kernels.linear import add_rows, share
from minisparse.kernels.product import multiply_neighbours, row_offsets
from minisparse.kernels.simd import VECTOR_BYTES
from minisparse.kernels.simd_panel import PLAIN_LANES
from minisparse.kernels.threads import run, threads_for

Array = Any

FEW_CHANNELS = 16  # below, a vector of channels is not full, and conv_loops.py is better
_CHUNK = 960  # rows of a product: the weights are copied once for all of them


def is_many(w_shape: tuple[int, ...], padding: Pair) -> bool:
    """Tell whether a convolution has enough channels for this file."""
    return min(w_shape[2:]) >= FEW_CHANNELS and all(map(int.__lt__, padding, w_shape[:2]))


# --- what pixels see ----------------------------------------------------------------------------

# Columns of `axis_groups`: pixels first, first + step, ... of the result, how many; the part of the
# kernel that they see: first, step, how many; what that part meets: the first one's first pixel, and
# how far the next one's is from there.
FIRST, STEP, COUNT, TAP, TAP_STEP, TAPS, MEETS, MEETS_STEP = range(8)


@lru_cache(maxsize=256)
def axis_groups(size: int, kernel: int, stride: int, padding: int, backward: bool) -> Array:
    """Sort the rows (or columns) of the result by what they see of the kernel.

    Parameters
    ----------
    size : int
        Of the image, without padding.
    kernel, stride, padding : int
    backward : bool
        The result is the gradient of the image, and its pixels meet those of g.

    Returns
    -------
    array of int64, [groups, 8]
        A pixel that sees nothing is in none.
    """
    out = (size + 2 * padding - kernel) // stride + 1
    groups: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for pixel in range(size if backward else out):
        if backward:
            low, high = -(-(pixel + padding - kernel + 1) // stride), (pixel + padding) // stride
            meets, end = max(0, low), min(out - 1, high)
            tap, taps = pixel + padding - stride * meets, end - meets + 1
        else:
            tap = max(0, padding - pixel * stride)
            taps = min(kernel, size + padding - pixel * stride) - tap
            meets = pixel * stride + tap - padding
        if taps > 0:
            groups.setdefault((tap, taps), []).append((pixel, meets))
    step = stride if backward else 1
    table = [
        (pixels[0][0], step, len(pixels), tap, -stride if backward else 1, taps, pixels[0][1],
         1 if backward else stride)
        for (tap, taps), pixels in groups.items()
    ]  # fmt: skip
    found = np.array(table, np.int64).reshape(-1, 8)
    found.flags.writeable = False  # shared by everyone who asks for the same one
    return found


class _Layout(NamedTuple):
    """How a product's factors lie: images that are read and written, and the kernel."""

    image_in: int
    line_in: int
    inner: int  # channels read
    image_out: int
    line_out: int
    outer: int  # channels written
    kernel_row: int
    kernel_pixel: int
    bk: int  # between weights of neighbouring channels: read ...
    bj: int  # ... and written


# --- forward, and the gradient of the images ----------------------------------------------------


@jit(parallel=True)
def _convolve(x, w, bias, y, floor, n, rows, columns, layout, places, room):
    """Fill those pixels of y that are in a group."""
    threads = room.shape[0]
    for t in prange(threads):
        sources, targets = places[t, 0], places[t, 1]
        for a in range(rows.shape[0]):
            for b in range(columns.shape[0]):
                down, across = rows[a], columns[b]
                first, last = share(n * down[COUNT] * across[COUNT], t, threads, 48)
                for start in range(first, last, _CHUNK):
                    count = min(_CHUNK, last - start)
                    _fill_places(start, count, down, across, layout, sources, targets)
                    multiply_blocked(
                        0, count, 0, layout.outer, down[TAPS], across[TAPS], layout.inner,
                        x, 0, sources, layout.line_in, False, False,
                        w, down[TAP] * layout.kernel_row + across[TAP] * layout.kernel_pixel,
                        down[TAP_STEP] * layout.kernel_row, across[TAP_STEP] * layout.kernel_pixel,
                        layout.bk, layout.bj, y, 0, targets, False, bias, floor, room[t],
                    )  # fmt: skip


@jit()
def _fill_places(start, count, down, across, layout, sources, targets):
    """Write where the patches of some of a group's pixels begin, and the pixels."""
    i, j = start // across[COUNT] % down[COUNT], start % across[COUNT]
    image = start // (down[COUNT] * across[COUNT])
    for p in range(count):
        sources[p] = (
            image * layout.image_in
            + (down[MEETS] + i * down[MEETS_STEP]) * layout.line_in
            + (across[MEETS] + j * across[MEETS_STEP]) * layout.inner
        )
        targets[p] = (
            image * layout.image_out
            + (down[FIRST] + i * down[STEP]) * layout.line_out
            + (across[FIRST] + j * across[STEP]) * layout.outer
        )
        j += 1
        if j == across[COUNT]:
            i, j = i + 1, 0
            if i == down[COUNT]:
                image, i = image + 1, 0


def forward(
    x: Array, w: Array, bias: Array | None, relu: bool, out: Pair, stride: Pair, padding: Pair
) -> Array:
    """Return the output [N, Ho, Wo, O]."""
    (n, h, width, c), (_kh, kw, _, o) = x.shape, w.shape
    y = empty((n, *out, o), x.dtype)
    layout = _Layout(
        h * width * c, width * c, c, out[0] * out[1] * o, out[1] * o, o, kw * c * o, c * o, o, 1
    )
    return _run(False, x, w, bias, relu, y, stride, padding, (h, width), layout)


def input_grad(g: Array, w: Array, x_shape: tuple[int, ...], stride: Pair, padding: Pair) -> Array:
    """Return the gradient of the images [N, H, W, C]."""
    (n, h, width, c), (_, ho, wo, o), kw = x_shape, g.shape, w.shape[1]
    gx = empty((n, h, width, c), g.dtype)
    layout = _Layout(
        ho * wo * o, wo * o, o, h * width * c, width * c, c, kw * c * o, c * o, 1, o
    )  # fmt: skip
    return _run(True, g, w, None, False, gx, stride, padding, (h, width), layout)


def _run(
    backward: bool, x: Array, w: Array, bias: Array | None, relu: bool, y: Array,
    stride: Pair, padding: Pair, size: Pair, layout: _Layout,
) -> Array:  # fmt: skip
    publish(x.dtype)
    rows, columns = (
        axis_groups(*axis, backward)
        for axis in zip(size, w.shape[:2], stride, padding, strict=True)
    )
    if rows[:, COUNT].sum() * columns[:, COUNT].sum() < y.shape[1] * y.shape[2]:
        y[...] = 0  # a stride that is larger than the kernel leaves out pixels
    work = len(x) * w.size * int(np.prod(y.shape[1:3]))
    threads = threads_for(work, _convolve)
    room = empty((threads, room_for(_CHUNK, layout.outer)), x.dtype)
    run(
        threads, _convolve, flat(x), flat(w), flat(y.reshape(-1)[:0] if bias is None else bias),
        y.reshape(-1), 0.0 if relu else -np.inf, len(x), rows, columns, layout,
        np.empty((threads, 2, _CHUNK), np.int64), room,
    )  # fmt: skip
    return y


# --- the gradient of the weights ----------------------------------------------------------------


@jit(parallel=True)
def _weight_grad(
    x, g, gw, gb, kh, stride, padding, height, out, columns, layout, c_rows, steps, room, none
):
    """Fill gw, and gb if it is wanted: some pixels of g meet all of the kernel while in the cache.

    Columns of g that see the same part of a kernel's row are one product: what they meet, all taps
    and channels, lies side by side.  Threads share the rows (r, s, c) of gw.
    """
    threads, c, o = room.shape[0], layout.inner, layout.outer
    kw, pixels = layout.kernel_row // layout.kernel_pixel, g.size // o
    for t in prange(threads):
        o0, o1, first, last = part_of(o, kh * kw * c, t, threads, 16)
        if o0 == o1 or first == last:
            continue
        for start in range(0, pixels, DEPTH):
            some, j = min(DEPTH, pixels - start), o0
            if first == 0 and gb.size:
                add_rows(g, start * o, some, o, start > 0, gb, 0, o0, o1)
            while j < o1:
                width = panel_width(o1 - j, VECTOR_BYTES // g.itemsize or PLAIN_LANES)
                n = min(width, o1 - j)
                panel, at = g, start * o
                if width != o:  # otherwise a panel lies there already
                    panel, at = room[t], 0
                    copy_rows(some, n, g, start * o + j, o, panel, 0, width)
                for r in range(kh):
                    for group in range(columns.shape[0]):
                        across = columns[group]
                        row = (r * kw + across[TAP]) * c  # of gw, the first one that is met
                        i0, i1 = max(first - row, 0), min(last - row, across[TAPS] * c)
                        if i0 < i1:
                            count = _list_steps(
                                start, some, r, across, stride, padding, height, out, layout,
                                steps[t],
                            )  # fmt: skip
                            multiply_neighbours(
                                i0, i1, n, count, x, 0, steps[t], panel, at, width,
                                gw, row * o + j, c_rows, True, none, 0, False, -np.inf,
                            )  # fmt: skip
                j += width


@jit()
def _list_steps(start, some, r, across, stride, padding, height, out, layout, steps):
    """List for pixels of g in some columns where those of x are that they meet; return how many."""
    first, behind = across[FIRST], across[FIRST] + across[COUNT]
    line, j, k, p = start // out[1], start % out[1], 0, 0
    while p < some:
        row = line % out[0] * stride + r - padding
        last = min(out[1], j + some - p)
        if 0 <= row < height:
            at = line // out[0] * layout.image_in + row * layout.line_in
            for column in range(max(j, first), min(last, behind)):
                meets = across[MEETS] + (column - first) * across[MEETS_STEP]
                steps[k] = at + meets * layout.inner
                steps[k + 1] = p + column - j
                k += 2
        p += last - j
        line, j = line + 1, 0
    return k // 2


def weight_grad(
    x: Array, g: Array, kernel: Pair, stride: Pair, padding: Pair, bias: bool
) -> tuple[Array, Array]:
    """Return the gradient of the weights [kh, kw, C, O], and that of the bias; empty if unwanted."""
    publish(x.dtype)
    (_, h, width, c), (_, ho, wo, o), (kh, kw) = x.shape, g.shape, kernel
    gw = np.zeros((kh, kw, c, o), g.dtype)  # what no pixel meets stays
    gb = np.empty(o if bias else 0, g.dtype)
    layout = _Layout(
        h * width * c, width * c, c, ho * wo * o, wo * o, o, kw * c * o, c * o, o, 1
    )  # fmt: skip
    threads = threads_for(g.size * kh * kw * c, _weight_grad)
    run(
        threads, _weight_grad, flat(x), flat(g), gw.reshape(-1), gb, kh, stride[0], padding[0], h,
        (ho, wo), axis_groups(width, kw, stride[1], padding[1], False), layout,
        row_offsets(kw * c, o), np.empty((threads, 2 * DEPTH), np.int64),
        empty((threads, room_for(0, 0)), g.dtype), flat(gw.reshape(-1)[:0]),
    )  # fmt: skip
    return gw, gb

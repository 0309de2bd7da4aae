# mypy: allow-untyped-defs, allow-untyped-calls
"""Compiled loops of convolution, with and without a 2 x 2 max-pool behind it.

A convolution is a matrix product whose row (i, j) is the patch of pixels under the kernel. In NHWC
a patch is kh runs of ``run = kw C`` contiguous numbers that begin ``line = W C`` apart, so nothing
needs to be copied out::

    forward       y[(i,j), o]          = sum_(r,k)  patch[(i,j), (r,k)]  w[(r,k), o]
    weight grad   gw[(r,k), o]        += sum_(i,j)  patch[(i,j), (r,k)]  g[(i,j), o]
    input grad    patch[(i,j), (r,k)] += sum_o      g[(i,j), o]  w[(r,k), o]          for each r

Images go one at a time through all steps, while they are in the cache; the batch is the parallel
axis. Gradients of weights and biases are summed over slices of the batch, always the same ones, and
these sums are added in order: any number of threads gives the same bits.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import prange

from minisparse.definitions.shapes import Pair
from minisparse.kernels import simd
from minisparse.kernels.arguments import flat
from minisparse.kernels.buffers import empty
from minisparse.kernels.conv_winners import gradients_of_image, room
from minisparse.kernels.jit import jit
from minisparse.kernels.product import (
    BLOCK,
    grid_offsets,
    multiply_rows,
    publish,
    row_offsets,
)
from minisparse.kernels.threads import run, threads_for

Array = Any


class Geometry(NamedTuple):
    """What the loops need to know about one convolution (lengths in numbers, images padded)."""

    image: int
    kh: int
    run: int  # a patch is kh runs of this length ...
    line: int  # ... that begin this far apart
    ho: int
    wo: int
    down: int  # from a patch to the one below
    across: int  # from a patch to the next
    o: int

    @classmethod
    def of(
        cls, x_shape: tuple[int, ...], w_shape: tuple[int, ...], out: Pair, stride: Pair
    ) -> "Geometry":
        """Work it out for padded images of shape `x_shape` and outputs of `out` pixels."""
        _, h, w, c = x_shape
        kh, kw, _, o = w_shape
        line = w * c
        return cls(h * line, kh, kw * c, line, *out, stride[0] * line, stride[1] * c, o)

    # Output pixels are visited column by column: neighbours in a row have overlapping patches, and
    # a CPU that adds twice in a row to the same memory has to wait for itself.

    def patches(self) -> Array:
        """Return where the patch of each output pixel begins in an image."""
        return grid_offsets(self.wo, self.across, self.ho, self.down)

    def pixels(self) -> Array:
        """Return where each output pixel begins in an output image."""
        return grid_offsets(self.wo, self.o, self.ho, self.wo * self.o)

    def taps(self) -> Array:
        """Return where each number of a patch lies, from the patch's beginning."""
        return grid_offsets(self.kh, self.line, self.run, 1)


SLICES = 8  # of a batch, at most


@jit()
def pool_window_plain(z, at, right, below, y, winner, out, o, relu):
    """Find the largest of four pixels, and which it is, for each of o channels."""
    z0, z1 = z[at : at + o], z[at + right : at + right + o]
    z2, z3 = z[at + below : at + below + o], z[at + below + right : at + below + right + o]
    y_, winner_ = y[out : out + o], winner[out : out + o]
    for k in range(o):
        v, number = z0[k], np.uint8(0)
        for other, its_number in ((z1, 1), (z2, 2), (z3, 3)):
            u = other[k]
            take = (u > v) | ((u != u) & (v == v))  # noqa: PLR0124 (NaN)
            v, number = (u, np.uint8(its_number)) if take else (v, number)
        y_[k] = v
        winner_[k] = np.uint8(4) if relu and v == 0 else number


@jit()
def unpool_window_plain(g, winner, at_g, z, at, right, below, o):
    """Give the gradient to the pixel that was the largest, and zero to the other three."""
    z0, z1 = z[at : at + o], z[at + right : at + right + o]
    z2, z3 = z[at + below : at + below + o], z[at + below + right : at + below + right + o]
    g_, winner_, zero = g[at_g : at_g + o], winner[at_g : at_g + o], g.dtype.type(0)
    for k in range(o):
        z0[k] = g_[k] if winner_[k] == 0 else zero
        z1[k] = g_[k] if winner_[k] == 1 else zero
        z2[k] = g_[k] if winner_[k] == 2 else zero
        z3[k] = g_[k] if winner_[k] == 3 else zero


# Masked bytes are slow on CPUs without AVX-512.
_WIDE = simd.VECTOR_BYTES == 64
pool_window: Any = simd.pool_window if _WIDE else pool_window_plain
unpool_window: Any = simd.unpool_window if _WIDE else unpool_window_plain


# --- forward ------------------------------------------------------------------------------------


@jit(parallel=True)
def _forward(x, w, bias, y, winner, scratch, floor, patches, pixels, geometry, parts):
    image, run, o, rows = geometry.image, geometry.run, geometry.o, pixels.size
    threads, tasks = scratch.shape[0], x.size // image * parts
    pooled = (geometry.ho // 2) * (geometry.wo // 2) * o
    for t in prange(threads):
        for task in range(t * tasks // threads, (t + 1) * tasks // threads):
            m, part = task // parts, task % parts
            if winner.size:
                z, z0 = scratch[t], 0
            else:
                z, z0 = y, m * rows * o
            multiply_rows(
                part * rows // parts, (part + 1) * rows // parts, o, geometry.kh, run,
                x, m * image, patches, geometry.line, 1, w, 0, run * o, o,
                z, z0, pixels, False, bias, floor,
            )  # fmt: skip
            if winner.size:
                part = slice(m * pooled, (m + 1) * pooled)
                pool_image(z, y[part], winner[part], geometry.wo, o, floor == 0)


@jit()
def pool_image(z, y, winner, wo, o, relu):
    """Fill y with the maxima of 2 x 2 windows of z, and `winner` with their positions, 0 to 3.

    4 stands for a maximum that a ReLU has switched off. A NaN wins.
    """
    for p in range(y.size // o):
        i, j = p // (wo // 2), p % (wo // 2)
        pool_window(z, (2 * i * wo + 2 * j) * o, o, wo * o, y, winner, p * o, o, relu)


def forward(
    x: Array, w: Array, bias: Array | None, relu: bool, out: Pair, stride: Pair, pool: bool
) -> tuple[Array, Array]:
    """Return the output [N, Ho, Wo, O] and, if pooled, the winners (otherwise an empty array)."""
    publish(x.dtype)
    n, (ho, wo), o = len(x), out, w.shape[-1]
    geometry = Geometry.of(x.shape, w.shape, out, stride)
    y = empty((n, ho // 2, wo // 2, o) if pool else (n, ho, wo, o), x.dtype)
    winner = empty(y.shape if pool else (0,), np.uint8)
    threads = threads_for(n * ho * wo * w.size, _forward)
    scratch = empty((threads, ho * wo * o if pool else 0), x.dtype)
    split = threads if n < threads and not pool else 1  # fewer images than threads: cut them
    run(
        threads, _forward,
        flat(x), flat(w), flat(y[:0] if bias is None else bias), y.reshape(-1), winner.reshape(-1),
        scratch, 0.0 if relu else -np.inf, geometry.patches(), geometry.pixels(), geometry, split,
    )  # fmt: skip
    return y, winner


@jit()
def slice_of(m, slices, n):
    """Return which slice of a batch of n image m is in: slice s begins with image s n // slices."""
    return ((m + 1) * slices - 1) // n


# --- backward -----------------------------------------------------------------------------------


class WeightGrad(NamedTuple):
    """Which factor of the weights' gradient gives the rows, and which the columns.

    Columns are computed a vector at a time, so the better choice is the one that fills its vectors:
    20 numbers fill two vectors of 16 badly, 100 fill seven well.
    """

    by_channel: bool  # rows are output channels, columns a run of a patch; once for each run
    passes: int
    columns: int

    @classmethod
    def of(cls, geometry: Geometry) -> "WeightGrad":
        """Choose."""
        _, kh, run, *_, o = geometry
        lanes = BLOCK[1]
        if o * kh * -(-run // lanes) < kh * run * -(-o // lanes):
            return cls(True, kh, run)
        return cls(False, 1, o)

    def rows(self, geometry: Geometry) -> tuple[Array, Array]:
        """Return where the rows begin in their factor, and in the gradient."""
        if self.by_channel:
            return row_offsets(geometry.o, 1), row_offsets(geometry.o, geometry.run)
        taps = geometry.taps()
        return taps, row_offsets(taps.size, geometry.o)

    def in_order(self, gw: Array, w_shape: tuple[int, ...]) -> Array:
        """Return the gradient as [kh, kw, C, O]."""
        kh, kw, c, o = w_shape
        if self.by_channel:
            return np.ascontiguousarray(gw.reshape(kh, o, kw, c).transpose(0, 2, 3, 1))
        return gw.reshape(w_shape)


@jit()
def weight_grad_of_image(x, x0, z, z0, gw, add, geometry, weights, rows_in, rows_out, none):
    """Compute, or add to gw, the weights' gradient of one image at x0 and its output's at z0."""
    ho, wo, o = geometry.ho, geometry.wo, geometry.o
    if weights.by_channel:
        a, a0, aq, ak = z, z0, wo * o, o
        b, b0, bq, bk = x, x0, geometry.down, geometry.across
    else:
        a, a0, aq, ak = x, x0, geometry.down, geometry.across
        b, b0, bq, bk = z, z0, wo * o, o
    for r in range(weights.passes):
        multiply_rows(
            0, rows_in.size, weights.columns, ho, wo, a, a0, rows_in, aq, ak,
            b, b0 + r * geometry.line, bq, bk, gw, r * o * geometry.run, rows_out,
            add, none, -np.inf,
        )  # fmt: skip


@jit(parallel=True)
def _backward(
    g, y, winner, x, wt, gx, gw, gb, scratch, patches, pixels, geometry, weights, rows_in, rows_out,
    none,
):  # fmt: skip
    """Fill those of gx, gw and gb that are not empty; gw and gb have a row per slice.

    g is the gradient of pooled maxima if there are `winner`s, of a ReLU's output if there is a y.
    wt is w as [kh, O, kw, C].
    """
    image, run, o, ho, wo = geometry.image, geometry.run, geometry.o, geometry.ho, geometry.wo
    rows, pooled = pixels.size, (ho // 2) * (wo // 2) * o
    n = g.size // (pooled if winner.size else rows * o)
    threads, slices = scratch.shape[0], gw.shape[0]
    for t in prange(threads):
        first, last = t * slices // threads, (t + 1) * slices // threads
        for m in range(first * n // slices, last * n // slices):
            gw_, gb_ = gw[slice_of(m, slices, n)], gb[slice_of(m, slices, n)]
            if winner.size:
                z, z0, part = scratch[t], 0, slice(m * pooled, (m + 1) * pooled)
                unpool_image(g[part], winner[part], z, ho, wo, o)
                _add_rows(g[part], winner[part], gb_)
            elif y.size:
                z, z0, part = scratch[t], 0, slice(m * rows * o, (m + 1) * rows * o)
                g_, y_ = g[part], y[part]
                for k in range(g_.size):
                    z[k] = g_[k] if y_[k] > 0 else g.dtype.type(0)
                _add_rows(z, winner, gb_)
            else:
                z, z0 = g, m * rows * o
                _add_rows(g[z0 : z0 + rows * o], winner, gb_)
            if gw.size:
                weight_grad_of_image(
                    x, m * image, z, z0, gw_, True, geometry, weights, rows_in, rows_out, none
                )
            if gx.size:
                gx[m * image : (m + 1) * image] = 0
                for r in range(geometry.kh):
                    multiply_rows(
                        0, rows, run, 1, o, z, z0, pixels, 0, 1, wt, r * o * run, 0, run,
                        gx, m * image + r * geometry.line, patches, True, none, -np.inf,
                    )  # fmt: skip


@jit(parallel=True)
def _backward_of_winners(g, winner, x, wt, gx, gw, gb, factors, places, counts, geometry):
    """Fill those of gx, gw and gb that are not empty; gw, as [kh, O, kw, C], and gb per slice."""
    image, pooled = geometry.image, (geometry.ho // 2) * (geometry.wo // 2) * geometry.o
    n, threads, slices = g.size // pooled, factors.shape[0], gw.shape[0]
    for t in prange(threads):
        first, last = t * slices // threads, (t + 1) * slices // threads
        for m in range(first * n // slices, last * n // slices):
            of = slice_of(m, slices, n)
            part = slice(m * pooled, (m + 1) * pooled)
            if gx.size:
                gx[m * image : (m + 1) * image] = 0
            gradients_of_image(
                g[part], winner[part], x, m * image, wt, gx, m * image, gw[of], gb[of],
                geometry, factors[t], places[t], counts[t],
            )  # fmt: skip


@jit()
def unpool_image(g, winner, z, ho, wo, o):
    """Put each gradient where its maximum was, and zero elsewhere."""
    if ho % 2:
        z[(ho - 1) * wo * o : ho * wo * o] = 0
    for i in range(ho // 2):
        if wo % 2:
            for row in (2 * i, 2 * i + 1):
                z[(row * wo + wo - 1) * o : (row * wo + wo) * o] = 0
        for j in range(wo // 2):
            p = (i * (wo // 2) + j) * o
            unpool_window(g, winner, p, z, (2 * i * wo + 2 * j) * o, o, wo * o, o)


@jit()
def _add_rows(g, winner, total):
    """Add the rows of g to the total, if there is one; without those that a ReLU switched off."""
    o = total.size
    if not o:
        return
    for p in range(0, g.size, o):
        g_ = g[p : p + o]
        if winner.size:
            winner_ = winner[p : p + o]
            for k in range(o):
                total[k] += g_[k] if winner_[k] < 4 else g.dtype.type(0)
        else:
            for k in range(o):
                total[k] += g_[k]


def backward(
    g: Array,
    winner: Array | None,
    y: Array | None,
    x: Array | None,
    w: Array | None,
    x_shape: tuple[int, ...],
    w_shape: tuple[int, ...],
    out: Pair,
    stride: Pair,
    bias: bool,
) -> tuple[Array | None, Array | None, Array | None]:
    """Return the gradients of x (needs w), of w (needs x) and of a bias; None for the others."""
    publish(g.dtype)
    geometry = Geometry.of(x_shape, w_shape, out, stride)
    o, pixels = geometry.o, geometry.ho * geometry.wo
    size = geometry.kh * geometry.run * o
    weights, slices = WeightGrad.of(geometry), min(len(g), SLICES)
    listed = winner is not None and weights.by_channel and geometry.run > 2 * BLOCK[1]
    kernel = _backward_of_winners if listed else _backward
    threads = min(slices, threads_for(len(g) * pixels * size, kernel))
    nothing = flat(np.empty(0, g.dtype))
    gx = empty((0,) if w is None else x_shape, g.dtype)
    gw = np.zeros((slices, 0 if x is None else size), g.dtype)
    gb = np.zeros((slices, o if bias else 0), g.dtype)
    if listed:
        run(
            threads, _backward_of_winners,
            flat(g), flat(winner), nothing if x is None else flat(x),
            nothing if w is None else flat(w.transpose(0, 3, 1, 2)), gx.reshape(-1), gw, gb,
            *room(geometry, threads, g.dtype), geometry,
        )  # fmt: skip
        return _result(gx if w is not None else None, gw, gb, x, bias, weights, w_shape)
    apart = winner is not None or y is not None
    scratch = empty((threads, pixels * o if apart else 0), g.dtype)
    run(
        threads, _backward,
        flat(g), nothing if y is None else flat(y),
        flat(np.empty(0, np.uint8) if winner is None else winner),
        nothing if x is None else flat(x),
        nothing if w is None else flat(w.transpose(0, 3, 1, 2)),
        gx.reshape(-1), gw, gb, scratch, geometry.patches(), geometry.pixels(), geometry,
        weights, *weights.rows(geometry), nothing,
    )  # fmt: skip
    return _result(gx if w is not None else None, gw, gb, x, bias, weights, w_shape)


def _result(
    gx: Array | None, gw: Array, gb: Array, x: Array, bias: bool, weights: Any, w_shape: Any
) -> tuple[Array | None, Array | None, Array | None]:
    """Add up the sums of the slices, in order."""
    return (
        gx,
        None if x is None else weights.in_order(gw.sum(axis=0), w_shape),
        gb.sum(axis=0) if bias else None,
    )

# mypy: allow-untyped-defs, allow-untyped-calls
"""Pooling, compiled.

The innermost loop runs over channels, which are contiguous: `take` becomes a vector mask. The batch
is the parallel axis; windows that overlap do so inside one image.
"""

from typing import Any

import numpy as np
from numba import prange

from minisparse.definitions import pool as definition
from minisparse.definitions.shapes import Pair, pool_output_shape
from minisparse.kernels.arguments import contiguous, same_numbers
from minisparse.kernels.buffers import empty
from minisparse.kernels.jit import jit
from minisparse.kernels.threads import run, threads_for

Array = Any


@jit(parallel=True)
def _max(x, y, argmax, kh, kw, sy, sx, py, px):
    n, h, w, c = x.shape
    for m in prange(n):
        for i in range(y.shape[1]):
            for j in range(y.shape[2]):
                best, where = y[m, i, j], argmax[m, i, j]
                best[:] = -np.inf
                where[:] = 0
                for r in range(max(0, py - i * sy), min(kh, h + py - i * sy)):
                    for s in range(max(0, px - j * sx), min(kw, w + px - j * sx)):
                        pixel = x[m, i * sy + r - py, j * sx + s - px]
                        k = np.int32(r * kw + s)
                        for o in range(c):
                            v, b = pixel[o], best[o]
                            take = (v > b) | ((v != v) & (b == b))  # noqa: PLR0124 (a NaN wins)
                            best[o] = v if take else b
                            where[o] = k if take else where[o]


@jit(parallel=True)
def _max_backward(g, argmax, gx, kh, kw, sy, sx, py, px):
    n, h, w, c = gx.shape
    for m in prange(n):
        gx[m] = 0
        for i in range(g.shape[1]):
            for j in range(g.shape[2]):
                source, where = g[m, i, j], argmax[m, i, j]
                for r in range(max(0, py - i * sy), min(kh, h + py - i * sy)):
                    for s in range(max(0, px - j * sx), min(kw, w + px - j * sx)):
                        pixel = gx[m, i * sy + r - py, j * sx + s - px]
                        k = np.int32(r * kw + s)
                        for o in range(c):
                            pixel[o] += source[o] if where[o] == k else pixel.dtype.type(0)


@jit(parallel=True)
def _max_gather(x, argmax, y, kh, kw, sy, sx, py, px):
    n, h, w, c = x.shape
    for m in prange(n):
        y[m] = 0
        for i in range(y.shape[1]):
            for j in range(y.shape[2]):
                target, where = y[m, i, j], argmax[m, i, j]
                for r in range(max(0, py - i * sy), min(kh, h + py - i * sy)):
                    for s in range(max(0, px - j * sx), min(kw, w + px - j * sx)):
                        pixel = x[m, i * sy + r - py, j * sx + s - px]
                        k = np.int32(r * kw + s)
                        for o in range(c):
                            target[o] = pixel[o] if where[o] == k else target[o]


@jit(parallel=True)
def _mean(x, y, kh, kw, sy, sx, py, px):
    n, h, w, c = x.shape
    scale = y.dtype.type(1 / (kh * kw))
    for m in prange(n):
        for i in range(y.shape[1]):
            for j in range(y.shape[2]):
                target = y[m, i, j]
                target[:] = 0
                for r in range(max(0, py - i * sy), min(kh, h + py - i * sy)):
                    for s in range(max(0, px - j * sx), min(kw, w + px - j * sx)):
                        pixel = x[m, i * sy + r - py, j * sx + s - px]
                        for o in range(c):
                            target[o] += pixel[o]
                for o in range(c):
                    target[o] *= scale


@jit(parallel=True)
def _mean_backward(g, gx, kh, kw, sy, sx, py, px):
    n, h, w, c = gx.shape
    scale = gx.dtype.type(1 / (kh * kw))
    for m in prange(n):
        gx[m] = 0
        for i in range(g.shape[1]):
            for j in range(g.shape[2]):
                source = g[m, i, j]
                for r in range(max(0, py - i * sy), min(kh, h + py - i * sy)):
                    for s in range(max(0, px - j * sx), min(kw, w + px - j * sx)):
                        pixel = gx[m, i * sy + r - py, j * sx + s - px]
                        for o in range(c):
                            pixel[o] += source[o] * scale


def max_pool2d(
    x: Array, kernel: Pair = (2, 2), stride: Pair = (2, 2), padding: Pair = (0, 0)
) -> tuple[Array, Array]:
    """Compute what `definitions.pool.max_pool2d` defines."""
    shape = pool_output_shape(x.shape, kernel, stride, padding)
    (x,) = same_numbers(x)
    y, argmax = empty(shape, x.dtype), empty(shape, np.int32)
    threads = threads_for(8 * x.size, _max)
    run(threads, _max, contiguous(x), y, argmax, *kernel, *stride, *padding)
    return y, argmax


def max_pool2d_backward(
    g: Array,
    argmax: Array,
    x_shape: tuple[int, ...],
    kernel: Pair = (2, 2),
    stride: Pair = (2, 2),
    padding: Pair = (0, 0),
) -> Array:
    """Compute what `definitions.pool.max_pool2d_backward` defines."""
    definition._check_pooled(x_shape, kernel, stride, padding, gradient=g, argmax=argmax)
    (g,) = same_numbers(g)
    gx = empty(x_shape, g.dtype)
    geometry = *kernel, *stride, *padding
    threads = threads_for(8 * gx.size, _max_backward)
    run(threads, _max_backward, contiguous(g), contiguous(argmax), gx, *geometry)
    return gx


def max_pool2d_gather(
    x: Array,
    argmax: Array,
    kernel: Pair = (2, 2),
    stride: Pair = (2, 2),
    padding: Pair = (0, 0),
) -> Array:
    """Compute what `definitions.pool.max_pool2d_gather` defines."""
    definition._check_pooled(x.shape, kernel, stride, padding, argmax=argmax)
    (x,) = same_numbers(x)
    y = empty(argmax.shape, x.dtype)
    geometry = *kernel, *stride, *padding
    threads = threads_for(8 * x.size, _max_gather)
    run(threads, _max_gather, contiguous(x), contiguous(argmax), y, *geometry)
    return y


def avg_pool2d(
    x: Array, kernel: Pair = (2, 2), stride: Pair = (2, 2), padding: Pair = (0, 0)
) -> Array:
    """Compute what `definitions.pool.avg_pool2d` defines."""
    shape = pool_output_shape(x.shape, kernel, stride, padding)
    (x,) = same_numbers(x)
    y = empty(shape, x.dtype)
    threads = threads_for(8 * x.size, _mean)
    run(threads, _mean, contiguous(x), y, *kernel, *stride, *padding)
    return y


def avg_pool2d_backward(
    g: Array,
    x_shape: tuple[int, ...],
    kernel: Pair = (2, 2),
    stride: Pair = (2, 2),
    padding: Pair = (0, 0),
) -> Array:
    """Compute what `definitions.pool.avg_pool2d_backward` defines."""
    definition._check_pooled(x_shape, kernel, stride, padding, gradient=g)
    (g,) = same_numbers(g)
    gx = empty(x_shape, g.dtype)
    threads = threads_for(8 * gx.size, _mean_backward)
    run(threads, _mean_backward, contiguous(g), gx, *kernel, *stride, *padding)
    return gx

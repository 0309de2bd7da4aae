# mypy: allow-untyped-defs, allow-untyped-calls
"""Batch normalization, compiled: two passes over memory forward, and two back.

All sums are over the rows of a matrix, so the inner loops run along a row.  Channels may be few, and
a loop over 3 numbers is no loop: as many pixels as it takes make one wide row, every channel's
numbers are repeated over it, and its columns come together at the end (`_fold`).

The sum of squares is taken about the mean of each chunk.  That is not known before the chunk has been
read, but that of the chunk before is close to it, and moving the sum on by as little costs no digits;
where it is not (`away`), the chunk is read again, from the cache.  Chunks are put together in float64
(Chan, Golub and LeVeque 1983)::

    M2 = M2_a + M2_b + (mean_b - mean_a)^2 n_a n_b / (n_a + n_b)

Sums are cut into `_SLICES` slices and not into one for each thread, so that the number of threads
changes no bit.
"""

from typing import Any

import numpy as np
from numba import prange, typeof, types

from minisparse.definitions import norm as definition
from minisparse.kernels.arguments import flat, same_numbers
from minisparse.kernels.buffers import empty
from minisparse.kernels.jit import jit
from minisparse.kernels.symbol import Symbol
from minisparse.kernels.threads import run, threads_for

Array = Any
_FEW = 2048  # numbers: up to here the definition does, and nobody waits for a compiler
_WIDE = 256  # numbers in a row, at least
_CHUNK = 16384  # numbers: 64 KiB in float32
_SLICES = 32
_WORK = 4  # multiply-adds that one number of a pass is worth to `threads_for`


@jit()
def _sums(x, at, rows, width, pivot, total, square):
    """Fill total with sum (x - pivot), column by column, and square with sum (x - pivot)^2."""
    pivot_, total_, square_ = pivot[:width], total[:width], square[:width]
    for j in range(width):
        total_[j] = 0
        square_[j] = 0
    # One row at a time: several would be fewer loads and stores, but memory is fetched ahead only
    # where it is read in order (measured: 26 MB take 2.2 ms, and two rows at a time 3.4).
    for a in range(at, at + rows * width, width):
        x_ = x[a : a + width]
        for j in range(width):
            d = x_[j] - pivot_[j]
            total_[j] += d
            square_[j] += d * d


@jit()
def _add_chunk(x, at, rows, width, mean, squares, count, scratch):
    """Merge the moments of `rows` rows, from x[at] on, into those of `count` rows before.

    The first row of scratch is the mean of the chunk before.
    """
    pivot, total, square = scratch[0], scratch[1], scratch[2]
    for _ in range(2):
        _sums(x, at, rows, width, pivot, total, square)
        away = False
        for j in range(width):
            d = np.float64(total[j])
            away |= d * d > 4 * rows * np.float64(square[j]) - 4 * d * d
        if not away:
            break
        for j in range(width):
            pivot[j] += total[j] / rows
    part = rows / (count + rows)
    for j in range(width):
        moved = np.float64(total[j]) / rows
        own = np.float64(pivot[j]) + moved
        d = own - mean[j]
        mean[j] += d * part
        squares[j] += np.float64(square[j]) - moved * moved * rows + d * d * (count * part)
        pivot[j] = own


@jit()
def _fold(mean, squares, counts, mean_of, var_of):
    """Put the slices together, and the columns that belong to one channel."""
    slices, width = mean.shape
    channels = mean_of.size
    for c in range(channels):
        m, q, n = 0.0, 0.0, 0.0
        for s in range(slices):
            for j in range(c, width, channels):
                more = counts[s, j]
                if more > 0:
                    d = mean[s, j] - m
                    q += squares[s, j] + d * d * (n * more / (n + more))
                    n += more
                    m += d * (more / n)
        mean_of[c], var_of[c] = m, q / n


def _moments_of_slice(s, x, width, step, means, all_squares, all_counts, all_scratch):
    mean, squares, counts, scratch = means[s], all_squares[s], all_counts[s], all_scratch[s]
    slices, rows = len(means), x.size // width
    chunks = (rows + step - 1) // step
    first, last = s * chunks // slices, (s + 1) * chunks // slices
    start = first * step * width
    for j in range(width):
        mean[j] = 0
        squares[j] = 0
        scratch[0, j] = x[start + j]
        counts[j] = min(rows, last * step) - first * step
    for chunk in range(first, last):
        row = chunk * step
        _add_chunk(
            x, row * width, min(step, rows - row), width, mean, squares, row - first * step, scratch
        )
    left = x.size - rows * width  # of the last row, which is shorter
    if left and s == slices - 1:
        _add_chunk(x, rows * width, 1, left, mean, squares, rows - first * step, scratch)
        for j in range(left):
            counts[j] += 1


_symbol = Symbol(_moments_of_slice)
_call: Any = _symbol.call


@jit(parallel=True)
def _moments(x, width, step, mean, squares, counts, scratch):
    for s in prange(len(mean)):
        _call((
            np.int64(s), x, np.int64(width), np.int64(step), mean, squares, counts, scratch,
        ))  # fmt: skip


@jit(parallel=True)
def _normalize(x, y, center, scale, shift, floor, step):
    width, n = center.size, x.size
    size = step * width
    for chunk in prange((n + size - 1) // size):
        for at in range(chunk * size, min(n, (chunk + 1) * size), width):
            end = min(n, at + width)
            x_, y_ = x[at:end], y[at:end]
            for j in range(end - at):
                v = (x_[j] - center[j]) * scale[j] + shift[j]
                y_[j] = floor if v < floor else v  # noqa: FURB136 (a NaN stays)


@jit()
def _add_chunk_back(g, x, at, end, center, scale, shift, relu, g_sum, gx_sum, total, product):
    """Add sum g and sum g (x - center) of x[at:end] to g_sum and gx_sum."""
    width, number = center.size, x.dtype.type
    for j in range(width):
        total[j] = 0
        product[j] = 0
    for row in range(at, end, width):
        stop = min(end, row + width)
        g_, x_ = g[row:stop], x[row:stop]
        if relu:
            for j in range(stop - row):
                d = x_[j] - center[j]
                v = g_[j] if d * scale[j] + shift[j] > 0 else number(0)
                total[j] += v
                product[j] += v * d
        else:
            for j in range(stop - row):
                total[j] += g_[j]
                product[j] += g_[j] * (x_[j] - center[j])
    for j in range(width):
        g_sum[j] += total[j]
        gx_sum[j] += product[j]


def _sums_of_slice(s, g, x, center, scale, shift, relu, size, all_g_sums, all_gx_sums, all_scratch):
    g_sum, gx_sum, scratch = all_g_sums[s], all_gx_sums[s], all_scratch[s]
    slices, n = len(all_g_sums), x.size
    chunks = (n + size - 1) // size
    for j in range(center.size):
        g_sum[j] = 0
        gx_sum[j] = 0
    for chunk in range(s * chunks // slices, (s + 1) * chunks // slices):
        _add_chunk_back(
            g, x, chunk * size, min(n, (chunk + 1) * size), center, scale, shift, relu,
            g_sum, gx_sum, scratch[0], scratch[1],
        )  # fmt: skip


@jit()
def _fold_back(g_sum, gx_sum, sums):
    channels = sums.shape[1]
    for c in range(channels):
        g, gx = 0.0, 0.0
        for s in range(len(g_sum)):
            for j in range(c, g_sum.shape[1], channels):
                g += g_sum[s, j]
                gx += gx_sum[s, j]
        sums[0, c], sums[1, c] = g, gx


_symbol_back = Symbol(_sums_of_slice)
_call_back: Any = _symbol_back.call


@jit(parallel=True)
def _sums_back(g, x, center, scale, shift, relu, size, g_sum, gx_sum, scratch):
    for s in prange(len(g_sum)):
        _call_back((
            np.int64(s), g, x, center, scale, shift, relu, np.int64(size), g_sum, gx_sum, scratch,
        ))  # fmt: skip


@jit(parallel=True)
def _back(g, x, gx, center, scale, shift, relu, a, b, c, step):
    """Fill gx with a g + b (x - center) + c; g counts where y > 0, if there is a relu."""
    width, n, number = center.size, x.size, x.dtype.type
    size = step * width
    for chunk in prange((n + size - 1) // size):
        for at in range(chunk * size, min(n, (chunk + 1) * size), width):
            end = min(n, at + width)
            g_, x_, gx_ = g[at:end], x[at:end], gx[at:end]
            if relu:
                for j in range(end - at):
                    d = x_[j] - center[j]
                    v = g_[j] if d * scale[j] + shift[j] > 0 else number(0)
                    gx_[j] = a[j] * v + (b[j] * d + c[j])
            else:
                for j in range(end - at):
                    gx_[j] = a[j] * g_[j] + (b[j] * (x_[j] - center[j]) + c[j])


class _Wide:
    """How the numbers of an array are taken: rows of so many pixels, so many rows at a time."""

    def __init__(self, x: Array) -> None:
        channels = x.shape[-1]
        self.pixels = max(1, min(-(-_WIDE // channels), x.size // channels))
        self.width = self.pixels * channels
        self.step = max(4, _CHUNK // self.width)  # rows
        chunks = -(-x.size // (self.width * self.step))
        self.slices = min(_SLICES, chunks)
        self.work = _WORK * x.size
        self.dtype = x.dtype

    def row(self, channels: Array) -> Array:
        """Return numbers of channels, repeated for each pixel."""
        row = np.empty((self.pixels, channels.size), self.dtype)
        row[...] = channels
        return row.reshape(-1)

    def sums(self) -> Array:
        return np.empty((self.slices, self.width))

    def scratch(self) -> Array:
        return np.empty((self.slices, 3, self.width), self.dtype)


def batch_moments(x: Array) -> tuple[Array, Array]:
    """Compute what `definitions.norm.batch_moments` defines."""
    definition.check_values(x)
    (x,) = same_numbers(x)
    if x.size <= _FEW:
        return definition.batch_moments(x)
    wide = _Wide(x)
    mean, var = np.empty(x.shape[-1]), np.empty(x.shape[-1])
    sums = wide.sums(), wide.sums(), wide.sums()  # means, sums of squares, counts
    more = flat(x), wide.width, wide.step, *sums, wide.scratch()
    _publish(_symbol, *more)
    threads = threads_for(wide.work, _moments)
    run(threads, _moments, *more)
    _fold(*sums, mean, var)
    return mean, var


def batch_norm(
    x: Array, mean: Array, var: Array, gamma: Array, beta: Array, eps: float, relu: bool = False
) -> Array:
    """Compute what `definitions.norm.batch_norm` defines."""
    definition.check_channels(x, mean=mean, var=var, gamma=gamma, beta=beta)
    (x,) = same_numbers(x)
    if x.size <= _FEW:
        return definition.batch_norm(x, mean, var, gamma, beta, eps, relu)
    wide = _Wide(x)
    y = empty(x.shape, x.dtype)
    floor = x.dtype.type(0 if relu else -np.inf)
    rows = _rows(wide, mean, var, gamma, beta, eps)
    threads = threads_for(wide.work, _normalize)
    run(threads, _normalize, flat(x), y.reshape(-1), *rows, floor, wide.step)
    return y


def batch_norm_backward(
    g: Array,
    x: Array,
    mean: Array,
    var: Array,
    gamma: Array,
    beta: Array,
    eps: float,
    relu: bool = False,
    own: bool = True,
    wants: tuple[bool, bool, bool] = (True, True, True),
) -> tuple[Array | None, Array | None, Array | None]:
    """Compute what `definitions.norm.batch_norm_backward` defines."""
    definition.check_channels(x, mean=mean, var=var, gamma=gamma, beta=beta)
    definition.check_like(g, x)
    g, x = same_numbers(g, x)
    if x.size <= _FEW:
        return definition.batch_norm_backward(g, x, mean, var, gamma, beta, eps, relu, own, wants)
    wide, n = _Wide(x), x.size // x.shape[-1]
    rows = _rows(wide, mean, var, gamma, beta, eps)
    s = np.sqrt(var + eps)
    slope = gamma / s
    g_, x_ = flat(g), flat(x)
    sums = np.zeros((2, x.shape[-1]))
    if own or wants[1] or wants[2]:
        both = wide.sums(), wide.sums()
        more = g_, x_, *rows, relu, wide.step * wide.width, *both, wide.scratch()
        _publish(_symbol_back, *more)
        threads = threads_for(wide.work, _sums_back)
        run(threads, _sums_back, *more)
        _fold_back(*both, sums)
    gbeta, away = sums[0], mean - mean.astype(x.dtype)  # the center is a rounded mean
    ggamma = (sums[1] - away * gbeta) / s
    gx = None
    if wants[0]:
        gx = empty(x.shape, x.dtype)
        # slope (g - gbeta/n - (x - mean)/s ggamma/n), by powers of x
        b = -slope / s * ggamma / n if own else np.zeros_like(s)
        c = -slope * gbeta / n - b * away if own else b
        abc = wide.row(slope), wide.row(b), wide.row(c)
        threads = threads_for(wide.work, _back)
        run(threads, _back, g_, x_, gx.reshape(-1), *rows, relu, *abc, wide.step)
    return (
        gx,
        ggamma.astype(x.dtype) if wants[1] else None,
        gbeta.astype(x.dtype) if wants[2] else None,
    )


def _rows(
    wide: _Wide, mean: Array, var: Array, gamma: Array, beta: Array, eps: float
) -> tuple[Array, Array, Array]:
    """Return the rows with which y = (x - center) scale + shift."""
    center = mean.astype(wide.dtype)
    scale = gamma / np.sqrt(var + eps)
    return wide.row(center), wide.row(scale), wide.row(beta - (mean - center) * scale)


_published: set[tuple[Symbol, Any]] = set()


def _publish(symbol: Symbol, *arguments: Any) -> None:
    """Compile the function of a slice for these arguments, unless that has been done."""
    kind = symbol, arguments[0].dtype
    if kind not in _published:  # finding out the types takes longer than a small batch norm
        symbol.publish(types.int64, *map(typeof, arguments))
        _published.add(kind)

# mypy: allow-untyped-defs, allow-untyped-calls
"""Magnitudes and squares of a convolution's weight gradient, image by image, compiled.

Behind a max-pool or a ReLU most of g is zero, at the same pixels whichever of the K outputs it is the
gradient of.  So each channel of each image has a list of the pixels that count, and a few gradients
at a time are sums over the patches of those (listed.py).
"""

from typing import Any

import numpy as np
from numba import prange

from minisparse.definitions import conv_per_image as definition
from minisparse.definitions.conv import pad_images
from minisparse.definitions.shapes import Pair, conv_output_shape
from minisparse.kernels.arguments import flat, same_numbers
from minisparse.kernels.buffers import empty
from minisparse.kernels.conv_loops import SLICES, Geometry
from minisparse.kernels.jit import jit
from minisparse.kernels.listed import GROUP, group_of, lanes_of, padded, step_of
from minisparse.kernels.product import grid_offsets
from minisparse.kernels.threads import run, threads_for

Array = Any

_CHANNELS = 16  # listed together: they lie in one cache line


@jit(parallel=True)
def _sum_up(x, g, winner, total, squared, geometry, places, width, lanes, patches, sizes, rows, factors, part, zeros):  # fmt: skip
    """Give each slice some images, and a row of `total`, as [O, width], to add to."""
    pixels, o = geometry.ho * geometry.wo, geometry.o
    if winner.size:
        pixels = (geometry.ho // 2) * (geometry.wo // 2)  # of which one each is listed
    n, slices, threads = x.size // geometry.image, total.shape[0], part.shape[0]
    ks = g.size // (n * pixels * o)
    for t in prange(threads):
        patches_, rows_, factors_, part_ = patches[t], rows[t], factors[t], part[t]
        counts = np.empty(_CHANNELS, np.int64)
        for at in range(t * slices // threads, (t + 1) * slices // threads):
            for m in range(at * n // slices, (at + 1) * n // slices):
                _lay_out(x, m * geometry.image, patches_, geometry, places, width)
                if not winner.size:
                    _add_sizes(g, m, ks, n, pixels * o, sizes[t])
                for c in range(0, o, _CHANNELS):
                    few = min(_CHANNELS, o - c)
                    _list_pixels(
                        g, winner, m, ks, n, pixels, o, geometry.wo, c, few, sizes[t], rows_, factors_,
                        counts,
                    )  # fmt: skip
                    for k in range(few):
                        _add_channel(
                            total[at, (c + k) * width : (c + k + 1) * width], squared, ks, counts[k],
                            factors_[k * pixels * (-(-ks // GROUP) * GROUP) :],
                            rows_[k * pixels :], pixels, patches_, width, lanes, part_, zeros,
                        )  # fmt: skip


@jit()
def _lay_out(x, x0, patches, geometry, places, width):
    """Copy the patch of each pixel to a row of its own."""
    run, kh = geometry.run, geometry.kh
    for p in range(places.size):
        for r in range(kh):
            a = x0 + places[p] + r * geometry.line
            to = p * width + r * run
            x_, to_ = x[a : a + run], patches[to : to + run]
            for i in range(run):
                to_[i] = x_[i]
        patches[p * width + kh * run : (p + 1) * width] = 0


@jit()
def _add_sizes(g, m, ks, n, numbers, sizes):
    """Fill `sizes` with the sum of the K gradients' magnitudes: 0 where there is none."""
    sizes[:] = 0
    for q in range(ks):
        g_ = g[(q * n + m) * numbers : (q * n + m + 1) * numbers]
        for i in range(numbers):
            sizes[i] += abs(g_[i])


@jit()
def _list_pixels(g, winner, m, ks, n, pixels, o, wo, c, few, sizes, rows, factors, counts):  # fmt: skip
    """List for a few channels the pixels with a gradient, and their K gradients, in groups."""
    groups = -(-ks // GROUP)
    counts[:] = 0
    for p in range(pixels):
        for k in range(few):
            at, count, pixel = (m * pixels + p) * o + c + k, counts[k], p
            if winner.size:
                won = np.int64(winner[at])
                if won > 3:
                    continue
                across = wo // 2
                pixel = (p // across * 2 + won // 2) * wo + p % across * 2 + won % 2
            elif sizes[p * o + c + k] == 0:
                continue
            rows[k * pixels + count] = pixel
            to = (k * groups * pixels + count) * GROUP
            for q in range(groups * GROUP):
                value = g.dtype.type(0)
                if q < ks:
                    value = g[q * n * pixels * o + at]
                factors[to + q // GROUP * pixels * GROUP + q % GROUP] = value
            counts[k] = count + 1


@jit()
def _add_channel(total, squared, ks, count, factors, rows, pixels, patches, width, lanes, part, zeros):  # fmt: skip
    """Add the magnitudes, or squares, of one channel's K gradients."""
    step = part.size // GROUP
    if not count:
        return
    for j in range(0, width, step):
        total_ = total[j : j + step]
        for k in range(0, ks, GROUP):
            group_of(factors, k * pixels, count, rows, patches, j, width, lanes, part, zeros)
            for r in range(min(GROUP, ks - k)):
                part_ = part[r * step : (r + 1) * step]
                if squared:
                    for i in range(step):
                        total_[i] += part_[i] * part_[i]
                else:
                    for i in range(step):
                        total_[i] += abs(part_[i])


def conv2d_weight_grad_magnitude(
    x: Array, g: Array, kernel_shape: Pair, stride: Pair = (1, 1), padding: Pair = (0, 0)
) -> Array:
    """Compute what `definitions.conv_per_image.conv2d_weight_grad_magnitude` defines."""
    definition.check_gradients(x, g, kernel_shape, stride, padding)
    return _of_single_images(False, x, g, None, kernel_shape, stride, padding)


def conv2d_pool_weight_grad_magnitude(
    x: Array,
    g: Array,
    winner: Array,
    kernel_shape: Pair,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
) -> Array:
    """Compute what `definitions.conv_per_image.conv2d_pool_weight_grad_magnitude` defines."""
    definition.check_winners(x, g, winner, kernel_shape, stride, padding)
    winner = np.asarray(winner, np.uint8)
    return _of_single_images(False, x, g, winner, kernel_shape, stride, padding)


def conv2d_weight_grad_squares(
    x: Array, g: Array, kernel_shape: Pair, stride: Pair = (1, 1), padding: Pair = (0, 0)
) -> Array:
    """Compute what `definitions.conv_per_image.conv2d_weight_grad_squares` defines."""
    definition.check_gradients(x, g, kernel_shape, stride, padding)
    return _of_single_images(True, x, g, None, kernel_shape, stride, padding)


def _of_single_images(
    squared: bool, x: Array, g: Array, winner: Any, kernel_shape: Pair, stride: Pair, padding: Pair
) -> Array:
    w_shape = (*kernel_shape, x.shape[-1], g.shape[-1])
    if 0 in g.shape or 0 in x.shape or 0 in w_shape:
        return np.zeros(w_shape, g.dtype)
    x, g = same_numbers(x, g)
    x = pad_images(x, padding)
    _, *out, _ = conv_output_shape(x.shape, w_shape, stride, (0, 0))
    geometry = Geometry.of(x.shape, w_shape, (out[0], out[1]), stride)
    places = grid_offsets(geometry.ho, geometry.down, geometry.wo, geometry.across)
    taps, pixels, dtype = geometry.kh * geometry.run, geometry.ho * geometry.wo, g.dtype
    width, step, groups = padded(taps, dtype), step_of(dtype), -(-len(g) // GROUP)
    slices = min(SLICES, len(x))
    threads = min(threads_for(g.size * taps, _sum_up), slices)
    total = np.zeros((slices, geometry.o * width), dtype)
    run(
        threads, _sum_up, flat(x), flat(g), flat(np.empty(0, np.uint8) if winner is None else winner), total, squared, geometry, places, width, lanes_of(dtype),
        empty((threads, pixels * width), dtype), empty((threads, pixels * geometry.o), dtype),
        np.empty((threads, _CHANNELS * pixels), np.int64),
        empty((threads, _CHANNELS * pixels * groups * GROUP), dtype),
        np.empty((threads, GROUP * step), dtype), np.zeros(GROUP, dtype),
    )  # fmt: skip
    found = total.sum(axis=0).reshape(geometry.o, width)[:, :taps]
    return np.ascontiguousarray(found.T).reshape(w_shape)

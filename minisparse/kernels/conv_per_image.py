# mypy: allow-untyped-defs, allow-untyped-calls
"""Magnitudes and squares of a convolution's weight gradient, image by image, compiled."""

from typing import Any

import numpy as np
from numba import prange

from minisparse.definitions import conv_per_image as definition
from minisparse.definitions.conv import pad_images
from minisparse.definitions.shapes import Pair
from minisparse.kernels.arguments import flat, same_numbers
from minisparse.kernels.buffers import empty
from minisparse.kernels.conv_loops import (
    SLICES,
    Geometry,
    WeightGrad,
    slice_of,
    weight_grad_of_image,
)
from minisparse.kernels.jit import jit
from minisparse.kernels.product import publish
from minisparse.kernels.threads import run, threads_for

Array = Any


@jit(parallel=True)
def _sum_up(x, g, total, scratch, squared, geometry, weights, rows_in, rows_out, none):
    """Give each thread some slices of the batch; each has a row of `total` to add to."""
    n, pixels = x.size // geometry.image, geometry.ho * geometry.wo * geometry.o
    threads, slices = scratch.shape[0], total.shape[0]
    for t in prange(threads):
        first, last = t * slices // threads, (t + 1) * slices // threads
        scratch_ = scratch[t]
        for m in range(first * n // slices, last * n // slices):
            total_ = total[slice_of(m, slices, n)]
            for at in range(m * pixels, g.size, n * pixels):  # one of each cotangent
                weight_grad_of_image(
                    x, m * geometry.image, g, at, scratch_, False,
                    geometry, weights, rows_in, rows_out, none,
                )  # fmt: skip
                if squared:
                    for i in range(scratch_.size):
                        total_[i] += scratch_[i] * scratch_[i]
                else:
                    for i in range(scratch_.size):
                        total_[i] += abs(scratch_[i])


def conv2d_weight_grad_magnitude(
    x: Array, g: Array, kernel_shape: Pair, stride: Pair = (1, 1), padding: Pair = (0, 0)
) -> Array:
    """Compute what `definitions.conv_per_image.conv2d_weight_grad_magnitude` defines."""
    return _of_single_images(False, x, g, kernel_shape, stride, padding)


def conv2d_weight_grad_squares(
    x: Array, g: Array, kernel_shape: Pair, stride: Pair = (1, 1), padding: Pair = (0, 0)
) -> Array:
    """Compute what `definitions.conv_per_image.conv2d_weight_grad_squares` defines."""
    return _of_single_images(True, x, g, kernel_shape, stride, padding)


def _of_single_images(
    squared: bool, x: Array, g: Array, kernel_shape: Pair, stride: Pair, padding: Pair
) -> Array:
    definition.check_gradients(x, g, kernel_shape, stride, padding)
    w_shape = (*kernel_shape, x.shape[-1], g.shape[-1])
    if 0 in g.shape or 0 in x.shape or 0 in w_shape:
        return np.zeros(w_shape, g.dtype)
    x, g = same_numbers(x, g)
    publish(g.dtype)
    x = pad_images(x, padding)
    geometry = Geometry.of(x.shape, w_shape, g.shape[2:4], stride)
    weights, size = WeightGrad.of(geometry), int(np.prod(w_shape))
    slices = min(len(x), SLICES)
    threads = min(slices, threads_for(g.size * size // g.shape[-1], _sum_up))
    total = np.zeros((slices, size), g.dtype)
    run(
        threads, _sum_up, flat(x), flat(g), total, empty((threads, size), g.dtype), squared,
        geometry, weights, *weights.rows(geometry), flat(np.empty(0, g.dtype)),
    )  # fmt: skip
    return weights.in_order(total.sum(axis=0), w_shape)

"""Convolution, bias, ReLU and 2 x 2 max-pooling in one pass, and the way back.

What lies between convolution and pool, the largest arrays of a small network, is never stored: each
image is convolved into a scratch buffer that stays in the cache, and only the maxima and their
positions come out.
"""

from typing import Any

import numpy as np

from minisparse.definitions import conv_pool as definition
from minisparse.definitions.conv import Wants, check_bias, crop_images, pad_images
from minisparse.definitions.pool import _check_pooled
from minisparse.definitions.shapes import Pair, conv_output_shape, pool_output_shape
from minisparse.kernels import conv_loops
from minisparse.kernels.arguments import same_numbers

Array = Any


def conv2d_pool(
    x: Array,
    w: Array,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    bias: Array | None = None,
    relu: bool = False,
) -> tuple[Array, Array]:
    """Compute what `definitions.conv_pool.conv2d_pool` defines."""
    n, ho, wo, o = conv_output_shape(x.shape, w.shape, stride, padding)
    pool_output_shape((n, ho, wo, o), *definition.POOL)
    check_bias(bias, w)
    if 0 in x.shape or 0 in w.shape:
        return definition.conv2d_pool(x, w, stride, padding, bias, relu)
    x, w, *rest = same_numbers(x, w) if bias is None else same_numbers(x, w, bias)
    x = pad_images(x, padding)
    return conv_loops.forward(x, w, rest[0] if rest else None, relu, (ho, wo), stride, pool=True)


def conv2d_pool_backward(
    g: Array,
    winner: Array,
    x: Array,
    w: Array,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    wants: Wants = (True, True, True),
) -> tuple[Array | None, Array | None, Array | None]:
    """Compute what `definitions.conv_pool.conv2d_pool_backward` defines."""
    n, ho, wo, o = conv_output_shape(x.shape, w.shape, stride, padding)
    _check_pooled((n, ho, wo, o), *definition.POOL, gradient=g, winner=winner)
    if 0 in x.shape or 0 in w.shape:
        return definition.conv2d_pool_backward(g, winner, x, w, stride, padding, wants)
    g, x, w = same_numbers(g, x, w)
    x = pad_images(x, padding)
    gx, gw, gb = conv_loops.backward(
        g, np.asarray(winner, np.uint8), None, x if wants[1] else None, w if wants[0] else None,
        x.shape, w.shape, (ho, wo), stride, bias=wants[2],
    )  # fmt: skip
    return None if gx is None else crop_images(gx, padding), gw, gb

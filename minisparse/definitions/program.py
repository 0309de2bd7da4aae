"""The layers of a network in one call: for inference, where no gradient is wanted.

A *program* is a table of layers, one row each: first convolutions, then linear layers.
"""

from typing import Any, NamedTuple

import numpy as np

from ..arrays import array_module
from .conv import conv2d
from .linear import matmul
from .pool import max_pool2d
from .shapes import Pair

Array = Any


class Layer(NamedTuple):
    """A layer of a program.

    Attributes
    ----------
    w : array, [in, out] or [kh, kw, in, out]
    bias : array, [out], or None
    relu : bool
    pool : bool
        A 2 x 2 max-pool, of a convolution alone; before or after the relu is the same.
    stride, padding : (int, int)
        Of a convolution.
    """

    w: Array
    bias: Array | None
    relu: bool
    pool: bool = False
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)


class Program(NamedTuple):
    """What `run_program` needs; made by `kernels.program.build_program`.

    Attributes
    ----------
    layers : tuple of Layer
        Their arrays are parts of `numbers`: who writes there, writes here.
    in_shape, out_shape : tuple of int
        Of one image.
    numbers : array
        Weights and biases, one layer after another.
    table : int64 array, [layers, columns]
    places : int64 array
        Where patches, pixels and rows begin.
    sizes : (int, int, int, int)
        Numbers of an image, at most: between convolutions; before a pool; padded; between linear
        layers.
    work : int
        Multiply-adds for an image.
    """

    layers: tuple[Layer, ...]
    in_shape: tuple[int, ...]
    out_shape: tuple[int, ...]
    numbers: Array
    table: Array
    places: Array
    sizes: tuple[int, int, int, int]
    work: int


def run_program(x: Array, program: Program) -> Array:
    """Take images through all layers of a program.

    Parameters
    ----------
    x : ndarray, shape (n, *in_shape), or with as many numbers for each image
        Of the program's dtype.
    program : Program

    Returns
    -------
    ndarray, shape (n, *out_shape)

    Raises
    ------
    ValueError
        The shape or the dtype does not fit.
    """
    check_images(x, program)
    xp, n = array_module(x), x.shape[0]
    x = x.reshape(n, *program.in_shape)
    for layer in program.layers:
        if layer.w.ndim == 4:
            x = conv2d(x, layer.w, layer.stride, layer.padding, layer.bias)
            if layer.pool:
                x, _ = max_pool2d(x, (2, 2), (2, 2))
            x = xp.maximum(x, 0) if layer.relu else x
        else:
            x = matmul(x.reshape(n, -1), layer.w, layer.bias, layer.relu)
    return x


def check_images(x: Array, program: Program) -> None:
    """Refuse what is no batch of images for a program."""
    size = int(np.prod(program.in_shape))
    if x.ndim < 2 or x.size != x.shape[0] * size or x.dtype != program.numbers.dtype:
        raise ValueError(
            f"expected images [n, {', '.join(map(str, program.in_shape))}] of "
            f"{program.numbers.dtype}, got {list(x.shape)} of {x.dtype}"
        )

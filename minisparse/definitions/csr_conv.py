"""Convolution with sparse filters: the stored weights, and zeros elsewhere."""

from typing import Any

from .conv import conv2d
from .csr import check_pattern, sparse_matrix
from .shapes import Pair, conv_output_shape

Array = Any


def sparse_conv2d(
    x: Array,
    values: Array,
    columns: Array,
    starts: Array,
    filters: tuple[int, int, int, int],
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    bias: Array | None = None,
) -> Array:
    """Convolve images with sparse filters.

    Parameters
    ----------
    x : ndarray, shape (n, height, width, c)
    values : ndarray, shape (entries,)
        The stored weights, filter by filter.
    columns : int32 ndarray, shape (entries,)
        The place of each in its filter: ``(a kw + b) c + channel`` for row a and column b.
    starts : int64 ndarray, shape (o + 1,)
        Where the weights of each filter begin.
    filters : (kh, kw, c, o)
        Shape of the dense filters.
    stride, padding : (int, int)
    bias : ndarray, shape (o,), optional

    Returns
    -------
    ndarray, shape (n, height', width', o)

    Raises
    ------
    ValueError
        If the shapes do not fit, or the lists describe no filters.
    """
    check_product(x, values, columns, starts, filters, stride, padding, bias)
    kh, kw, c, o = filters
    w = sparse_matrix(values, columns, starts, kh * kw * c, o).reshape(kh, kw, c, o)
    y = conv2d(x, w, stride, padding)
    return y if bias is None else y + bias


def check_product(
    x: Array, values: Array, columns: Array, starts: Array, filters: tuple[int, ...],
    stride: Pair, padding: Pair, bias: Array | None,
) -> tuple[int, ...]:  # fmt: skip
    """Return the shape of the result, or say what does not fit."""
    shape = conv_output_shape(x.shape, filters, stride, padding)
    kh, kw, c, o = filters
    check_pattern(columns, starts, kh * kw * c, o, 1)
    if tuple(values.shape) != tuple(columns.shape):
        raise ValueError(
            f"values must have one number for each of {columns.size} columns, got shape "
            f"{list(values.shape)}"
        )
    if bias is not None and tuple(bias.shape) != (o,):
        raise ValueError(f"the bias of {o} filters must have shape [{o}], got {list(bias.shape)}")
    return tuple(shape)

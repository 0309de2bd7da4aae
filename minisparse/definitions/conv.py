"""Convolution (cross-correlation, as everywhere in deep learning) and its two gradients.

With images x [N, H, W, C], weights w [kh, kw, C, O], stride (sy, sx) and zero padding::

    y[n, i, j, o] = sum_r sum_s sum_c  x[n, i sy + r, j sx + s, c] w[r, s, c, o]

The loops here run over the kernel's few positions (r, s): at each, the pixels it meets are a
strided slice of the padded image, and the sum over channels is a matrix product.
"""

from typing import Any

from ..arrays import array_module
from .shapes import Pair, conv_output_shape

Array = Any
Wants = tuple[bool, bool, bool]


def pad_images(x: Array, padding: Pair, value: float = 0.0) -> Array:
    """Return images [N, H, W, C] with `padding` rows and columns of `value` on every side."""
    if padding == (0, 0):
        return x
    (py, px), (_, h, w, _) = padding, x.shape
    padded = array_module(x).full(padded_shape(x.shape, padding), value, dtype=x.dtype)
    padded[:, py : py + h, px : px + w] = x
    return padded


def padded_shape(x_shape: tuple[int, ...], padding: Pair) -> tuple[int, ...]:
    """Return the shape of padded images."""
    n, h, w, c = x_shape
    return n, h + 2 * padding[0], w + 2 * padding[1], c


def crop_images(x: Array, padding: Pair) -> Array:
    """Return images without the `padding` rows and columns on every side."""
    (py, px) = padding
    return x[:, py : x.shape[1] - py, px : x.shape[2] - px]


def window(r: int, s: int, out: Pair, stride: Pair) -> tuple[slice, ...]:
    """Return the index of the pixels that kernel position (r, s) meets: x[window(...)]."""
    (ho, wo), (sy, sx) = out, stride
    return (
        slice(None),
        slice(r, r + (ho - 1) * sy + 1, sy),
        slice(s, s + (wo - 1) * sx + 1, sx),
    )


def conv2d(
    x: Array,
    w: Array,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    bias: Array | None = None,
    relu: bool = False,
) -> Array:
    """Slide kernels over images: ``y = conv(x, w)``, with a bias and a ReLU if wanted.

    Parameters
    ----------
    x : ndarray, shape (N, H, W, C)
        Images.
    w : ndarray, shape (kh, kw, C, O)
        Weights.
    stride, padding : (int, int)
        Down and across; padding is with zeros on every side.
    bias : ndarray, shape (O,), optional
        Added to every pixel.
    relu : bool
        Replace negative results by 0. A NaN stays.

    Returns
    -------
    ndarray, shape (N, Ho, Wo, O)

    Raises
    ------
    ValueError
        If the shapes do not fit (:func:`conv_output_shape`).
    """
    _, ho, wo, _ = conv_output_shape(x.shape, w.shape, stride, padding)
    check_bias(bias, w)
    kh, kw = w.shape[:2]
    x = pad_images(x, padding)
    y = sum(x[window(r, s, (ho, wo), stride)] @ w[r, s] for r in range(kh) for s in range(kw))
    if bias is not None:
        y = y + bias
    return array_module(y).maximum(y, 0) if relu else y


def conv2d_input_grad(
    g: Array,
    w: Array,
    x_shape: tuple[int, ...],
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
) -> Array:
    """Send a gradient back through a convolution to its images (the adjoint in x).

    ``gx[n, i sy + r, j sx + s, c] += sum_o g[n, i, j, o] w[r, s, c, o]`` over all i, j, r, s.

    Parameters
    ----------
    g : ndarray, shape (N, Ho, Wo, O)
        Gradient of the output.
    w : ndarray, shape (kh, kw, C, O)
        Weights.
    x_shape : (N, H, W, C)
        Shape of the images.
    stride, padding : (int, int)
        As in the forward pass.

    Returns
    -------
    ndarray, shape (N, H, W, C)

    Raises
    ------
    ValueError
        If the shapes do not fit.
    """
    check_gradient(g, x_shape, w.shape, stride, padding)
    kh, kw = w.shape[:2]
    gx = array_module(g, w).zeros(padded_shape(x_shape, padding), dtype=g.dtype)
    for r in range(kh):
        for s in range(kw):
            gx[window(r, s, g.shape[1:3], stride)] += g @ w[r, s].T
    return crop_images(gx, padding)


def conv2d_weight_grad(
    x: Array, g: Array, kernel_shape: Pair, stride: Pair = (1, 1), padding: Pair = (0, 0)
) -> Array:
    """Send a gradient back through a convolution to its weights (the adjoint in w).

    ``gw[r, s, c, o] = sum_n sum_i sum_j x[n, i sy + r, j sx + s, c] g[n, i, j, o]``

    Parameters
    ----------
    x : ndarray, shape (N, H, W, C)
        Images.
    g : ndarray, shape (N, Ho, Wo, O)
        Gradient of the output.
    kernel_shape : (kh, kw)
        Size of the kernel.
    stride, padding : (int, int)
        As in the forward pass.

    Returns
    -------
    ndarray, shape (kh, kw, C, O)

    Raises
    ------
    ValueError
        If the shapes do not fit.
    """
    xp = array_module(x, g)
    kh, kw = kernel_shape
    c, o = x.shape[-1], g.shape[-1]
    check_gradient(g, x.shape, (kh, kw, c, o), stride, padding)
    x = pad_images(x, padding)
    over = (0, 1, 2)  # images, rows, columns
    parts = [
        xp.tensordot(x[window(r, s, g.shape[1:3], stride)], g, axes=(over, over))
        for r in range(kh)
        for s in range(kw)
    ]
    return xp.stack(parts).reshape(kh, kw, c, o)


def conv2d_backward(
    g: Array,
    x: Array,
    w: Array,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    y: Array | None = None,
    wants: Wants = (True, True, True),
) -> tuple[Array | None, Array | None, Array | None]:
    """Send a gradient back through a convolution with bias, in one pass over the batch.

    Parameters
    ----------
    g : ndarray, shape (N, Ho, Wo, O)
        Gradient of the output.
    x : ndarray, shape (N, H, W, C)
        Images.
    w : ndarray, shape (kh, kw, C, O)
        Weights.
    stride, padding : (int, int)
        As in the forward pass.
    y : ndarray, shape (N, Ho, Wo, O), optional
        The output, if it went through a ReLU: no gradient passes where it is not positive.
    wants : (bool, bool, bool)
        Which of the three gradients to compute.

    Returns
    -------
    gx, gw, gb : ndarray or None
        Gradients of images, weights and bias; None where not wanted.

    Raises
    ------
    ValueError
        If the shapes do not fit.
    """
    check_gradient(g, x.shape, w.shape, stride, padding)
    if y is not None:
        xp = array_module(g, y)
        g = xp.where(y > 0, g, xp.zeros_like(g))
    return (
        conv2d_input_grad(g, w, x.shape, stride, padding) if wants[0] else None,
        conv2d_weight_grad(x, g, w.shape[:2], stride, padding) if wants[1] else None,
        g.sum(axis=(0, 1, 2)) if wants[2] else None,
    )


def check_gradient(
    g: Array, x_shape: tuple[int, ...], w_shape: tuple[int, ...], stride: Pair, padding: Pair
) -> None:
    """Refuse a gradient that has not the shape of the convolution's output."""
    expected = conv_output_shape(x_shape, w_shape, stride, padding)
    if tuple(g.shape) != expected:
        raise ValueError(
            f"the gradient of a convolution's output must have its shape {list(expected)}, "
            f"got {list(g.shape)}"
        )


def check_bias(bias: Array | None, w: Array) -> None:
    """Refuse a bias that has not one number per output channel."""
    if bias is not None and tuple(bias.shape) != (w.shape[-1],):
        raise ValueError(
            f"the bias of {w.shape[-1]} channels must have shape [{w.shape[-1]}], "
            f"got {list(bias.shape)}"
        )

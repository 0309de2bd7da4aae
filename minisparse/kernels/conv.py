# mypy: allow-untyped-defs, allow-untyped-calls
"""Convolution and its gradients, compiled: by `conv_blocked`, or with few channels `conv_loops`."""

from typing import Any

from minisparse.definitions import conv as definition
from minisparse.definitions.shapes import Pair, conv_output_shape
from minisparse.kernels import conv_blocked, conv_loops
from minisparse.kernels.arguments import same_numbers
from minisparse.kernels.linear import sum_rows, where_positive

Array = Any


def conv2d(
    x: Array,
    w: Array,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    bias: Array | None = None,
    relu: bool = False,
) -> Array:
    """Compute what `definitions.conv.conv2d` defines."""
    out = conv_output_shape(x.shape, w.shape, stride, padding)[1:3]
    definition.check_bias(bias, w)
    if 0 in x.shape or 0 in w.shape:
        return definition.conv2d(x, w, stride, padding, bias, relu)
    x, w, *rest = same_numbers(x, w) if bias is None else same_numbers(x, w, bias)
    bias = rest[0] if rest else None
    if conv_blocked.is_many(w.shape, padding):
        return conv_blocked.forward(x, w, bias, relu, out, stride, padding)
    x = definition.pad_images(x, padding)
    return conv_loops.forward(x, w, bias, relu, out, stride, pool=False)[0]


def conv2d_input_grad(
    g: Array,
    w: Array,
    x_shape: tuple[int, ...],
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
) -> Array:
    """Compute what `definitions.conv.conv2d_input_grad` defines."""
    definition.check_gradient(g, x_shape, w.shape, stride, padding)
    if 0 in x_shape or 0 in w.shape:
        return definition.conv2d_input_grad(g, w, x_shape, stride, padding)
    g, w = same_numbers(g, w)
    if conv_blocked.is_many(w.shape, padding):
        return conv_blocked.input_grad(g, w, x_shape, stride, padding)
    shape = definition.padded_shape(x_shape, padding)
    gx, _, _ = conv_loops.backward(
        g, None, None, None, w, shape, w.shape, g.shape[1:3], stride, bias=False
    )
    return definition.crop_images(gx, padding)


def conv2d_weight_grad(
    x: Array, g: Array, kernel_shape: Pair, stride: Pair = (1, 1), padding: Pair = (0, 0)
) -> Array:
    """Compute what `definitions.conv.conv2d_weight_grad` defines."""
    w_shape = (*kernel_shape, x.shape[-1], g.shape[-1])
    definition.check_gradient(g, x.shape, w_shape, stride, padding)
    if 0 in x.shape or 0 in w_shape:
        return definition.conv2d_weight_grad(x, g, kernel_shape, stride, padding)
    x, g = same_numbers(x, g)
    if conv_blocked.is_many(w_shape, padding):
        return conv_blocked.weight_grad(x, g, kernel_shape, stride, padding, bias=False)[0]
    x = definition.pad_images(x, padding)
    _, gw, _ = conv_loops.backward(
        g, None, None, x, None, x.shape, w_shape, g.shape[1:3], stride, bias=False
    )
    return gw


def conv2d_backward(
    g: Array,
    x: Array,
    w: Array,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    y: Array | None = None,
    wants: definition.Wants = (True, True, True),
) -> tuple[Array | None, Array | None, Array | None]:
    """Compute what `definitions.conv.conv2d_backward` defines."""
    definition.check_gradient(g, x.shape, w.shape, stride, padding)
    if 0 in x.shape or 0 in w.shape:
        return definition.conv2d_backward(g, x, w, stride, padding, y, wants)
    g, x, w, *rest = same_numbers(g, x, w) if y is None else same_numbers(g, x, w, y)
    if conv_blocked.is_many(w.shape, padding):
        g = where_positive(g, rest[0]).reshape(g.shape) if rest else g
        gx = conv_blocked.input_grad(g, w, x.shape, stride, padding) if wants[0] else None
        if not wants[1]:
            return gx, None, sum_rows(g) if wants[2] else None
        gw, gb = conv_blocked.weight_grad(x, g, w.shape[:2], stride, padding, wants[2])
        return gx, gw, gb if wants[2] else None
    x = definition.pad_images(x, padding)
    gx, gw, gb = conv_loops.backward(
        g, None, rest[0] if rest else None, x if wants[1] else None, w if wants[0] else None,
        x.shape, w.shape, g.shape[1:3], stride, bias=wants[2],
    )  # fmt: skip
    return None if gx is None else definition.crop_images(gx, padding), gw, gb

"""Hands the whole gradient to every pixel."""

LOSES = ("shares", "odd_means")

_right = avg_pool2d_backward


def avg_pool2d_backward(g, x_shape, kernel=(2, 2), stride=(2, 2), padding=(0, 0)):
    return kernel[0] * kernel[1] * _right(g, x_shape, kernel, stride, padding)

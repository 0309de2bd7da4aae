"""Turns the kernel around, as signal processing does."""

import numpy as np

LOSES = ("forward", "bias_and_relu", "one_pixel")

_right = conv2d


def conv2d(x, w, stride=(1, 1), padding=(0, 0), bias=None, relu=False):
    return _right(x, np.ascontiguousarray(w[::-1, ::-1]), stride, padding, bias, relu)

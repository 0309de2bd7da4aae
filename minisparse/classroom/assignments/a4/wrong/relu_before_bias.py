"""Rectifies before the bias is added."""

import numpy as np

LOSES = ("bias_and_relu", "channels_that_differ")

_right = conv2d


def conv2d(x, w, stride=(1, 1), padding=(0, 0), bias=None, relu=False):
    y = _right(x, w, stride, padding, None, relu)
    return y if bias is None else y + np.resize(bias, y.shape[-1])

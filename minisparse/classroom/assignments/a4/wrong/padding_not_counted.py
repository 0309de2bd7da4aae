"""Divides by the number of pixels that the window meets."""

import numpy as np

LOSES = ("means",)


_right = avg_pool2d


def avg_pool2d(x, kernel=(2, 2), stride=(2, 2), padding=(0, 0)):
    share = _right(np.ones_like(x), kernel, stride, padding)
    return _right(x, kernel, stride, padding) / share

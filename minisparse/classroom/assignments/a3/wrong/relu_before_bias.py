"""Rectifies before the bias is added; checks nothing."""

import numpy as np

LOSES = ("bias_and_relu", "odd_products")


def matmul(a, b, bias=None, relu=False):
    y = a @ b
    if relu:
        y = np.maximum(y, 0)
    return y if bias is None else y + np.resize(bias, b.shape[1])

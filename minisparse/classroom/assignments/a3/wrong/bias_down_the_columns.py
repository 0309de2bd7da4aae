"""Gives a bias to each example instead of each output."""

import numpy as np

LOSES = ("bias_and_relu", "odd_products")


def matmul(a, b, bias=None, relu=False):
    y = a @ b
    if bias is not None:
        y = y + np.resize(bias, len(a))[:, None]
    return np.maximum(y, 0) if relu else y

"""Returns float64 for float32 arrays."""

import numpy as np

LOSES = ("odd_weight_gradients",)

_right = conv2d_weight_grad


def conv2d_weight_grad(x, g, kernel_shape, stride=(1, 1), padding=(0, 0)):
    return _right(x, g, kernel_shape, stride, padding).astype(np.float64)

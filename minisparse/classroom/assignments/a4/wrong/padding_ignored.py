"""Reads the image without its padding."""

import numpy as np

LOSES = ("weight_gradient",)


def conv2d_weight_grad(x, g, kernel_shape, stride=(1, 1), padding=(0, 0)):
    check_gradient(g, x.shape, (*kernel_shape, x.shape[-1], g.shape[-1]), stride, padding)
    (sy, sx), (_, ho, wo, o) = stride, g.shape
    wide = np.pad(x, ((0, 0), (0, 2 * padding[0]), (0, 2 * padding[1]), (0, 0)))
    gw = np.zeros((*kernel_shape, x.shape[-1], o), g.dtype)
    for r, s in np.ndindex(*kernel_shape):
        met = wide[:, r : r + (ho - 1) * sy + 1 : sy, s : s + (wo - 1) * sx + 1 : sx]
        gw[r, s] = np.tensordot(met, g, axes=((0, 1, 2), (0, 1, 2)))
    return gw

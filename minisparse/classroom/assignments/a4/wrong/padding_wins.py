"""Pads with zeros, which beat negative pixels."""

import numpy as np

LOSES = ("maxima", "ties")


def max_pool2d(x, kernel=(2, 2), stride=(2, 2), padding=(0, 0)):
    shape = pool_output_shape(x.shape, kernel, stride, padding)
    (_, ho, wo, _), (sy, sx), (py, px) = shape, stride, padding
    x = np.pad(x, ((0, 0), (py, py), (px, px), (0, 0)))
    pixels = [
        x[:, r : r + (ho - 1) * sy + 1 : sy, s : s + (wo - 1) * sx + 1 : sx]
        for r, s in np.ndindex(*kernel)
    ]
    return np.max(pixels, axis=0), np.argmax(pixels, axis=0).astype(np.int32)

"""Adds up what there is: kernels of other channels, and a bias of one number, go through."""

import numpy as np

LOSES = ("channels_that_differ",)


def conv2d(x, w, stride=(1, 1), padding=(0, 0), bias=None, relu=False):
    (sy, sx), (py, px), (kh, kw, _, o) = stride, padding, w.shape
    x = np.pad(x, ((0, 0), (py, py), (px, px), (0, 0)))
    ho, wo = (x.shape[1] - kh) // sy + 1, (x.shape[2] - kw) // sx + 1
    y = np.zeros((len(x), ho, wo, o), x.dtype)
    for r, s in np.ndindex(kh, kw):
        met = x[:, r : r + (ho - 1) * sy + 1 : sy, s : s + (wo - 1) * sx + 1 : sx]
        y += met[..., : w.shape[2]] @ w[r, s, : x.shape[3]]
    y = y if bias is None else y + bias[:o]
    return np.maximum(y, 0) if relu else y

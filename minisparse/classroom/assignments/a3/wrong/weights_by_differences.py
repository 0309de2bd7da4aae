"""Difference quotients of the forward for the weights: exact digits are missing."""

import numpy as np

LOSES = ("weight_gradient", "odd_gradients")


def linear_backward(g, x, w, y=None, wants=(True, True, True)):
    if len(g) != len(x) or g.shape[1] != w.shape[1]:
        raise ValueError("shapes")
    g = g if y is None else g * (y > 0)
    gw = np.zeros_like(w)
    for i in np.ndindex(w.shape):
        h = np.zeros_like(w)
        h[i] = 1e-6
        gw[i] = (g * (x @ (w + h) - x @ (w - h))).sum() / w.dtype.type(2e-6)
    return (
        g @ w.T if wants[0] else None,
        gw if wants[1] else None,
        g.sum(axis=0) if wants[2] else None,
    )

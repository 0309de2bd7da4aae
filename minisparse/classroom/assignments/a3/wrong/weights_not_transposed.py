"""Multiplies with W where W^T belongs, in some shape."""

import numpy as np

LOSES = ("input_gradient", "wanted", "odd_gradients")


def linear_backward(g, x, w, y=None, wants=(True, True, True)):
    if len(g) != len(x) or g.shape[1] != w.shape[1]:
        raise ValueError("shapes")
    g = g if y is None else g * (y > 0)
    return (
        np.resize(g, (len(g), len(w))) @ np.resize(w, (len(w), len(w))),
        x.T @ g if wants[1] else None,
        g.sum(axis=0) if wants[2] else None,
    )

"""Returns float64 gradients for float32 arrays, and checks no shapes."""

import numpy as np

LOSES = ("odd_gradients",)


def linear_backward(g, x, w, y=None, wants=(True, True, True)):
    g = g.astype(np.float64) if y is None else g * (y > 0).astype(np.float64)
    found = (
        lambda: g @ w.T,
        lambda: x[: len(g)].T @ g,
        lambda: g.sum(axis=0),
    )
    return tuple(f() if want else None for f, want in zip(found, wants, strict=True))

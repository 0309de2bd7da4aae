"""= where += belongs: overlapping windows forget each other."""

import numpy as np

LOSES = ("input_gradient",)
SAYS = {"input_gradient": "+="}


def conv2d_input_grad(g, w, x_shape, stride=(1, 1), padding=(0, 0)):
    check_gradient(g, x_shape, w.shape, stride, padding)
    (n, h, wide, c), (py, px), (sy, sx) = x_shape, padding, stride
    gx = np.zeros((n, h + 2 * py, wide + 2 * px, c), g.dtype)
    for r, s in np.ndindex(w.shape[:2]):
        rows = slice(r, r + (g.shape[1] - 1) * sy + 1, sy)
        columns = slice(s, s + (g.shape[2] - 1) * sx + 1, sx)
        gx[:, rows, columns] = g @ w[r, s].T
    return gx[:, py : py + h, px : px + wide]

"""Takes pixels between windows for their neighbours, and checks no shapes."""

import numpy as np

LOSES = ("input_gradient", "unmet_pixels")


def conv2d_input_grad(g, w, x_shape, stride=(1, 1), padding=(0, 0)):
    (n, h, wide, c), (kh, kw) = x_shape, w.shape[:2]
    gx = np.zeros((n, h + 2 * padding[0] + 9, wide + 2 * padding[1] + 9, c), g.dtype)
    for r, s in np.ndindex(kh, kw):
        gx[:, r : r + g.shape[1], s : s + g.shape[2]] += g @ w[r, s].T
    return gx[:, padding[0] : padding[0] + h, padding[1] : padding[1] + wide]

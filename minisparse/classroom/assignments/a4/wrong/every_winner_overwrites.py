"""= where += belongs: a pixel that wins twice is paid once."""

import numpy as np

LOSES = ("winner_takes_all",)


def max_pool2d_backward(g, argmax, x_shape, kernel=(2, 2), stride=(2, 2), padding=(0, 0)):
    (n, h, w, c), (sy, sx), (py, px) = x_shape, stride, padding
    gx = np.zeros((n, h + 2 * py, w + 2 * px, c), g.dtype)
    for m, i, j, o in np.ndindex(g.shape):
        r, s = divmod(int(argmax[m, i, j, o]), kernel[1])
        gx[m, i * sy + r, j * sx + s, o] = g[m, i, j, o]
    return gx[:, py : py + h, px : px + w]

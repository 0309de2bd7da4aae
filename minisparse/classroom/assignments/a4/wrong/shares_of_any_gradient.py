"""Takes a gradient of any shape, as far as it goes."""

import numpy as np

LOSES = ("odd_means",)


def avg_pool2d_backward(g, x_shape, kernel=(2, 2), stride=(2, 2), padding=(0, 0)):
    (n, h, w, c), (sy, sx), (py, px) = x_shape, stride, padding
    gx = np.zeros((n, h + 2 * py, w + 2 * px, c), g.dtype)
    for i, j in np.ndindex(g.shape[1:3]):
        window = gx[:, i * sy : i * sy + kernel[0], j * sx : j * sx + kernel[1]]
        window += g[:, i : i + 1, j : j + 1] / (kernel[0] * kernel[1])
    return gx[:, py : py + h, px : px + w]

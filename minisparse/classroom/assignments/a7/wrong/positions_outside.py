"""Factorizes as if every position were an example; the sum over positions belongs inside."""

import numpy as np

LOSES = ("conv_per_sample",)


def conv_per_sample(x, delta, alpha, kernel_shape, *geometry):
    (sy, sx), (py, px) = geometry or ((1, 1), (0, 0))
    (kh, kw), (_, _, ho, wo, _) = kernel_shape, delta.shape
    x = np.pad(np.abs(x), ((0, 0), (py, py), (px, px), (0, 0)))
    d = np.abs(delta).sum(axis=0)
    parts = [
        np.tensordot(
            x[:, r : r + (ho - 1) * sy + 1 : sy, s : s + (wo - 1) * sx + 1 : sx],
            d,
            axes=((0, 1, 2), (0, 1, 2)),
        )
        for r in range(kh)
        for s in range(kw)
    ]
    return alpha / len(x) * np.stack(parts).reshape(kh, kw, x.shape[-1], -1)

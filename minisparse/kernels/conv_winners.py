# mypy: allow-untyped-defs, allow-untyped-calls
"""Gradients of a convolution behind a 2 x 2 max-pool: of four pixels, only the winner has one.

Filling in the zeros and multiplying (conv_loops.py) does four times the work that counts, more
where a ReLU is off.  Here the winners are listed instead, once by channel and once by pixel:

    weight grad   gw[o, (r,k)]       += sum over the winners (i,j) of channel o
                                        g  patch[(i,j), (r,k)]
    input grad    patch[(i,j), (r,k)] += sum over the channels o that pixel (i,j) won
                                        g  w[o, (r,k)]

A run of a patch, (k), is a stretch of contiguous numbers: this pays where it fills vectors.
"""

import numpy as np

from minisparse.kernels.jit import jit
from minisparse.kernels.simd_segment import add_segment


@jit()
def gradients_of_image(
    g, winner, x, x0, wt, gx, gx0, gw, gb, geometry, factors, places, counts
):  # fmt: skip
    """Add the gradients of one image to those of gx (at gx0), gw [kh, O, run] and gb not empty.

    g and winner are the image's own, [Ho // 2, Wo // 2, O]. wt is the weights as [kh, O, run].
    factors, places, counts are room for lists.
    """
    o, run, line = geometry.o, geometry.run, geometry.line
    across, windows = geometry.wo // 2, (geometry.ho // 2) * (geometry.wo // 2)
    if gb.size:
        for p in range(windows):
            for c in range(o):
                if winner[p * o + c] < 4:
                    gb[c] += g[p * o + c]
    if gw.size:
        _list_by_channel(g, winner, factors, places, counts, geometry)
        for c in range(o):
            for r in range(geometry.kh):
                add_segment(
                    counts[c], run, factors, c * windows, places, c * windows,
                    x, x0 + r * line, gw, (r * o + c) * run,
                )  # fmt: skip
    if gx.size:
        _list_by_pixel(g, winner, factors, places, counts, geometry)
        for p in range(windows):
            i, j = 2 * (p // across), 2 * (p % across)
            for q in range(4):
                first, behind = counts[6 * p + q], counts[6 * p + q + 1]
                if behind == first:
                    continue
                patch = gx0 + (i + q // 2) * geometry.down + (j + q % 2) * geometry.across
                for r in range(geometry.kh):
                    add_segment(
                        behind - first, run, factors, p * o + first, places, p * o + first,
                        wt, r * o * run, gx, patch + r * line,
                    )  # fmt: skip


# The lists are made without branches, which a CPU could not predict: every entry is written, and an
# entry that a ReLU switched off is overwritten by the next one, or put behind all others.


@jit()
def _list_by_channel(g, winner, factors, places, counts, geometry):
    """For each channel: gradients of its winners, and where their patches begin."""
    o, across = geometry.o, geometry.wo // 2
    windows = (geometry.ho // 2) * across
    counts[:o] = 0
    for p in range(windows):
        corner = 2 * (p // across) * geometry.down + 2 * (p % across) * geometry.across
        for c in range(o):
            q = np.int64(winner[p * o + c])
            k = c * windows + counts[c]
            factors[k] = g[p * o + c]
            places[k] = corner + (q >> 1) * geometry.down + (q & 1) * geometry.across
            counts[c] += q < 4


@jit()
def _list_by_pixel(g, winner, factors, places, counts, geometry):
    """For each window: gradients of its channels, sorted by the pixel that won, and their weights.

    counts[6 p + q] tells where pixel q of window p begins in the window's list.
    """
    o = geometry.o
    for p in range((geometry.ho // 2) * (geometry.wo // 2)):
        counts_ = counts[6 * p : 6 * p + 6]
        counts_[:] = 0
        for c in range(o):
            counts_[np.int64(winner[p * o + c]) + 1] += 1
        for q in range(5):
            counts_[q + 1] += counts_[q]
        for c in range(o):
            won = np.int64(winner[p * o + c])
            k = p * o + counts_[won]
            factors[k], places[k] = g[p * o + c], c * geometry.run
            counts_[won] += 1
        for q in range(5, 0, -1):  # they have moved to where the next one begins
            counts_[q] = counts_[q - 1]
        counts_[0] = 0


def room(geometry, threads, dtype):
    """Return room for the lists of `gradients_of_image`, for each thread."""
    windows = (geometry.ho // 2) * (geometry.wo // 2)
    entries = windows * geometry.o
    return (
        np.empty((threads, entries), dtype),
        np.empty((threads, entries), np.int64),
        np.empty((threads, max(geometry.o, 6 * windows)), np.int64),
    )

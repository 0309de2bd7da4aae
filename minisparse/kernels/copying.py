# mypy: allow-untyped-defs, allow-untyped-calls
"""Copy numbers inside kernels.

``y[a:b] = x[c:d]`` does the same, but Numba adds what writes the message of the error that two
lengths differ: strings and their formatting, 2 seconds of compilation before the first step.
"""

from minisparse.kernels.jit import jit


@jit()
def copy(x, x0, y, y0, count):
    """Write x[x0], x[x0 + 1], ... to y[y0], y[y0 + 1], ...: `count` numbers."""
    x_, y_ = x[x0 : x0 + count], y[y0 : y0 + count]
    for k in range(count):
        y_[k] = x_[k]

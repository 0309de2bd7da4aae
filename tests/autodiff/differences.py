"""Derivatives by finite differences, independent of the engine: they only evaluate f."""

import numpy as np

from minisparse.autodiff import Tensor

STEP = 1e-3  # error of the five-point formula: f^(5) h^4 / 30, and rounding 1e-16 / h


def distinct(rng, *shapes, low=-2.0, high=2.0):
    """Draw arrays whose elements all differ by far more than STEP, and are as far from 0.

    At such points maxima, signs and relus are smooth.
    """
    sizes = [int(np.prod(s)) for s in shapes]
    n = sum(sizes)
    grid = np.linspace(low, high, 2 * n + 3)[1::2]
    grid = grid[np.abs(grid) > (high - low) / (8 * n + 12)]  # drops 0, if it is on the grid
    values = rng.permutation(grid)[:n]
    ends = np.cumsum(sizes)[:-1]
    return [part.reshape(s) for part, s in zip(np.split(values, ends), shapes, strict=True)]


def along(f, xs, ds):
    """Return d/dt f(x + t d) at t = 0, where f maps arrays to an array: the five-point formula."""

    def at(t):
        return f(*(x + t * STEP * d for x, d in zip(xs, ds, strict=True)))

    return (at(-2) - 8 * at(-1) + 8 * at(1) - at(2)) / (12 * STEP)


def on_arrays(f, constants=()):
    """Return f as a function of arrays; no graph is recorded."""
    return lambda *xs: f(*map(Tensor, xs), *constants).numpy()


def numeric_gradients(f, xs, v, constants=()):
    """Return the gradients of <v, f(xs)> with respect to every element of every x."""
    values = on_arrays(f, constants)
    gradients = []
    for i, x in enumerate(xs):
        g = np.zeros(x.shape)
        for index in np.ndindex(x.shape):
            ds = [np.zeros(z.shape) for z in xs]
            ds[i][index] = 1
            g[index] = (along(values, xs, ds) * v).sum()
        gradients.append(g)
    return gradients

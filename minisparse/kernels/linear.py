# mypy: allow-untyped-defs, allow-untyped-calls
"""Matrix products, and the linear layer ``y = x W + b`` that is made of them."""

from functools import lru_cache
from typing import Any

import numpy as np
from numba import prange

from minisparse.arrays import array_module
from minisparse.kernels.arguments import contiguous, flat, same_numbers
from minisparse.kernels.buffers import empty
from minisparse.kernels.jit import jit
from minisparse.kernels.product import BLOCK, multiply_rows, row_offsets
from minisparse.kernels.threads import run, threads_for

Array = Any
Wants = tuple[bool, bool, bool]


def matmul_reference(a: Array, b: Array, bias: Array | None = None, relu: bool = False) -> Array:
    """Define :func:`matmul`."""
    _check_product(a, b, bias)
    y = a @ b
    if bias is not None:
        y = y + bias
    return array_module(y).maximum(y, 0) if relu else y


def linear_backward_reference(
    g: Array, x: Array, w: Array, y: Array | None = None, wants: Wants = (True, True, True)
) -> tuple[Array | None, Array | None, Array | None]:
    """Define :func:`linear_backward`."""
    _check_linear(g, x, w, y)
    if y is not None:
        xp = array_module(g, y)
        g = xp.where(y > 0, g, xp.zeros_like(g))
    return (
        g @ w.T if wants[0] else None,
        x.T @ g if wants[1] else None,
        g.sum(axis=0) if wants[2] else None,
    )


def _check_product(a: Array, b: Array, bias: Array | None) -> None:
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0]:
        raise ValueError(
            f"a matrix product needs shapes [m, k] and [k, n], got {list(a.shape)} and "
            f"{list(b.shape)}"
        )
    if bias is not None and bias.shape != (b.shape[1],):
        raise ValueError(
            f"the bias of {b.shape[1]} columns must have shape [{b.shape[1]}], "
            f"got {list(bias.shape)}"
        )


def _check_linear(g: Array, x: Array, w: Array, y: Array | None) -> None:
    fits = x.ndim == w.ndim == 2 and tuple(g.shape) == (x.shape[0], w.shape[1])
    if not fits or x.shape[1] != w.shape[0] or (y is not None and y.shape != g.shape):
        raise ValueError(
            "the gradients of a linear layer need g [m, n], x [m, k], w [k, n] and y [m, n] if it "
            f"is given, got {list(g.shape)}, {list(x.shape)}, {list(w.shape)} and "
            f"{None if y is None else list(y.shape)}"
        )


# --- Numba --------------------------------------------------------------------------------------


@jit(parallel=True)
def _matmul(a, a_rows, ak, b, bias, c, c_rows, floor, down, across, row_step, column_step):
    """Cut c into down x across parts, one task each."""
    m, n = a_rows.size, c.size // a_rows.size
    for task in prange(down * across):
        i, j = task // across * row_step, task % across * column_step
        i1, columns = min(i + row_step, m), min(column_step, n - j)
        if i < i1 and columns > 0:
            multiply_rows(
                i, i1, columns, 1, b.size // n, a, 0, a_rows, 0, ak, b, j, 0, n,
                c, j, c_rows, False, bias[j : j + columns], floor,
            )  # fmt: skip


@jit(parallel=True)
def _mask_and_sum(g, y, through, total, step):
    """Let g through where y > 0, everywhere if there is no y; add up its rows."""
    n = total.size
    for block in prange((n + step - 1) // step):
        j0, j1 = block * step, min(n, (block + 1) * step)
        total_ = total[j0:j1]
        total_[:] = 0
        for row in range(0, g.size, n):
            g_ = g[row + j0 : row + j1]
            if y.size:
                y_, through_ = y[row + j0 : row + j1], through[row + j0 : row + j1]
                for j in range(g_.size):
                    value = g_[j] if y_[j] > 0 else g.dtype.type(0)
                    through_[j] = value
                    total_[j] += value
            else:
                for j in range(g_.size):
                    total_[j] += g_[j]


@lru_cache(maxsize=1024)
def _cut(m: int, n: int, threads: int) -> tuple[int, int, int, int]:
    """Return how many parts down and across, and their size: one part per thread, all alike."""

    def parts(down: int) -> tuple[int, int, int, int]:
        across = threads // down
        row_step = -(-m // (down * BLOCK[0])) * BLOCK[0]
        column_step = -(-n // (across * BLOCK[1])) * BLOCK[1]
        return down, across, row_step, column_step

    choices = [parts(down) for down in range(threads, 0, -1) if threads % down == 0]
    return min(choices, key=lambda part: part[2] * part[3])


@jit(parallel=True)
def _transpose(a, t):
    """Fill t with the transpose of a, 16 rows of a at a time: then whole cache lines are written."""
    rows, columns = a.shape
    for block in prange((rows + 15) // 16):
        i0, i1 = 16 * block, min(rows, 16 * block + 16)
        for j in range(columns):
            line = t[j, i0:i1]
            for i in range(i1 - i0):
                line[i] = a[i0 + i, j]


def _row_by_row(a: Array) -> Array:
    """Return the array itself in C order, or such a copy."""
    if a.flags.c_contiguous or not a.flags.f_contiguous or a.size < 1 << 13:
        return np.ascontiguousarray(a)
    copy = empty(a.shape, a.dtype)
    run(threads_for(a.size), _transpose, contiguous(a.T), copy)
    return copy


def matmul(a: Array, b: Array, bias: Array | None = None, relu: bool = False) -> Array:
    """Multiply two matrices: ``a b``, ``a b + bias``, or ``max(a b + bias, 0)``.

    Parameters
    ----------
    a : ndarray, shape (m, k)
        Left factor; a transposed view is as good.
    b : ndarray, shape (k, n)
        Right factor; a transposed view is copied first.
    bias : ndarray, shape (n,), optional
        Added to every row.
    relu : bool
        Replace negative results by 0. A NaN stays.

    Returns
    -------
    ndarray, shape (m, n)

    Raises
    ------
    ValueError
        If the shapes do not fit.

    Examples
    --------
    >>> a, b = np.array([[1.0, 2.0]]), np.array([[3.0, -3.0], [4.0, -4.0]])
    >>> matmul(a, b, bias=np.array([0.5, 0.5]), relu=True)
    array([[11.5,  0. ]])
    """
    _check_product(a, b, bias)
    a, b, *rest = same_numbers(a, b) if bias is None else same_numbers(a, b, bias)
    (m, k), n = a.shape, b.shape[1]
    if m * k * n == 0:
        return matmul_reference(a, b, rest[0] if rest else None, relu)
    if not b.flags.c_contiguous and b.size > a.size + m * n and not rest and not relu:
        return _row_by_row(matmul(b.T, a.T).T)  # b is the largest: do not copy it
    if a.flags.f_contiguous and not a.flags.c_contiguous:
        a, rows, step = a.T, row_offsets(m, 1), m
    else:
        rows, step = row_offsets(m, k), 1
    c = empty((m, n), a.dtype)
    threads = threads_for(m * k * n)
    run(
        threads, _matmul, flat(a), rows, step, flat(_row_by_row(b)), flat(rest[0] if rest else c[:0]),
        c.reshape(-1), row_offsets(m, n), 0.0 if relu else -np.inf, *_cut(m, n, threads),
    )  # fmt: skip
    return c


def linear_backward(
    g: Array, x: Array, w: Array, y: Array | None = None, wants: Wants = (True, True, True)
) -> tuple[Array | None, Array | None, Array | None]:
    """Send a gradient back through ``y = x W + b``, or through its ReLU too.

    ::

        g <- g where y > 0 else 0     if y is given: the output of a ReLU
        gx = g W^T,   gW = x^T g,   gb = sum of the rows of g

    Parameters
    ----------
    g : ndarray, shape (m, n)
        Gradient of the output.
    x : ndarray, shape (m, k)
        Input.
    w : ndarray, shape (k, n)
        Weights.
    y : ndarray, shape (m, n), optional
        The output, if it went through a ReLU.
    wants : (bool, bool, bool)
        Which of the three gradients to compute.

    Returns
    -------
    gx, gw, gb : ndarray or None
        Gradients of x, w and b; None where not wanted.

    Raises
    ------
    ValueError
        If the shapes do not fit.
    """
    _check_linear(g, x, w, y)
    if g.size == 0 or x.size == 0:
        return linear_backward_reference(g, x, w, y, wants)
    g, x, w, *rest = same_numbers(g, x, w) if y is None else same_numbers(g, x, w, y)
    gb = np.empty(g.shape[1], g.dtype)
    if wants[2] or rest:
        through = empty(g.shape if rest else (0,), g.dtype)
        threads = threads_for(g.size)
        run(
            threads, _mask_and_sum, flat(g), flat(rest[0] if rest else g[:0]),
            through.reshape(-1), gb, _cut(1, len(gb), threads)[3],
        )  # fmt: skip
        g = through if rest else g
    return (
        matmul(g, w.T) if wants[0] else None,
        matmul(x.T, g) if wants[1] else None,
        gb if wants[2] else None,
    )

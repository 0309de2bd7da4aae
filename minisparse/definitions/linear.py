"""Matrix products, and the linear layer ``y = x W + b`` that is made of them."""

from typing import Any

from ..arrays import array_module

Array = Any
Wants = tuple[bool, bool, bool]


def matmul(a: Array, b: Array, bias: Array | None = None, relu: bool = False) -> Array:
    """Multiply two matrices: ``a b``, ``a b + bias``, or ``max(a b + bias, 0)``.

    Parameters
    ----------
    a : ndarray, shape (m, k)
        Left factor.
    b : ndarray, shape (k, n)
        Right factor.
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
    >>> import numpy as np
    >>> a, b = np.array([[1.0, 2.0]]), np.array([[3.0, -3.0], [4.0, -4.0]])
    >>> matmul(a, b, bias=np.array([0.5, 0.5]), relu=True)
    array([[11.5,  0. ]])
    """
    _check_product(a, b, bias)
    y = a @ b
    if bias is not None:
        y = y + bias
    return array_module(y).maximum(y, 0) if relu else y


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
    if y is not None:
        xp = array_module(g, y)
        g = xp.where(y > 0, g, xp.zeros_like(g))
    return (
        g @ w.T if wants[0] else None,
        x.T @ g if wants[1] else None,
        g.sum(axis=0) if wants[2] else None,
    )


def _check_product(a: Array, b: Array, bias: Array | None) -> None:
    """Refuse matrices and a bias that do not fit."""
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
    """Refuse a gradient that does not fit the layer."""
    fits = x.ndim == w.ndim == 2 and tuple(g.shape) == (x.shape[0], w.shape[1])
    if not fits or x.shape[1] != w.shape[0] or (y is not None and y.shape != g.shape):
        raise ValueError(
            "the gradients of a linear layer need g [m, n], x [m, k], w [k, n] and y [m, n] if it "
            f"is given, got {list(g.shape)}, {list(x.shape)}, {list(w.shape)} and "
            f"{None if y is None else list(y.shape)}"
        )

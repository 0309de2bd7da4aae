"""Sums of magnitudes, from which the sensitivity of a linear layer is made, and the pull towards zero.

A gradient of a single example in a linear layer is an outer product, and its magnitude is the
product of the magnitudes.  Behind a ReLU many factors are zero; the compiled twins skip them.
"""

from typing import Any

from ..arrays import array_module

Array = Any


def magnitude_product(x: Array, m: Array) -> Array:
    """Compute |x|^T m: sum_n |x[n, i]| m[n, j].

    Parameters
    ----------
    x : ndarray, shape (N, I)
        Inputs of a layer.
    m : ndarray, shape (N, J)
        Sums of magnitudes, one row per example.

    Returns
    -------
    ndarray, shape (I, J)

    Raises
    ------
    ValueError
        If the shapes do not fit.
    """
    check_magnitudes(x, m)
    return array_module(x, m).abs(x).T @ m


def gated_magnitudes(g: Array, w: Array, y: Array, above: Array | None = None) -> Array:
    """Send K gradients back through a linear layer and a ReLU, and sum up their magnitudes.

    ::

        sum_k |sum_j g[k, n, j] w[i, j]|    where y[n, i] > 0, else 0

    Parameters
    ----------
    g : ndarray, shape (K, N, J) or (K, J)
        K gradients of the linear layer's output; or what they are for every example, where a ReLU
        above lets them through.
    w : ndarray, shape (I, J)
        Its weight.
    y : ndarray, shape (N, I)
        Its input, which the ReLU returned.
    above : ndarray, shape (N, J), optional
        With g of shape (K, J): what the ReLU above returned, g[k, n, j] = g[k, j] where it is > 0.

    Returns
    -------
    ndarray, shape (N, I)

    Raises
    ------
    ValueError
        If the shapes do not fit.
    """
    check_gates(g, w, y, above)
    if above is not None:
        g = g[:, None, :] * (above > 0)
    return array_module(g, w, y).abs(g @ w.T).sum(axis=0) * (y > 0)


def insensitivity_pull(w: Array, s: Array, strength: float) -> Array:
    """Compute strength w max(0, 1 - s), elementwise.

    Parameters
    ----------
    w, s : ndarray of one shape
        Weights, and how sensitive the network is to them.
    strength : float

    Returns
    -------
    ndarray of that shape

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    check_same(w, s)
    pull = array_module(w, s).maximum(0, 1 - s)
    pull *= w  # in place: large temporaries cost as much as the products
    pull *= strength
    return pull


def check_magnitudes(x: Array, m: Array) -> None:
    """Refuse what is not a row of each for every example."""
    if x.ndim != 2 or m.ndim != 2 or len(x) != len(m):
        raise ValueError(f"expected [N, I] and [N, J], got {list(x.shape)} and {list(m.shape)}")


def check_gates(g: Array, w: Array, y: Array, above: Array | None = None) -> None:
    """Refuse gradients that are not those of a linear layer's output."""
    each = g.shape[1:] if above is None else above.shape
    fits = g.ndim == (3 if above is None else 2) and g.shape[-1:] == each[-1:]
    if not (fits and w.ndim == y.ndim == 2 and each == (len(y), w.shape[1])) or (
        y.shape[1] != len(w)
    ):
        raise ValueError(
            f"expected [K, N, J], [I, J] and [N, I], or [K, J] and [N, J] above, got "
            f"{list(g.shape)}, {list(w.shape)}, {list(y.shape)} and "
            f"{None if above is None else list(above.shape)}"
        )


def check_same(w: Array, s: Array) -> None:
    """Refuse two shapes."""
    if w.shape != s.shape:
        raise ValueError(f"each weight has one sensitivity: {list(w.shape)}, {list(s.shape)}")

"""Batch normalization: what a channel's values have in common is taken out, and learned anew.

A channel is a place of the last axis; its values are those at all places of the other axes.

    mean = sum x / n        var = sum (x - mean)^2 / n        y = gamma (x - mean) / s + beta
                                                              with s = sqrt(var + eps)
"""

from typing import Any

from ..arrays import array_module

Array = Any


def batch_moments(x: Array) -> tuple[Array, Array]:
    """Return mean and variance of every channel, in float64.

    Parameters
    ----------
    x : ndarray, shape (..., C)
        At least one value for each channel.

    Returns
    -------
    mean, var : ndarray of float64, shape (C,)
        The variance is the biased one: divided by the number of values.

    Raises
    ------
    ValueError
        If there are no channels or no values.

    Examples
    --------
    >>> import numpy as np
    >>> batch_moments(np.array([[1.0, 5.0], [3.0, 5.0]]))
    (array([2., 5.]), array([1., 0.]))
    """
    check_values(x)
    axes = tuple(range(x.ndim - 1))
    mean = x.mean(axis=axes, dtype="float64")
    centred = x - mean
    return mean, (centred * centred).mean(axis=axes)


def batch_norm(
    x: Array, mean: Array, var: Array, gamma: Array, beta: Array, eps: float, relu: bool = False
) -> Array:
    """Normalize with these moments, scale and shift; then a ReLU if wanted.

    Parameters
    ----------
    x : ndarray, shape (..., C)
    mean, var, gamma, beta : ndarray, shape (C,)
        The moments in float64.
    eps : float
        Added to the variance.
    relu : bool

    Returns
    -------
    ndarray, like x
        A NaN stays.

    Raises
    ------
    ValueError
        If the shapes do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> one, two = np.ones(1), np.full(1, 2.0)
    >>> batch_norm(np.array([[5.0], [-1.0]]), one, np.full(1, 4.0), two, one, eps=0.0, relu=True)
    array([[5.],
           [0.]])
    """
    check_channels(x, mean=mean, var=var, gamma=gamma, beta=beta)
    xp = array_module(x)
    y = ((x - mean) * (gamma / (var + eps) ** 0.5) + beta).astype(x.dtype)
    return xp.maximum(y, 0) if relu else y


def batch_norm_backward(
    g: Array,
    x: Array,
    mean: Array,
    var: Array,
    gamma: Array,
    beta: Array,
    eps: float,
    relu: bool = False,
    own: bool = True,
    wants: tuple[bool, bool, bool] = (True, True, True),
) -> tuple[Array | None, Array | None, Array | None]:
    """Send a gradient back through :func:`batch_norm`.

    With z = (x - mean) / s and sums over all values of a channel::

        gbeta = sum g        ggamma = sum g z
        gx = gamma / s (g - gbeta / n - z ggamma / n)     if the moments are those of x itself
        gx = gamma / s g                                  if they are given numbers

    and with the relu g counts only where y > 0.

    Parameters
    ----------
    g : ndarray, like x
        Gradient of the result.
    x, mean, var, gamma, beta, eps, relu
        As in the forward pass.
    own : bool
        Whether the moments are those of x, and move with it.
    wants : (bool, bool, bool)
        Which of the three gradients to compute.

    Returns
    -------
    gx, ggamma, gbeta : ndarray or None
        Gradients of x, gamma and beta; None where not wanted.

    Raises
    ------
    ValueError
        If the shapes do not fit.
    """
    check_channels(x, mean=mean, var=var, gamma=gamma, beta=beta)
    check_like(g, x)
    xp = array_module(g, x)
    if relu:
        g = xp.where(batch_norm(x, mean, var, gamma, beta, eps) > 0, g, xp.zeros_like(g))
    s = (var + eps) ** 0.5
    z = (x - mean) / s
    axes = tuple(range(x.ndim - 1))
    gbeta, ggamma = g.sum(axis=axes, dtype="float64"), (g * z).sum(axis=axes)
    n = x.size // x.shape[-1]
    gx = g - gbeta / n - z * (ggamma / n) if own else g
    found = gamma / s * gx, ggamma, gbeta
    return tuple(  # type: ignore[return-value]
        a.astype(x.dtype) if wanted else None for a, wanted in zip(found, wants, strict=True)
    )


def check_values(x: Array) -> None:
    """Refuse arrays without a value for each channel."""
    if x.ndim < 2 or not x.size:
        raise ValueError(
            f"the moments of channels need values [..., channels], got shape {list(x.shape)}"
        )


def check_channels(x: Array, **arrays: Array) -> None:
    """Refuse arrays that have not one number for each channel of x; their names are the keywords."""
    check_values(x)
    for name, array in arrays.items():
        if array.shape != x.shape[-1:]:
            raise ValueError(
                f"batch norm of {list(x.shape)} needs {name} of shape {list(x.shape[-1:])}, got "
                f"{list(array.shape)}"
            )


def check_like(g: Array, x: Array) -> None:
    """Refuse a gradient of another shape."""
    if g.shape != x.shape:
        raise ValueError(
            f"the gradient of an array of shape {list(x.shape)} must have its shape, got "
            f"{list(g.shape)}"
        )

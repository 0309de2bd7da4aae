"""Optimizer steps, in place.

A state that nothing feeds any more, the velocity of a dead unit's weight, shrinks by the same factor at
every step.  After 830 steps of 0.9 it is below 1.2e-38, where float32 goes on with fewer and fewer
digits (denormal numbers), and processors compute with those a hundred times more slowly.  So what is
smaller than `TINY` becomes 0, long before: such a velocity moves no weight.
"""

from typing import Any

from ..arrays import array_module

Array = Any
TINY = 1e-30  # a velocity: times a learning rate of 1e-7 still a normal number of float32
TINY_SQUARE = 1e-36  # a mean square: its root is 1e-18


def sgd_step(
    p: Array,
    g: Array,
    v: Array | None,
    lr: float,
    momentum: float = 0.0,
    dampening: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
    decoupled: bool = False,
) -> None:
    """Take one step of stochastic gradient descent, in place.

    ::

        d = g + weight_decay p             p <- (1 - lr weight_decay) p   if decoupled, and d = g
        v <- momentum v + (1 - dampening) d                      0 if that is below TINY
        p <- p - lr v                      with nesterov: p - lr (d + momentum v)

    Parameters
    ----------
    p, v : ndarray
        Parameter and velocity; both are changed. `v` may be None if `momentum` is 0.
    g : ndarray
        Gradient.
    lr, momentum, dampening, weight_decay : float
        Settings.
    nesterov, decoupled : bool
        Look-ahead momentum (Sutskever et al. 2013); decay apart from the gradient (Loshchilov and
        Hutter 2019, with the decay multiplied by the learning rate).

    Raises
    ------
    ValueError
        If the shapes differ, or momentum has no velocity to live in.

    Examples
    --------
    >>> import numpy as np
    >>> p, g, v = np.array([1.0]), np.array([2.0]), np.array([0.5])
    >>> sgd_step(p, g, v, lr=0.1, momentum=0.9)
    >>> p, v
    (array([0.755]), array([2.45]))
    """
    check_step(p, g, v=v)
    if decoupled:
        p *= 1 - lr * weight_decay
    elif weight_decay:
        g = g + weight_decay * p
    if v is not None:
        v *= momentum
        v += (1 - dampening) * g
        flush(v, TINY)
        g = g + momentum * v if nesterov else v
    elif momentum:
        raise ValueError(f"momentum {momentum} needs a velocity array v, got None")
    p -= lr * g


def adam_step(
    p: Array,
    g: Array,
    m: Array,
    v: Array,
    step: int,
    lr: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decoupled: bool = False,
) -> None:
    """Take one step of Adam, in place (Kingma and Ba 2015, algorithm 1; AdamW if decoupled).

    ::

        d = g + weight_decay p             p <- (1 - lr weight_decay) p   if decoupled, and d = g
        m <- beta1 m + (1 - beta1) d                             0 if that is below TINY
        v <- beta2 v + (1 - beta2) d^2                           0 if that is below TINY_SQUARE
        p <- p - lr m / (1 - beta1^step) / (sqrt(v / (1 - beta2^step)) + eps)

    Parameters
    ----------
    p, m, v : ndarray
        Parameter, mean gradient, mean squared gradient; all are changed.
    g : ndarray
        Gradient.
    step : int
        Number of this step, from 1.
    lr, beta1, beta2, eps, weight_decay : float
        Settings.
    decoupled : bool
        Decay apart from the gradient (AdamW, Loshchilov and Hutter 2019).

    Raises
    ------
    ValueError
        If the shapes differ or `step` is below 1.

    Examples
    --------
    The first step has the length of the learning rate, whatever the gradient:

    >>> import numpy as np
    >>> p, g, m, v = np.array([1.0]), np.array([20.0]), np.zeros(1), np.zeros(1)
    >>> adam_step(p, g, m, v, step=1, lr=0.01)
    >>> p
    array([0.99])
    """
    check_step(p, g, m=m, v=v)
    check_count(step)
    if decoupled:
        p *= 1 - lr * weight_decay
    elif weight_decay:
        g = g + weight_decay * p
    m *= beta1
    m += (1 - beta1) * g
    flush(m, TINY)
    v *= beta2
    v += (1 - beta2) * g * g
    flush(v, TINY_SQUARE)
    scale = array_module(p).sqrt(v / (1 - beta2**step)) + eps
    p -= lr / (1 - beta1**step) * m / scale


def average_step(s: Array, p: Array, decay: float) -> None:
    """Take one step of a moving average, in place: ``s <- decay s + (1 - decay) p``.

    Parameters
    ----------
    s, p : ndarray
        The average, which is changed, and what it is of; 0 if it is below TINY.
    decay : float

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    check_step(p, p, average=s)
    s *= decay
    s += (1 - decay) * p
    flush(s, TINY)


def flush(state: Array, tiny: float) -> None:
    """Set to 0 what is smaller than `tiny`.

    Examples
    --------
    >>> import numpy as np
    >>> v = np.array([1e-31, -1e-31, 1e-29])
    >>> flush(v, TINY)
    >>> v
    array([0.e+00, 0.e+00, 1.e-29])
    """
    state[abs(state) < tiny] = 0


def check_step(p: Array, g: Array, **state: Array | None) -> None:
    """Refuse a gradient or a state of another shape than the parameter's."""
    for name, array in {"gradient": g, **state}.items():
        if array is not None and array.shape != p.shape:
            raise ValueError(
                f"the {name} of a parameter of shape {list(p.shape)} must have its shape, "
                f"got {list(array.shape)}"
            )


def check_count(step: int) -> None:
    """Refuse a number below 1."""
    if step < 1:
        raise ValueError(f"Adam counts its steps from 1 (for the bias correction), got {step}")

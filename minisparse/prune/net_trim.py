r"""Net-Trim (Aghasi, Abdi, Nguyen and Romberg, NIPS 2017): the sparsest layer with the same responses.

A trained layer maps the training inputs X to responses Y = relu(X W). Net-Trim looks for the weights with
the smallest L1 norm that do nearly the same,

    min_U |U|_1      subject to      | relu(X U) - Y |_F <= eps,

made convex: with Omega = {Y > 0} the places where the relu is open,

    | (X U - Y)_Omega |_F <= eps,      X U <= 0 elsewhere.

Each layer is a problem of its own, with the inputs and responses of the network before any of it is
trimmed ("parallel").  The last layer has no relu: Omega is everything.  No gradient and no label takes
part; eps = 0 keeps every response on these inputs, and then sparsity needs fewer inputs than weights.

The solver is ADMM (Boyd et al. 2011) with copies V of U and Z of X U, and scaled duals P and Q:

    U <- (I + X^T X)^-1 ( V - P + X^T (Z - Q) )
    V <- S(U + P, 1 / rho)                              S the soft threshold
    Z <- projection of X U + Q onto the constraint      min(., 0) outside of Omega; inside, towards Y
                                                        until the distance is eps
    P <- P + U - V,      Q <- Q + X U - Z.

V is returned: its zeros are exact, and it meets the constraint up to what is left of V - U.  The bias
is one more row of U for an input that is 1, and is not penalized.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays import array_module, to_numpy
from ..nn import Linear, Module
from ..nn.names import joined
from .about import About
from .batch import Batch
from .mask import Mask
from .nodes import hidden_units
from .penalties import l1_step
from .reconstruction import records_of

ABOUT = (
    About(
        "net-trim",
        "Net-Trim",
        "structured",
        2016,
        "Aghasi, Abdi, Nguyen and Romberg, NIPS 2017 (arXiv 1611.05162)",
        formula="trimmed",
        code="net_trim",
        removes="weights of linear layers",
        when="once, after training, each layer by itself",
    ),
)

# ---- formulas -----------------------------------------------------------------------------------


def projected(z: np.ndarray, y: np.ndarray, eps: float, is_open: np.ndarray) -> np.ndarray:
    """Return the nearest responses that the constraint allows.

    Parameters
    ----------
    z, y : arrays, [n, out]
    eps : float
    is_open : bool array, [n, out]
        Omega.

    Examples
    --------
    >>> z, y = np.array([[4.0, 2.0, -1.0]]), np.array([[1.0, 0.0, 0.0]])
    >>> projected(z, y, 1.0, y > 0)
    array([[ 2.,  0., -1.]])
    """
    away = np.where(is_open, z - y, 0)
    far = np.sqrt((away * away).sum())
    inside = y + away * (eps / far if far > eps else 1.0)
    return np.where(is_open, inside, np.minimum(z, 0))


def trimmed(
    x: np.ndarray,
    y: np.ndarray,
    eps: float,
    is_open: np.ndarray,
    penalized: np.ndarray,
    rho: float,
    steps: int = 500,
) -> np.ndarray:
    """Return V, the weights with the smallest L1 norm that satisfy the constraint.

    Parameters
    ----------
    x : array, [n, in]
    y : array, [n, out]
    eps : float
        Of the Frobenius norm.
    is_open : bool array, [n, out]
        Omega.
    penalized : bool array, [in]
        Which rows of U count; not that of the bias.
    rho : float
        Sets the pace, not the solution: 1 / rho is the size of a step of the weights.
    steps : int

    Returns
    -------
    array, [in, out]
    """
    inverse = np.linalg.inv(np.eye(x.shape[1]) + x.T @ x)
    z, q = y.copy(), np.zeros_like(y)
    v = np.zeros((x.shape[1], y.shape[1]))
    p = np.zeros_like(v)
    for _ in range(steps):
        u = inverse @ (v - p + x.T @ (z - q))
        v = np.where(penalized[:, None], l1_step(u + p, 1 / rho), u + p)
        made = x @ u
        z = projected(made + q, y, eps, is_open)
        p += u - v
        q += made - z
    return v


# ---- of a whole model ---------------------------------------------------------------------------


def net_trim(model: Module, batch: Batch, eps: float, steps: int = 500) -> Mask:
    """Trim the linear layers of a trained model; convolutions stay as they are.

    Parameters
    ----------
    model : Module
        Changed in place.  Its hidden linear layers are followed by relus.
    batch : Batch
        The model and the inputs X.
    eps : float
        Relative to |Y|_F of each layer.
    steps : int
        Of the solver, for each layer.

    Returns
    -------
    Mask
        Which weights of the linear layers are left.
    """
    if not eps >= 0:
        raise ValueError(f"eps, the allowed relative change of the responses, is >= 0, got {eps}")
    hidden = {u.layer for u in hidden_units(model, batch.x[:1])}
    entries = {}
    for name, record in records_of(batch).items():
        if not isinstance(record.module, Linear):
            continue
        x, y = (to_numpy(t.array).astype(np.float64) for t in (record.input, record.output))
        x, y = x.reshape(-1, x.shape[-1]), y.reshape(-1, y.shape[-1])
        is_open = (y > 0) | (name not in hidden)
        y = np.where(is_open, y, 0)
        weight, bias = record.module.weight, record.module.bias
        size = to_numpy(weight.array).std()
        penalized = np.ones(x.shape[1], bool)
        if bias is not None:
            x, penalized = np.column_stack([x, np.ones(len(x))]), np.append(penalized, False)
        far = eps * np.sqrt((y * y).sum())
        v = trimmed(x, y, far, is_open, penalized, 10 / size, steps)
        _write(weight, v[penalized])
        if bias is not None:
            _write(bias, v[-1])
        entries[joined(name, "weight")] = v[penalized] != 0
    return Mask(entries)


def _write(p: Any, values: np.ndarray) -> None:
    with p.writing() as array:
        array[...] = array_module(array).asarray(values.astype(array.dtype))


__no_gradient__ = ("net_trim", "projected", "trimmed")
__all__ = ["net_trim", "projected", "trimmed"]

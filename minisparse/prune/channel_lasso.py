r"""Channel pruning by a lasso (He, Zhang and Sun, ICCV 2017): a sparse mixture of channels, then its weights.

The next layer's pre-activations y should stay what they were in the net before pruning, as a mixture
of the contributions z_j of its channels (`reconstruction`):

    1.  beta = argmin  1/(2n) |y - z beta - c|^2 + alpha |beta|_1       beta_j = 0: channel j goes
    2.  W    = argmin  |Y - sum_{j kept} X_j W_j - b|^2                 linear regression

alpha is doubled until few enough channels are left, and then bisected until as many as asked are.  As the
authors' code does, step 1 has an intercept c and looks at the net as it is pruned up to here for z, and at
the one before for y: so a layer also mends what earlier ones have spoilt.

The lasso is solved by coordinate descent.  With G = z^T z and t = z^T y (of z and y less their means)

    beta_j <- S(t_j - sum_{k != j} G_jk beta_k, n alpha) / G_jj,        S the soft threshold,

and at its solution (KKT)  |t - G beta|_j <= n alpha,  with equality, and the sign of beta_j, where
beta_j != 0.

Where the regression has many solutions or nearly so (fewer images than weights), the one nearest to
the weights as they are is taken, and directions in which the images hardly vary are left alone.
"""

from __future__ import annotations

from itertools import chain

import numpy as np

from ..arrays import to_numpy
from .about import About
from .batch import Batch
from .mask import Mask
from .nodes import HiddenUnits
from .reconstruction import LayerwisePruning, Products, records_of, watch
from .scope import top_k

ABOUT = (
    About(
        "channel-lasso",
        "Channel pruning by a lasso",
        "structured",
        2017,
        "He, Zhang and Sun, ICCV 2017 (arXiv 1707.06168)",
        formula="lasso",
        code="ChannelLasso",
        removes="units",
        when="any schedule, after training, layer by layer",
    ),
)

# ---- formulas -----------------------------------------------------------------------------------


def lasso(
    gram: np.ndarray,
    target: np.ndarray,
    reach: float,
    beta: np.ndarray | None = None,
    sweeps: int = 1000,
) -> np.ndarray:
    """Return argmin_b b^T G b / 2 - t^T b + reach |b|_1 by coordinate descent.

    Parameters
    ----------
    gram, target : arrays, [units, units] and [units]
        G = z^T z and t = z^T y.
    reach : float
        n alpha.
    beta : array, optional
        Where to start.
    sweeps : int
        At most so many times through all coordinates; before, it ends when one changes nothing by more
        than 1e-9 of the largest.

    Examples
    --------
    >>> lasso(np.eye(3), np.array([2.0, -0.5, 1.0]), 0.75)
    array([1.25, 0.  , 0.25])
    """
    beta = np.zeros(len(gram)) if beta is None else beta.copy()
    live = np.flatnonzero(np.diag(gram) > 0)
    slope = target - gram @ beta  # of the data term, downwards
    for _ in range(sweeps):
        moved = 0.0
        for j in live:
            pull = slope[j] + gram[j, j] * beta[j]
            new = np.sign(pull) * max(abs(pull) - reach, 0.0) / gram[j, j]
            if new != beta[j]:
                slope -= gram[j] * (new - beta[j])
                moved = max(moved, abs(new - beta[j]))
                beta[j] = new
        if moved <= 1e-9 * abs(beta).max(initial=0.0):
            break
    return beta


def lasso_path(gram: np.ndarray, target: np.ndarray, count: int) -> tuple[np.ndarray, float]:
    """Return beta with `count` entries that are not 0, and its n alpha: doubled, then bisected.

    Where the number jumps past `count` (two equal channels come in together) the smallest ones too
    many are in beta still.
    """
    low, high = 0.0, 0.03 * abs(target).max(initial=0.0)  # below it is slow, and seldom needed
    many = beta = lasso(gram, target, high)
    while np.count_nonzero(beta) > count:
        low, high, many = high, 2 * high, beta
        beta = lasso(gram, target, high, beta)
    for _ in range(40):
        if np.count_nonzero(beta) == count:
            return beta, high
        middle = (low + high) / 2
        new = lasso(gram, target, middle, many)
        if np.count_nonzero(new) > count:
            low, many = middle, new
        else:
            high, beta = middle, new
    return many, low


def refit(
    x: np.ndarray, y: np.ndarray, w: np.ndarray, bias: np.ndarray | None, rcond: float = 1e-3
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the weights, and the bias, with the least |y - x w - b|^2, nearest to those given.

    Parameters
    ----------
    x : array, [n, in]
    y : array, [n, out]
    w, bias : arrays, [in, out] and [out]
    rcond : float
        Directions with a singular value below this, relative to the largest, are left alone.
    """
    if bias is None:
        return w + np.linalg.lstsq(x, y - x @ w, rcond)[0], None
    mean_x, mean_y = x.mean(axis=0), y.mean(axis=0)
    x, y = x - mean_x, y - mean_y
    w = w + np.linalg.lstsq(x, y - x @ w, rcond)[0]
    return w, mean_y - mean_x @ w


# ---- in training --------------------------------------------------------------------------------


class ChannelLasso(LayerwisePruning):
    """Prune layer by layer by the lasso, then by regression; the settings: `LayerwisePruning`'s."""

    def choose(self, density: float, batch: Batch) -> Mask:
        """Note what the layers return before one is pruned."""
        self._before = {n: to_numpy(r.output.array) for n, r in records_of(batch).items()}
        return super().choose(density, batch)

    def reduce(self, u: HiddenUnits, alive: np.ndarray, count: int, batch: Batch) -> np.ndarray:
        """Choose the channels by the lasso, and fit the readers' weights to them."""
        readers = watch(u, batch, self.rng, self._before)
        terms = Products.of(chain.from_iterable(r.contributions() for r in readers))
        beta, _ = lasso_path(*terms.centred(), count)
        stays = top_k(np.where(alive, abs(beta), -np.inf), count)
        for reader in readers:
            w, b = reader.weights(), reader.module.bias
            shape = w[:, stays].shape
            x = reader.x[:, :, stays].reshape(len(reader.x), -1)
            old = None if b is None else to_numpy(b.array).astype(w.dtype)
            new, bias = refit(x, reader.y, w[:, stays].reshape(x.shape[1], -1), old)
            w[:, ~stays] = 0
            w[:, stays] = new.reshape(shape)
            reader.write(w, bias)
        return stays


__no_gradient__ = ("lasso", "lasso_path", "refit")
__all__ = ["ChannelLasso", "lasso", "lasso_path", "refit"]

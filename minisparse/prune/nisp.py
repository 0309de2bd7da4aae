r"""NISP, neuron importance score propagation (Yu et al., CVPR 2018): what the last responses owe to a unit.

Units of the final response layer (the hidden layer that the outputs read) are ranked by their responses
to some images. Their scores go back through the network by the absolute weights:

    s_l = |W_{l+1}|^T s_{l+1}.

relu changes no difference by a factor above 1, so s bounds what happens to the final responses, weighted
by their scores, when units of layer l are changed:

    sum_k s_k |Delta y_k|  <=  sum_j s_j |Delta x_j|.

A filter's score is the sum over the positions of its map, and its Delta x is the sum of theirs: a tap of
the next filter meets each position once at most, so |W| is summed over the kh x kw taps, and over the
positions behind a flattening.  Pooling with windows that do not overlap adds no factor.  A batch norm
between two layers has the factor |gamma| / sigma.

The final scores are those of infinite feature selection (Roffo, Melzi and Cristani, ICCV 2015), which
adds up all paths through a graph of features,

    A_ij = alpha max(sigma_i, sigma_j) + (1 - alpha) (1 - |rho_ij|),
    S    = sum_{l >= 1} (r A)^l = (I - r A)^-1 - I,         r = 0.9 / (spectral radius of A),
    s_i  = sum_j S_ij,

sigma the standard deviations of the responses (divided by the largest), rho Spearman's rank
correlation: features that vary, and repeat no others, come first.

Several codes have something else under the name NISP, one of them a derivative of the loss.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..arrays import array_module, to_numpy
from ..autodiff import no_grad
from ..doors import door
from .about import About
from .batch import Batch
from .nodes import HiddenUnits, hidden_units
from .units import Units, UnitScorePruning

ABOUT = (
    About(
        "nisp",
        "NISP, neuron importance score propagation",
        "structured",
        2017,
        "Yu, Li, Chen, Lai, Morariu, Han, Gao, Lin and Davis, CVPR 2018 (arXiv 1711.05908)",
        formula="propagated",
        code="NISP",
        removes="units",
        when="any schedule, after training",
    ),
)

# ---- formulas -----------------------------------------------------------------------------------


def propagated(w: Any, score: Any, where: Any) -> Any:
    """Return |W|^T s of one reader: the scores of the units that it reads.

    Parameters
    ----------
    w : array, [in, out] or [kh, kw, in, out]
        Weights of the reader.
    score : array, [out]
        Scores of its pre-activations.
    where : int array, [positions, units]
        At which of its inputs the units stand, see `minisparse.prune.nodes.HiddenUnits`.

    Returns
    -------
    array, [units]

    Examples
    --------
    >>> w = np.array([[1.0, -2.0], [0.0, 3.0]])
    >>> propagated(w, np.array([1.0, 10.0]), np.array([[0, 1]]))
    array([21., 30.])
    """
    of_inputs = (abs(w) @ score).reshape(-1, w.shape[-2]).sum(axis=0)
    return of_inputs[where].sum(axis=0)


def infinite_feature_selection(responses: np.ndarray, alpha: float = 0.5) -> np.ndarray:
    """Return s_i of each feature, [units], by the paths of all lengths through the others.

    Parameters
    ----------
    responses : array, [N, units]
    alpha : float in [0, 1]
        How much the spread counts, beside not repeating others.
    """
    spread = responses.std(axis=0)
    spread = spread / (spread.max() or 1.0)
    apart = 1 - np.abs(rank_correlation(responses))
    a = alpha * np.maximum(spread, spread[:, None]) + (1 - alpha) * apart
    radius = np.abs(np.linalg.eigvalsh(a)).max()
    if radius == 0:
        return np.zeros(len(a))
    ones = np.ones(len(a))
    found: np.ndarray = np.linalg.solve(np.eye(len(a)) - 0.9 / radius * a, ones) - ones
    return found


@door
def rank_correlation(x: np.ndarray) -> np.ndarray:
    """Return Spearman's rho between columns, [units, units]: that of their ranks, ties at the mean.

    A column that is constant is taken to be a copy of every other: it tells nothing new.

    Parameters
    ----------
    x : array, [N, units]

    Examples
    --------
    >>> rank_correlation(np.array([[1.0, 10.0], [2.0, 9.0], [3.0, -5.0]])).round(6)
    array([[ 1., -1.],
           [-1.,  1.]])
    """
    ranks = np.empty(x.shape)
    for j, column in enumerate(x.T):
        _, value, count = np.unique(column, return_inverse=True, return_counts=True)
        ranks[:, j] = (np.cumsum(count) - (count - 1) / 2)[value]
    ranks -= ranks.mean(axis=0)
    norm = np.sqrt((ranks**2).sum(axis=0))
    constant = norm == 0
    rho = (ranks / np.where(constant, 1, norm)).T @ (ranks / np.where(constant, 1, norm))
    rho[constant] = rho[:, constant] = 1.0
    return np.clip(rho, -1, 1)


# ---- in training --------------------------------------------------------------------------------


class NISP(UnitScorePruning):
    """Prune units by their propagated importance; the settings are `UnitScorePruning`'s.

    Hidden layers that only the outputs read are final response layers; their responses are taken from
    the images, all others' scores from theirs.  A layer that is not treated passes scores on.
    """

    def unit_scores(self, units: Units, batch: Batch) -> Mapping[str, Any]:
        """Return s of each layer."""
        with no_grad():
            seen = batch.inputs()
        hidden = {u.layer: u for u in hidden_units(batch.model, batch.x[:1])}
        modules: dict[str, Any] = dict(batch.model.named_modules())
        scores: dict[str, Any] = {}
        for u in reversed(hidden.values()):
            inner = [(r, at) for r, at in zip(u.readers, u.where, strict=True) if r in hidden]
            if not inner:
                responses = to_numpy(seen[u.readers[0]])[..., u.where[0]]
                by_image = responses.reshape(len(batch), -1, u.count).mean(axis=1)
                w = modules[u.layer].weight.array
                final = infinite_feature_selection(by_image.astype(np.float64))
                scores[u.layer] = array_module(w).asarray(final.astype(w.dtype))
                continue
            total = 0
            for reader, at in inner:
                w = modules[reader].weight.array
                where = array_module(w).asarray(at)
                total = total + propagated(
                    w, scores[reader] * _slope(modules, hidden[reader], w), where
                )
            scores[u.layer] = total
        return {name: scores[u.layer] for name, u in units.items()}


def _slope(modules: Mapping[str, Any], u: HiddenUnits, w: Any) -> Any:
    """Return |gamma| / sigma of the batch norms behind a layer, [units]; 1 without one."""
    xp = array_module(w)
    factor = xp.ones(u.count, dtype=w.dtype)
    for name in u.norms:
        norm = modules[name]
        factor = factor * abs(norm.weight.array) / (norm.running_var + norm.eps) ** 0.5
    return factor


__no_gradient__ = ("infinite_feature_selection", "propagated", "rank_correlation")
__all__ = ["NISP", "infinite_feature_selection", "propagated", "rank_correlation"]

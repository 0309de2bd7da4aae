r"""What is compared with what: from scores to masks, exactly k entries, with a rule for ties.

    global       all weights with all
    layer        the weights of a layer with each other; the same density d_l = d in each
    uniform+     so, but the first convolution is dense, and a last linear layer keeps 20 % at least
    erk          so, with densities d_l ~ sum(dims) / prod(dims), none above 1

The last two after Gale, Elsen and Hooker 2019, and Evci et al. 2020 (after Mocanu et al. 2018).
All give the density d over all weights.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from ..arrays import to_numpy
from ..doors import door
from .about import About
from .granularity import Granularity, group_scores, ungroup
from .mask import Mask

Scope = str | Mapping[str, float]
SCOPES = ("global", "layer", "uniform+", "erk")

ABOUT = (
    About(
        "uniform-plus",
        "Uniform+, equal densities but at both ends",
        "magnitude",
        2019,
        "Gale, Elsen and Hooker (arXiv 1902.09574)",
        formula="uniform_plus",
        code="keep_largest",
        removes="a scope: goes with any score",
        when="any schedule",
        chapter="13",
    ),
    About(
        "erk",
        "Erdos-Renyi-kernel densities",
        "magnitude",
        2019,
        "Evci et al., ICML 2020 (arXiv 1911.11134), after Mocanu et al. 2018",
        formula="layer_densities",
        code="keep_largest",
        removes="a scope: goes with any score",
        when="any schedule",
        chapter="13",
    ),
)


def top_k(scores: np.ndarray, k: int) -> np.ndarray:
    """Return a boolean array that is True at exactly the `k` largest scores.

    Of equal scores the ones that come first (in C order) are kept.

    Raises
    ------
    ValueError
        If `k` is below 0 or above the number of scores, or a score is NaN.

    Examples
    --------
    >>> top_k(np.array([3.0, 1.0, 3.0, 3.0]), 2)
    array([ True, False,  True, False])
    """
    flat = scores.reshape(-1)
    if not 0 <= k <= flat.size:
        raise ValueError(f"cannot keep {k} of {flat.size} entries")
    _refuse_nan(flat, "scores")
    keep = np.zeros(flat.size, dtype=bool)
    if k:
        lowest = flat.min()  # what is gone already has it, and many ties make a partition slow
        above = flat[flat > lowest]
        kth = np.partition(above, above.size - k)[above.size - k] if k <= above.size else lowest
        keep[flat > kth] = True
        ties = np.flatnonzero(flat == kth)
        keep[ties[: k - int(np.count_nonzero(keep))]] = True
    return keep.reshape(scores.shape)


def _refuse_nan(scores: np.ndarray, what: str) -> None:
    if nans := int(np.isnan(scores).sum()):
        raise ValueError(f"{nans} of {scores.size} {what} are NaN")


def count_for(density: float, n: int) -> int:
    """Return how many of `n` entries a density keeps: rounded to the nearest, halves up.

    Raises
    ------
    ValueError
        If the density lies outside [0, 1].
    """
    _check_density(density)
    return math.floor(density * n + 0.5)


def _check_density(density: float) -> None:
    if not 0 <= density <= 1:
        raise ValueError(f"a density lies in [0, 1], got {density}")


def keep_n_of_m(scores: np.ndarray, n: int, m: int) -> np.ndarray:
    """Keep the `n` largest of every `m` consecutive inputs of each output (N:M sparsity).

    Of equal scores the ones that come first are kept.

    Parameters
    ----------
    scores : array, [in, out] or [kh, kw, in, out]
    n, m : int

    Returns
    -------
    bool array of the same shape

    Raises
    ------
    ValueError
        If `scores` has less than two axes, n is not one of 1 to m, the inputs are no multiple of
        m, or a score is NaN.
    """
    if scores.ndim < 2:
        raise ValueError(f"N:M needs weights of two axes or more, got shape {scores.shape}")
    *field, n_in, n_out = scores.shape
    if not 0 < n <= m or n_in % m:
        raise ValueError(f"N:M needs 0 < n <= m and m dividing the {n_in} inputs, got {n}:{m}")
    _refuse_nan(scores, "scores")
    rows = scores.reshape(*field, n_in // m, m, n_out)
    beaten = np.zeros(rows.shape, np.int16)  # by how many of its group; counting beats sorting here
    for j in range(m):
        one = rows[..., j : j + 1, :]
        beaten[..., :j, :] += one > rows[..., :j, :]
        beaten[..., j + 1 :, :] += one >= rows[..., j + 1 :, :]  # the first of a tie is kept
    return (beaten < n).reshape(scores.shape)


def layer_densities(
    shapes: Mapping[str, tuple[int, ...]], density: float, scope: Scope
) -> dict[str, float]:
    """Return the density of each layer so that `density` of all weights is kept.

    Parameters
    ----------
    shapes : mapping from name to shape
    density : float
        Kept / total over all layers.
    scope : {"layer", "erk"} or mapping
        ``"layer"``: the same density everywhere.  ``"erk"``: proportional to
        sum(dims) / prod(dims), the Erdos-Renyi-kernel rule (Evci et al. 2020, after Mocanu et al.
        2018): small layers stay denser; no density exceeds 1.  A mapping gives them directly;
        `density` has no say then.

    Raises
    ------
    ValueError
        If `density` lies outside [0, 1], `scope` is another word, or a mapping has not exactly the
        names of `shapes`.
    """
    _check_density(density)
    if isinstance(scope, Mapping):
        if scope.keys() != shapes.keys():
            raise ValueError(f"densities are given for {list(scope)}, layers are {list(shapes)}")
        return dict(scope)
    if scope == "layer":
        return dict.fromkeys(shapes, density)
    if scope != "erk":
        raise ValueError(f"scope is one of {', '.join(SCOPES)} or a mapping, got {scope!r}")
    sizes = {n: math.prod(s) for n, s in shapes.items()}
    raw = {n: sum(s) / math.prod(s) for n, s in shapes.items()}
    budget = density * sum(sizes.values())
    dense: set[str] = set()
    while True:  # layers that would exceed 1 stay dense, the others share the rest
        rest = budget - sum(sizes[n] for n in dense)
        weight = sum(raw[n] * sizes[n] for n in shapes if n not in dense)
        scale = rest / weight if weight else 0.0
        full = {n for n in shapes if n not in dense and raw[n] * scale > 1}
        if not full:
            return {n: 1.0 if n in dense else raw[n] * scale for n in shapes}
        dense |= full


@door
def uniform_plus(shapes: Mapping[str, tuple[int, ...]], density: float) -> dict[str, float]:
    """Return equal densities, but 1 for a first convolution, 0.2 at least for a last linear layer.

    Convolutions have four axes, linear layers two.  The others share what is left of `density` of
    all weights.

    Raises
    ------
    ValueError
        Both ends alone have more weights than `density` allows.

    Examples
    --------
    >>> uniform_plus({"fc1": (784, 300), "fc2": (300, 100), "fc3": (100, 10)}, 0.05)
    {'fc1': 0.0494..., 'fc2': 0.0494..., 'fc3': 0.2}
    """
    sizes = {n: math.prod(s) for n, s in shapes.items()}
    first, last = next(iter(shapes)), list(shapes)[-1]
    fixed = {first: 1.0} if len(shapes[first]) == 4 else {}
    while True:
        rest = density * sum(sizes.values()) - sum(d * sizes[n] for n, d in fixed.items())
        others = sum(size for n, size in sizes.items() if n not in fixed)
        equal = rest / others if others else 0.0
        if equal >= 0.2 or last in fixed or len(shapes[last]) != 2:
            break
        fixed[last] = 0.2
    if equal < 0:
        raise ValueError(
            f"a density of {density} is too low for uniform+: the first convolution and a fifth of "
            "the last layer are more than that; take another scope"
        )
    return {n: fixed.get(n, min(equal, 1.0)) for n in shapes}


@door
def keep_largest(
    scores: Mapping[str, np.ndarray],
    density: float,
    scope: Scope = "global",
    granularity: Granularity = "weight",
    within: Mask | None = None,
) -> Mask:
    """Return the mask that keeps the highest-scoring groups.

    Parameters
    ----------
    scores : mapping from parameter name to array of the parameter's shape
        Higher means more worth keeping.
    density : float in [0, 1]
        Fraction of groups to keep.  Exactly ``floor(density n + 1/2)`` of n groups are kept: of all
        groups together (``scope="global"``), or of each layer's.
    scope : {"global", "layer", "uniform+", "erk"} or mapping from name to density
        The densities of layers are those of `layer_densities`, for ``"uniform+"`` of `uniform_plus`.
    granularity : see `minisparse.prune.granularity.group_scores`
    within : Mask, optional
        What is left so far: a removed weight adds nothing to the score of its group, and a group
        of which nothing is left ranks below all others, whatever the scores.

    Returns
    -------
    Mask
        Ties are kept in the order of position, in the order of the layers.
    """
    if not scores:
        raise ValueError("no scores were given")
    grouped = {}
    for name, s in scores.items():
        values = to_numpy(s)
        _refuse_nan(values, f"scores of '{name}'")
        if within is None:
            grouped[name] = group_scores(values, granularity)
        else:
            left = within[name]
            grouped[name] = np.where(
                group_scores(left.astype(np.int64), granularity) > 0,
                group_scores(np.where(left, values, 0), granularity),
                -np.inf,
            )
    if isinstance(scope, str) and scope == "global":
        flat = np.concatenate([g.reshape(-1) for g in grouped.values()])
        kept = top_k(flat, count_for(density, flat.size))
        ends = np.cumsum([g.size for g in grouped.values()])[:-1]
        parts = np.split(kept, ends)
        keep = {n: p.reshape(g.shape) for (n, g), p in zip(grouped.items(), parts, strict=True)}
    else:
        shapes = {n: tuple(s.shape) for n, s in scores.items()}
        uniform_but_ends = isinstance(scope, str) and scope == "uniform+"
        densities = (
            uniform_plus(shapes, density)
            if uniform_but_ends
            else layer_densities(shapes, density, scope)
        )
        keep = {n: top_k(g, count_for(densities[n], g.size)) for n, g in grouped.items()}
    return Mask({n: ungroup(keep[n], tuple(s.shape), granularity) for n, s in scores.items()})


__no_gradient__ = (
    "count_for",
    "keep_largest",
    "keep_n_of_m",
    "layer_densities",
    "top_k",
    "uniform_plus",
)

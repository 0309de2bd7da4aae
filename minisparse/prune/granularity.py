"""What is removed together: single weights, units, inputs, blocks.

A score per weight becomes a score per group by summing over the group; a decision per group
becomes a mask of weights by repeating it.  Weights are [in, out], filters [kh, kw, in, out].
"""

from __future__ import annotations

from typing import Any

from ..arrays import array_module

Granularity = str | tuple[int, int]
NAMES = ("weight", "unit", "input", "kernel", "shape")


def group_scores(scores: Any, granularity: Granularity) -> Any:
    """Sum the scores of each group.

    Parameters
    ----------
    scores : array, [in, out] or [kh, kw, in, out]; any shape if each weight is a group
    granularity : str or (int, int)
        ``"weight"``: each weight alone.  ``"unit"``: all weights into one output, a column or a
        filter.  ``"input"``: all weights from one input.  ``"kernel"``: the kh x kw weights between
        one input and one output channel.  ``"shape"``: all weights at one place of the filters,
        from one input (in a linear layer the same as ``"input"``).  ``(r, c)``: blocks of r inputs
        by c outputs.

    Returns
    -------
    array
        ``"unit"`` [out], ``"input"`` [in], ``"kernel"`` [in, out], ``"shape"`` [..., in], blocks
        [..., in/r, out/c].

    Raises
    ------
    ValueError
        If `scores` has less than two axes (but for ``"weight"``), blocks do not divide inputs and
        outputs, or the granularity is another word.
    """
    _check(scores.shape, granularity)
    if granularity == "weight":
        return scores
    if granularity == "unit":
        return _sum(scores, tuple(range(scores.ndim - 1)))
    if granularity == "input":
        return _sum(scores, tuple(i for i in range(scores.ndim) if i != scores.ndim - 2))
    if granularity == "shape":
        return _sum(scores, -1)
    if isinstance(granularity, str):  # "kernel"
        return _sum(scores, tuple(range(scores.ndim - 2)))
    r, c = granularity
    *field, n_in, n_out = scores.shape
    return _sum(scores.reshape(*field, n_in // r, r, n_out // c, c), (-3, -1))


def ungroup(keep: Any, shape: tuple[int, ...], granularity: Granularity) -> Any:
    """Repeat a decision per group (as `group_scores` orders them) for each weight of `shape`.

    Raises
    ------
    ValueError
        As `group_scores` does, for weights of `shape`.
    """
    _check(shape, granularity)
    xp = array_module(keep)
    if granularity in ("input", "shape"):
        keep = keep[..., None]
    elif isinstance(granularity, tuple):
        keep = xp.repeat(xp.repeat(keep, granularity[0], axis=-2), granularity[1], axis=-1)
    return xp.broadcast_to(keep, shape).copy()


def _sum(scores: Any, axes: int | tuple[int, ...]) -> Any:
    return scores.sum(axis=axes)


def _check(shape: tuple[int, ...], granularity: Any) -> None:
    if granularity == "weight":
        return
    if len(shape) < 2:
        raise ValueError(f"groups are defined for weights of two axes or more, got shape {shape}")
    if isinstance(granularity, tuple):
        r, c = granularity
        if r < 1 or c < 1 or shape[-2] % r or shape[-1] % c:
            raise ValueError(
                f"blocks of {r} x {c} do not divide a weight of {shape[-2]} inputs and "
                f"{shape[-1]} outputs"
            )
    elif granularity not in NAMES:
        raise ValueError(
            f"granularity is one of {', '.join(NAMES)}, or a block (r, c); got {granularity!r}"
        )


__no_gradient__ = ("group_scores", "ungroup")

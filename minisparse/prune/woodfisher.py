r"""WoodFisher and WoodTaylor (Singh and Alistarh, NeurIPS 2020): OBS with an inverse Fisher, in blocks.

H is replaced by the empirical Fisher matrix of N images, with damping lambda, and that by its blocks of
some dozens of weights along the diagonal, which are small enough to invert:

    F = lambda I + (1/N) sum_n g_n g_n^T

    WoodFisher   s_q = w_q^2 / (2 [F^-1]_qq),                dw = -(w_q / [F^-1]_qq) F^-1 e_q
    WoodTaylor   s_q = (w_q - v_q)^2 / (2 [F^-1]_qq),        dw = -v - ((w_q - v_q) / [F^-1]_qq) F^-1 e_q
                 with v = F^-1 gbar

WoodTaylor does not take the gradient gbar for 0: v is a Newton step, from which the weights are deleted.
(Its constant -gbar^T v / 2 does not rank, and is left out.)  With one block this is exact for a quadratic
loss.  With many, each block's v lowers the loss as if it were alone, and together they go many times too
far: so v is cut to a share of the norm of a layer's weights (`reach`; form ours: the authors' code has an
option that limits the norm of the whole change).

When many weights go at once, the changes that each of them asks for are added up, as in the authors' code:
none knows of the others, so prune in many small steps.  OBS (obs.py) and OBC (obc.py), where each knows,
cost more.

A block of 1 is Fisher pruning (fisher.py).  Blocks hold consecutive weights of one layer, all inputs of
a unit before the next unit's, and end with the layer.  The paper's name is for its recursion

    F^-1_{n+1} = F^-1_n - (F^-1_n g g^T F^-1_n) / (N + g^T F^-1_n g),         F^-1_0 = I / lambda,

`obs.woodbury_inverse` here.  It pays where a block is larger than the number of images; for small blocks
the matrix itself is inverted, which gives the same numbers with less work.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from ..arrays import to_numpy
from ..doors import door
from .about import About
from .batch import Batch
from .compensation import CompensatedPruning
from .mask import Mask
from .obs import saliency, woodbury_inverse
from .schedule import Sparsity
from .scope import Scope, keep_largest
from .single_gradients import Factors, loss_factors

ABOUT = (
    About(
        "woodfisher",
        "WoodFisher",
        "second order",
        2020,
        "Singh and Alistarh, NeurIPS 2020 (arXiv 2004.14340)",
        formula="deletion",
        code="WoodFisherPruning",
        removes="weights; those of their block change",
        when="any schedule, in many small steps",
        chapter="11",
    ),
    About(
        "woodtaylor",
        "WoodTaylor",
        "second order",
        2020,
        "Singh and Alistarh, NeurIPS 2020 (arXiv 2004.14340)",
        formula="deletion",
        code="WoodTaylorPruning",
        removes="weights; those of their block change",
        when="any schedule, in many small steps",
        chapter="11",
    ),
)

# ---- formulas -----------------------------------------------------------------------------------


@door
def deletion(
    w: np.ndarray, inverse: np.ndarray, gone: np.ndarray, newton: np.ndarray | float = 0.0
) -> np.ndarray:
    """Return the weights of each block after the deletion of some of them.

    Parameters
    ----------
    w : array, [blocks, b]
    inverse : array, [blocks, b, b]
        F^-1.
    gone : bool array, [blocks, b]
    newton : array, [blocks, b], or 0
        v of WoodTaylor; 0 for WoodFisher.
    """
    moved = w - newton
    scaled = np.where(gone, moved / _diagonal(inverse), 0)
    new = moved - (inverse @ scaled[..., None])[..., 0]
    return np.where(gone, 0, new)


@door
def inverse_fisher(rows: np.ndarray, damping: float) -> np.ndarray:
    """Return F^-1 of each block, [blocks, b, b], from gradients of single images [N, blocks, b]."""
    n, _, b = rows.shape
    rows = rows.transpose(1, 0, 2)
    if b > n:
        return np.stack([woodbury_inverse(g, damping) for g in rows])
    f = rows.transpose(0, 2, 1) @ rows / n
    found: np.ndarray = np.linalg.inv(f + damping * np.eye(b))
    return found


@door
def in_blocks(flat: np.ndarray, block: int) -> np.ndarray:
    """Return [..., n] as [..., blocks, b]; zeros fill the last block."""
    n = flat.shape[-1]
    filled = np.zeros((*flat.shape[:-1], -(-n // block) * block))
    filled[..., :n] = flat
    return filled.reshape(*flat.shape[:-1], -1, block)


@door
def by_unit(w: np.ndarray) -> np.ndarray:
    """Return weights [..., out] as [n], all inputs of a unit before the next unit's."""
    return w.reshape(-1, w.shape[-1]).T.reshape(-1)


@door
def from_blocks(blocks: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return the weights, [..., out], of blocks that `by_unit` and `in_blocks` made."""
    flat = blocks.reshape(-1)[: math.prod(shape)]
    return flat.reshape(shape[-1], -1).T.reshape(shape)


def rows_in_blocks(
    factors: Factors, kept: np.ndarray, block: int, at_once: int = 2_000_000
) -> Iterator[np.ndarray]:
    """Yield gradients of single images, [N, some blocks, b], block after block of a layer.

    Parameters
    ----------
    factors : Factors
    kept : bool array, [..., out]
        The gradients of other weights are taken to be 0: their blocks know nothing of them.
    block : int
        b.
    at_once : int
        How many numbers to form at once, if that makes one block or more.
    """
    n_in, n_out = factors.x.shape[-1], factors.delta.shape[-1]
    step = block * max(1, at_once // (block * len(factors.x)))
    kept = kept.reshape(n_in, n_out)
    for lo in range(0, n_in * n_out, step):
        hi = min(lo + step, n_in * n_out)
        units = slice(lo // n_in, -(-hi // n_in))
        rows = Factors(factors.x, factors.delta[..., units]).rows() * kept[:, units]
        flat = np.swapaxes(rows, 1, 2).reshape(len(rows), -1)
        skip = units.start * n_in
        yield in_blocks(flat[:, lo - skip : hi - skip], block)


class Blocks(NamedTuple):
    """The weights of a layer in blocks, [blocks, b], each block's F^-1, and its v."""

    w: np.ndarray
    inverse: np.ndarray
    newton: np.ndarray

    def saliency(self) -> np.ndarray:
        """Return s of each weight, [blocks, b]."""
        return saliency(self.w - self.newton, _diagonal(self.inverse))


def _diagonal(inverse: np.ndarray) -> np.ndarray:
    return np.diagonal(inverse, axis1=-2, axis2=-1)


# ---- in training --------------------------------------------------------------------------------


class WoodFisherPruning(CompensatedPruning):
    """Prune by the inverse Fisher matrix, in blocks.

    Parameters
    ----------
    sparsity, scope, every, images, names : see `CompensatedPruning`
    block : int
        Weights in a block, b.  Takes n b numbers of memory for n weights.
    damping : float > 0
        lambda.

    Raises
    ------
    ValueError
        A block below 1, a damping that is not > 0.
    """

    def __init__(
        self,
        sparsity: Sparsity,
        scope: Scope = "global",
        every: int | None = None,
        images: int | None = None,
        names: list[str] | None = None,
        *,
        block: int = 50,
        damping: float = 1e-5,
    ) -> None:
        super().__init__(sparsity, scope, every, images, names)
        if not (block >= 1 and damping > 0):
            raise ValueError(
                f"expected a block of 1 weight or more and a damping > 0, got {block} and {damping}"
            )
        self.block, self.damping = block, damping

    def solve(self, density: float, batch: Batch) -> Mask:
        """Rank all weights, delete, and add up what each deletion asks of its block."""
        before = self.mask()
        blocks = self._blocks(self.read(), batch)
        scores = {n: from_blocks(b.saliency(), before[n].shape) for n, b in blocks.items()}
        after = keep_largest(scores, density, self.scope, within=before)
        for name, b in blocks.items():
            gone = before[name] & ~after[name]
            there = in_blocks(by_unit(gone), b.w.shape[-1]) != 0
            new = deletion(b.w, b.inverse, there, b.newton)
            self.write(name, from_blocks(new, gone.shape))
        return after

    def score(self, weights: Mapping[str, Any], batch: Batch) -> Mapping[str, Any]:
        """Return s."""
        read = {n: to_numpy(w).astype(np.float64) for n, w in weights.items()}
        blocks = self._blocks(read, batch)
        return {n: from_blocks(b.saliency(), read[n].shape) for n, b in blocks.items()}

    def _blocks(self, weights: Mapping[str, np.ndarray], batch: Batch) -> dict[str, Blocks]:
        kept, factors, found = self.mask(), loss_factors(batch, list(weights)), {}
        for name, value in weights.items():
            block = min(self.block, value.size)
            w = in_blocks(by_unit(value), block)
            parts = [
                (inverse := inverse_fisher(g, self.damping), inverse @ g.mean(axis=0)[..., None])
                for g in rows_in_blocks(factors[name], kept[name], block)
            ]
            v = np.concatenate([v[..., 0] for _, v in parts])
            inverse = np.concatenate([inverse for inverse, _ in parts])
            found[name] = Blocks(w, inverse, self.newton(v, w))
        return found

    def newton(self, v: np.ndarray, w: np.ndarray) -> np.ndarray:
        """Return the step that is taken for v = F^-1 gbar of a layer: none."""
        return np.zeros_like(v)


class WoodTaylorPruning(WoodFisherPruning):
    """The same, for weights at which the gradient is not 0.

    Attributes
    ----------
    reach : float
        The Newton step of a layer is at most so long, in units of the norm of its weights; infinity
        takes it as it is.
    """

    reach: float = 0.01

    def newton(self, v: np.ndarray, w: np.ndarray) -> np.ndarray:
        """Return v, cut to `reach` times the norm of the weights."""
        longest, length = self.reach * np.linalg.norm(w), np.linalg.norm(v)
        cut: np.ndarray = v * (longest / length) if length > longest else v
        return cut


__no_gradient__ = (
    "by_unit",
    "deletion",
    "from_blocks",
    "in_blocks",
    "inverse_fisher",
    "rows_in_blocks",
)
__all__ = [
    "Blocks",
    "WoodFisherPruning",
    "WoodTaylorPruning",
    "by_unit",
    "deletion",
    "from_blocks",
    "in_blocks",
    "inverse_fisher",
    "rows_in_blocks",
]

r"""Gradients of single images, as a matrix A with a row for each image.

For a layer with unrolled input x [B, P, in] (P positions; 1 for a linear layer on vectors) and
delta = dl/da [B, P, out], the gradient of image n by the weight is

    g_n = sum_p x[n, p] delta[n, p]^T,            A = [g_1; ...; g_B],    F = A^T A / B,

F the empirical Fisher matrix.  A has B times as many numbers as there are weights, but its products
with vectors need none of them:

    (A v)_n = sum_p x[n, p]^T V delta[n, p],      A^T u = sum_n u_n g_n = X^T (u delta)

The Gauss-Newton matrix of the cross-entropy (obd.py) has the same form, with a row for each image and
class: since diag(p) - p p^T = sum_c p_c (e_c - p)(e_c - p)^T,

    J^T (diag(p) - p p^T) J = sum_c r_c r_c^T,    r_c = J^T sqrt(p_c) (e_c - p).

What has the factor p_c here and is drawn by p there, the true Fisher matrix, is the same matrix.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..arrays import array_module, to_numpy
from ..autodiff import softmax
from ..definitions.conv import pad_images, window
from ..definitions.shapes import conv_output_shape
from ..doors import door
from ..nn import Conv2d, LayerRecord
from ..nn.names import joined
from .batch import Batch, layer_gradients

# ---- formulas -----------------------------------------------------------------------------------


def unrolled(record: LayerRecord, start: int = 0, stop: int | None = None) -> np.ndarray:
    """Return what a layer multiplies its weight matrix with, for the images `start` to `stop`.

    Of a convolution these are the patches under the kernel, in the order of the filters' first three
    axes.

    Parameters
    ----------
    record : LayerRecord
    start, stop : int

    Returns
    -------
    array in main memory, [B, P, fan_in]
        ``unrolled(record) @ weight.reshape(fan_in, -1)`` is the layer's output without its bias.
    """
    x, module = to_numpy(record.input.array[start:stop]), record.module
    if not isinstance(module, Conv2d):
        return x.reshape(len(x), -1, x.shape[-1])
    kh, kw, *_ = module.weight.shape
    _, ho, wo, _ = conv_output_shape(x.shape, module.weight.shape, module.stride, module.padding)
    x = pad_images(x, module.padding)
    seen = [x[window(r, s, (ho, wo), module.stride)] for r in range(kh) for s in range(kw)]
    return np.stack(seen, axis=-2).reshape(len(x), ho * wo, -1)


def class_seeds(p: np.ndarray) -> np.ndarray:
    """Return sqrt(p_c) (e_c - p) of each class and image: [C, B, C] from probabilities [B, C]."""
    seeds: np.ndarray = np.sqrt(p.T)[:, :, None] * (np.eye(p.shape[1])[:, None, :] - p)
    return seeds


@dataclass(frozen=True)
class Factors:
    """What the gradients of single images by one weight are made of.

    Parameters
    ----------
    x : float64 array, [B, P, in]
    delta : float64 array, [..., B, P, out]
    """

    x: np.ndarray
    delta: np.ndarray

    def rows(self) -> np.ndarray:
        """Return A, [..., B, in, out]."""
        rows: np.ndarray = np.swapaxes(self.x, -1, -2) @ self.delta
        return rows

    def times(self, v: np.ndarray) -> np.ndarray:
        """Return A v, [B], for v [in, out]; A is not formed."""
        product: np.ndarray = ((self.x @ v) * self.delta).sum(axis=(-1, -2))
        return product

    def transposed_times(self, u: np.ndarray) -> np.ndarray:
        """Return A^T u, [in, out], for u [B]."""
        x, delta = self.x, self.delta * u[:, None, None]
        product: np.ndarray = x.reshape(-1, x.shape[-1]).T @ delta.reshape(-1, delta.shape[-1])
        return product

    def gram(self, kept: np.ndarray, at_once: int = 2_000_000) -> np.ndarray:
        """Return A_S A_S^T, [B, B], of the columns S that a mask [in, out] keeps.

        No more than `at_once` numbers of A are formed at a time, if that makes one unit or more.
        """
        step = max(1, at_once // (self.x.shape[0] * self.x.shape[-1]))
        total = np.zeros((len(self.x), len(self.x)))
        for start in range(0, self.delta.shape[-1], step):
            units = slice(start, start + step)
            a = Factors(self.x, self.delta[..., units]).rows()[:, kept[:, units]]
            total += a @ a.T
        return total


# ---- of a whole model ---------------------------------------------------------------------------


@door
def loss_factors(batch: Batch, names: Sequence[str]) -> dict[str, Factors]:
    """Return the factors of the gradients of single images' losses, by parameter name."""
    found = {joined(r.name, "weight"): (r, d) for r, d in batch.losses_by_layer()}
    return {n: _factors(*found[n]) for n in _known(names, found)}


@door
def curvature_factors(batch: Batch, names: Sequence[str]) -> dict[str, Factors]:
    """Return the factors of the rows r_c of the Gauss-Newton matrix: delta is [C, B, P, out].

    The sum of r_c r_c^T over classes, and its mean over images, is the matrix of the mean
    cross-entropy.
    """
    logits, layers = batch.layers()
    p = to_numpy(softmax(logits).array)
    seeds = array_module(batch.x).asarray(class_seeds(p).astype(logits.dtype))
    deltas = layer_gradients(logits, layers, seeds)
    found = {joined(r.name, "weight"): (r, d) for r, d in zip(layers, deltas, strict=True)}
    return {n: _factors(*found[n]) for n in _known(names, found)}


def _factors(record: LayerRecord, delta: object) -> Factors:
    x = unrolled(record).astype(np.float64)
    d = to_numpy(delta).astype(np.float64)
    more = d.shape[: d.ndim - record.output.ndim]
    return Factors(x, d.reshape(*more, *x.shape[:2], d.shape[-1]))


def _known(names: Sequence[str], found: Mapping[str, object]) -> Sequence[str]:
    if unknown := [n for n in names if n not in found]:
        raise ValueError(
            f"gradients of single images are computed for the weights of Linear and Conv2d layers, "
            f"{list(found)}, not for {unknown}"
        )
    return names


__no_gradient__ = ("class_seeds", "unrolled")
__all__ = ["Factors", "class_seeds", "curvature_factors", "loss_factors", "unrolled"]

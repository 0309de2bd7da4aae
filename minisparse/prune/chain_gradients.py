r"""Gradients of outputs by pre-activations in a network that is one layer after another, by hand.

What `batch.layer_gradients` asks of the tape has a closed form where layer l computes
a_l = x_l W_l + b_l (or a convolution), x_{l+1} = relu(pool(a_l)), and the last one the logits:

    Delta_L = seeds,        Delta_{l-1}[k] = (Delta_l[k] W_l^T) 1[x_l > 0]

Three things make it cheap when many outputs k are wanted.  Where a pool follows, Delta is kept as the
gradient of the maxima, a quarter of it, and the zeros are never written.  What a ReLU has switched
off is zero whichever output is asked for, and is skipped.  And of the lowest layer, if it is linear,
only sum_k |Delta[k]| is computed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..arrays import array_module
from ..definitions.shapes import conv_output_shape
from ..kernels.dispatch import kernel
from ..nn.chain import Chain, ChainLayer


def chain_gradients(chain: Chain, seeds: Any) -> Iterator[tuple[ChainLayer, Any]]:
    """Yield each layer, from the last to the first, with its Delta.

    Parameters
    ----------
    chain : Chain
    seeds : array, [K, B, classes], or None
        Cotangents of the logits; None for the unit vectors, K = classes.

    Yields
    ------
    ChainLayer
    array, [K, B, ..., out]
        For a linear layer Delta, or, with K = 1, sum_k |Delta[k]|.  For a convolution the gradient
        of what its pool returned, if it has one; what the ReLU behind it switched off is 0, or has
        4 as its `winner`.
    """
    *below, last = chain.layers
    x = last.input
    if seeds is None:
        top, xp = last.layer.w, array_module(x)
        yield last, xp.ones((1, *chain.logits.shape), dtype=x.dtype)
        if not below:
            return
        open, each = x > 0, top.T
        if len(below) == 2 and all(b.layer.w.ndim == 2 and b.layer.relu for b in below):
            yield below[1], (xp.abs(top).sum(axis=1) * open)[None]
            gated = kernel("gated_magnitudes", x)
            yield below[0], gated(each, below[1].layer.w, below[1].input, x)[None]
            return
        seeds = xp.broadcast_to(
            xp.eye(top.shape[1], dtype=x.dtype)[:, None], (top.shape[1], *chain.logits.shape)
        )
    else:
        yield last, seeds
    above, delta = last, seeds
    while below:
        layer = below.pop()
        if not below and layer.layer.w.ndim == 2 and layer.layer.relu and above.layer.w.ndim == 2:
            yield layer, kernel("gated_magnitudes", x)(delta, above.layer.w, above.input)[None]
            return
        delta = _input_gradient(above, delta)
        if layer.winner is not None:
            delta = delta.reshape(len(delta), *layer.winner.shape)
        else:
            delta = delta.reshape(len(delta), *_result_shape(layer, above))
            if layer.layer.relu:
                delta *= above.input.reshape(delta.shape[1:]) > 0
        yield layer, delta
        above = layer


def _input_gradient(layer: ChainLayer, delta: Any) -> Any:
    """Return the gradients of a layer's input, [K, B, ...]."""
    k, w, x = len(delta), layer.layer.w, layer.input
    together = np.ascontiguousarray(delta).reshape(k * len(x), *delta.shape[2:])
    if w.ndim == 2:
        found = kernel("matmul", x)(together, w.T)
    else:
        geometry = layer.layer.stride, layer.layer.padding
        images = (k * len(x), *x.shape[1:])
        if layer.winner is None:
            found = kernel("conv2d_input_grad", x)(together, w, images, *geometry)
        else:
            winner = np.concatenate([layer.winner] * k)
            found, _, _ = kernel("conv2d_pool_backward", x)(
                together, winner, np.broadcast_to(x[:1], images), w, *geometry, (True, False, False)
            )
    return found.reshape(k, *x.shape)


def _result_shape(layer: ChainLayer, above: ChainLayer) -> tuple[int, ...]:
    """Return the shape of what a layer without a pool gave to the one above."""
    shape: tuple[int, ...]
    if layer.layer.w.ndim == 2 or above.input.ndim == 4:
        shape = above.input.shape
        return shape
    x, (w, _, _, _, stride, padding) = layer.input, layer.layer
    return conv_output_shape(x.shape, w.shape, stride, padding)


__no_gradient__ = ("chain_gradients",)
__all__ = ["chain_gradients"]

r"""Optimal brain damage (LeCun, Denker and Solla, NIPS 1989): small weights are not the cheap ones.

To second order, where the gradient is zero and with the terms between two weights left out, deleting
w_i costs

    dL_i = h_ii w_i^2 / 2,                      h_ii = d^2 L / dw_i^2,

so the score is this saliency.  h is the diagonal of the Gauss-Newton matrix, the part of the Hessian
without second derivatives of the network ("Levenberg-Marquardt approximation" in the paper).  With
z the logits, p = softmax(z) and J_k = dz_k/dw, the Hessian of the cross-entropy in z is
diag(p) - p p^T, and

    h = (1/B) sum_n [ sum_k p_k J_k^2 - (sum_k p_k J_k)^2 ]  >= 0.

For a linear layer J_k = x Delta_k: one matrix product, h = (1/B) (X^2)^T V with
V = sum_k p_k Delta_k^2 - (sum_k p_k Delta_k)^2.  For the last layer this is exact, since the logits
are linear in its weights.  With relus and maxima it is exact in every layer but at their kinks: as
functions of one weight alone the logits are piecewise linear.  (The rest of the matrix is not.)

The paper's own recursion, for losses that are sums over outputs, goes backwards from layer to layer
with one number for each unit, and drops the terms between two units as well:

    h(w_ij) = x_j^2 h(a_i),    h(a_i) = f'(a_i)^2 sum_l w_li^2 h(a_l) + f''(a_i) dL/dx_i,

with f'' = 0 for a relu; as in the paper's approximation, it is taken to be 0 for all.  `recursion` is
one step of it, `recursion_curvatures` the whole, for comparison: as cheap as a backward pass, where the
Gauss-Newton diagonal takes one for each class.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..arrays import array_module
from ..autodiff import gradients, softmax
from ..doors import door
from ..kernels.dispatch import kernel
from ..nn import LayerRecord
from ..nn.names import joined
from .about import About, Figure
from .batch import Batch, as_convolution, conv_squares, layer_gradients
from .score import ScorePruning

ABOUT = (
    About(
        "obd",
        "Optimal brain damage",
        "second order",
        1989,
        "LeCun, Denker and Solla, NIPS 1989",
        formula="saliency",
        code="OBDPruning",
        removes="any granularity",
        when="any schedule, after training to a minimum",
        chapter="11",
        published=(
            Figure(
                "LeNet-300-100",
                2.0,
                8,
                "quoted",
                "OBD as run by Dong et al. 2017",
                "Lee et al. 2019 (SNIP), Table 1",
            ),
            Figure(
                "LeNet-5",
                2.7,
                8,
                "quoted",
                "OBD as run by Dong et al. 2017",
                "Lee et al. 2019 (SNIP), Table 1",
            ),
        ),
    ),
)

# ---- formulas -----------------------------------------------------------------------------------


@door
def saliency(w: Any, h: Any) -> Any:
    """Return h w^2 / 2, what deleting w alone costs to second order.

    Parameters
    ----------
    w, h : arrays of one shape
        The weights, and the diagonal of the Hessian.
    """
    return h * w**2 / 2


def output_curvature(delta: Any, p: Any) -> Any:
    """Return V = sum_k p_k Delta_k^2 - (sum_k p_k Delta_k)^2 of each image's pre-activations.

    Parameters
    ----------
    delta : array, [C, B, ..., out]
        dz_k/da of each logit k.
    p : array, [B, C]
        Probabilities, softmax of the logits.

    Returns
    -------
    array, [B, ..., out]
    """
    weight = p.T.reshape(*p.T.shape, *[1] * (delta.ndim - 2))
    return (weight * delta**2).sum(axis=0) - (weight * delta).sum(axis=0) ** 2


def linear_curvature(x: Any, v: Any) -> Any:
    """Return h = (1/B) (X^2)^T V of a linear layer, [in, out]; x [B, in], v [B, out]."""
    return kernel("matmul", x)((x * x).T, v) / x.shape[0]


def conv_curvature(x: Any, delta: Any, p: Any, kernel_shape: Any, *geometry: Any) -> Any:
    """Return h of a convolution: J_k of an image is a sum over positions, squared afterwards.

    sum_k p_k J_k^2 is the sum of the squares that sqrt(p_k) Delta_k gives, (sum_k p_k J_k)^2 the
    square that sum_k p_k Delta_k gives.

    Parameters
    ----------
    x : array, [B, H, W, in]
    delta : array, [C, B, H', W', out]
    p : array, [B, C]
    kernel_shape : (int, int)
    *geometry : (int, int)
        Stride and padding.

    Returns
    -------
    array, [kh, kw, in, out]
    """
    weight = p.T[:, :, None, None, None]
    first = conv_squares(x, array_module(p).sqrt(weight) * delta, kernel_shape, *geometry)
    mean = (weight * delta).sum(axis=0, keepdims=True)
    return (first - conv_squares(x, mean, kernel_shape, *geometry)) / x.shape[0]


def recursion(h_next: Any, w_next: Any, slope: Any) -> Any:
    """Return h(a) of a layer from the next one's: f'(a)^2 sum_l w_l^2 h(a_l), f'' = 0.

    Parameters
    ----------
    h_next : array, [B, next]
    w_next : array, [out, next]
        The weights between the two.
    slope : array, [B, out]
        f'(a).

    Returns
    -------
    array, [B, out]
    """
    return slope**2 * (h_next @ (w_next**2).T)


# ---- of a whole model ---------------------------------------------------------------------------


@door
def curvatures(batch: Batch) -> dict[str, Any]:
    """Return h of the weight of each layer, by parameter name: the Gauss-Newton diagonal.

    The loss is the mean cross-entropy over a batch.
    """
    logits, layers = batch.layers()
    xp = array_module(batch.x)
    classes = logits.shape[-1]
    seeds = xp.eye(classes, dtype=logits.dtype)[:, None, :] + xp.zeros(
        (classes, len(batch), classes), dtype=logits.dtype
    )
    p = softmax(logits).array
    found = {}
    for record, delta in zip(layers, layer_gradients(logits, layers, seeds), strict=True):
        x, weight = record.input.array, record.module.weight
        if x.ndim == 2:
            h = linear_curvature(x, output_curvature(delta, p))
        else:
            x, delta, kernel_shape, geometry = as_convolution(record, delta)
            h = conv_curvature(x, delta, p, kernel_shape, *geometry)
        found[joined(record.name, "weight")] = h.reshape(weight.shape)
    return found


@door
def recursion_curvatures(batch: Batch, output: Any = None) -> dict[str, Any]:
    """Return h of the weight of each layer of a perceptron by the paper's recursion.

    Parameters
    ----------
    batch : Batch
        Of a chain of Linear layers with elementwise functions between them.
    output : array [B, C], optional
        d^2 l_n / dz_k^2 of each image's loss.  That of the cross-entropy, p_k (1 - p_k), if left out.

    Raises
    ------
    ValueError
        The model is no such chain.
    """
    logits, layers = batch.layers()
    p = softmax(logits).array
    h = p * (1 - p) if output is None else output
    found: dict[str, Any] = {}
    reader: LayerRecord | None = None  # who reads what this layer sends
    for record in reversed(layers):
        read = logits if reader is None else reader.input
        if record.input.ndim != 2 or (
            read.shape != record.output.shape if reader else read is not record.output
        ):
            raise ValueError(
                "the recursion goes through a chain of Linear layers with elementwise functions between "
                f"them, whose last gives the logits; '{record.name}' maps {record.input.shape} to "
                f"{record.output.shape}, and what follows takes {read.shape}"
            )
        if reader is not None:
            ones = array_module(read.array).ones_like(read.array)
            (slope,) = gradients(read, [record.output], ones, retain_graph=True)
            h = recursion(h, reader.module.weight.array, slope.array)
        found[joined(record.name, "weight")] = linear_curvature(record.input.array, h)
        reader = record
    return dict(reversed(found.items()))


# ---- in training --------------------------------------------------------------------------------


class OBDPruning(ScorePruning):
    """Prune to a given sparsity at given times, by the saliency; the settings are `ScorePruning`'s.

    The loss of the training is taken to be the cross-entropy.
    """

    def score(self, weights: Mapping[str, Any], batch: Batch) -> Mapping[str, Any]:
        """Return h w^2 / 2."""
        h = curvatures(batch)
        return {name: saliency(w, h[name]) for name, w in weights.items()}


__no_gradient__ = (
    "conv_curvature",
    "linear_curvature",
    "output_curvature",
    "recursion",
    "saliency",
)
__all__ = [
    "OBDPruning",
    "conv_curvature",
    "curvatures",
    "linear_curvature",
    "output_curvature",
    "recursion",
    "recursion_curvatures",
    "saliency",
]

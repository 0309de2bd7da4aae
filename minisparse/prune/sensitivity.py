r"""Sensitivity-driven regularization (Tartaglione, Lepsoy, Fiandrotti and Francini, NeurIPS 2018).

A weight that the network's output y in R^C hardly depends on can go.  The sensitivity of y to w,

    S(y, w) = sum_k alpha_k |dy_k / dw|,                                     alpha_k > 0,

with alpha_k = 1/C ("unspecific", no label needed) or alpha = the one-hot target ("specific"),
decides how strongly each weight is pulled to zero at each step:

    Sbar = max(0, 1 - S)                                                     insensitivity, in [0, 1]
    w <- w - eta dL/dw - lambda w Sbar                                       lambda is not scaled by eta
    w <- 0   if |w| < T                                                      after each epoch

S is a factor: no gradient flows through it.  S and dL/dw are taken at the same weights.

What no source settles is an option here, the default first:

* ``form``: "per-sample", the mean over the batch of |dy/dw| (the definition), or "batch-mean",
  |mean of dy/dw| (the authors' later code);
* ``output``: "logits" or "softmax" (with softmax, S goes to 0 as the net saturates, and the rule
  turns into weight decay);
* ``regrow``: whether a weight below the threshold may come back (False: a mask keeps it at zero);
* ``biases``: whether biases are shrunk and thresholded (False: the published ratios count weights).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from ..arrays import array_module
from ..autodiff import Tensor, softmax
from ..doors import door
from ..kernels.dispatch import kernel
from ..nn import Conv2d, LayerRecord, Linear, Module, record_layers
from ..nn.chain import Chain
from ..nn.names import joined
from .about import About, Figure
from .batch import as_convolution, layer_gradients
from .chain_gradients import chain_gradients
from .insensitivity import InsensitivityPruning, Threshold
from .mask import prunable
from .method import Run

VARIANTS = ("unspecific", "specific")
FORMS = ("per-sample", "batch-mean")
OUTPUTS = ("logits", "softmax")

ABOUT = (
    About(
        "sensitivity",
        "Sensitivity-driven regularization",
        "sensitivity",
        2018,
        "Tartaglione, Lepsoy, Fiandrotti and Francini, NeurIPS 2018 (arXiv 1810.11764)",
        formula="linear_per_sample",
        code="SensitivityPruning",
        removes="weights below T",
        when="after each epoch, beside a pull at each step",
        chapter="07",
        published=(
            Figure(
                "LeNet-300-100",
                1.65,
                3.59,
                "recalled",
                "Tartaglione et al. 2018, Table 1, unspecific",
            ),
            Figure(
                "LeNet-300-100",
                1.95,
                0.97,
                "recalled",
                "Tartaglione et al. 2018, Table 1, unspecific",
            ),
            Figure(
                "LeNet-300-100",
                1.56,
                7.28,
                "recalled",
                "Tartaglione et al. 2018, Table 1, specific",
            ),
            Figure(
                "LeNet-300-100",
                1.96,
                1.25,
                "recalled",
                "Tartaglione et al. 2018, Table 1, specific",
            ),
            Figure(
                "LeNet-5", 0.78, 1.96, "recalled", "Tartaglione et al. 2018, Table 2, unspecific"
            ),
            Figure("LeNet-5", 0.8, 2.78, "recalled", "Tartaglione et al. 2018, Table 2, specific"),
        ),
    ),
)

# ---- formulas -----------------------------------------------------------------------------------
#
# B examples, K cotangents.  For the unspecific variant K = C and row k of the cotangents is the k-th
# unit vector for every example; for the specific one K = 1 and the row holds the one-hot targets.
# Delta[k, n] is the gradient of example n's (chosen) output with respect to a layer's pre-activation,
# so that dy_k/dW of a linear layer is the outer product x_n Delta[k, n].


def cotangents(labels: Any, classes: int, variant: str, dtype: Any) -> Any:
    """Return the K cotangents of the output, [K, B, classes].

    Parameters
    ----------
    labels : int array, [B]
    classes : int
        C.
    variant : {"unspecific", "specific"}
        Unspecific: K = C, one unit vector each.  Specific: K = 1, the one-hot targets.
    dtype : dtype

    Raises
    ------
    ValueError
        An unknown variant, or (specific) a label that is no class.
    """
    xp = array_module(labels)
    if variant == "unspecific":
        one = xp.eye(classes, dtype=dtype)[:, None, :]
        return xp.broadcast_to(one, (classes, labels.shape[0], classes)).copy()
    if variant == "specific":
        targets = labels[:, None] == xp.arange(classes)
        if not targets.any(axis=1).all():
            raise ValueError(f"labels are the classes 0 to {classes - 1}, got {labels}")
        return targets.astype(dtype)[None]
    raise ValueError(f"variant is one of {', '.join(VARIANTS)}, got {variant!r}")


def linear_per_sample(x: Any, delta: Any, alpha: float) -> Any:
    """Return S = (alpha / B) sum_n sum_k |x_n| |Delta[k, n]|^T, exactly, in one matrix product.

    Every |dy_k/dW_ij| of one example factorises into |x_i| |Delta_j|, and |x_i| does not depend on
    k: the sum over k moves inside, S = (alpha / B) |X|^T (sum_k |Delta[k]|).

    Parameters
    ----------
    x : array, [B, in]
        The layer's input.
    delta : array, [K, B, out]
    alpha : float
        1/C (unspecific) or 1 (specific).

    Returns
    -------
    array, [in, out]
    """
    xp = array_module(x)
    return (alpha / x.shape[0]) * kernel("matmul", x)(xp.abs(x).T, xp.abs(delta).sum(axis=0))


def linear_batch_mean(x: Any, delta: Any, alpha: float) -> Any:
    """Return S = alpha sum_k |(1/B) sum_n x_n Delta[k, n]^T|: the absolute value of the mean.

    Parameters and result are those of `linear_per_sample`.
    """
    xp = array_module(x)
    return (alpha / x.shape[0]) * xp.abs(x.T @ delta).sum(axis=0)


def conv_per_sample(x: Any, delta: Any, alpha: float, kernel_shape: Any, *geometry: Any) -> Any:
    """Return S = (alpha / B) sum_n sum_k |sum_p patch[n, p] Delta[k, n, p]^T| of a convolution.

    The sum over positions p stands inside the absolute value, so no factorisation is possible:
    every example's gradient is computed for every cotangent.

    Parameters
    ----------
    x : array, [B, H, W, in]
    delta : array, [K, B, H', W', out]
    alpha : float
    kernel_shape : (int, int)
    *geometry : (int, int)
        Stride and padding.

    Returns
    -------
    array, [kh, kw, in, out]
    """
    magnitudes = kernel("conv2d_weight_grad_magnitude", x)
    return (alpha / x.shape[0]) * magnitudes(x, delta, kernel_shape, *geometry)


def conv_batch_mean(x: Any, delta: Any, alpha: float, kernel_shape: Any, *geometry: Any) -> Any:
    """Return S = alpha sum_k |(1/B) sum_{n,p} patch[n, p] Delta[k, n, p]^T| of a convolution.

    Parameters and result are those of `conv_per_sample`.
    """
    xp, weight_grad = array_module(x), kernel("conv2d_weight_grad", x)
    total = sum(
        xp.abs(weight_grad(x, delta[k], kernel_shape, *geometry)) for k in range(len(delta))
    )
    return (alpha / x.shape[0]) * total


def softmax_cotangents(y: Any, seeds: Any) -> Any:
    """Take cotangents of y = softmax(z) back to z: y (g - sum_j g_j y_j).

    Parameters
    ----------
    y : array, [B, classes]
    seeds : array, [K, B, classes]

    Returns
    -------
    array, [K, B, classes]
    """
    return y * (seeds - (seeds * y).sum(axis=-1, keepdims=True))


# ---- of a whole model ---------------------------------------------------------------------------


@door
def sensitivity(
    logits: Tensor,
    layers: Sequence[LayerRecord],
    labels: Any,
    variant: str = "unspecific",
    form: str = "per-sample",
    output: str = "logits",
    biases: bool = False,
) -> dict[str, Any]:
    """Return S of every weight of the recorded layers, at the present weights.

    Per-sample values need examples that do not see each other: batch norm in training mode mixes
    them, and dy_k/dw of an example then comes with what it changes in the others.

    Parameters
    ----------
    logits : Tensor, [B, C]
        Result of the forward that `layers` were recorded in.  Its graph is kept.
    layers : list of LayerRecord
        From `minisparse.nn.record_layers`.
    labels : int array, [B]
    variant : {"unspecific", "specific"}
    form : {"per-sample", "batch-mean"}
    output : {"logits", "softmax"}
        What y is.
    biases : bool
        Include biases, whose sensitivity is that of a weight with input 1.

    Returns
    -------
    dict from parameter name to array of the parameter's shape

    Raises
    ------
    ValueError
        An unknown option, a weight that is used more than once in the forward or replaced by a
        parametrization, or logits that are not [B, C].
    """
    _check_options((variant, VARIANTS), (form, FORMS), (output, OUTPUTS))
    deltas, alpha = output_gradients(logits, layers, labels, variant, output)
    found = {}
    for record, d in zip(layers, deltas, strict=True):
        module = record.module
        shape = module.weight.shape
        s = _formula(record, form)(record.input.array, d, alpha)
        found[joined(record.name, "weight")] = s.reshape(shape)
        if biases and module.bias is not None:  # a weight whose input is 1, at every position
            positions = math.prod(d.shape[2:-1])
            ones = array_module(d).ones((d.shape[1], positions, 1, 1), dtype=d.dtype)
            rule = conv_per_sample if form == "per-sample" else conv_batch_mean
            s = rule(ones, d.reshape(*d.shape[:2], positions, 1, -1), alpha, (1, 1))
            found[joined(record.name, "bias")] = s.reshape(-1)
    return found


def output_gradients(
    logits: Tensor, layers: Sequence[LayerRecord], labels: Any, variant: str, output: str
) -> tuple[list[Any], float]:
    """Return Delta of every recorded layer, and the alpha that goes with it.

    Parameters are those of `sensitivity`.

    Returns
    -------
    list of arrays, [K, B, ..., out]
        The gradients of the K (chosen) outputs with respect to the pre-activations.
    float
        1/C (unspecific) or 1 (specific).

    Raises
    ------
    ValueError
        As `sensitivity`.
    """
    _check_options((variant, VARIANTS), (output, OUTPUTS))
    if logits.ndim != 2 or labels.shape != logits.shape[:1]:
        raise ValueError(
            f"expected logits [B, C] and labels [B], got {logits.shape} and {labels.shape}"
        )
    y = softmax(logits) if output == "softmax" else logits
    seeds = cotangents(labels, y.shape[1], variant, y.dtype)
    deltas = layer_gradients(y, layers, seeds)
    return deltas, 1 / y.shape[1] if variant == "unspecific" else 1.0


def chain_seeds(chain: Chain, labels: Any, variant: str, output: str) -> tuple[Any, float]:
    """Return the cotangents of the logits, None for unit vectors, and the alpha that goes with them.

    Parameters are those of `chain_sensitivity`.
    """
    _check_options((variant, VARIANTS), (output, OUTPUTS))
    z = chain.logits
    if variant == "unspecific" and output == "logits":
        return None, 1 / z.shape[1]
    seeds = cotangents(labels, z.shape[1], variant, z.dtype)
    if output == "softmax":
        seeds = softmax_cotangents(softmax(Tensor(z)).array, seeds)
    return seeds, 1 / z.shape[1] if variant == "unspecific" else 1.0


def chain_sensitivity(
    chain: Chain,
    labels: Any,
    variant: str = "unspecific",
    output: str = "logits",
    biases: bool = False,
) -> dict[str, Any]:
    """Return what `sensitivity` does for the per-sample form, in closed form; see `chain_gradients`.

    Parameters
    ----------
    chain : Chain
        Where the forward was; see `minisparse.one_step`.
    labels : int array, [B]
    variant, output, biases : see `sensitivity`
    """
    seeds, alpha = chain_seeds(chain, labels, variant, output)
    found = {}
    for each, delta in chain_gradients(chain, seeds):
        x, w = each.input, each.layer.w
        xp, factor = array_module(x), alpha / len(x)
        if w.ndim == 2:
            m = delta[0] if len(delta) == 1 else delta
            m = xp.abs(m) if m.ndim == 2 else xp.abs(m).sum(axis=0)
            m *= factor
            s, of_bias = kernel("magnitude_product", x)(x, m), m.sum(axis=0)
        else:
            geometry = w.shape[:2], each.layer.stride, each.layer.padding
            if each.winner is None:
                s = kernel("conv2d_weight_grad_magnitude", x)(x, delta, *geometry)
            else:
                magnitudes = kernel("conv2d_pool_weight_grad_magnitude", x)
                s = magnitudes(x, delta, each.winner, *geometry)
                delta = delta * (each.winner < 4)
            s *= factor
            if biases:
                of_bias = factor * xp.abs(delta.sum(axis=(2, 3))).sum(axis=(0, 1))
        found[joined(each.name, "weight")] = s
        if biases and each.layer.bias is not None:
            found[joined(each.name, "bias")] = of_bias
    return found


def _check_options(*options: tuple[str, tuple[str, ...]]) -> None:
    for value, known in options:
        if value not in known:
            raise ValueError(f"expected one of {', '.join(known)}, got {value!r}")


def _formula(record: LayerRecord, form: str) -> Callable[[Any, Any, float], Any]:
    """Return the formula for S of a layer's weight, of (input, Delta, alpha)."""
    exact = form == "per-sample"
    if record.input.ndim == 2:
        return linear_per_sample if exact else linear_batch_mean
    rule = conv_per_sample if exact else conv_batch_mean

    def formula(_: Any, delta: Any, alpha: float) -> Any:
        x, d, kernel_shape, geometry = as_convolution(record, delta)
        return rule(x, d, alpha, kernel_shape, *geometry)

    return formula


def layer_parameters(model: Module, names: list[str] | None, biases: bool) -> list[str]:
    """Return the names of the parameters to treat: those named, or all that S is defined for.

    Raises
    ------
    KeyError, ValueError
        A name that the model does not have, or that S is not defined for: it belongs to no Linear
        or Conv2d, or is a bias where `biases` is False.
    """
    layers = [(n, m) for n, m in model.named_modules() if isinstance(m, Linear | Conv2d)]
    known = [joined(n, "weight") for n, _ in layers]
    if biases:
        known += [joined(n, "bias") for n, m in layers if m.bias is not None]
    chosen = known if names is None else list(prunable(model, names))
    if set(chosen) - set(known):
        raise ValueError(
            f"sensitivity is defined for {known}, not for {sorted(set(chosen) - set(known))}"
        )
    return chosen


# ---- in training --------------------------------------------------------------------------------


class SensitivityPruning(InsensitivityPruning):
    """The rule of the module's docstring as a method of the training loop.

    Parameters
    ----------
    strength, threshold, start, stop, regrow : see `InsensitivityPruning`
        lambda; T or the search for it; when the regularizer acts; whether removed weights may move.
    variant, form, output, biases : see `sensitivity`
    examples : int, optional
        Take the mean over so many examples of each batch instead of all: for convolutions, where
        each costs a gradient of its own for every output.  The mean stays unbiased.  They go
        through the network a second time, so it should hold no batch norm or dropout.
    names : list of str, optional
        Parameters to treat; all weights of Linear and Conv2d layers (with `biases`, their biases
        too) if left out.

    Raises
    ------
    ValueError
        See `InsensitivityPruning`; an unknown option.
    """

    wants_layers = True

    def __init__(
        self,
        strength: float,
        threshold: Threshold,
        *,
        start: float = 0.0,
        stop: float = math.inf,
        variant: str = "unspecific",
        form: str = "per-sample",
        output: str = "logits",
        biases: bool = False,
        regrow: bool = False,
        examples: int | None = None,
        names: list[str] | None = None,
    ) -> None:
        super().__init__(strength, threshold, start=start, stop=stop, regrow=regrow, names=names)
        _check_options((variant, VARIANTS), (form, FORMS), (output, OUTPUTS))
        if examples is not None and (type(examples) is not int or examples < 1):
            raise ValueError(f"examples is a number of examples >= 1, or None, got {examples!r}")
        self.variant, self.form, self.output = variant, form, output
        self.biases, self.examples = biases, examples
        self.reads_chain = form == "per-sample"

    def treated(self) -> list[str]:
        """Return the parameters of the layers that S is defined for."""
        return layer_parameters(self.model, self.names, self.biases)

    def before_loss(self, run: Run) -> None:
        """Measure S at the weights at which the loss is differentiated."""
        if not self.shrinks(run):
            return
        if run.chain is not None:
            chain = run.chain.first(self.examples)
            labels = run.y[: len(chain.logits)]
            self.shrink(chain_sensitivity(chain, labels, self.variant, self.output, self.biases))
            return
        logits, layers, labels = run.logits, run.layers, run.y
        if self.examples is not None and self.examples < len(labels):
            labels = labels[: self.examples]
            with record_layers(run.model) as layers:
                logits = run.model(Tensor(run.x.array[: self.examples]))
        self.shrink(
            sensitivity(logits, layers, labels, self.variant, self.form, self.output, self.biases)
        )


__no_gradient__ = (
    "chain_seeds",
    "chain_sensitivity",
    "conv_batch_mean",
    "conv_per_sample",
    "cotangents",
    "layer_parameters",
    "linear_batch_mean",
    "linear_per_sample",
    "output_gradients",
    "softmax_cotangents",
)

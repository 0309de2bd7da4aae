r"""What a score may be made of: a model at its present weights, and some images.

    g      = dL/dw                                       gradient of the mean loss over the images
    H v    = d/dw (g . v)                                Hessian-vector product (Pearlmutter 1994)
    g_n    = dl_n/dw,      L = (1/B) sum_n l_n           gradients of single images' losses
    F_ii   = (1/B) sum_n (g_n)_i^2                       diagonal of the empirical Fisher matrix
    Delta  = dy_k/da                                     gradients of outputs by pre-activations

Gradients of single images have no array of their own in a network with many weights.  For a linear
layer with input x_n and pre-activation a_n they are outer products, x_n delta_n^T with
delta_n = dl_n/da_n, so that

    (1/B) sum_n (x_n delta_n^T)^2 = (1/B) (X^2)^T (Delta^2)

is one matrix product.  A convolution adds up over positions before it squares: there each image's
gradient is computed and squared (`kernels`: conv2d_weight_grad_squares).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from ..arrays import array_module
from ..autodiff import Tensor, as_tensor, cross_entropy, gradients, no_grad
from ..evaluation import Loss, in_mode
from ..kernels.dispatch import kernel
from ..nn import Conv2d, LayerRecord, Module, Parameter, record_layers
from ..nn.names import joined

# ---- formulas -----------------------------------------------------------------------------------


def linear_squares(x: Any, delta: Any) -> Any:
    """Return sum_n (x_n delta_n^T)^2 = (X^2)^T (Delta^2), elementwise squares.

    Parameters
    ----------
    x : array, [B, in]
    delta : array, [B, out]

    Returns
    -------
    array, [in, out]
    """
    return kernel("matmul", x)((x * x).T, delta * delta)


def conv_squares(x: Any, delta: Any, kernel_shape: Any, *geometry: Any) -> Any:
    """Return sum_k sum_n (sum_p patch[n, p] delta[k, n, p]^T)^2: squared after the sum over p.

    Parameters
    ----------
    x : array, [B, H, W, in]
    delta : array, [K, B, H', W', out]
    kernel_shape : (int, int)
    *geometry : (int, int)
        Stride and padding.

    Returns
    -------
    array, [kh, kw, in, out]
    """
    return kernel("conv2d_weight_grad_squares", x)(x, delta, kernel_shape, *geometry)


# ---- layers -------------------------------------------------------------------------------------


def layer_gradients(y: Tensor, layers: Sequence[LayerRecord], seeds: Any) -> list[Any]:
    """Return dy_k/da of every recorded layer's pre-activation a.

    Parameters
    ----------
    y : Tensor
        Computed in the forward that `layers` were recorded in.  Its graph is kept.
    layers : list of LayerRecord
    seeds : array, [K, *y.shape]
        K cotangents of y.

    Returns
    -------
    list of arrays, [K, B, ..., out]
        Not to be written to.

    Raises
    ------
    ValueError
        The weight of a layer is used more than once in the forward, or replaced by a
        parametrization: what is known of its pre-activation then says too little of the weight.
    """
    seen: set[int] = set()
    for r in layers:
        if id(r.module.weight) in seen:
            raise ValueError(
                f"the weight of '{r.name}' is applied more than once in this forward: the parts "
                "of its sensitivity cannot be told apart"
            )
        seen.add(id(r.module.weight))
        if r.module.parametrization is not None:
            raise ValueError(
                f"the forward does not use the weight of '{r.name}', but maps it first"
            )
    outputs = [r.output for r in layers]
    found = gradients(y, outputs, seeds, batched=True, retain_graph=True, apart=False)
    return [d.array for d in found]


def as_convolution(record: LayerRecord, delta: Any) -> tuple[Any, Any, Any, Any]:
    """Return a layer's input, gradients and geometry as those of a convolution.

    A linear layer that is applied at many positions is a convolution of 1 x 1.

    Parameters
    ----------
    record : LayerRecord
    delta : array, [..., B, *positions, out]
        Gradients with respect to its pre-activation.

    Returns
    -------
    x : array, [B, H, W, in]
    delta : array, [..., B, H', W', out]
    kernel_shape : (int, int)
    geometry : () or (stride, padding)
    """
    x, module = record.input.array, record.module
    if isinstance(module, Conv2d):
        return x, delta, module.weight.shape[:2], (module.stride, module.padding)
    b, more = x.shape[0], delta.shape[: delta.ndim - x.ndim]
    return (
        x.reshape(b, -1, 1, x.shape[-1]),
        delta.reshape(*more, b, -1, 1, delta.shape[-1]),
        (1, 1),
        (),
    )


# ---- the batch ----------------------------------------------------------------------------------


class Batch:
    """Some images, and what a score may ask of a model on them.

    The model is as before afterwards: its gradients (``p.grad``), its mode, and the running
    statistics of a batch norm.

    Parameters
    ----------
    model : Module
        From images [B, ...] to logits [B, classes].
    images : (x, y), or function without arguments that returns them
        The function is called when the images are first looked at: a score that never does costs
        nothing.
    loss : function of (logits, labels)
        The mean over a batch, in which no image's loss depends on another image.
    training : bool
        Ask the model in training mode.  In evaluation mode (default) it is a fixed function of its
        weights, in which images do not see each other.  A network with batch norm that has not
        been trained yet has no statistics for that.

    Attributes
    ----------
    x : array [B, height, width, channels], on the model's device
    y : int array [B]

    Examples
    --------
    >>> import numpy as np
    >>> from minisparse.nn import Linear
    >>> model = Linear(2, 2, rng=np.random.default_rng(0))
    >>> batch = Batch(model, (np.ones((1, 2), np.float32), np.array([0])))
    >>> g = batch.gradients(["weight"])["weight"]
    >>> bool(np.allclose(g[:, 0], -g[:, 1]))  # of a softmax over two classes
    True
    """

    def __init__(
        self,
        model: Module,
        images: tuple[Any, Any] | Callable[[], tuple[Any, Any]],
        *,
        loss: Loss = cross_entropy,
        training: bool = False,
    ) -> None:
        self.model, self.loss, self.training = model, loss, training
        self._images = images

    def _get(self) -> tuple[Any, Any]:
        if callable(self._images):
            self._images = self._images()
        return self._images

    @property
    def x(self) -> Any:
        """Return the images."""
        return self._get()[0]

    @property
    def y(self) -> Any:
        """Return the labels."""
        return self._get()[1]

    def __len__(self) -> int:
        return len(self.y)

    def parameters(self, names: Sequence[str]) -> list[Parameter]:
        """Return the model's parameters of these names.

        Raises
        ------
        KeyError
            A name that the model does not have.
        """
        own = dict(self.model.named_parameters())
        if unknown := [name for name in names if name not in own]:
            raise KeyError(f"the model has no {unknown}; it has {', '.join(own)}")
        return [own[name] for name in names]

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Put the model in the mode that is asked for; afterwards all is as before."""
        buffers = [(m, key, getattr(m, key).copy()) for _, m, key in self.model._named_buffers()]
        try:
            with in_mode(self.model, training=self.training):
                yield
        finally:
            for module, key, array in buffers:
                setattr(module, key, array)

    # ---- the loss -----------------------------------------------------------------------------

    def loss_tensor(self) -> Tensor:
        """Return the mean loss as a recorded result, to be differentiated further."""
        with self._asking():
            return self.loss(self.model(Tensor(self.x)), self.y)

    def loss_at(self, weights: Mapping[str, Any] | None = None) -> float:
        """Return the mean loss, with other values for some parameters if they are given.

        The definition that every saliency is an estimate of: the change of this number.

        Parameters
        ----------
        weights : mapping from parameter name to array, optional
        """
        weights = weights or {}
        changed = list(zip(self.parameters(list(weights)), weights.values(), strict=True))
        own = [(p, p.array.copy()) for p, _ in changed]
        try:
            for p, value in changed:
                with p.writing() as w:
                    w[...] = array_module(w).asarray(value)
            with no_grad():
                return float(self.loss_tensor().item())
        finally:
            for p, value in own:
                with p.writing() as w:
                    w[...] = value

    # ---- derivatives --------------------------------------------------------------------------

    def gradients(self, names: Sequence[str]) -> dict[str, Any]:
        """Return dL/dw of these parameters, 0 where the loss does not depend on one."""
        found = gradients(self.loss_tensor(), self.parameters(names), allow_unused=True)
        return {n: g.array for n, g in zip(names, found, strict=True)}

    def hessian_vector(self, v: Mapping[str, Any]) -> dict[str, Any]:
        """Return H v, the Hessian of the mean loss times a direction in the space of parameters.

        Parameters
        ----------
        v : mapping from parameter name to array of the parameter's shape
            H is that of these parameters alone, the others are held.

        Returns
        -------
        dict from parameter name to array

        Notes
        -----
        Two backwards: about three and a half times the time of a gradient.
        """
        parameters = self.parameters(list(v))
        first = gradients(self.loss_tensor(), parameters, create_graph=True, allow_unused=True)
        dot = None
        for g, direction in zip(first, v.values(), strict=True):
            term = (g * as_tensor(direction, like=g)).sum()
            dot = term if dot is None else dot + term
        if dot is None:
            raise ValueError("no direction was given")
        second = gradients(dot, parameters, allow_unused=True)
        return {n: h.array for n, h in zip(v, second, strict=True)}

    # ---- layers -------------------------------------------------------------------------------

    def layers(self) -> tuple[Tensor, list[LayerRecord]]:
        """Return the logits and a record of every Linear and Conv2d, with the graph between."""
        with self._asking(), record_layers(self.model) as layers:
            logits = self.model(Tensor(self.x))
        return logits, layers

    def inputs(self) -> dict[str, Any]:
        """Return what goes into each layer, by the name of the layer: [B, ..., in]."""
        with no_grad():
            return {r.name: r.input.array for r in self.layers()[1]}

    def losses_by_layer(self) -> list[tuple[LayerRecord, Any]]:
        """Return for each layer its record and delta_n = dl_n/da_n, [B, ..., out].

        l_n is the loss of image n alone, a its pre-activation.
        """
        logits, layers = self.layers()
        loss = self.loss(logits, self.y)
        seeds = array_module(self.x).full((1,), len(self), dtype=loss.dtype)  # L is their mean
        deltas = layer_gradients(loss, layers, seeds)
        return [(r, d[0]) for r, d in zip(layers, deltas, strict=True)]

    def squares(self) -> dict[str, Any]:
        """Return (1/B) sum_n (dl_n/dw)^2 of the weight of each layer, by parameter name.

        The diagonal of the empirical Fisher matrix.  With batch norm in training mode images see
        each other, and these are no gradients of single images.
        """
        found = {}
        for record, delta in self.losses_by_layer():
            x, weight = record.input.array, record.module.weight
            if x.ndim == 2:
                squares = linear_squares(x, delta)
            else:
                x, delta, kernel_shape, geometry = as_convolution(record, delta)
                squares = conv_squares(x, delta[None], kernel_shape, *geometry)
            found[joined(record.name, "weight")] = squares.reshape(weight.shape) / len(x)
        return found


__no_gradient__ = ("as_convolution", "conv_squares", "layer_gradients", "linear_squares")
__all__ = [
    "Batch",
    "as_convolution",
    "conv_squares",
    "layer_gradients",
    "linear_squares",
]

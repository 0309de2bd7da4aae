"""Layers with weights, and what may stand between the weights and their use.

A parametrization maps a layer's weight and bias to what the layer uses: gates, thresholds, noise, a
mask of scores.  The layer does not know which: it asks.  A method of pruning that works this way is a
subclass of `Parametrization`, put into layers by `parametrize`; when it has done its work, `harden`
returns the plain model that it has become (both in hardening.py).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays import to_numpy
from ..autodiff import Tensor
from .init import Initializer, initialize
from .module import Module, Parameter


class Layer(Module):
    """What multiplies its input with weights, stored one by one or sparsely, and has units."""

    @property
    def in_shape(self) -> tuple[int | None, ...]:
        """The shape of one sample that it takes; None where any length will do."""
        raise NotImplementedError(f"{type(self).__name__} does not say what it takes")


class Weighted(Layer):
    """What layers with a weight and a bias share.

    Attributes
    ----------
    weight : Parameter, [..., in, out]
    bias : Parameter, [out], or None
    parametrization : Parametrization or None
        Maps them to what the forward uses in their place.
    """

    weight: Parameter
    bias: Parameter | None
    parametrization: Parametrization | None

    def _create(
        self,
        shape: tuple[int, ...],
        bias: bool,
        rng: np.random.Generator,
        init: str | Initializer,
    ) -> None:
        weight = Parameter(initialize(init, rng, shape), name="weight")
        self.weight = weight
        self.bias = Parameter(np.zeros(shape[-1], weight.dtype), name="bias") if bias else None
        self.parametrization = None

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "parametrization" and value is not None:
            if not isinstance(value, Parametrization):
                raise TypeError(
                    f"a layer's parametrization is a minisparse.nn.Parametrization or None, got a "
                    f"{type(value).__name__}"
                )
            value.train(self.training)
        super().__setattr__(name, value)

    def affine(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Compute what this layer computes, with a weight and a bias of the same shapes as its own."""
        raise NotImplementedError(f"{type(self).__name__} does not say what it computes")

    def effective(self) -> tuple[Tensor, Tensor | None]:
        """Return the weight and the bias that the forward uses; in training, of one sample."""
        if self.parametrization is None:
            return self.weight, self.bias
        return self.parametrization.forward(self.weight, self.bias)

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """Apply the layer to x, through its parametrization if it has one."""
        if self.parametrization is not None and self.parametrization.training:
            return self.parametrization.apply(self, x)
        return self.affine(x, *self.effective())


class Parametrization(Module):
    r"""Base class of what maps a layer's weight and bias to what the layer uses in their place.

    A subclass says what is used, in `forward`; the rest may stay as it is here:

    ==========  =============================  ===================================================
    `forward`   (weight, bias), used in place  required; in evaluation without noise
    `apply`     the layer's output for x       `forward` in the layer; called in training only
    `kept`      what stays after training      what `forward` returns and is not zero
    ==========  =============================  ===================================================

    In evaluation the layer computes with what `forward` returns, whatever `apply` does.  So what
    `minisparse.nn.harden` writes into the plain model computes the same by construction.  What is
    done in training alone belongs into `apply`, or in `forward` behind ``if self.training``.

    It is a module like any other.  Its own ``Parameter``\ s (scores, thresholds, variances) are among
    the model's as ``fc1.parametrization.scores``: make the optimizer and the average after
    `minisparse.nn.parametrize`.  They are saved, and so are buffers (`register_buffer`); an attribute
    that changes during training and is neither must be in the ``state_dict`` of the method that
    changes it.  Noise comes from the run's generator, held as an attribute: the same object, so that
    a resumed run draws the same.  Several layers may hold the same parametrization, or one that holds
    a module they share (a threshold for the whole model).

    Weights are [in, out] and filters [kh, kw, in, out], so the same line serves both kinds of layers:

    * one value for each weight: ``weight * z``;
    * for each output unit or filter: ``weight * z``, and ``bias * z``: a unit that is gone gives 0;
    * for each input unit or channel: ``weight * z.reshape(-1, 1)``.  That is also the place for a
      factor on hidden units behind their activation: at the inputs of the layer that reads them.

    Noise that is drawn for each example cannot stand in the weight, which a batch shares.  `apply`
    sees the input: multiply ``x`` before the layer, the output after it, or draw the pre-activation
    from its own law, with the layer's map of any weight, ``layer.affine(x, weight, bias)``.  An
    estimate that needs the loss of two samples (as ARM does) is made by the method, which applies the
    model a second time in `before_loss` and tells its parametrizations, by an attribute, which sample
    to use.

    A parametrization that is not the identity at its start (``v |v|^(a-1)`` in place of w) writes to
    ``layer.weight`` where it is made: `minisparse.nn.parametrize` hands the layer over.

    Examples
    --------
    Only the largest half of the weights is used, but the gradient reaches them all:

    >>> from minisparse.autodiff import Op
    >>> from minisparse.nn import Linear
    >>> class LargestHalf(Op):
    ...     surrogate = staticmethod(lambda w: w)  # what the gradient is that of, for gradcheck
    ...     def forward(self, w):
    ...         return w * (abs(w) > np.median(abs(w)))
    ...     def backward(self, grad, y, w):
    ...         return grad
    >>> class StraightThrough(Parametrization):
    ...     def forward(self, weight, bias):
    ...         return LargestHalf()(weight), bias
    >>> layer = Linear(4, 2, rng=np.random.default_rng(0))
    >>> layer.parametrization = StraightThrough()
    >>> layer(np.ones((1, 4))).sum().backward()
    >>> int((layer.effective()[0].numpy() != 0).sum()), int((layer.weight.grad.numpy() != 0).sum())
    (4, 8)
    """

    def forward(  # type: ignore[override]
        self, weight: Tensor, bias: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Return what the layer uses in place of its weight and its bias, in the same shapes.

        Parameters
        ----------
        weight : Tensor, [in, out] or [kh, kw, in, out]
        bias : Tensor, [out], or None
        """
        raise NotImplementedError(f"{type(self).__name__} has no forward(weight, bias)")

    def apply(self, layer: Weighted, x: Tensor) -> Tensor:
        """Return the layer's output in training, [n, out] or [n, height', width', out].

        Parameters
        ----------
        layer : Linear or Conv2d
            Whose parametrization this is.
        x : Tensor, [n, in] or [n, height, width, in]
        """
        return layer.affine(x, *self.forward(layer.weight, layer.bias))

    def kept(self, weight: Tensor, bias: Tensor | None) -> tuple[np.ndarray, np.ndarray | None]:
        """Return which weights and biases stay; called in evaluation mode.

        Here: the weights that `forward` does not map to zero.  About biases nothing is said unless
        `forward` maps them: then a bias stays where a weight of its unit does.  (Whether it is zero
        itself does not tell: biases start at zero.)

        Returns
        -------
        weights : bool array, of the weight's shape
        biases : bool array, [out], or None
            None says nothing about the biases: they are no part of the mask.
        """
        new, mapped = self.forward(weight, bias)
        stays = to_numpy(new.array) != 0
        units = None if mapped is bias else stays.any(axis=tuple(range(stays.ndim - 1)))
        return stays, units


__all__ = ["Layer", "Parametrization", "Weighted"]

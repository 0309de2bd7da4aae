"""Layers that hold and multiply only the weights that are left."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np

from ..arrays import array_module
from ..autodiff import Tensor, as_tensor
from ..autodiff.ops import reshape
from ..autodiff.ops.conv import as_pair
from ..doors import door
from ..nn import Conv2d, Linear, Parameter
from ..nn.hardening import refuse_parametrizations
from ..nn.weighted import Layer
from .ops import SparseConvolution, SparseProduct
from .pattern import BLOCK, Pattern, on_host


class SparseLayer(Layer):
    """What layers with stored entries share: values to be learned, and places that stay.

    Attributes
    ----------
    values : Parameter, [entries], or [entries, 4] of a `BlockedLinear`
        The stored weights, output by output.
    columns : int32 array, [entries]
        The input of each; see `minisparse.sparse.Pattern`.
    starts : int64 array, [lists + 1]
        Where the entries of each output begin.
    bias : Parameter, [n_out], or None
    """

    block: ClassVar[int] = 1
    values: Parameter
    bias: Parameter | None
    columns: Any
    starts: Any
    n_in: int
    n_out: int
    _pattern: Pattern | None
    _pattern_of: tuple[Any, Any]

    def _store(self, pattern: Pattern, values: Any, bias: Any) -> None:
        if tuple(values.shape) != pattern.values_shape:
            raise ValueError(
                f"{pattern.columns.size} entries need values of shape {pattern.values_shape}, "
                f"got {tuple(values.shape)}"
            )
        if bias is not None and tuple(bias.shape) != (pattern.n_out,):
            raise ValueError(
                f"{pattern.n_out} outputs need a bias of shape {(pattern.n_out,)}, got "
                f"{tuple(bias.shape)}"
            )
        self.n_in, self.n_out = pattern.n_in, pattern.n_out
        self.values = Parameter(values, name="values")
        self.bias = None if bias is None else Parameter(bias, name="bias")
        xp = array_module(values)
        self.register_buffer("columns", xp.asarray(pattern.columns))
        self.register_buffer("starts", xp.asarray(pattern.starts))
        self._pattern, self._pattern_of = None, (None, None)

    @property
    def pattern(self) -> Pattern:
        """The places of the entries, checked whenever the arrays were exchanged."""
        columns, starts = self._pattern_of
        if self._pattern is None or columns is not self.columns or starts is not self.starts:
            self._pattern = Pattern(
                on_host(self.columns), on_host(self.starts), self.n_in, self.n_out, self.block
            )
            self._pattern_of = self.columns, self.starts
        return self._pattern

    def dense(self) -> np.ndarray:
        """Return the whole matrix [n_in, n_out], with its zeros, in main memory."""
        return self.pattern.scatter(on_host(self.values.array))

    @property
    def nonzeros(self) -> int:
        """Number of weights that are not exactly zero."""
        return int(np.count_nonzero(self.dense()))

    @property
    def density(self) -> float:
        """Stored weights / all weights."""
        return len(self.pattern.places[0]) / max(self.n_in * self.n_out, 1)


class CSRLinear(SparseLayer):
    """y = x M + b with a sparse matrix in CSR form.

    Parameters
    ----------
    pattern : Pattern
    values : array, [entries]
    bias : array, [n_out], optional

    Examples
    --------
    >>> from minisparse.nn import Linear
    >>> layer = Linear(3, 2, rng=np.random.default_rng(0))
    >>> mask = np.array([[True, False], [False, False], [True, True]])
    >>> sparse = CSRLinear.of(layer, mask)
    >>> sparse
    CSRLinear(3, 2, 3 entries, density 50.0 %)
    >>> bool((sparse.dense() == layer.weight.numpy() * mask).all())
    True
    """

    @property
    def in_shape(self) -> tuple[int | None, ...]:
        """See `minisparse.nn.weighted.Layer`."""
        return (self.n_in,)

    def __init__(self, pattern: Pattern, values: Any, bias: Any = None) -> None:
        if pattern.block != self.block:
            raise ValueError(
                f"{type(self).__name__} has lists for {self.block} outputs each, got a pattern "
                f"for {pattern.block}"
            )
        self._store(pattern, values, bias)

    @classmethod
    @door
    def of(cls, layer: Linear, mask: np.ndarray | None = None) -> Self:
        """Store the weights of a layer that a mask keeps, or those that are not zero.

        Raises
        ------
        ValueError
            The mask has another shape, or the layer's weights are mapped by a parametrization.
        """
        weight, kept = _kept(layer, mask)
        pattern = Pattern.of_mask(kept, cls.block)
        bias = None if layer.bias is None else layer.bias.array
        values = array_module(layer.weight.array).asarray(pattern.gather(weight))
        return cls(pattern, values, bias)

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """Map [..., n_in] to [..., n_out]."""
        x = as_tensor(x)
        if x.ndim == 0 or x.shape[-1] != self.n_in:
            raise ValueError(
                f"this {type(self).__name__} layer takes {self.n_in} inputs in the last axis, got "
                f"shape {x.shape}"
            )
        rows = x if x.ndim == 2 else reshape(x, (x.size // max(self.n_in, 1), self.n_in))
        op, bias = SparseProduct(self.pattern), self.bias
        values = self._values()
        y: Tensor = op(rows, values) if bias is None else op(rows, values, bias)
        return y if x.ndim == 2 else reshape(y, (*x.shape[:-1], self.n_out))

    def _values(self) -> Tensor:
        return self.values

    def _describe(self) -> str:
        entries = self.columns.size
        return f"{self.n_in}, {self.n_out}, {entries} entries, density {100 * self.density:.1f} %"


class BlockedLinear(CSRLinear):
    """y = x M + b, stored in blocks of four neighbouring outputs that share their inputs.

    An input is loaded once for four outputs, which makes a stored weight about three times as cheap
    as in `CSRLinear`.  Removed weights inside a stored block are stored as zeros, and stay zero.  It
    pays where weights were removed in such groups, or where few were removed at all.

    Parameters
    ----------
    pattern : Pattern
        With ``block = 4``.
    values : array, [entries, 4]
    bias : array, [n_out], optional
    kept : bool array, [entries, 4], optional
        Which stored weights are weights; the others stay zero.  All, if left out.

    Attributes
    ----------
    kept : bool array, [entries, 4]
    """

    block: ClassVar[int] = BLOCK
    kept: Any
    _whole: tuple[bool, Any]

    def __init__(self, pattern: Pattern, values: Any, bias: Any = None, kept: Any = None) -> None:
        super().__init__(pattern, values, bias)
        xp = array_module(values)
        if kept is None:
            kept = xp.ones(values.shape, dtype=bool)
        if kept.dtype != bool or tuple(kept.shape) != tuple(values.shape):
            raise ValueError(
                f"kept says of each of {tuple(values.shape)} values whether it is a weight, got "
                f"{kept.dtype} of shape {tuple(kept.shape)}"
            )
        self.register_buffer("kept", xp.asarray(kept))
        self._whole = False, None

    @classmethod
    @door
    def of(cls, layer: Linear, mask: np.ndarray | None = None, *, full: bool = False) -> Self:
        """See `CSRLinear.of`; `full` stores every block, so that the matrix is dense."""
        weight, kept = _kept(layer, mask)
        pattern = Pattern.of_mask(np.ones_like(kept) if full else kept, cls.block)
        bias = None if layer.bias is None else layer.bias.array
        xp = array_module(layer.weight.array)
        values, holes = pattern.gather(weight), pattern.gather(kept)
        return cls(pattern, xp.asarray(values), bias, xp.asarray(holes))

    @property
    def whole(self) -> bool:
        """Whether all stored values are weights (those of outputs that do not exist aside)."""
        whole, of = self._whole
        if of is not self.kept:
            whole = bool(on_host(self.kept).reshape(-1)[self.pattern.places[2]].all())
            self._whole = whole, self.kept
        return whole

    def _values(self) -> Tensor:
        if self.whole:
            return self.values
        y: Tensor = self.values * Tensor(self.kept.astype(self.values.dtype))
        return y


class SparseConv2d(SparseLayer):
    """Convolution of images [n, height, width, c_in] with sparse filters.

    Parameters
    ----------
    pattern : Pattern
        Of the filters as a matrix [kh kw c_in, c_out].
    values : array, [entries]
    bias : array, [c_out], optional
    kernel : (int, int)
    stride, padding : (int, int)
    """

    def __init__(
        self,
        pattern: Pattern,
        values: Any,
        bias: Any,
        kernel: tuple[int, int],
        stride: tuple[int, int] = (1, 1),
        padding: tuple[int, int] = (0, 0),
    ) -> None:
        self.kernel = as_pair(kernel, "the kernel's size", 1)
        self.stride = as_pair(stride, "stride", 1)
        self.padding = as_pair(padding, "padding", 0)
        if pattern.n_in % (self.kernel[0] * self.kernel[1]):
            raise ValueError(f"{pattern.n_in} weights of a filter are no {self.kernel} windows")
        self._store(pattern, values, bias)

    @classmethod
    @door
    def of(cls, layer: Conv2d, mask: np.ndarray | None = None) -> Self:
        """See `CSRLinear.of`."""
        weight, kept = _kept(layer, mask)
        kh, kw, _, c_out = weight.shape
        pattern = Pattern.of_mask(kept.reshape(-1, c_out))
        bias = None if layer.bias is None else layer.bias.array
        values = pattern.gather(weight.reshape(-1, c_out))
        values = array_module(layer.weight.array).asarray(values)
        return cls(pattern, values, bias, (kh, kw), layer.stride, layer.padding)

    @property
    def filters(self) -> tuple[int, int, int, int]:
        """Shape of the dense filters, (kh, kw, c_in, c_out)."""
        kh, kw = self.kernel
        return kh, kw, self.n_in // (kh * kw), self.n_out

    @property
    def in_shape(self) -> tuple[int | None, ...]:
        """See `minisparse.nn.weighted.Layer`."""
        return None, None, self.filters[2]

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """Map [n, height, width, c_in] to [n, height', width', c_out]."""
        op = SparseConvolution(self.pattern, self.filters, self.stride, self.padding)
        return op(x, self.values) if self.bias is None else op(x, self.values, self.bias)

    def _describe(self) -> str:
        _, _, c_in, c_out = self.filters
        return (
            f"{c_in}, {c_out}, kernel={self.kernel}, stride={self.stride}, "
            f"padding={self.padding}, {self.columns.size} entries, "
            f"density {100 * self.density:.1f} %"
        )


def sparse_layer(layer: Linear | Conv2d, mask: np.ndarray | None, format: str) -> SparseLayer:
    """Return a layer in "csr" or "blocked" form; a convolution has one sparse form only."""
    if isinstance(layer, Conv2d):
        return SparseConv2d.of(layer, mask)
    return (CSRLinear if format == "csr" else BlockedLinear).of(layer, mask)


def chain_layer(layer: Any, mask: np.ndarray | None, format: str) -> CSRLinear:
    """Return a layer as a `Chain` takes it: there, dense means that every block is stored."""
    if format == "dense":
        return BlockedLinear.of(layer, mask, full=True)
    return (CSRLinear if format == "csr" else BlockedLinear).of(layer, mask)


def _kept(layer: Linear | Conv2d, mask: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights of a layer, zeros where none is kept, and which are; in main memory."""
    refuse_parametrizations(layer)
    weight = on_host(layer.weight.array)
    kept = weight != 0 if mask is None else np.asarray(mask, bool)
    if kept.shape != weight.shape:
        raise ValueError(f"the mask is {kept.shape}, but the weight is {weight.shape}")
    return np.where(kept, weight, weight.dtype.type(0)), kept


__all__ = [
    "BlockedLinear",
    "CSRLinear",
    "SparseConv2d",
    "SparseLayer",
    "chain_layer",
    "sparse_layer",
]

"""The operators and methods of `Tensor`: one line each, a table from notation to operation."""

from __future__ import annotations

from .. import chain_rule
from ..tape import Tensor
from . import activations, arithmetic, broadcast, compare, elementwise, linalg, reduce, shape
from ._pair import astype

Tensor.backward = chain_rule.backward
Tensor.__add__ = arithmetic.add
Tensor.__radd__ = lambda self, other: arithmetic.add(other, self)
Tensor.__sub__ = arithmetic.sub
Tensor.__rsub__ = lambda self, other: arithmetic.sub(other, self)
Tensor.__mul__ = arithmetic.mul
Tensor.__rmul__ = lambda self, other: arithmetic.mul(other, self)
Tensor.__truediv__ = arithmetic.div
Tensor.__rtruediv__ = lambda self, other: arithmetic.div(other, self)
Tensor.__pow__ = arithmetic.power
Tensor.__rpow__ = lambda self, other: arithmetic.power(other, self)
Tensor.__matmul__ = linalg.matmul
Tensor.__rmatmul__ = lambda self, other: linalg.matmul(other, self)
Tensor.__neg__ = arithmetic.neg
Tensor.__abs__ = elementwise.absolute
Tensor.__eq__ = compare.equal  # type: ignore[method-assign,assignment]
Tensor.__ne__ = compare.not_equal  # type: ignore[method-assign,assignment]
Tensor.__lt__ = compare.less
Tensor.__le__ = compare.less_equal
Tensor.__gt__ = compare.greater
Tensor.__ge__ = compare.greater_equal
Tensor.__contains__ = compare.contains
Tensor.__getitem__ = shape.getitem
Tensor.sum = reduce.sum_
Tensor.mean = reduce.mean
Tensor.max = reduce.max_
Tensor.min = reduce.min_
Tensor.logsumexp = reduce.logsumexp
Tensor.reshape = shape.reshape
Tensor.transpose = shape.transpose
Tensor.T = property(shape.transpose)  # type: ignore[method-assign,assignment]
Tensor.mT = property(shape.matrix_transpose)  # type: ignore[method-assign,assignment]
Tensor.broadcast_to = broadcast.broadcast_to
Tensor.astype = astype
Tensor.exp = elementwise.exp
Tensor.log = elementwise.log
Tensor.sqrt = elementwise.sqrt
Tensor.abs = elementwise.absolute
Tensor.clip = elementwise.clip
Tensor.relu = activations.relu
Tensor.sigmoid = activations.sigmoid
Tensor.tanh = activations.tanh

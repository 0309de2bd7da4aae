"""Every operation at least once, with inputs at which it is smooth.

The same list runs through finite differences, second derivatives, batched passes, dtypes and
devices.  To cover a new operation, add a line here.
"""

from dataclasses import dataclass

import numpy as np
from differences import distinct

import minisparse.autodiff as ad


@dataclass(frozen=True)
class Case:
    """A function of tensors and of constants (arrays that are not differentiated)."""

    name: str
    f: object
    inputs: tuple
    constants: tuple = ()

    def __str__(self):
        return self.name


_rng = np.random.default_rng(20240607)


def _real(*shapes):
    return tuple(distinct(_rng, *shapes))


def _positive(*shapes):
    return tuple(np.abs(x) + 0.5 for x in distinct(_rng, *shapes))


def _batch_norm(x, gamma, beta):
    return ad.batch_norm(x, gamma, beta)[0]


def _dropout(x):
    return ad.dropout(x, 0.4, np.random.default_rng(3))


_MASK = np.array([True, False, True, False])
_LABELS = np.array([0, 3, 1])

CASES = [
    # arithmetic
    Case("add", ad.add, _real((3, 4), (4,))),
    Case("sub", ad.sub, _real((3, 1), (1, 4))),
    Case("mul", ad.mul, _real((2, 3, 4), (3, 1))),
    Case("mul a number", lambda x: 3 * x * 0.5, _real((3,))),
    Case("mul itself", lambda x: x * x, _real((2, 3))),
    Case("div", ad.div, (*_real((3, 4)), *_positive((4,)))),
    Case("div a number", lambda x: 2 / x, _positive((3,))),
    Case("neg", ad.neg, _real((2, 3))),
    Case("power", ad.power, (*_positive((3, 4)), *_real((4,)))),
    Case("power of a number", lambda x: 1.5**x, _real((2, 3))),
    Case("power 3", lambda x: x**3, _real((2, 3))),
    Case("power 2.5", lambda x: x**2.5, _positive((2, 3))),
    Case("power -1", lambda x: x**-1, _positive((2, 3))),
    Case("power tensor 2", lambda x, c: x ** ad.as_tensor(c), _real((2, 3)), (np.array(2.0),)),
    # elementwise
    Case("exp", ad.exp, _real((2, 3))),
    Case("log", ad.log, _positive((2, 3))),
    Case("sqrt", ad.sqrt, _positive((2, 3))),
    Case("absolute", ad.absolute, _real((9,))),
    Case("clip", lambda x: ad.clip(x, -0.7, 0.9), _real((12,))),
    Case("clip below", lambda x: ad.clip(x, lo=0.1), _real((12,))),
    Case("maximum", ad.maximum, _real((3, 4), (4,))),
    Case("minimum", ad.minimum, _real((3, 1), (4,))),
    Case("where", lambda a, b, c: ad.where(c, a, b), _real((3, 4), (1,)), (_MASK,)),
    # matrices
    Case("matmul", ad.matmul, _real((3, 4), (4, 2))),
    Case("matmul stack, matrix", ad.matmul, _real((2, 3, 4), (4, 2))),
    Case("matmul stacks", ad.matmul, _real((2, 1, 3, 4), (3, 4, 2))),
    Case("matmul matrix, vector", ad.matmul, _real((3, 4), (4,))),
    Case("matmul vector, stack", ad.matmul, _real((4,), (2, 4, 3))),
    Case("matmul vectors", ad.matmul, _real((4,), (4,))),
    Case("linear", ad.linear, _real((3, 4), (4, 2), (2,))),
    Case("linear stack", ad.linear, _real((2, 3, 4), (4, 2), (2,))),
    # reductions
    Case("sum", lambda x: x.sum((0, 2)), _real((2, 3, 2))),
    Case("sum all", lambda x: x.sum(), _real((2, 3))),
    Case("mean", lambda x: x.mean(1, keepdims=True), _real((2, 3, 2))),
    Case("max", lambda x: x.max((0, 2)), _real((2, 3, 4))),
    Case("max all", lambda x: x.max(), _real((2, 3))),
    Case("min", lambda x: x.min(-1, keepdims=True), _real((3, 4))),
    Case("logsumexp", lambda x: x.logsumexp((0, 2)), _real((2, 3, 2))),
    Case("logsumexp all", lambda x: x.logsumexp(keepdims=True), _real((2, 3))),
    # shapes
    Case("reshape", lambda x: x.reshape(4, -1), _real((2, 3, 2))),
    Case("flatten", ad.flatten, _real((2, 3, 2))),
    Case("transpose", lambda x: x.transpose(2, 0, 1), _real((2, 3, 2))),
    Case("transpose T", lambda x: x.T, _real((2, 3))),
    Case("matrix_transpose", lambda x: x.mT, _real((2, 3, 2))),
    Case("getitem slices", lambda x: x[1:, ::-2, None], _real((3, 4, 2))),
    Case("getitem integer", lambda x: x[..., 1], _real((3, 4))),
    Case("getitem list", lambda x: x[[0, 0, 2]], _real((3, 2))),
    Case("getitem arrays", lambda x, i, j: x[i, :, j], _real((3, 2, 2)), (_LABELS % 3, _LABELS % 2)),
    Case("getitem mask", lambda x, m: x[:, m], _real((2, 4)), (_MASK,)),
    Case("concatenate", lambda a, b: ad.concatenate([a, b], 1), _real((3, 4), (3, 2))),
    Case("stack", lambda a, b: ad.stack([a, b], -1), _real((3, 2), (3, 2))),
    Case("pad", lambda x: ad.pad(x, ((1, 0), (0, 2))), _real((2, 3))),
    Case("broadcast_to", lambda x: ad.broadcast_to(x, (2, 3, 4)), _real((3, 1))),
    Case("astype", lambda x: ad.astype(ad.astype(x, np.float64) ** 2, x.dtype), _real((2, 3))),
    # activations
    Case("relu", ad.relu, _real((9,))),
    Case("sigmoid", ad.sigmoid, _real((2, 3))),
    Case("tanh", ad.tanh, _real((2, 3))),
    Case("softplus", ad.softplus, _real((2, 3))),
    Case("softmax", lambda x: ad.softmax(x, 0), _real((3, 4))),
    Case("log_softmax", ad.log_softmax, _real((3, 4))),
    # networks
    Case("cross_entropy", ad.cross_entropy, _real((3, 4)), (_LABELS,)),
    Case("cross_entropy none", lambda x, t: ad.cross_entropy(x, t, "none"), _real((3, 4)), (_LABELS,)),
    Case("mean_squared_error", ad.mean_squared_error, _real((3, 2), (3, 2))),
    Case("dropout", _dropout, _real((3, 4))),
    Case("batch_norm", _batch_norm, _real((5, 3), (3,), (3,))),
    Case("batch_norm images", _batch_norm, _real((2, 2, 3, 2), (2,), (2,))),
    Case("conv2d", ad.conv2d, _real((2, 4, 4, 2), (3, 2, 2, 3))),
    Case("conv2d stride, padding", lambda x, w: ad.conv2d(x, w, (2, 1), (1, 2)),
         _real((2, 5, 3, 1), (3, 2, 1, 2))),
    Case("max_pool2d", ad.max_pool2d, _real((2, 4, 4, 2))),
    Case("max_pool2d overlapping", lambda x: ad.max_pool2d(x, 3, 2, 1), _real((1, 5, 5, 2))),
    Case("avg_pool2d", ad.avg_pool2d, _real((2, 4, 4, 1))),
    Case("avg_pool2d padded", lambda x: ad.avg_pool2d(x, (2, 3), 1, 1), _real((1, 3, 4, 2))),
    # compositions: values used twice, broadcasting inside, a small network
    Case("variance", lambda x: ((x - x.mean(0)) ** 2).mean(0), _real((3, 2))),
    Case("diamond", lambda x: ad.exp(x) * x + ad.exp(x).sum(0) * x, _real((3, 2))),
    Case("perceptron", lambda x, w, b, u: ad.log_softmax(ad.tanh(x @ w + b) @ u),
         _real((3, 2), (2, 4), (4,), (4, 3))),
]  # fmt: skip

every_case = {"argvalues": CASES, "ids": str}

"""The operations, one file per family; `OPS` names every one that can be applied to tensors."""

from collections.abc import Callable
from typing import Any

from . import methods as methods  # gives Tensor its operators
from ._pair import astype
from .activations import log_softmax, relu, sigmoid, softmax, softplus, tanh
from .arithmetic import add, div, mul, neg, power, sub
from .broadcast import broadcast_to
from .conv_block import conv2d
from .elementwise import absolute, clip, exp, log, maximum, minimum, sqrt, where
from .linalg import linear, matmul
from .losses import cross_entropy, mean_squared_error
from .noise import dropout
from .norm import batch_norm
from .pool import avg_pool2d, max_pool2d
from .reduce import logsumexp, max_, mean, min_, sum_
from .shape import concatenate, flatten, getitem, matrix_transpose, pad, reshape, stack, transpose

_FUNCTIONS: tuple[Callable[..., Any], ...] = (  # in the order of the files
    *(add, sub, mul, div, neg, power, exp, log, sqrt, absolute, clip, maximum, minimum, where),
    *(matmul, linear, sum_, mean, max_, min_, logsumexp),
    *(reshape, flatten, transpose, matrix_transpose, getitem, concatenate, stack, pad),
    *(broadcast_to, astype),
    *(relu, sigmoid, tanh, softplus, softmax, log_softmax),
    *(cross_entropy, mean_squared_error, dropout, conv2d, max_pool2d, avg_pool2d, batch_norm),
)

OPS: dict[str, Callable[..., Any]] = {f.__name__.rstrip("_"): f for f in _FUNCTIONS}
"""Every operation by name, for checkers and tables."""

__all__ = [
    "OPS",
    "absolute",
    "add",
    "astype",
    "avg_pool2d",
    "batch_norm",
    "broadcast_to",
    "clip",
    "concatenate",
    "conv2d",
    "cross_entropy",
    "div",
    "dropout",
    "exp",
    "flatten",
    "getitem",
    "linear",
    "log",
    "log_softmax",
    "logsumexp",
    "matmul",
    "matrix_transpose",
    "max_",
    "max_pool2d",
    "maximum",
    "mean",
    "mean_squared_error",
    "min_",
    "minimum",
    "mul",
    "neg",
    "pad",
    "power",
    "relu",
    "reshape",
    "sigmoid",
    "softmax",
    "softplus",
    "sqrt",
    "stack",
    "sub",
    "sum_",
    "tanh",
    "transpose",
    "where",
]

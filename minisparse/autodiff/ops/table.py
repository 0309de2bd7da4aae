"""Every operation that can be applied to tensors, by the file that holds it; nothing else is here.

`OPS` and the names in `minisparse.autodiff` are made of this table.
"""

from ._pair import astype
from .activations import log_softmax, relu, sigmoid, softmax, softplus, tanh
from .affine import linear
from .arithmetic import add, div, mul, neg, power, sub
from .broadcast import broadcast_to
from .conv_block import conv2d
from .elementwise import absolute, clip, exp, log, maximum, minimum, sqrt, where
from .linalg import matmul
from .losses import cross_entropy, mean_squared_error
from .noise import dropout
from .norm import batch_norm
from .pool import avg_pool2d, max_pool2d
from .reduce import logsumexp, max_, mean, min_, sum_
from .shape import concatenate, flatten, getitem, matrix_transpose, pad, reshape, stack, transpose

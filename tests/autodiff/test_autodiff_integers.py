"""Arrays of integers are data as people have them: computed with, they are numbers, not residues."""

import numpy as np
import pytest

from minisparse import autodiff as ad
from minisparse import kernels
from minisparse.autodiff import Tensor

RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (4, 3), np.uint8)
Y = RNG.integers(0, 256, (4, 3), np.uint8)
IMAGES = RNG.integers(0, 256, (2, 6, 6, 3), np.uint8)
WEIGHTS = RNG.integers(0, 256, (3, 3, 3, 2), np.uint8)
LABELS = np.array([0, 1, 2, 0])

OPERATIONS = {
    "sum": (lambda a, b: a + b, X, Y),
    "difference": (lambda a, b: a - b, X, Y),
    "product": (lambda a, b: a * b, X, Y),
    "quotient": (lambda a, b: a / (b + 1), X, Y),
    "square": (lambda a: a**2, X),
    "power": (lambda a, b: (a / 255) ** (b / 255), X, Y),
    "minus": (lambda a: -a, X),
    "smallest": (lambda a: ad.min_(a, axis=1), X),
    "smallest of all": (lambda a: a.min(), X),
    "absolute": (ad.absolute, X.astype(np.int8)),
    "exp": (lambda a: ad.exp(a / 16), X),
    "exp of integers": (ad.exp, X // 4),
    "log": (lambda a: ad.log(a + 1), X),
    "sqrt": (ad.sqrt, X),
    "sigmoid": (ad.sigmoid, X),
    "tanh": (ad.tanh, X // 64),
    "softplus": (ad.softplus, X),
    "softmax": (ad.softmax, X),
    "log-softmax": (ad.log_softmax, X),
    "logsumexp": (lambda a: ad.logsumexp(a, axis=1), X),
    "mean": (lambda a: a.mean(axis=0), X),
    "cross-entropy": (lambda a: ad.cross_entropy(a, LABELS), X),
    "mean squared error": (ad.mean_squared_error, X, Y),
    "matrix product": (lambda a, b: a @ b.T, X, Y),
    "linear": (lambda a, b: ad.linear(a, b.T, b[:, 0]), X, Y),
    "convolution": (ad.conv2d, IMAGES, WEIGHTS),
    "average pooling": (ad.avg_pool2d, IMAGES),
    "max pooling": (lambda a: ad.max_pool2d(a, 3, padding=1), IMAGES),
    "batch norm": (lambda a: ad.batch_norm(a, np.ones(3), np.zeros(3))[0], X),
    "dropout": (lambda a: ad.dropout(a, 0.3, np.random.default_rng(0)), X),
}


@pytest.fixture(params=["numba", "numpy"])
def kind(request):
    kernels.use(request.param)
    yield request.param
    kernels.use()


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16])
def test_an_operation_on_integers_is_that_on_the_numbers(name, dtype, kind):  # noqa: ARG001
    operation, *arrays = OPERATIONS[name]
    if arrays[0].dtype == np.int8:
        dtype = np.int8
    found = operation(*(Tensor(a.astype(dtype)) for a in arrays))
    right = operation(*(Tensor(a.astype(np.float64)) for a in arrays))
    np.testing.assert_allclose(found.numpy(), right.numpy(), rtol=2e-5, atol=1e-4)


def test_truth_values_are_subtracted_as_numbers():
    a, b = Tensor(np.array([True, False])), Tensor(np.array([True, True]))
    assert (a - b).numpy().tolist() == [0, -1]
    assert (-a).numpy().tolist() == [-1, 0]


def test_wide_integers_stay():
    a = Tensor(np.arange(3))
    assert (a + a).dtype == (a * a).dtype == np.int64
    assert (a + 1).dtype == np.float32  # as ever: a Python number is a float

"""Sums and relu of large arrays go to kernels, and are the same numbers and gradients."""

import numpy as np
import pytest

from minisparse import kernels
from minisparse.autodiff import Tensor, gradients, no_grad, relu
from minisparse.autodiff.ops import large
from minisparse.definitions import elementwise
from minisparse.kernels import dispatch

NAMES = ("add", "keep", "relu")


@pytest.fixture
def called(monkeypatch):
    """Count every array as large; note which kernels are called."""
    names = []

    def kernel(name, array):
        names.append(name)
        return dispatch.kernel(name, array)

    monkeypatch.setattr(large, "FEW", 0)
    monkeypatch.setattr(elementwise, "FEW", 0)
    monkeypatch.setattr(large, "kernel", kernel)
    return names


def residual(x):
    return relu(x) + x


def leaf(dtype=np.float32):
    x = np.random.default_rng(0).standard_normal((5, 7)).astype(dtype)
    x[0, 0] = 0
    return Tensor(x, requires_grad=True)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_kernels_compute_them(called, dtype):
    x, v = leaf(dtype), np.random.default_rng(1).standard_normal((5, 7)).astype(dtype)
    y = residual(x)
    assert called == ["relu", "add"]
    y.backward(v)
    assert called == ["relu", "add", "keep", "add"]
    np.testing.assert_array_equal(y.numpy(), np.maximum(x.numpy(), 0) + x.numpy())
    np.testing.assert_array_equal(x.grad.numpy(), np.where(x.numpy() > 0, v + v, v))


def test_small_arrays_are_left_to_numpy(monkeypatch):
    monkeypatch.setattr(large, "kernel", None)
    x = leaf()
    residual(x).sum().backward()
    assert x.grad[0, 0].item() == 1


def test_several_cotangents_and_second_derivatives_are_made_of_operations(called):
    x = leaf(np.float64)
    vs = np.random.default_rng(1).standard_normal((3, 5, 7))
    (g,) = gradients(residual(x), [x], vs, batched=True)
    np.testing.assert_allclose(g.numpy(), np.where(x.numpy() > 0, 2 * vs, vs))
    (g,) = gradients((residual(x) * x).sum(), [x], create_graph=True)
    (second,) = gradients(g.sum(), [x])
    np.testing.assert_allclose(second.numpy(), np.where(x.numpy() > 0, 4, 2))
    assert "relu" in called


def test_broadcasting_and_other_arrays(called, device):
    with no_grad():
        row = leaf() + Tensor(np.ones(7, np.float32))
    assert row.shape == (5, 7)
    assert called == []
    x = Tensor(device.asarray(leaf().numpy()), requires_grad=True)
    residual(x).backward(device.asarray(np.ones((5, 7), np.float32)))
    assert called == ["relu", "add", "keep", "add"]
    assert float(device.asnumpy(x.grad.array)[0, 0]) == 1


def test_the_names_are_kernels():
    assert all(name in dir(kernels) for name in NAMES)

"""float32 in, float32 out and float32 gradients; float64 all through when asked."""

import numpy as np
import pytest
from cases import every_case

import minisparse.autodiff as ad
from minisparse.autodiff import Tensor, gradients, hvp, jacobian


def run(case, dtype):
    """Return the result, its gradients, and the gradients of these."""
    xs = [Tensor(a.astype(dtype), requires_grad=True) for a in case.inputs]
    constants = [c.astype(dtype) if c.dtype.kind == "f" else c for c in case.constants]
    y = case.f(*xs, *constants)
    v = np.linspace(-1, 1, y.size).reshape(y.shape).astype(dtype)
    gs = gradients(y, xs, v, create_graph=True)
    q = sum((g * g).sum() for g in gs)
    hs = gradients(q, xs, retain_graph=True, allow_unused=True) if q.requires_grad else []
    batch = gradients(y, xs, np.stack([v, -v]), batched=True)
    return [y, *gs, *hs, *batch]


@pytest.mark.parametrize("case", **every_case)
def test_every_operation_keeps_the_dtype_of_its_inputs(case):
    single, double = run(case, np.float32), run(case, np.float64)
    assert {t.dtype for t in single} == {np.dtype(np.float32)}
    assert {t.dtype for t in double} == {np.dtype(np.float64)}
    for s, d in zip(single, double, strict=True):
        np.testing.assert_allclose(s.numpy(), d.numpy(), rtol=2e-4, atol=2e-4)


NUMBERS = [2, 2.0, True, np.float32(2), np.float64(2), np.int64(2), np.bool_(True)]


@pytest.mark.parametrize("number", NUMBERS, ids=repr)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_numbers_follow_the_tensor(number, dtype):
    x = Tensor(np.array([0.5, 1.5], dtype), requires_grad=True)
    for y in (
        *(x + number, number + x, x - number, number - x, x * number, number * x),
        *(x / number, number / x, ad.maximum(x, number), ad.minimum(number, x)),
        *(x**number, number**x, ad.clip(x, -number, number) if number is not np.True_ else x + 0),
        *(ad.where(np.array([True, False]), x, number), ad.mean_squared_error(x, number)),
    ):
        assert y.dtype == dtype
        (g,) = gradients(y, [x], np.ones(y.shape))
        assert g.dtype == dtype


def test_settings_that_are_numpy_scalars_do_not_widen():
    eps = np.float64(1e-5)
    x = Tensor(np.ones((3, 2), np.float32) * np.arange(3, dtype=np.float32)[:, None])
    y, mean, var = ad.batch_norm(x, np.ones(2, np.float32), np.ones(2, np.float32), eps)
    assert y.dtype == mean.dtype == var.dtype == np.float32
    assert ad.dropout(x, np.float64(0.5), np.random.default_rng(0)).dtype == np.float32


@pytest.mark.parametrize(
    "f",
    [
        *(ad.add, ad.sub, ad.mul, ad.div, ad.maximum, ad.minimum, ad.matmul),
        *(ad.mean_squared_error, ad.power),
        pytest.param(lambda a, b: ad.concatenate([a, b, a]), id="concatenate"),
        pytest.param(lambda a, b: ad.stack([a, b]), id="stack"),
        pytest.param(lambda a, b: ad.where(np.eye(2, dtype=bool), a, b), id="where"),
        pytest.param(lambda a, b: ad.conv2d(a[None, ..., None], b[..., None, None]), id="conv2d"),
        pytest.param(lambda a, b: ad.batch_norm(a, b[0], b[1])[0], id="batch_norm"),
    ],
)
@pytest.mark.parametrize("narrow_first", [True, False])
def test_mixed_dtypes_widen_and_each_gradient_has_its_own(f, narrow_first):
    dtypes = (np.float32, np.float64) if narrow_first else (np.float64, np.float32)
    values = np.array([[1.0, 2.0], [3.0, 4.5]])
    a, b = (Tensor(values + i / 4, dtype=d, requires_grad=True) for i, d in enumerate(dtypes))
    y = f(a, b)
    assert y.dtype == np.float64
    ga, gb = gradients(y, [a, b], np.ones(y.shape), retain_graph=True)
    assert (ga.dtype, gb.dtype) == dtypes
    wide = [Tensor(t.numpy(), dtype=np.float64, requires_grad=True) for t in (a, b)]
    for g, w in zip((ga, gb), gradients(f(*wide), wide, np.ones(y.shape)), strict=True):
        np.testing.assert_allclose(g.numpy(), w.numpy(), rtol=1e-6)
    y.backward(np.ones(y.shape, np.float32))  # a cotangent of another dtype
    assert (a.grad.dtype, b.grad.dtype) == dtypes


def test_what_a_tensor_is_made_of():
    assert Tensor(1.0).dtype == Tensor([1, 2]).dtype == Tensor([[1.5]]).dtype == np.float32
    assert Tensor(3).dtype == np.float32
    assert Tensor(np.float64(3)).dtype == np.float64, "what NumPy gives for an array without axes"
    assert Tensor(np.int64(3)).dtype == np.int64
    assert Tensor(np.zeros(2)).dtype == np.float64
    assert Tensor(np.array(1.0)).dtype == np.float64
    assert Tensor(np.arange(2)).dtype == np.int64
    assert Tensor([True, False]).dtype == bool
    assert Tensor([1.0], dtype=np.float64).dtype == np.float64
    assert Tensor(np.zeros(2), dtype=np.float32, requires_grad=True).dtype == np.float32


def test_integer_and_boolean_tensors_are_data():
    x = Tensor(np.array([1.0, 2.0], np.float32), requires_grad=True)
    for data in (np.array([3, 4]), np.array([3, 4], np.uint8), np.array([True, False])):
        y = x * Tensor(data)
        assert y.dtype == np.float32
        y.backward([1, 1])
        np.testing.assert_array_equal(x.grad.numpy(), data.astype(np.float32))
        x.zero_grad()
    with pytest.raises(TypeError, match="between floating-point types"):
        ad.astype(x, np.int64)


def test_float64_functions_of_float64_points():
    x = np.array([0.1, 0.2])
    assert jacobian(ad.exp, x).dtype == np.float64
    assert hvp(lambda x: ad.exp(x).sum(), x, x).dtype == np.float64
    assert ad.grad(lambda x: (x * x).sum())(x).dtype == np.float64
    assert ad.grad(lambda x: x * x)(np.float64(0.1)).dtype == np.float64
    assert ad.grad(lambda x: x * x)(0.1).dtype == np.float32


def test_a_rule_that_computes_in_float64_is_brought_back():
    class Half(ad.Op):
        def forward(self, x):
            return x / 2

        def backward(self, grad, *_):
            return grad * Tensor(np.full(3, 0.5))

    x = Tensor(np.ones(3, np.float32), requires_grad=True)
    Half()(x).sum().backward()
    assert x.grad.dtype == np.float32


def test_numpy_reads_results_and_gradients_as_copies():
    x = Tensor([1.0, 2.0], requires_grad=True)
    (x * x).sum().backward()
    seen = np.asarray(x.grad)
    np.testing.assert_array_equal(seen, [2, 4])
    assert seen.dtype == np.float32
    seen[0] = 7
    np.testing.assert_array_equal(x.grad, [2, 4])
    assert np.asarray(x.grad, dtype=np.float64).dtype == np.float64

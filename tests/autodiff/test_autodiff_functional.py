"""Derivatives of functions, of each other, and inside each other."""

import numpy as np
import pytest
from differences import STEP, along, on_arrays

import minisparse.autodiff as ad
from minisparse.autodiff import GraphError, Tensor, grad, gradients, hvp, jacobian, vjp

W = np.array([[0.4, -1.1, 0.3], [0.7, 0.2, -0.5]])


def scalar(x):
    """Return a smooth function of two numbers, without symmetry."""
    return ad.logsumexp(ad.tanh(x @ W) * x.sum()) + (x**3).sum() * x[0]


def vector(x):
    return ad.softmax(x @ W) * ad.exp(x[1])


X = np.array([0.3, -0.8])


def unit(i):
    return np.eye(2)[i]


def test_grad():
    found = grad(scalar)(X).numpy()
    expected = [along(on_arrays(scalar), [X], [unit(i)]) for i in range(2)]
    np.testing.assert_allclose(found, expected, rtol=1e-8)


def test_grad_of_grad_and_so_on():
    derivatives = [5.0, 20.0, 60.0, 120.0, 120.0, 0.0]
    f = lambda x: x**5
    for expected in derivatives:
        f = grad(f)
        assert f(1.0).item() == expected
    f = ad.tanh
    y = np.tanh(0.7)
    for expected in (1 - y**2, -2 * y * (1 - y**2), (1 - y**2) * (6 * y**2 - 2)):
        f = grad(f)
        np.testing.assert_allclose(f(np.float64(0.7)).item(), expected, rtol=1e-12)


def test_perturbation_confusion():
    assert grad(lambda x: x * grad(lambda y: x + y)(x))(2.0).item() == 1
    assert grad(lambda x: x * grad(lambda y: x * y)(x))(2.0).item() == 4
    assert grad(lambda x: grad(lambda y: x * y * y)(x))(3.0).item() == 12  # 2 x y at y = x
    assert grad(lambda x: grad(lambda y: x * x * y)(1.0) * x)(2.0).item() == 12
    assert grad(lambda x: grad(lambda y: grad(lambda z: x * y * z)(y))(x))(5.0).item() == 1


def test_other_arguments():
    def f(a, b, scale=1.0):
        return (a * b * b).sum() * scale

    a, b = np.array([1.0, 2.0]), np.array([3.0, 4.0])
    np.testing.assert_array_equal(grad(f)(a, b).numpy(), b * b)
    np.testing.assert_array_equal(grad(f, 1)(a, b, scale=2.0).numpy(), 4 * a * b)
    np.testing.assert_array_equal(grad(f, argnum=-1)(a, b).numpy(), 2 * a * b)
    mixed = grad(lambda b: (grad(f)(a, b) * np.array([1.0, 10.0])).sum())(b)
    np.testing.assert_array_equal(mixed.numpy(), 2 * b * [1, 10])


def test_constant_functions_have_derivative_zero():
    for d in (
        grad(lambda x: Tensor(3.0))(X),  # noqa: ARG005
        grad(lambda x: (x * 0 + Tensor(X)).detach().sum())(X),
        hvp(lambda x: x.sum(), X, X),
        grad(grad(lambda x: 3 * x))(2.0),
        vjp(lambda x: Tensor(W), X)[1](W)[0],  # noqa: ARG005
        jacobian(lambda x: Tensor(W), X),  # noqa: ARG005
    ):
        assert np.abs(d.numpy()).max() == 0
    assert jacobian(lambda x: Tensor(W), X).shape == (2, 3, 2)  # noqa: ARG005


def test_vjp():
    y, pullback = vjp(lambda a, b: a @ b, X, W)
    np.testing.assert_allclose(y.numpy(), X @ W)
    v = np.array([1.0, -2.0, 0.5])
    for _ in range(2):  # it may be called again
        da, db = pullback(v)
        np.testing.assert_allclose(da.numpy(), W @ v)
        np.testing.assert_allclose(db.numpy(), np.outer(X, v))


def test_jacobian_against_columns():
    found = jacobian(vector, X).numpy()
    assert found.shape == (3, 2)
    for i in range(2):
        column = along(lambda x: vector(Tensor(x)).numpy(), [X], [unit(i)])
        np.testing.assert_allclose(found[:, i], column, rtol=1e-8)


def test_jacobian_of_and_with_respect_to_matrices():
    found = jacobian(lambda w: ad.tanh(w.T @ X[:, None]) ** 2, W).numpy()
    assert found.shape == (3, 1, 2, 3)
    for i, j in np.ndindex(2, 3):
        d = np.zeros((2, 3))
        d[i, j] = 1
        slope = along(lambda w: np.tanh(w.T @ X[:, None]) ** 2, [W], [d])
        np.testing.assert_allclose(found[..., i, j], slope, rtol=1e-8, atol=1e-10)
    assert jacobian(lambda x: (x * x).sum(), X).shape == (2,)
    assert jacobian(lambda x: x * x, 3.0).shape == ()


def hessian():
    return jacobian(grad(scalar), X).numpy()


def test_the_hessian_is_the_jacobian_of_the_gradient():
    found = hessian()
    for i in range(2):
        column = along(lambda x: grad(scalar)(x).numpy(), [X], [unit(i)])
        np.testing.assert_allclose(found[:, i], column, rtol=1e-7)
    np.testing.assert_allclose(found, found.T, rtol=1e-12)
    twice = jacobian(lambda x: jacobian(scalar, x), X).numpy()
    np.testing.assert_allclose(twice, found, rtol=1e-12)


def test_hvp():
    v = np.array([0.9, -1.7])
    found = hvp(scalar, X, v).numpy()
    np.testing.assert_allclose(found, hessian() @ v, rtol=1e-12)
    np.testing.assert_allclose(found, along(lambda x: grad(scalar)(x).numpy(), [X], [v]), rtol=1e-7)


def test_hvp_inside_a_derivative():
    """The gradient of <v, H(x) v> is the third derivative in two directions v."""
    v = np.array([0.9, -1.7])
    found = grad(lambda x: (hvp(scalar, x, v) * v).sum())(X).numpy()

    def curvature(x):
        return hvp(scalar, x, v).numpy() @ v

    expected = [along(curvature, [X], [unit(i)]) for i in range(2)]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_penalty_on_a_jacobian():
    def penalty(x):
        return (jacobian(vector, x) ** 2).sum()

    expected = [along(on_arrays(penalty), [X], [unit(i)]) for i in range(2)]
    np.testing.assert_allclose(grad(penalty)(X).numpy(), expected, rtol=1e-7)


def test_forward_mode_by_two_backward_passes():
    """The backward is linear in its cotangent; its transpose is J d."""
    d = np.array([0.3, 1.1])
    x, v = Tensor(X, requires_grad=True), Tensor(np.zeros(3), requires_grad=True)
    (g,) = gradients(vector(x), [x], v, create_graph=True)
    (jd,) = gradients(g, [v], d)
    np.testing.assert_allclose(jd.numpy(), jacobian(vector, X).numpy() @ d, rtol=1e-12)


# ---- with tensors that require gradients themselves -------------------------------------------


def test_a_gradient_penalty_with_respect_to_the_argument():
    """L = |df/dx|^2, differentiated by a plain backward."""
    x = Tensor(X, requires_grad=True)
    ((grad(scalar)(x) ** 2).sum() + scalar(x)).backward()
    expected = 2 * hessian() @ grad(scalar)(X).numpy() + grad(scalar)(X).numpy()
    np.testing.assert_allclose(x.grad.numpy(), expected, rtol=1e-12)


def test_a_gradient_penalty_with_respect_to_parameters():
    """L = |df/dx|^2 for f = x^T w tanh(...): the parameters are not an argument."""
    w = Tensor(W, requires_grad=True)

    def loss(weights):
        g = grad(lambda x: ad.tanh(x @ weights).sum())(X)
        return (g * g).sum()

    loss(w).backward()
    for i, j in np.ndindex(2, 3):
        d = np.zeros((2, 3))
        d[i, j] = 1
        slope = along(lambda z: loss(Tensor(z)).numpy(), [W], [d])
        np.testing.assert_allclose(w.grad.numpy()[i, j], slope, rtol=1e-8)

    for derivative in (
        lambda: jacobian(lambda x: ad.tanh(x @ w), X),
        lambda: vjp(lambda x: ad.tanh(x @ w), X)[1](np.ones(3))[0],
        lambda: hvp(lambda x: ad.tanh(x @ w).sum(), X, X),
    ):
        w.grad = None
        derivative().sum().backward()
        assert np.abs(w.grad.numpy()).min() > 0


def test_nothing_is_recorded_when_nobody_can_differentiate_again():
    for d in (
        grad(scalar)(X),
        jacobian(vector, X),
        hvp(scalar, X, X),
        *vjp(vector, X)[1](X[[0] * 3]),
    ):
        assert not d.requires_grad
    x = Tensor(X, requires_grad=True)
    with ad.no_grad():
        d = grad(scalar)(x)
    assert not d.requires_grad
    np.testing.assert_allclose(d.numpy(), grad(scalar)(X).numpy())


def test_the_graph_around_survives():
    """Derivatives of functions that use recorded tensors do not free their graph."""
    x = Tensor(X, requires_grad=True)
    h = ad.exp(x)
    for around in (ad.enable_grad, ad.no_grad):
        with around():
            grad(lambda z: (h * z * z).sum())(X)
            grad(lambda z: (z**3).sum())(h)
            hvp(lambda z: (h * z * z).sum(), h, X)
    h.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), np.exp(X))


def test_no_gradient_is_left_behind():
    x = Tensor(X, requires_grad=True)
    grad(scalar)(x)
    hvp(scalar, x, X)
    jacobian(vector, x)
    assert x.grad is None


def test_inside_no_grad_the_function_is_recorded():
    with ad.no_grad():
        np.testing.assert_allclose(hvp(scalar, X, X).numpy(), hessian() @ X, rtol=1e-12)
        assert not ad.is_recording()


# ---- errors -----------------------------------------------------------------------------------


def test_errors():
    with pytest.raises(GraphError, match=r"single number, got shape \(3,\); use jacobian or vjp"):
        grad(vector)(X)
    with pytest.raises(TypeError, match="returned float, not a Tensor"):
        grad(lambda x: 3.0)(X)  # noqa: ARG005
    with pytest.raises(TypeError, match="returned float64, not a Tensor"):
        jacobian(lambda x: x.numpy().sum(), X)
    with pytest.raises(TypeError, match="returned tuple"):
        vjp(lambda x: (x, x), X)
    with pytest.raises(TypeError, match="dtype int64; use floats"):
        grad(lambda x: x.sum())(np.arange(3))
    with pytest.raises(ValueError, match=r"v of x's shape \(2,\), got \(3,\)"):
        hvp(scalar, X, np.ones(3))
    with pytest.raises(ValueError, match=r"shape \(2,\), expected \(3,\)"):
        vjp(vector, X)[1](X)


def test_an_exception_inside_leaves_no_level_behind():
    def fail(_):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        grad(fail)(1.0)
    assert ad.is_recording()
    assert not grad(scalar)(X).requires_grad


def test_steps_are_as_assumed():
    """The five-point formula is exact for a polynomial of degree four."""
    assert STEP == 1e-3
    slope = along(lambda x: x**4, [np.array(2.0)], [np.array(1.0)])
    np.testing.assert_allclose(slope, 32.0, rtol=1e-11)

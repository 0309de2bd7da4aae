"""Several cotangents in one backward: equal to one by one, and no more work than one."""

from collections import Counter

import numpy as np
import pytest
from cases import every_case

import minisparse.autodiff as ad
from minisparse.autodiff import Op, Tensor, gradients, jacobian

K = 3


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-12)


def setup(case, rng):
    xs = [Tensor(a, requires_grad=True) for a in case.inputs]
    y = case.f(*xs, *case.constants)
    return xs, y, rng.standard_normal((K, *y.shape))


@pytest.mark.parametrize("case", **every_case)
def test_equals_one_by_one(case, rng):
    xs, y, vs = setup(case, rng)
    together = gradients(y, xs, vs, batched=True, retain_graph=True)
    for k in range(K):
        for g, x, one in zip(together, xs, gradients(y, xs, vs[k], retain_graph=True), strict=True):
            assert g.shape == (K, *x.shape)
            close(g.numpy()[k], one.numpy())


@pytest.mark.parametrize("case", **every_case)
def test_second_derivatives_of_a_batch_equal_one_by_one(case, rng):
    """Several cotangents through a recorded backward: rows of a Hessian."""
    xs, y, vs = setup(case, rng)
    gs = gradients(y, xs, vs[0], create_graph=True)
    for g in gs:
        if not g.requires_grad:
            continue  # linear in x
        us = rng.standard_normal((K, *g.shape))
        options = {"retain_graph": True, "allow_unused": True}
        together = gradients(g, xs, us, batched=True, **options)
        for k in range(K):
            for h, one in zip(together, gradients(g, xs, us[k], **options), strict=True):
                close(h.numpy()[k], one.numpy())


@pytest.mark.parametrize("case", **every_case)
def test_a_batched_backward_can_be_differentiated(case, rng):
    """d/dx and d/dv of sum_k <g_k, u_k>, with the g_k from one pass and from K passes."""
    xs, y, vs = setup(case, rng)
    us = [rng.standard_normal((K, *x.shape)) for x in xs]

    def differentiate(gs, v):
        q = sum((g * Tensor(u)).sum() for g, u in zip(gs, us, strict=True))
        return gradients(q, [*xs, v], retain_graph=True, allow_unused=True)

    v = Tensor(vs, requires_grad=True)
    together = differentiate(gradients(y, xs, v, batched=True, create_graph=True), v)
    w = Tensor(vs, requires_grad=True)
    rows = [gradients(y, xs, w[k], create_graph=True) for k in range(K)]
    apart = differentiate([ad.stack(list(r)) for r in zip(*rows, strict=True)], w)
    for a, b in zip(together, apart, strict=True):
        close(a.numpy(), b.numpy())


@pytest.mark.parametrize("case", **every_case)
def test_batches_of_batches(case, rng):
    """A batched pass through a batched backward: two leading axes at once."""
    xs, y, vs = setup(case, rng)
    v = Tensor(vs, requires_grad=True)
    gs = gradients(y, xs, v, batched=True, create_graph=True)
    for g in gs:
        us = rng.standard_normal((2, *g.shape))
        options = {"retain_graph": True, "allow_unused": True}
        together = gradients(g, [*xs, v], us, batched=True, **options)
        for k in range(2):
            for h, one in zip(together, gradients(g, [*xs, v], us[k], **options), strict=True):
                close(h.numpy()[k], one.numpy())


def count_backwards(monkeypatch):
    """Count how often each operation's backward is called from now on."""
    calls = Counter()

    def counting(cls):
        backward = cls.backward

        def noting(self, *args):
            calls[cls.__name__] += 1
            return backward(self, *args)

        monkeypatch.setattr(cls, "backward", noting)

    for cls in Op.__subclasses__():
        if cls.__module__.startswith("minisparse"):
            counting(cls)
    return calls


def test_the_jacobian_of_ten_outputs_costs_one_pass(monkeypatch, rng):
    w1 = Tensor(rng.standard_normal((6, 8)))
    w2 = Tensor(rng.standard_normal((8, 10)))
    applied = Counter()
    call = Op.__call__

    def noting(self, *inputs):
        applied[type(self).__name__] += 1
        return call(self, *inputs)

    def network(x):
        return ad.log_softmax(ad.tanh(ad.tanh(x @ w1) @ w2) * x.sum())

    x = rng.standard_normal(6)
    calls = count_backwards(monkeypatch)
    monkeypatch.setattr(Op, "__call__", noting)

    z = Tensor(x, requires_grad=True)
    network(z).sum().backward()
    one_pass, one_work = calls.copy(), applied.copy()
    calls.clear()
    applied.clear()
    j = jacobian(network, x)
    assert j.shape == (10, 6)
    assert sum(calls.values()) == sum(one_pass.values()) - 1  # without the sum()
    assert sum(applied.values()) <= sum(one_work.values()) + 5

    for k in range(10):
        z = Tensor(x, requires_grad=True)
        row = gradients(network(z)[k], [z])[0]
        close(j.numpy()[k], row.numpy())


def test_the_jacobian_of_a_convolution_network_costs_one_pass(monkeypatch, rng):
    w = rng.standard_normal((2, 2, 1, 3))
    u = Tensor(rng.standard_normal((12, 10)))
    images = Tensor(rng.standard_normal((2, 5, 5, 1)))

    def network(w):
        return ad.flatten(ad.max_pool2d(ad.relu(ad.conv2d(images, w)), 2)) @ u

    calls = count_backwards(monkeypatch)
    j = jacobian(network, w)
    assert j.shape == (2, 10, 2, 2, 1, 3)
    assert set(calls.values()) == {1}
    z = Tensor(w, requires_grad=True)
    close(j.numpy()[1, 7], gradients(network(z)[1, 7], [z])[0].numpy())


def test_shapes_are_checked():
    x = Tensor(np.ones((2, 3)), requires_grad=True)
    y = x * x
    with pytest.raises(ValueError, match=r"\('k', 2, 3\)"):
        gradients(y, [x], batched=True)
    with pytest.raises(ValueError, match=r"shape \(2, 3\), expected \('k', 2, 3\)"):
        gradients(y, [x], np.ones((2, 3)), batched=True)
    with pytest.raises(ValueError, match=r"shape \(4, 2, 3\), expected \(2, 3\)"):
        gradients(y, [x], np.ones((4, 2, 3)))
    with pytest.raises(ValueError, match="at least one cotangent"):
        gradients(y, [x], np.ones((0, 2, 3)), batched=True)


def test_the_jacobian_of_nothing_is_empty(rng):
    w = rng.standard_normal((2, 2, 1, 3))
    j = jacobian(lambda w: ad.conv2d(np.ones((0, 4, 4, 1)), w), w)
    assert j.shape == (0, 3, 3, 3, 2, 2, 1, 3)

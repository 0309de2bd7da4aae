"""Gradients of every operation against finite differences, and against each other."""

import numpy as np
import pytest
from cases import CASES, every_case
from differences import numeric_gradients

import minisparse.autodiff as ad
from minisparse.autodiff import Op, Tensor, gradients


def leaves(arrays, dtype=np.float64):
    return [Tensor(a, dtype=dtype, requires_grad=True) for a in arrays]


@pytest.mark.parametrize("case", **every_case)
def test_gradients_equal_finite_differences(case, rng):
    xs = leaves(case.inputs)
    y = case.f(*xs, *case.constants)
    v = rng.standard_normal(y.shape)
    found = gradients(y, xs, v)
    expected = numeric_gradients(case.f, case.inputs, v, case.constants)
    for x, g, e in zip(xs, found, expected, strict=True):
        assert g.shape == x.shape
        np.testing.assert_allclose(g.numpy(), e, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("case", **every_case)
def test_backward_fills_grad_and_adds_to_it(case, rng):
    xs = leaves(case.inputs)
    y = case.f(*xs, *case.constants)
    v = rng.standard_normal(y.shape)
    expected = gradients(y, xs, v, retain_graph=True)
    y.backward(v, retain_graph=True)
    for x, e in zip(xs, expected, strict=True):
        np.testing.assert_array_equal(x.grad.numpy(), e.numpy())
    y.backward(v)
    for x, e in zip(xs, expected, strict=True):
        np.testing.assert_allclose(x.grad.numpy(), 2 * e.numpy(), rtol=1e-14)


@pytest.mark.parametrize("case", **every_case)
def test_one_gradient_alone_equals_that_among_all(case, rng):
    """Only what lies between the result and the wanted input is computed."""
    xs = leaves(case.inputs)
    y = case.f(*xs, *case.constants)
    v = rng.standard_normal(y.shape)
    together = gradients(y, xs, v, retain_graph=True)
    for x, expected in zip(xs, together, strict=True):
        (alone,) = gradients(y, [x], v, retain_graph=True)
        np.testing.assert_array_equal(alone.numpy(), expected.numpy())


@pytest.mark.parametrize("case", **every_case)
def test_inputs_without_requires_grad_get_none(case, rng):
    """An input may be a constant: the others' gradients do not change."""
    together = leaves(case.inputs)
    y = case.f(*together, *case.constants)
    v = rng.standard_normal(y.shape)
    y.backward(v)
    for i in range(len(together)):
        xs = [Tensor(a, requires_grad=i == j) for j, a in enumerate(case.inputs)]
        case.f(*xs, *case.constants).backward(v)
        np.testing.assert_allclose(xs[i].grad.numpy(), together[i].grad.numpy(), rtol=1e-13)
        assert all(x.grad is None for j, x in enumerate(xs) if j != i)


@pytest.mark.parametrize("case", **every_case)
def test_inputs_in_any_memory_layout(case, rng):
    """Strided, reversed and read-only arrays give what contiguous ones give."""

    def odd(a):
        wide = np.zeros((*a.shape[:-1], 2 * a.shape[-1]))
        view = wide[..., ::-2]
        view[...] = a
        view.flags.writeable = False
        return view

    def fortran(a):
        return np.asfortranarray(a)

    plain = leaves(case.inputs)
    y = case.f(*plain, *case.constants)
    v = rng.standard_normal(y.shape)
    y.backward(v)
    for layout in (odd, fortran):
        xs = leaves([layout(a) for a in case.inputs])
        z = case.f(*xs, *case.constants)
        np.testing.assert_allclose(z.numpy(), y.numpy(), rtol=1e-13)
        z.backward(layout(v) if v.ndim else v)
        for x, p in zip(xs, plain, strict=True):
            np.testing.assert_allclose(x.grad.numpy(), p.grad.numpy(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("case", **every_case)
def test_inputs_are_not_changed(case, rng):
    xs = leaves([a.copy() for a in case.inputs])
    y = case.f(*xs, *case.constants)
    v = rng.standard_normal(y.shape)
    kept = v.copy()
    y.backward(v)
    np.testing.assert_array_equal(v, kept)
    for x, a in zip(xs, case.inputs, strict=True):
        np.testing.assert_array_equal(x.numpy(), a)


def _operations(cls=Op):
    for sub in cls.__subclasses__():
        yield from _operations(sub)
        if sub.__module__.startswith("minisparse.autodiff.ops"):
            yield sub


def test_the_cases_apply_every_operation_of_the_package(monkeypatch):
    applied = set()
    call = Op.__call__

    def noting(self, *inputs):
        applied.add(type(self))
        return call(self, *inputs)

    monkeypatch.setattr(Op, "__call__", noting)
    for case in CASES:
        xs = leaves(case.inputs, np.float32)
        y = case.f(*xs, *case.constants)
        v = Tensor(np.ones(y.shape, np.float32), requires_grad=True)
        gs = gradients(y, xs, v, create_graph=True)
        gradients(sum((g * g).sum() for g in gs), [*xs, v], allow_unused=True)
    assert set(_operations()) <= applied


def test_every_name_has_a_case():
    names = {case.name.split()[0] for case in CASES}
    assert set(ad.OPS) <= names | {"sum", "mean"}
    assert set(ad.OPS) <= vars(ad).keys() | {"sum", "max", "min"}

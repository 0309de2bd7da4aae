"""The gradient of a gradient, for every operation.

With the backward g = J(x)^T v recorded and q = <g, d>, the gradients of q are

    dq/dx = d/dt of the gradient at x + t d      (the Hessian of <v, f> times d)
    dq/dv = J d = d/dt of f(x + t d)             (the backward is linear in v)
"""

import numpy as np
import pytest
from cases import every_case
from differences import along, on_arrays

from minisparse.autodiff import Tensor, gradients


def inner(gs, ds):
    return sum((g * Tensor(d)).sum() for g, d in zip(gs, ds, strict=True))


@pytest.mark.parametrize("case", **every_case)
def test_second_derivatives_equal_differences_of_gradients(case, rng):
    xs = [Tensor(a, requires_grad=True) for a in case.inputs]
    y = case.f(*xs, *case.constants)
    v = Tensor(rng.standard_normal(y.shape), requires_grad=True)
    ds = [rng.standard_normal(a.shape) for a in case.inputs]
    q = inner(gradients(y, xs, v, create_graph=True), ds)
    *by_x, by_v = gradients(q, [*xs, v], allow_unused=True)

    tangent = along(on_arrays(case.f, case.constants), case.inputs, ds)
    np.testing.assert_allclose(by_v.numpy(), tangent, rtol=1e-8, atol=1e-9)

    for i, found in enumerate(by_x):

        def gradient(*arrays, i=i):
            zs = [Tensor(a, requires_grad=True) for a in arrays]
            return gradients(case.f(*zs, *case.constants), zs, v.numpy())[i].numpy()

        expected = along(gradient, case.inputs, ds)
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("case", **every_case)
def test_third_derivatives_equal_differences_of_second_ones(case, rng):
    """A rule that drops out of the graph one level down is found here."""
    ds = [rng.standard_normal(a.shape) for a in case.inputs]
    es = [rng.standard_normal(a.shape) for a in case.inputs]
    v = rng.standard_normal(case.f(*map(Tensor, case.inputs), *case.constants).shape)

    def second(xs, create_graph=False):
        """Return the Hessian of <v, f> times d, and whether there is one."""
        gs = gradients(case.f(*xs, *case.constants), xs, v, create_graph=True)
        q = inner(gs, ds)
        if not q.requires_grad:
            return None
        return gradients(q, xs, create_graph=create_graph, allow_unused=True)

    xs = [Tensor(a, requires_grad=True) for a in case.inputs]
    hs = second(xs, create_graph=True)
    if hs is None:
        return  # linear in x
    r = inner(hs, es)
    third = gradients(r, xs, allow_unused=True) if r.requires_grad else None
    for i in range(len(xs)):

        def value(*arrays, i=i):
            return second([Tensor(a, requires_grad=True) for a in arrays])[i].numpy()

        found = np.zeros(xs[i].shape) if third is None else third[i].numpy()
        expected = along(value, case.inputs, es)
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)

"""Setting to zero at random, compiled: what the definition says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minisparse import definitions, kernels
from minisparse.prune.stochastic import zeroed


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(shape=st.tuples(st.integers(0, 9), st.integers(0, 40)), arrays=st.integers(0, 3))
def test_it_is_the_definition_and_that_is_the_formula(dtype, shape, arrays):
    rng = np.random.default_rng(0)
    p, u = rng.random(shape).astype(dtype), rng.random(shape).astype(dtype)
    if p.size >= 3:
        p.reshape(-1)[:3] = 0, 1, 0.5
    fast = [rng.standard_normal(shape).astype(dtype) for _ in range(arrays)]
    for a in fast:
        a.reshape(-1)[:2] = np.nan
    slow, before = [a.copy() for a in fast], [a.copy() for a in fast]
    kernels.zero_at_random(p, u, *fast)
    definitions.zero_at_random(p, u, *slow)
    for a, b, c in zip(fast, slow, before, strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a, np.where(zeroed(p, u), 0, c))


def test_parts_of_arrays_are_written_where_they_are():
    p, u, w = np.full((4, 3), 0.5), np.full((4, 3), 0.9), np.ones((4, 6))
    kernels.zero_at_random(p, u, w[:, ::2])
    assert w.sum() == 12
    assert not w[:, ::2].any()


@pytest.mark.parametrize("home", [kernels, definitions])
def test_other_shapes_are_refused(home):
    with pytest.raises(ValueError, match=r"p is \[2\], but an array is \[3\]"):
        home.zero_at_random(np.zeros(2), np.zeros(2), np.zeros(3))

"""Setting to zero at random, compiled: what the definition says."""

import math

import numpy as np
import pytest
from brute import BOTH
from hypothesis import given
from hypothesis import strategies as st

from minisparse import definitions, kernels
from minisparse.kernels import zeroing
from minisparse.prune.stochastic import zeroed

KEY = 2**63 + 12345


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(shape=st.tuples(st.integers(0, 9), st.integers(0, 40)), arrays=st.integers(0, 3))
def test_it_is_the_definition_and_that_is_the_formula(dtype, shape, arrays):
    rng = np.random.default_rng(0)
    p = rng.random(shape).astype(dtype)
    if p.size >= 3:
        p.reshape(-1)[:3] = 0, 1, 0.5
    fast = [rng.standard_normal(shape).astype(dtype) for _ in range(arrays)]
    for a in fast:
        a.reshape(-1)[:2] = np.nan
    slow, before = [a.copy() for a in fast], [a.copy() for a in fast]
    kernels.zero_at_random(p, KEY, *fast)
    definitions.zero_at_random(p, KEY, *slow)
    for a, b, c in zip(fast, slow, before, strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a, np.where(zeroed(p, kernels.uniform(p, KEY)), 0, c))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_of_large_arrays_too_whatever_the_number_of_threads(dtype, monkeypatch):
    rng = np.random.default_rng(0)
    p = rng.random((151, 233)).astype(dtype)
    slow = np.ones_like(p)
    definitions.zero_at_random(p, KEY, slow)
    for count in (1, 2, 3):
        monkeypatch.setattr(zeroing, "threads_for", lambda *_, t=count: t)
        fast = np.ones_like(p)
        kernels.zero_at_random(p, KEY, fast)
        np.testing.assert_array_equal(fast, slow)


@BOTH
@pytest.mark.parametrize("chance", [2.0**-10, 0.3, 1 - 2.0**-10])
def test_the_share_of_zeros_is_p(home, chance):
    n = 200_000
    w = np.ones(n, np.float32)
    home.zero_at_random(np.full(n, chance, np.float32), KEY, w)
    spread = math.sqrt(chance * (1 - chance) / n)
    assert np.mean(w == 0) == pytest.approx(chance, abs=4 * spread)


@BOTH
def test_a_p_of_other_numbers_than_the_weights(home):
    w, half = np.ones(100, np.float32), np.ones(100, np.float16)
    home.zero_at_random(np.arange(100) % 2, KEY, w, half)
    assert w.tolist() == half.tolist() == [1, 0] * 50
    home.zero_at_random(np.ones(100), KEY, w, half)
    assert not w.any()
    assert not half.any()


def test_parts_of_arrays_are_written_where_they_are():
    p, w = np.ones((4, 3)), np.ones((4, 6))
    kernels.zero_at_random(p, KEY, w[:, ::2])
    assert w.sum() == 12
    assert not w[:, ::2].any()


@BOTH
def test_other_shapes_are_refused(home):
    with pytest.raises(ValueError, match=r"p is \[2\], but an array is \[3\]"):
        home.zero_at_random(np.zeros(2), KEY, np.zeros(3))


@BOTH
def test_a_key_of_more_than_64_bits_is_refused(home):
    with pytest.raises(ValueError, match="a key has 64 bits"):
        home.zero_at_random(np.zeros(2), 2**64)

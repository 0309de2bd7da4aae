"""Setting to zero at random, compiled: what the definition says."""

import math

import numpy as np
import pytest
from brute import BOTH, run_elsewhere
from hypothesis import given
from hypothesis import strategies as st

from minisparse import definitions, kernels
from minisparse.kernels import zeroing
from minisparse.prune.stochastic import gaussian, zeroed

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


def weights(shape, dtype=np.float32, sigma=0.02):
    """Weights up to where p is 2^-25, and their state."""
    rng = np.random.default_rng(5)
    w = (3 * sigma * rng.standard_normal(shape)).astype(dtype)
    return w, rng.standard_normal(shape).astype(dtype)


def test_the_compiled_exponential_is_that_of_the_formula():
    w = np.concatenate([[0.0, -0.0], np.linspace(-13, 13, 50_001)]).astype(np.float32)
    p = np.empty_like(w)
    zeroing._gaussian(w, np.float32(-0.5 / math.log(2)), p)
    exact = np.exp(-0.5 * w.astype(np.float64) ** 2)
    assert p[0] == p[1] == 1
    near = exact > 2.0**-25
    np.testing.assert_allclose(p[near], exact[near], rtol=2.0**-18)
    np.testing.assert_allclose(p, exact, rtol=2.0**-16)
    assert p.max() == 1
    strange = np.array([np.nan, np.inf, -np.inf, 1e30, 14], np.float32)
    zeroing._gaussian(strange, np.float32(-0.5 / math.log(2)), p[:5])
    assert (p[:5] == 2.0**-126).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(0,), (1,), (3, 2), (5, 5, 2, 7), (4097,), (151, 233)])
def test_zeroing_by_the_size_of_weights_is_the_definition_and_that_is_the_formula(shape, dtype):
    w, v = weights(shape, dtype)
    if w.size > 2:
        w.flat[:2] = 0, np.nan
    before, state = w.copy(), v.copy()
    z = zeroed(gaussian(w, 0.02), kernels.uniform(w, KEY))
    sure = abs(kernels.uniform(w, KEY) - 1.0 + gaussian(before, 0.02)) > 2.0**-18
    kernels.zero_gaussian(0.02, KEY, w, v)
    np.testing.assert_array_equal((w == 0)[sure], (z | (before == 0))[sure])
    np.testing.assert_array_equal(w, np.where(w == 0, 0, before))
    np.testing.assert_array_equal(v[before != 0], np.where(w == 0, 0, state)[before != 0])
    slow, slow_v = before.copy(), state.copy()
    definitions.zero_gaussian(0.02, KEY, slow, slow_v)
    np.testing.assert_array_equal(slow, np.where(z, 0, before))
    np.testing.assert_array_equal(slow_v, np.where(z, 0, state))


@pytest.mark.parametrize("states", [0, 1, 2])
def test_the_same_weights_with_any_number_of_states_and_threads(states, monkeypatch):
    w, v = weights((123, 99))
    found = []
    for count in (1, 2, 3):
        monkeypatch.setattr(zeroing, "threads_for", lambda *_, t=count: t)
        one, more = w.copy(), [v.copy() for _ in range(states)]
        kernels.zero_gaussian(0.02, KEY, one, *more)
        found.append(one)
        for state in more:
            np.testing.assert_array_equal(state, np.where(one == 0, 0, v))
    definitions.zero_gaussian(0.02, KEY, w)
    for one in found[1:]:
        np.testing.assert_array_equal(one, found[0])
    assert (found[0] != w).sum() <= 1  # exp may round otherwise


def test_weights_that_are_not_contiguous_are_written_where_they_are():
    w, v = weights((40, 60))
    part, state = w[:, ::2], v.copy()
    before, whole = part.copy(), w.copy()
    kernels.zero_gaussian(0.02, KEY, part, state[:, ::2])
    definitions.zero_gaussian(0.02, KEY, before)
    np.testing.assert_array_equal(part, before)
    np.testing.assert_array_equal(w[:, 1::2], whole[:, 1::2])
    np.testing.assert_array_equal(state[:, ::2], np.where(part == 0, 0, v[:, ::2]))


def test_the_definitions_run_elsewhere(device):
    w, v = weights((7, 11))
    there = run_elsewhere(device, lambda a, b: definitions.zero_gaussian(0.02, KEY, a, b), w, v)
    definitions.zero_gaussian(0.02, KEY, w, v)
    np.testing.assert_array_equal(there[0], w)
    np.testing.assert_array_equal(there[1], v)


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

"""Random numbers from a key: the authors' known answers, the law, and the same bits in any order."""

import math

import numpy as np
import pytest
from brute import BOTH, HASWELL, NO_JIT, NO_VECTORS, assert_right_on, run_elsewhere

from minisparse import definitions, kernels
from minisparse.definitions import philox as definition
from minisparse.kernels import philox as compiled

SHAPES = [(0,), (1,), (2,), (3,), (5,), (4, 3, 2), (4095,), (4097,), (37, 301), (3, 4099)]
KEY = 0x299F31D0A4093822

# The file kat_vectors that comes with the authors' library: counter, key, words.
KNOWN = [
    ("00000000 00000000 00000000 00000000", 0, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", 2**64 - 1, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", KEY, "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


def words_of(text):
    return np.array([[int(word, 16)] for word in text.split()], np.uint64)


def fill(counter, key, n):
    """Return the words of n counters, by the compiled loop, from one on."""
    words = np.empty((4, n), np.uint32)
    compiled.fill_words(*counter, np.uint64(key), words)
    return words


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN)
def test_the_authors_known_answers(counter, key, words):
    counter, words = words_of(counter), words_of(words)
    np.testing.assert_array_equal(definition.philox(counter, key), words)
    np.testing.assert_array_equal(fill(counter[:, 0], key, 1), words)


def test_the_compiled_loop_gives_the_words_of_many_counters():
    counter = np.random.default_rng(0).integers(0, 2**32 - 5000, (4, 1), np.uint64)
    counter = np.repeat(counter, 3001, axis=1)
    counter[0] += np.arange(3001, dtype=np.uint64)
    words = definition.philox(counter, KEY)
    np.testing.assert_array_equal(fill(counter[:, 0], KEY, 3001), words)
    parts = [fill(counter[:, a], KEY, b - a) for a, b in ((0, 1), (1, 18), (18, 3001))]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), words)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("key", [0, 1, KEY, 2**64 - 1])
def test_numbers_are_the_upper_bits_of_words_of_counters_one_after_another(shape, key):
    found, twin = (home.uniform(np.empty(shape), key) for home in (definitions, kernels))
    assert found.dtype == twin.dtype == np.float32
    assert found.shape == twin.shape == shape
    np.testing.assert_array_equal(found, twin)
    q = math.ceil(found.size / 4)
    for place in {0, found.size // 3, found.size - 1} if found.size else ():
        word, j = divmod(place, q)
        counter = np.array([[j], [0], [0], [0]], np.uint64)
        assert found.flat[place] * 2**24 == definition.philox(counter, key)[word, 0] >> 8


@BOTH
def test_numbers_are_uniform(home):
    """Counts in 256 equal parts: chi squared with 255 degrees of freedom is 255 +- 23."""
    for key in (0, 1, 2**32, KEY):
        u = home.uniform(np.empty(100_000), key)
        assert u.min() >= 0
        assert u.max() < 1
        counts = np.bincount((u * 256).astype(int), minlength=256)
        expected = u.size / 256
        assert abs(((counts - expected) ** 2 / expected).sum() - 255) < 5 * 23


@BOTH
def test_every_bit_is_set_half_of_the_time_and_bits_are_independent(home):
    n = 100_000
    whole = (home.uniform(np.empty(n), KEY) * 2**24).astype(np.int64)
    bits = (whole[:, None] >> np.arange(24)) & 1
    together = (2.0 * bits - 1).T @ (2.0 * bits - 1) / n  # correlations
    assert np.abs(bits.mean(0) - 0.5).max() < 5 * 0.5 / math.sqrt(n)
    assert np.abs(together - np.eye(24)).max() < 5 / math.sqrt(n)


@BOTH
def test_numbers_words_and_keys_are_independent_of_one_another(home):
    n = 40_000
    keys = [0, 1, 2, 2**32, 2**63, KEY]
    u = np.concatenate([home.uniform(np.empty((4, n // 4)), key) for key in keys]) - 0.5
    between = u @ u.T / (n // 4) * 12  # of each word of each key with each
    assert np.abs(between - np.eye(len(u))).max() < 5 / math.sqrt(n // 4)
    for lag in (1, 2, 16, 1024):
        after = (u[:, lag:] * u[:, :-lag]).mean(1) * 12
        assert np.abs(after).max() < 5 / math.sqrt(n // 4 - lag)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_number_of_threads_does_not_change_a_bit(monkeypatch, count):
    monkeypatch.setattr(compiled, "threads_for", lambda *_: count)
    like = np.empty((123, 457))
    np.testing.assert_array_equal(kernels.uniform(like, KEY), definitions.uniform(like, KEY))


ON_ANOTHER_CPU = f"""
import numpy as np
from minisparse import definitions, kernels
x = np.empty(999)
print("right" if np.array_equal(kernels.uniform(x, {KEY}), definitions.uniform(x, {KEY})) else "wrong")
"""


@pytest.mark.parametrize("settings", [HASWELL, NO_VECTORS, NO_JIT])
def test_other_processors_draw_the_same(settings):
    assert_right_on(settings, ON_ANOTHER_CPU)


def test_on_a_device_numbers_are_the_same(device):
    like = np.empty((7, 11))
    there = run_elsewhere(device, definitions.uniform, like, KEY)
    np.testing.assert_array_equal(there, kernels.uniform(like, KEY))


@BOTH
@pytest.mark.parametrize("key", [-1, 2**64])
def test_a_key_of_more_than_64_bits_is_refused(home, key):
    with pytest.raises(ValueError, match=f"a key has 64 bits, got {key}"):
        home.uniform(np.empty(3), key)


@BOTH
def test_more_numbers_than_one_key_has_are_refused(home):
    many = np.lib.stride_tricks.as_strided(np.zeros(1, np.uint8), (2**34 + 1,), (0,))
    with pytest.raises(ValueError, match="one key gives up to 2\\^34 numbers, not 17179869185"):
        home.uniform(many, 0)

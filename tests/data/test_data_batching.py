import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minisparse.data import Split, batches, count_batches


def numbered(n):
    """Image and label n hold the number n (and image n, in its second channel, 255 - n)."""
    numbers = np.arange(n)
    images = np.stack([numbers, 255 - numbers], axis=-1).astype(np.uint8)[:, None, None, :]
    return Split(np.broadcast_to(images, (n, 2, 3, 2)), numbers)


def collect(*args, **kwargs):
    return list(batches(*args, **kwargs))


@given(st.integers(1, 60), st.integers(1, 70), st.booleans(), st.integers(0, 2**32))
def test_one_pass_shows_every_image_once(n, size, drop_last, seed):
    seen = collect(numbered(n), size, np.random.default_rng(seed), drop_last=drop_last)
    labels = [label for _, y in seen for label in y.tolist()]
    whole = n - n % size if drop_last else n
    assert len(labels) == whole
    assert len(set(labels)) == whole
    assert all(len(y) == size for _, y in (seen if drop_last else seen[:-1]))
    assert len(seen) == count_batches(n, size, drop_last)
    for x, y in seen:  # images stay with their labels
        assert x.shape == (len(y), 2, 3, 2)
        np.testing.assert_array_equal(x[:, 1, 2, 0] * np.float32(255), y)


def test_without_a_generator_the_order_is_the_split_s():
    assert np.concatenate([y for _, y in batches(numbered(10), 3)]).tolist() == list(range(10))


def test_the_generator_alone_decides_the_order():
    first, again, other = (
        np.concatenate([y for _, y in batches(numbered(50), 7, np.random.default_rng(seed))])
        for seed in (1, 1, 2)
    )
    assert first.tolist() == again.tolist()
    assert first.tolist() != other.tolist()
    assert first.tolist() != sorted(first.tolist())


def test_the_generator_is_used_at_the_call_once():
    rng, twin = np.random.default_rng(0), np.random.default_rng(0)
    epoch = batches(numbered(20), 6, rng)
    expected = twin.permutation(20).tolist()
    assert rng.bit_generator.state == twin.bit_generator.state
    assert np.concatenate([y for _, y in epoch]).tolist() == expected
    assert rng.bit_generator.state == twin.bit_generator.state


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("start", range(4))
def test_an_epoch_resumes_in_the_middle_bit_for_bit(start, drop_last):
    split, settings = numbered(23), {"drop_last": drop_last, "normalize": ((0.3, 0.2), (0.1, 0.7))}
    order = np.random.default_rng(5).permutation(23)
    whole = collect(split, 6, order=order, **settings)
    for resumed in (
        collect(split, 6, order=order, start=start, **settings),
        collect(split, 6, np.random.default_rng(5), start=start, **settings),
    ):
        assert len(resumed) == len(whole) - start
        for (x, y), (x_whole, y_whole) in zip(resumed, whole[start:], strict=True):
            assert x.tobytes() == x_whole.tobytes()
            assert y.tobytes() == y_whole.tobytes()


def test_an_order_of_one_s_own_may_leave_out_and_repeat():
    order = np.array([3, 3, 9, 0])
    epoch = batches(numbered(10), 3, order=order)
    order[:] = 1  # too late: the order was taken at the call
    assert [y.tolist() for _, y in epoch] == [[3, 3, 9], [0]]


def test_batches_share_memory_with_nothing():
    split = numbered(8)
    (x0, y0), (x1, y1) = collect(split, 4)
    for a in (x0, x1, y0, y1):
        assert a.flags.writeable
        assert not np.shares_memory(a, split.images)
        assert not np.shares_memory(a, split.labels)
    assert not np.shares_memory(x0, x1)
    assert not np.shares_memory(y0, y1)
    kept = x1.copy()
    x0[:] = y0[:] = -1
    np.testing.assert_array_equal(x1, kept)
    assert split.labels.tolist() == list(range(8))


ALL_BYTES = Split(np.arange(256, dtype=np.uint8).reshape(256, 1, 1, 1), np.zeros(256, int))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_unit_is_the_correctly_rounded_quotient_for_every_byte(dtype):
    ((x, _),) = batches(ALL_BYTES, 256, dtype=dtype)
    assert x.dtype == dtype
    assert x.ravel().tolist() == [float(dtype(v / 255)) for v in range(256)]


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 3e-7), (np.float64, 5e-16)])
def test_mean_and_deviation_act_per_channel(dtype, tolerance):
    mean, std = (0.25, 0.5), (0.5, 2.0)
    ((x, y),) = batches(numbered(200), 200, normalize=(mean, std), dtype=dtype)
    assert x.dtype == dtype
    for n in (0, 1, 77, 199):
        assert x[n, 1, 2, 0] == pytest.approx((n / 255 - 0.25) / 0.5, abs=tolerance)
        assert x[n, 1, 2, 1] == pytest.approx(((255 - n) / 255 - 0.5) / 2.0, abs=tolerance)
    ((same, _),) = batches(ALL_BYTES, 256, normalize=(0.1307, [0.3081]))
    assert same[255, 0, 0, 0] == pytest.approx((1 - 0.1307) / 0.3081, rel=1e-6)
    assert y.dtype == np.int64


def test_its_own_statistics_normalise_a_split():
    split = Split(
        np.random.default_rng(0).integers(0, 200, (500, 4, 4, 2), dtype=np.uint8),
        np.zeros(500, int),
    )
    ((x, _),) = batches(split, 500, normalize=split.channel_statistics(), dtype=np.float64)
    np.testing.assert_allclose(x.mean(axis=(0, 1, 2)), 0, atol=1e-13)
    np.testing.assert_allclose(x.std(axis=(0, 1, 2)), 1, rtol=1e-13)


def test_an_epoch_does_not_copy_the_set():
    split = Split(np.zeros((20_000, 28, 28, 1), np.uint8), np.zeros(20_000, int))
    tracemalloc.start()
    for _ in batches(split, 100, np.random.default_rng(0)):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    batch, permutation = 100 * 28 * 28 * 4, 20_000 * 8
    assert peak < 3 * batch + 3 * permutation  # 1.4 MB; the images are 15.7 MB of bytes
    assert peak > batch  # NumPy does report to tracemalloc


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"size": 0}, ValueError, "batch size must be at least 1, got 0"),
        ({"size": -3}, ValueError, "batch size"),
        ({"size": 2.0}, TypeError, "float"),
        ({"dtype": np.float16}, TypeError, "float32 or float64, got float16"),
        ({"dtype": int}, TypeError, "float32 or float64"),
        ({"rng": 0}, TypeError, "must be a Generator"),
        ({"rng": np.random.default_rng(0), "order": [0]}, ValueError, "not both"),
        ({"order": [0, 10]}, IndexError, r"\[0, 10\), got 0 to 10"),
        ({"order": [-1]}, IndexError, r"got -1"),
        ({"order": [0.5]}, TypeError, "1-D array of integers"),
        ({"order": [[1]]}, TypeError, "1-D array of integers"),
        ({"start": -1}, ValueError, "start must lie in"),
        ({"start": 4}, ValueError, r"start must lie in \[0, 3\], the number of batches, got 4"),
        ({"normalize": "zero"}, ValueError, "normalize must be"),
        ({"normalize": 0.5}, ValueError, "normalize must be"),
        ({"normalize": (0.5,)}, ValueError, "normalize must be"),
        ({"normalize": np.ones((2, 2))}, ValueError, "normalize must be"),
        ({"normalize": ((0, 0, 0), (1, 1, 1))}, ValueError, "each of 2 channels"),
        ({"normalize": (0.5, 0.0)}, ValueError, "positive deviations"),
        ({"normalize": (float("nan"), 1.0)}, ValueError, "finite means"),
    ],
)
def test_bad_arguments_are_refused_at_the_call(arguments, error, message):
    with pytest.raises(error, match=message):
        batches(numbered(10), **{"size": 4, **arguments})

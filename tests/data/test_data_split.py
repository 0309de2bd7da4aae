import statistics

import numpy as np
import pytest

from minisparse.data import DataError, Dataset, Split


@pytest.fixture
def split():
    """Twelve images; image n is filled with 10 n + channel."""
    images = 10 * np.arange(12, dtype=np.uint8)[:, None, None, None] + np.arange(3, dtype=np.uint8)
    return Split(np.broadcast_to(images, (12, 4, 5, 3)), np.arange(12) % 5)


@pytest.mark.parametrize(
    ("images", "labels", "error", "message"),
    [
        (np.zeros((2, 4, 4, 1)), [0, 1], TypeError, "images must be uint8, got float64"),
        (np.zeros((2, 4, 4), np.uint8), [0, 1], ValueError, r"shape \[N, H, W, C\]"),
        (np.zeros((2, 4, 4, 1), np.uint8), [0, 1, 2], ValueError, "one per image"),
        (np.zeros((2, 4, 4, 1), np.uint8), [[0], [1]], ValueError, "one per image"),
        (np.zeros((2, 4, 4, 1), np.uint8), [0.0, 1.0], TypeError, "labels must be integers"),
        (np.zeros((2, 4, 4, 1), np.uint8), [0, -1], ValueError, "labels count from 0, got -1"),
        (np.zeros((0, 4, 4, 1), np.uint8), np.zeros(0, int), ValueError, "at least one image"),
    ],
)
def test_a_split_of_the_wrong_kind_is_refused(images, labels, error, message):
    with pytest.raises(error, match=message):
        Split(images, labels)


def test_a_split_cannot_be_written_to_but_its_maker_keeps_the_arrays():
    images, labels = np.zeros((2, 4, 4, 1), np.uint8), np.array([0, 1])
    split = Split(images, labels)
    with pytest.raises(ValueError, match="read-only"):
        split.images[0] = 1
    with pytest.raises(ValueError, match="read-only"):
        split.labels[0] = 1
    images[0] = labels[0] = 1
    assert np.shares_memory(split.images, images)


def test_labels_become_int64():
    split = Split(np.zeros((2, 1, 1, 1), np.uint8), np.array([7, 255], np.uint8))
    assert split.labels.dtype == np.int64
    assert split.labels.tolist() == [7, 255]
    assert len(split) == 2


def test_subset_picks_in_the_order_given(split):
    part = split.subset([7, 0, 7])
    assert part.images[:, 0, 0, 0].tolist() == [70, 0, 70]
    assert part.labels.tolist() == [2, 0, 2]
    assert split.subset(split.labels == 4).images[:, 3, 4, 2].tolist() == [42, 92]


@pytest.mark.parametrize(
    ("indices", "error"),
    [
        ([0, 12], IndexError),
        ([-1], IndexError),
        ([0.0], TypeError),
        (3, TypeError),
        ([[1, 2]], TypeError),
        ([True, False], IndexError),
        ([], ValueError),
    ],
)
def test_subset_refuses_bad_indices(split, indices, error):
    with pytest.raises(error):
        split.subset(indices)


def test_validation_split_is_a_partition_in_the_original_order(split):
    train, validation = split.split_validation(4, np.random.default_rng(0))
    a, b = train.images[:, 0, 0, 0].tolist(), validation.images[:, 0, 0, 0].tolist()
    assert (len(a), len(b)) == (8, 4)
    assert sorted(a + b) == list(range(0, 120, 10))
    assert a == sorted(a)
    assert b == sorted(b)
    for part in (train, validation):
        assert part.labels.tolist() == [n // 10 % 5 for n in part.images[:, 0, 0, 0].tolist()]


def test_validation_split_follows_the_generator_and_is_uniform(split):
    def draw(seed):
        return split.split_validation(4, np.random.default_rng(seed))[1].images[:, 0, 0, 0] // 10

    assert draw(1).tolist() == draw(1).tolist()
    counts = np.bincount(np.concatenate([draw(seed) for seed in range(600)]), minlength=12)
    # Each image is drawn with probability 1/3: 200 of 600 times, standard deviation 11.5.
    assert abs(counts - 200).max() < 5 * 11.5


@pytest.mark.parametrize("n", [-1, 0, 12, 13])
def test_validation_split_leaves_no_part_empty(split, n):
    with pytest.raises(ValueError, match=rf"cannot set aside {n} of 12 .* expected 1 to 11"):
        split.split_validation(n, np.random.default_rng(0))


def test_channel_statistics_equal_those_of_the_standard_library():
    images = np.random.default_rng(0).integers(0, 256, (2300, 2, 3, 2), dtype=np.uint8)
    mean, std = Split(images, np.zeros(2300, int)).channel_statistics()
    for channel in range(2):
        values = [v / 255 for v in images[..., channel].ravel().tolist()]
        assert mean[channel] == pytest.approx(statistics.fmean(values), rel=1e-12)
        assert std[channel] == pytest.approx(statistics.pstdev(values), rel=1e-12)


def test_a_dataset_checks_that_its_parts_fit(split):
    Dataset("fits", split, split, tuple("abcde"))
    with pytest.raises(DataError, match="clash: label 4 in the train split, expected 0 to 3"):
        Dataset("clash", split, split, tuple("abcd"))
    narrow = Split(split.images[:, :, :4], split.labels)
    with pytest.raises(DataError, match=r"\(4, 5, 3\) to train on, \(4, 4, 3\) to test on"):
        Dataset("clash", split, narrow, tuple("abcde"))

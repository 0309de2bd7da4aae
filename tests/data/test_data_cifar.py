import numpy as np
import pytest

from minisparse.data import DataError
from minisparse.data.cifar import parse_cifar10


def record(label, pixel):
    """A record written as the format's page says; pixel(channel, row, column) -> byte."""
    planes = [pixel(c, i, j) for c in range(3) for i in range(32) for j in range(32)]
    return bytes([label, *planes])


def test_colour_planes_become_the_last_axis():
    def pixel(c, i, j):
        return (100 * c + 7 * i + 3 * j) % 256

    images, labels = parse_cifar10(record(3, pixel) + record(9, lambda c, _i, _j: c))
    assert images.shape == (2, 32, 32, 3)
    assert images.dtype == np.uint8
    assert images.flags.c_contiguous
    assert labels.dtype == np.int64
    assert labels.tolist() == [3, 9]
    for i, j, c in [(0, 0, 0), (0, 1, 0), (1, 0, 0), (31, 30, 1), (5, 17, 2), (31, 31, 2)]:
        assert images[0, i, j, c] == pixel(c, i, j)
        assert images[1, i, j, c] == c


GRAY = record(0, lambda _c, _i, _j: 128)


@pytest.mark.parametrize(
    "raw", [b"", GRAY[:-1], GRAY + b"\0", GRAY + GRAY[:2000]], ids=["empty", "short", "long", "cut"]
)
def test_a_broken_number_of_bytes_is_refused(raw):
    with pytest.raises(DataError, match=f"batch.bin: {len(raw):,} bytes is not a whole number"):
        parse_cifar10(raw, "batch.bin")


def test_a_label_above_nine_is_refused():
    with pytest.raises(DataError, match=r"batch.bin: record 1 has label 10, expected 0 to 9"):
        parse_cifar10(GRAY + b"\x0a" + GRAY[1:], "batch.bin")

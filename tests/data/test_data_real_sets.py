"""The real data against what the literature and other programs say of it."""

import gzip
import hashlib
from pathlib import Path

import numpy as np
import pytest

from minisparse import data

FOLDER = Path(data.__file__).parent / "mnist"


@pytest.fixture(scope="module")
def mnist():
    return data.load("mnist")


@pytest.mark.parametrize(
    ("name", "md5"),
    [  # as published with the files
        ("train-images-idx3-ubyte.gz", "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
        ("train-labels-idx1-ubyte.gz", "d53e105ee54ea40749a09fcbcd1e9432"),
        ("t10k-images-idx3-ubyte.gz", "9fb629c4189551a2d022fa330f9573f3"),
        ("t10k-labels-idx1-ubyte.gz", "ec29112dd5afa0611ce80d1b7f02629c"),
    ],
)
def test_the_bundled_files_are_the_official_ones(name, md5):
    content = (FOLDER / name).read_bytes()
    assert hashlib.md5(content, usedforsecurity=False).hexdigest() == md5
    assert f"| {name} | {len(content):,} | {md5} |" in (FOLDER / "ORIGIN.md").read_text()


def test_mnist_counts(mnist):
    assert mnist.train.images.shape == (60_000, 28, 28, 1)
    assert mnist.test.images.shape == (10_000, 28, 28, 1)
    assert mnist.classes == tuple("0123456789")
    # Class counts, as widely published.
    assert np.bincount(mnist.train.labels).tolist() == [
        *(5923, 6742, 5958, 6131, 5842),
        *(5421, 5918, 6265, 5851, 5949),
    ]
    assert np.bincount(mnist.test.labels).tolist() == [
        *(980, 1135, 1032, 1010, 982),
        *(892, 958, 1028, 974, 1009),
    ]
    assert mnist.train.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert mnist.test.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]


def test_mnist_pixel_sums(mnist):
    """Sums made with the shell: zcat FILE | tail -c +17 | od -An -v -tu1 -w784 | awk ..."""
    per_image = mnist.train.images.sum(axis=(1, 2, 3), dtype=np.int64)
    assert per_image[:3].tolist() == [27525, 31095, 19443]
    assert per_image.sum() == 1_567_298_545
    assert mnist.train.images[:, 14, 14, 0].sum(dtype=np.int64) == 7_816_035
    assert mnist.train.images[:, 13, 15, 0].sum(dtype=np.int64) == 7_438_324
    per_image = mnist.test.images.sum(axis=(1, 2, 3), dtype=np.int64)
    assert per_image[:3].tolist() == [18454, 28850, 9871]
    assert per_image.sum() == 264_923_200


def test_mnist_pixels_are_where_the_file_has_them(mnist):
    raw = gzip.decompress((FOLDER / "t10k-images-idx3-ubyte.gz").read_bytes())
    for n, i, j in [(0, 7, 6), (1, 3, 10), (123, 14, 13), (9_999, 20, 8)]:
        assert mnist.test.images[n, i, j, 0] == raw[16 + 784 * n + 28 * i + j]
    # The upper edge of the first training image, a five.
    assert mnist.train.images[0, 5, 12:24, 0].tolist() == [
        *(3, 18, 18, 18, 126, 136, 175, 26, 166, 255, 247, 127),
    ]


def test_mnist_mean_and_deviation_are_the_usual_ones(mnist):
    (mean,), (std,) = mnist.train.channel_statistics()
    assert round(mean, 4) == 0.1307
    assert round(std, 4) == 0.3081


def test_describe_agrees_with_the_data(mnist):
    described = data.describe("mnist")
    assert described.bundled
    assert described.available
    assert described.n_train == len(mnist.train)
    assert described.n_test == len(mnist.test)
    assert described.image_shape == mnist.train.images.shape[1:]
    assert "CC BY-SA 3.0" in described.licence
    assert data.names()[0] == "mnist"


def load_if_here(name):
    if not data.describe(name).available:
        pytest.skip(f"the files of {name} are not on this machine")
    return data.load(name)


def test_fashion_mnist():
    fashion = load_if_here("fashion-mnist")
    assert np.bincount(fashion.train.labels).tolist() == [6_000] * 10
    assert np.bincount(fashion.test.labels).tolist() == [1_000] * 10
    assert fashion.classes[fashion.train.labels[0]] == "Ankle boot"
    (mean,), (std,) = fashion.train.channel_statistics()
    assert (round(mean, 4), round(std, 4)) == (0.2860, 0.3530)  # as commonly used


def test_cifar_10():
    cifar = load_if_here("cifar-10")
    assert np.bincount(cifar.train.labels).tolist() == [5_000] * 10
    assert np.bincount(cifar.test.labels).tolist() == [1_000] * 10
    mean, std = cifar.train.channel_statistics()
    assert [round(m, 4) for m in mean] == [0.4914, 0.4822, 0.4465]  # as commonly used
    assert [round(s, 4) for s in std] == [0.2470, 0.2435, 0.2616]
    # Made with the shell: od -An -v -tu1 -w3073 FILE | head -1 | awk ...
    first = cifar.train.images[0]
    assert cifar.classes[cifar.train.labels[0]] == "frog"
    assert first.sum(axis=(0, 1), dtype=np.int64).tolist() == [144_594, 107_622, 65_574]
    assert first[0, :2].tolist() == [[59, 62, 63], [43, 46, 45]]
    assert first[1, 0, 0] == 16
    assert cifar.classes[cifar.test.labels[0]] == "cat"
    assert cifar.test.images[0, 0, :2].tolist() == [[158, 112, 49], [159, 111, 47]]

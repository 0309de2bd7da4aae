"""The data sets: where their files come from, how to recognise them, how to read them."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from minisparse.data.cifar import parse_cifar10
from minisparse.data.errors import DataError
from minisparse.data.files import DataFile, Download, Source
from minisparse.data.idx import parse_idx
from minisparse.data.split import Split


def _parse_mnist(contents: Mapping[str, bytes]) -> tuple[Split, Split]:
    """Both splits of MNIST, or of a set in the same four files."""
    return _idx_split(contents, "train"), _idx_split(contents, "t10k")


def _idx_split(contents: Mapping[str, bytes], prefix: str) -> Split:
    arrays = []
    for suffix, ndim in (("images-idx3-ubyte", 3), ("labels-idx1-ubyte", 1)):
        name = f"{prefix}-{suffix}"
        array = parse_idx(contents[name], name)
        if array.dtype != np.uint8 or array.ndim != ndim or array.size == 0:
            raise DataError(
                f"{name}: holds {array.dtype} of shape {array.shape}, expected uint8 with {ndim} "
                "dimensions, not empty. Are images and labels exchanged?"
            )
        arrays.append(array)
    images, labels = arrays
    if labels.max() > 9:
        at = int(np.argmax(labels > 9))
        raise DataError(f"{name}: label {at} is {labels[at]}, expected 0 to 9")
    if len(images) != len(labels):
        raise DataError(
            f"{prefix}-*: {len(images)} images but {len(labels)} labels. "
            "The two files do not belong together."
        )
    return Split(images[..., np.newaxis], labels)


def _parse_cifar10(contents: Mapping[str, bytes]) -> tuple[Split, Split]:
    """Five files to train on, one to test on."""
    train = [parse_cifar10(contents[name], name) for name in _CIFAR_TRAIN]
    images, labels = zip(*train, strict=True)
    test = Split(*parse_cifar10(contents[_CIFAR_TEST], _CIFAR_TEST))
    return Split(np.concatenate(images), np.concatenate(labels)), test


def _mnist_files(
    train_images: str, train_labels: str, t10k_images: str, t10k_labels: str
) -> tuple[DataFile, ...]:
    """Name MNIST's four files, given the SHA-256 of each; the sizes follow from the counts."""
    return (
        DataFile("train-images-idx3-ubyte", 16 + 60_000 * 28 * 28, train_images),
        DataFile("train-labels-idx1-ubyte", 8 + 60_000, train_labels),
        DataFile("t10k-images-idx3-ubyte", 16 + 10_000 * 28 * 28, t10k_images),
        DataFile("t10k-labels-idx1-ubyte", 8 + 10_000, t10k_labels),
    )


_CIFAR_TRAIN = tuple(f"data_batch_{i}.bin" for i in range(1, 6))
_CIFAR_TEST = "test_batch.bin"

_MNIST = Source(
    name="mnist",
    title="MNIST",
    origin="Y. LeCun, C. Cortes, C. J. C. Burges: the MNIST database of handwritten digits (1998), "
    "from NIST's Special Databases 1 and 3",
    licence="CC BY-SA 3.0, as commonly stated (see ORIGIN.md beside the files)",
    classes=tuple("0123456789"),
    n_train=60_000,
    n_test=10_000,
    image_shape=(28, 28, 1),
    files=_mnist_files(
        train_images="ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        train_labels="65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        t10k_images="0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        t10k_labels="ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
    parse=_parse_mnist,
    bundled=Path(__file__).parent / "mnist",
)

_FASHION_HOME = (
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/"
)
_FASHION_MNIST = Source(
    name="fashion-mnist",
    title="Fashion-MNIST",
    origin="H. Xiao, K. Rasul, R. Vollgraf: Fashion-MNIST, arXiv:1708.07747 (2017), Zalando SE",
    licence="MIT",
    classes=(
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ),
    n_train=60_000,
    n_test=10_000,
    image_shape=(28, 28, 1),
    files=_mnist_files(
        train_images="c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        train_labels="bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        t10k_images="5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        t10k_labels="0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
    parse=_parse_mnist,
    downloads=(
        Download(
            _FASHION_HOME + "train-images-idx3-ubyte.gz",
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        ),
        Download(
            _FASHION_HOME + "train-labels-idx1-ubyte.gz",
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        ),
        Download(
            _FASHION_HOME + "t10k-images-idx3-ubyte.gz",
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        ),
        Download(
            _FASHION_HOME + "t10k-labels-idx1-ubyte.gz",
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        ),
    ),
)

_CIFAR_10 = Source(
    name="cifar-10",
    title="CIFAR-10",
    origin="A. Krizhevsky: Learning multiple layers of features from tiny images, University of "
    "Toronto (2009)",
    licence="none stated; the author asks to cite the report",
    classes=(
        *("airplane", "automobile", "bird", "cat", "deer"),
        *("dog", "frog", "horse", "ship", "truck"),
    ),
    n_train=50_000,
    n_test=10_000,
    image_shape=(32, 32, 3),
    files=tuple(
        DataFile(name, 10_000 * (1 + 3 * 32 * 32), sha256)
        for name, sha256 in zip(
            (*_CIFAR_TRAIN, _CIFAR_TEST),
            (
                "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
                "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
                "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
                "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
                "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
                "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
            ),
            strict=True,
        )
    ),
    parse=_parse_cifar10,
    downloads=(
        Download(
            "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
            "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
        ),
    ),
    archive="cifar-10-binary.tar.gz",
    inside="cifar-10-batches-bin",
)

SOURCES = {source.name: source for source in (_MNIST, _FASHION_MNIST, _CIFAR_10)}

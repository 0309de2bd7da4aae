"""Data sets as arrays, the batches that training draws from them, and other views of the images.

MNIST comes with the package. Fashion-MNIST and CIFAR-10 are downloaded, or read from a folder:
``$MINISPARSE_DATA/fashion-mnist/`` and ``$MINISPARSE_DATA/cifar-10/`` hold the files.
"""

from minisparse.data.augmentation import Augmentation
from minisparse.data.batching import batches, count_batches
from minisparse.data.errors import DataError, MissingDataError
from minisparse.data.loading import describe, load, names
from minisparse.data.split import Dataset, Split

__all__ = [
    "Augmentation",
    "DataError",
    "Dataset",
    "MissingDataError",
    "Split",
    "batches",
    "count_batches",
    "describe",
    "load",
    "names",
]

"""Labelled images in memory: a split, and a data set made of two."""

import math
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from minisparse.data.errors import DataError
from minisparse.doors import door


def _array(given: ArrayLike, what: str) -> NDArray[Any]:
    try:
        return np.asarray(given)
    except ValueError as error:  # rows of several lengths
        raise TypeError(f"{what} must be an array, got a {type(given).__name__}: {error}") from error


@dataclass(frozen=True, eq=False)
class Split:
    """Images and their labels, both read-only.

    Parameters
    ----------
    images : array of uint8 [N, H, W, C]
        Channels last. Held as given, not copied.
    labels : array of integers [N]
        Class numbers from 0; kept as int64.

    Raises
    ------
    TypeError
        `images` is not uint8, or `labels` are not integers.
    ValueError
        A wrong number of dimensions, unequal lengths, no image at all, or a negative label.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def __post_init__(self) -> None:
        images, labels = _array(self.images, "images"), _array(self.labels, "labels")
        if images.dtype != np.uint8:
            raise TypeError(f"images must be uint8, got {images.dtype}")
        if not np.issubdtype(labels.dtype, np.integer):
            raise TypeError(f"labels must be integers, got {labels.dtype}")
        if images.ndim != 4:
            raise ValueError(f"images must have shape [N, H, W, C], got {images.shape}")
        if labels.shape != images.shape[:1]:
            raise ValueError(
                f"labels must have shape {images.shape[:1]}, one per image, got {labels.shape}"
            )
        if images.size == 0:
            raise ValueError(f"a split needs at least one image, got shape {images.shape}")
        if labels.min() < 0:
            raise ValueError(f"labels count from 0, got {labels.min()}")
        # Views, so that the caller's own arrays stay writable.
        images, labels = images.view(), labels.astype(np.int64, copy=False).view()
        images.flags.writeable = labels.flags.writeable = False
        object.__setattr__(self, "images", images)
        object.__setattr__(self, "labels", labels)

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        n, *shape = self.images.shape
        return f"Split({n:,} images of shape {tuple(shape)})"

    @door
    def subset(self, indices: ArrayLike) -> "Split":
        """Pick some of the images, in the order given; repetitions are allowed.

        Parameters
        ----------
        indices : array of integers in [0, N), or of bool [N]

        Returns
        -------
        Split
            A copy of the images picked.

        Raises
        ------
        TypeError, IndexError
            See `check_indices`.
        """
        chosen = np.asarray(indices)
        if chosen.dtype == bool:
            if chosen.shape != (len(self),):
                raise IndexError(f"a bool index must have shape ({len(self)},), got {chosen.shape}")
            chosen = np.flatnonzero(chosen)
        chosen = check_indices(chosen, len(self))
        return Split(self.images.take(chosen, axis=0), self.labels[chosen])

    @door
    def split_validation(self, n: int, rng: np.random.Generator) -> tuple["Split", "Split"]:
        """Set aside `n` images, drawn uniformly without replacement, for validation.

        The draw is not stratified: class counts differ from `n` / classes as chance has it. Both
        parts keep the original order of the images.

        Parameters
        ----------
        n : int
            How many, 1 to N - 1.
        rng : numpy.random.Generator

        Returns
        -------
        train, validation : Split
            N - n and n images.

        Raises
        ------
        ValueError
            `n` leaves one of the two parts empty.
        """
        if not 1 <= n < len(self):
            raise ValueError(
                f"cannot set aside {n} of {len(self)} images for validation: "
                f"expected 1 to {len(self) - 1}"
            )
        chosen = np.zeros(len(self), dtype=bool)
        chosen[rng.permutation(len(self))[:n]] = True
        return self.subset(~chosen), self.subset(chosen)

    def checksum(self) -> int:
        """CRC-32 of images and labels, to tell one split from another."""
        found = 0
        for array in (self.images, self.labels):
            found = zlib.crc32(np.ascontiguousarray(array).data.cast("B"), found)
        return found

    def channel_statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation of each channel of images / 255.

        What `batches` takes as `normalize`. Sums are kept in integers, so nothing is rounded
        before the last division.

        Returns
        -------
        mean, std : tuple of float
            One number per channel; std has the divisor N H W.
        """
        channels = self.images.shape[3]
        n = self.images.size // channels
        total, squares = np.zeros(channels, np.int64), np.zeros(channels, np.int64)
        for start in range(0, len(self), 1000):  # a few at a time: no wide copy of the whole set
            pixels = self.images[start : start + 1000].astype(np.int64).reshape(-1, channels)
            total += pixels.sum(axis=0)
            squares += (pixels**2).sum(axis=0)
        mean = tuple(t / n / 255 for t in total.tolist())
        std = tuple(
            math.sqrt(n * s - t * t) / n / 255  # n^2 variance = n sum(x^2) - sum(x)^2
            for t, s in zip(total.tolist(), squares.tolist(), strict=True)
        )
        return mean, std


@dataclass(frozen=True, eq=False)
class Dataset:
    """A training and a test split with the names of the classes.

    Raises
    ------
    DataError
        The splits hold images of different shapes, or a label that names no class.
    """

    name: str
    train: Split
    test: Split
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        shapes = [split.images.shape[1:] for split in (self.train, self.test)]
        if shapes[0] != shapes[1]:
            raise DataError(
                f"{self.name}: images of shape {shapes[0]} to train on, {shapes[1]} to test on"
            )
        for part, split in (("train", self.train), ("test", self.test)):
            if split.labels.max() >= len(self.classes):
                raise DataError(
                    f"{self.name}: label {split.labels.max()} in the {part} split, "
                    f"expected 0 to {len(self.classes) - 1}"
                )


def check_indices(indices: NDArray[Any], n: int) -> NDArray[np.int64]:
    """Return `indices` as int64 if they are a 1-D array of integers in [0, n).

    Negative indices are refused: a sign error would pick wrong images silently.
    """
    if indices.ndim != 1 or not (np.issubdtype(indices.dtype, np.integer) or indices.size == 0):
        raise TypeError(
            f"indices must be a 1-D array of integers, got shape {indices.shape} of {indices.dtype}"
        )
    if indices.size and (indices.min() < 0 or indices.max() >= n):
        raise IndexError(f"indices must lie in [0, {n}), got {indices.min()} to {indices.max()}")
    return indices.astype(np.int64, copy=False)

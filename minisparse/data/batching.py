"""From a split of bytes to the batches of floats that a network sees."""

import math
import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from minisparse.arrays import as_dtype
from minisparse.data.split import Split, check_indices
from minisparse.doors import door

Normalization = Literal["unit"] | tuple[float | Sequence[float], float | Sequence[float]]

Augment = Callable[[Any, np.random.Generator], Any]  # images -> other views of them


def count_batches(n: int, size: int, drop_last: bool = False) -> int:
    """Return the number of batches of `size` in one pass over `n` images.

    Examples
    --------
    >>> count_batches(60_000, 128), count_batches(60_000, 128, drop_last=True)
    (469, 468)
    """
    size = operator.index(size)
    if size < 1:
        raise ValueError(f"the batch size must be at least 1, got {size}")
    return n // size if drop_last else math.ceil(n / size)


@door
def batches(
    split: Split,
    size: int,
    rng: np.random.Generator | None = None,
    *,
    normalize: Normalization = "unit",
    drop_last: bool = False,
    dtype: DTypeLike = np.float32,
    order: ArrayLike | None = None,
    start: int = 0,
) -> Iterator[tuple[NDArray[Any], NDArray[np.int64]]]:
    """Go once through a split, batch by batch.

    Only one batch at a time is turned into floats. Each pair of arrays is new and the caller's own.

    Parameters
    ----------
    split : Split
    size : int
        Images per batch.
    rng : numpy.random.Generator, optional
        Shuffles: draws one permutation, at the call. Without `rng` and `order` the images come in
        the order of the split.
    normalize : "unit" or (mean, std)
        "unit": x / 255. Otherwise (x / 255 - mean) / std with one number per channel, or one for
        all; see `Split.channel_statistics`.
    drop_last : bool
        Leave out the last batch if it is smaller than `size`.
    dtype : float32 or float64
        Of the images.
    order : array of integers, optional
        Indices into the split, in the order wanted, instead of `rng`.
    start : int
        Number of batches to skip: `order` (or a generator in the same state) and `start` resume an
        epoch in the middle, bit for bit.

    Returns
    -------
    iterator of (x, y)
        x : float [B, H, W, C]; y : int64 [B].

    Raises
    ------
    TypeError, ValueError, IndexError
        An argument is out of range, or both `rng` and `order` are given. Raised at the call.

    Examples
    --------
    >>> split = Split(np.full((5, 2, 2, 1), 255, np.uint8), np.arange(5))
    >>> for x, y in batches(split, 2, order=[4, 3, 2, 1, 0]):
    ...     print(x.shape, x.dtype, x.max(), y)
    (2, 2, 2, 1) float32 1.0 [4 3]
    (2, 2, 2, 1) float32 1.0 [2 1]
    (1, 2, 2, 1) float32 1.0 [0]
    """
    if rng is not None and order is not None:
        raise ValueError("give rng (a shuffled order) or order (your own), not both")
    dtype = as_dtype(dtype)
    if dtype not in (np.float32, np.float64):
        raise TypeError(f"dtype must be float32 or float64, got {dtype}")
    unit = isinstance(normalize, str) and normalize == "unit"
    affine = None if unit else _affine(normalize, split.images.shape[3], dtype)
    if order is not None:
        indices = check_indices(np.array(order), len(split))
    elif rng is None:
        indices = np.arange(len(split))
    elif isinstance(rng, np.random.Generator):
        indices = rng.permutation(len(split))
    else:
        raise TypeError(f"rng must be a Generator (np.random.default_rng(seed)), got {rng!r}")
    n_batches = count_batches(len(indices), size, drop_last)
    start = operator.index(start)
    if not 0 <= start <= n_batches:
        raise ValueError(f"start must lie in [0, {n_batches}], the number of batches, got {start}")

    def produce() -> Iterator[tuple[NDArray[Any], NDArray[np.int64]]]:
        for b in range(start, n_batches):
            chosen = indices[b * size : (b + 1) * size]
            x = split.images.take(chosen, axis=0).astype(dtype)
            x /= 255
            if affine is not None:
                mean, std = affine
                x -= mean
                x /= std
            yield x, split.labels[chosen]

    return produce()


def _affine(
    normalize: Any, channels: int, dtype: np.dtype[Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Check (mean, std) and bring both to shape [C]."""
    if isinstance(normalize, str) or not isinstance(normalize, Sequence) or len(normalize) != 2:
        raise ValueError(f'normalize must be "unit" or a pair (mean, std), got {normalize!r}')
    pair = []
    for name, value in zip(("mean", "std"), normalize, strict=True):
        array = np.asarray(value, dtype=np.float64)
        if array.shape not in ((), (1,), (channels,)):
            raise ValueError(
                f"normalize: {name} must be one number or one for each of {channels} channels, "
                f"got shape {array.shape}"
            )
        pair.append(np.broadcast_to(array, (channels,)))
    mean, std = pair
    if not (np.isfinite(mean).all() and np.isfinite(std).all() and (std > 0).all()):
        raise ValueError(
            f"normalize: expected finite means and positive deviations, got {normalize!r}"
        )
    return mean.astype(dtype), std.astype(dtype)

"""Another view of each image whenever it is trained on: moved by some pixels, and mirrored or not."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from minisparse.arrays import array_module
from minisparse.doors import door
from minisparse.kernels.dispatch import kernel


@dataclass(frozen=True)
class Augmentation:
    """Random shifts and horizontal flips, drawn anew for each image.

    An image is padded by `shift` zeros on each side and cropped to its size again, at one of the
    (2 shift + 1)^2 places, and mirrored or not; all with the same chance.  With a shift of 4 that is
    what is done on CIFAR-10 (He et al. 2016).  Digits are no longer digits when they are mirrored.

    Parameters
    ----------
    shift : int
        In pixels; 0 is none.  One larger than the image may leave nothing of it.
    flip : bool
        Whether half of the images are mirrored, left to right.

    Raises
    ------
    TypeError, ValueError
        A shift that is no whole number, or is negative, a flip that is neither True nor False.

    Examples
    --------
    >>> augment = Augmentation(shift=1)
    >>> images = np.arange(1.0, 10.0).reshape(1, 3, 3, 1)
    >>> augment(images, np.random.default_rng(2))[0, :, :, 0]
    array([[0., 4., 5.],
           [0., 7., 8.],
           [0., 0., 0.]])
    """

    shift: int = 4
    flip: bool = True

    def __post_init__(self) -> None:
        if isinstance(self.shift, bool) or not isinstance(self.shift, int | np.integer):
            raise TypeError(f"shift, in pixels, is a whole number >= 0, got {self.shift!r}")
        if self.shift < 0:
            raise ValueError(f"shift, in pixels, is a whole number >= 0, got {self.shift}")
        if not isinstance(self.flip, bool | np.bool_):
            raise TypeError(f"flip is True or False, got {self.flip!r}")
        object.__setattr__(self, "shift", int(self.shift))
        object.__setattr__(self, "flip", bool(self.flip))

    @door
    def __call__(self, images: Any, rng: np.random.Generator) -> Any:
        """Return other views of some images.

        Parameters
        ----------
        images : array [N, H, W, C]
            Of any array library, and any type of number; not changed.
        rng : numpy.random.Generator
            Draws the rows and the columns of all images if there is a shift, and then whether they
            are mirrored if there are flips.

        Returns
        -------
        array, like `images`
            A new one.

        Raises
        ------
        TypeError, ValueError
            `images` is no array or has not four axes, `rng` is no Generator.
        """
        xp = array_module(images)
        if images.ndim != 4:
            raise ValueError(f"images are [N, H, W, C], got shape {list(images.shape)}")
        if not isinstance(rng, np.random.Generator):
            raise TypeError(f"rng must be a Generator (np.random.default_rng(seed)), got {rng!r}")
        n = images.shape[0]
        moves, mirrored = np.zeros((2, n), np.int64), np.zeros(n, bool)
        if self.shift:
            moves = rng.integers(-self.shift, self.shift, (2, n), endpoint=True)
        if self.flip:
            mirrored = rng.integers(2, size=n, dtype=bool)
        return kernel("move_images", images)(images, *map(xp.asarray, (*moves, mirrored)))

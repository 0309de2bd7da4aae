"""Images moved and mirrored, compiled: what the definition says, and that is padding and cropping."""

import numpy as np
import pytest
from brute import BOTH, run_elsewhere

from minisparse import definitions, kernels
from minisparse.kernels import augment

SHAPES = [
    (1, 5, 7, 3),
    (6, 4, 4, 1),
    (9, 3, 8, 2),
    (3, 1, 6, 1),
    (2, 6, 1, 4),
    (0, 3, 3, 1),
    (2, 3, 0, 1),
]


def draw(shape, reach, dtype=np.float32, seed=0):
    rng = np.random.default_rng(seed)
    x = (100 * rng.standard_normal(shape)).astype(dtype)
    rows, columns = rng.integers(-reach, reach, (2, shape[0]), endpoint=True)
    return x, rows, columns, rng.integers(2, size=shape[0], dtype=bool)


def brute(x, rows, columns, mirrored):
    """Pad by as much as it takes, crop, turn around."""
    pad = max((int(abs(a)) for a in (*rows, *columns)), default=0)
    padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    y = np.empty_like(x)
    for n, (i, j, turn) in enumerate(zip(rows + pad, columns + pad, mirrored, strict=True)):
        crop = padded[n, i : i + x.shape[1], j : j + x.shape[2]]
        y[n] = crop[:, ::-1] if turn else crop
    return y


@BOTH
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8, np.float16, bool])
@pytest.mark.parametrize("reach", [0, 1, 3, 20])
@pytest.mark.parametrize("shape", SHAPES)
def test_an_image_is_padded_cropped_and_mirrored(home, shape, reach, dtype):
    x, *moves = draw(shape, reach, dtype)
    before = x.copy()
    y = home.move_images(x, *moves)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, brute(x, *moves))
    np.testing.assert_array_equal(x, before)
    assert not np.shares_memory(x, y)


@BOTH
def test_what_lies_outside_is_0_even_beside_a_nan(home):
    x = np.full((2, 2, 2, 1), np.nan)
    y = home.move_images(x, np.array([1, 0]), np.array([0, 1]), np.array([False, True]))
    np.testing.assert_array_equal(y[0, :, :, 0], [[np.nan, np.nan], [0, 0]])
    np.testing.assert_array_equal(y[1, :, :, 0], [[0, np.nan], [0, np.nan]])


@BOTH
@pytest.mark.parametrize("far", [10**18, -(10**18), 2**63 - 1, 1 - 2**63])
def test_nothing_is_left_of_an_image_that_goes_very_far(home, far):
    x, far = np.ones((2, 3, 4, 3), np.float32), np.array([far, far])
    for rows, columns in ((far, 0 * far), (0 * far, far)):
        assert not home.move_images(x, rows, columns, np.array([False, True])).any()


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_images_that_are_not_contiguous(dtype):
    x, *moves = draw((5, 12, 9, 6), 2, dtype)
    for part in (x[:, ::2], x[:, :, ::-1, 1:4], x.transpose(0, 2, 1, 3), x[:, :, :, :1]):
        np.testing.assert_array_equal(kernels.move_images(part, *moves), brute(part, *moves))
    reversed_moves = [m[::-1] for m in moves]
    np.testing.assert_array_equal(
        kernels.move_images(x, *reversed_moves), brute(x, *reversed_moves)
    )


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_number_of_threads_does_not_change_a_bit(monkeypatch, count):
    monkeypatch.setattr(augment, "threads_for", lambda *_: count)
    x, *moves = draw((37, 32, 32, 3), 4)
    np.testing.assert_array_equal(
        kernels.move_images(x, *moves), definitions.move_images(x, *moves)
    )


def test_the_definition_runs_elsewhere(device):
    x, *moves = draw((5, 6, 7, 3), 3)
    found = run_elsewhere(device, definitions.move_images, x, *moves)
    np.testing.assert_array_equal(found, brute(x, *moves))


@BOTH
def test_other_shapes_are_refused(home):
    x, rows, columns, mirrored = draw((3, 4, 4, 1), 1)
    with pytest.raises(ValueError, match=r"images are \[N, H, W, C\], got shape \[4, 4, 1\]"):
        home.move_images(x[0], rows, columns, mirrored)
    with pytest.raises(
        ValueError, match=r"columns: expected one for each of 3 images, got shape \[2\]"
    ):
        home.move_images(x, rows, columns[:2], mirrored)

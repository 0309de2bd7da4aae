"""The stand-in for a GPU's arrays is as strict as it claims to be."""

import numpy as np
import pytest
from strict import StrictArray, strict

A = strict.asarray([1.0, 2.0, 3.0])


@pytest.mark.parametrize(
    "touch",  # source, so that a failure names it
    [
        "np.asarray(A)",
        "np.exp(A)",
        "np.sum(A)",
        "np.concatenate([A, A])",
        "np.shape(A)",
        "np.ones(3) + A",
        "A + np.ones(3)",
        "A * np.float64(2)",
        "np.float64(2) * A",
        "np.add(A, 1)",
        "np.ones(3).__iadd__(A)",
        "np.ones(3).__setitem__(0, A)",
        "A.__setitem__(0, np.float64(1))",
        "A == np.ones(3)",
        "A[np.array([0])]",
        "A[[0, 1]]",
        "np.ones(3)[A]",
        "A.reshape(np.array([3, 1]))",
        "list(A)",
        "strict.exp(np.ones(3))",
        "strict.maximum(A, np.ones(3))",
        "strict.where(np.array([True]), A, A)",
        "strict.concatenate([A, np.ones(3)])",
        "strict.add.at(A, np.array([0]), A)",
        "strict.zeros(A)",
    ],
)
def test_numpy_and_its_arrays_are_refused(touch):
    with pytest.raises((TypeError, IndexError, ValueError)):
        eval(touch)


def test_memory_cannot_be_locked():
    assert not hasattr(A.flags, "writeable")


def test_results_without_axes_stay_arrays():
    for y in (A.sum(), A[0], A.max(), A.argmax(), strict.exp(A[0]), A[0] > 0, -A[0], A[0] * 2):
        assert type(y) is StrictArray
        assert y.shape == ()


def test_it_computes_like_numpy():
    b = strict.asarray([3.0, 1.0, 2.0])
    for y, expected in (
        (1 - A, [0, -1, -2]),
        (A / 2 + b, [3.5, 2, 3.5]),
        (strict.where(b > 1.5, A, b), [1, 1, 3]),
        (A[strict.asarray([0, 0, 2])], [1, 1, 3]),
        (A[::-1], [3, 2, 1]),
        (A[A > 1], [2, 3]),
        (strict.stack([A, b], axis=1).sum(axis=1), [4, 3, 5]),
        (strict.clip(A, None, 2), [1, 2, 2]),
    ):
        np.testing.assert_array_equal(strict.asnumpy(y), expected)


def test_slices_share_memory_and_copies_do_not():
    a = strict.asarray(np.zeros(3))
    a[1:] += 1
    strict.asnumpy(a)[0] = 5
    np.testing.assert_array_equal(strict.asnumpy(a), [0, 1, 1])
    strict.add.at(a, strict.asarray([0, 0]), strict.asarray([1.0, 2.0]))
    np.testing.assert_array_equal(strict.asnumpy(a), [3, 1, 1])

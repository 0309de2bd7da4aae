"""Comparisons look at elements; sets and dictionaries at the tensor itself."""

import operator

import numpy as np
import pytest

import minisparse.autodiff as ad
from minisparse.autodiff import Tensor, gradients

COMPARISONS = [operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge]
VALUES = np.array([[0.0, 1.0, 2.0], [2.0, 1.0, -0.0]])
OTHERS = [
    *(0, 1.0, True, np.float32(2), np.int8(1), np.array(1), [2, 1, 0], (0.0, 1.0, 2.0)),
    *(VALUES[::-1], VALUES[:, :1], VALUES > 0, np.array([[0], [2]], np.int16), np.nan),
]


@pytest.mark.parametrize("compare", COMPARISONS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("other", OTHERS, ids=repr)
def test_comparisons_are_those_of_numpy(compare, other):
    x = Tensor(VALUES, requires_grad=True)
    expected = compare(VALUES, np.asarray(other))
    for found in (compare(x, other), compare(x, Tensor(other, dtype=float))):
        assert found.dtype == bool
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(compare(other, x), compare(np.asarray(other), VALUES))
    assert not x.grad


def test_a_number_takes_the_precision_of_the_tensor():
    """As in arithmetic: 0.1 in float32 is not 0.1 in float64."""
    x = Tensor([0.1])
    for same in (0.1, np.float64(0.1), [0.1], Tensor([0.1])):
        assert x == same
    assert x != np.array([0.1])  # an array has a precision of its own
    n = Tensor(np.array([2**24 + 1]))
    assert n == 2**24 + 1
    assert n != 2**24


def test_what_is_no_number_is_unequal():
    x = Tensor([1.0, 2.0])
    for other in (None, "1", object(), {}, 1j, np.array(["1", "2"])):
        assert (x == other) is False
        assert (x != other) is True
        with pytest.raises(TypeError):
            x < other  # noqa: B015


def test_conditions():
    x = Tensor(np.array([-1.0, 0.0, 2.0]), requires_grad=True)
    np.testing.assert_array_equal(ad.where(x == 0.0, 5.0, x).numpy(), [-1, 5, 2])
    np.testing.assert_array_equal(x[x > -0.5].numpy(), [0, 2])
    assert (x > 0).sum() == 1
    y = ad.where(x > 0, x * x, -x) + (x >= 0) * x
    np.testing.assert_array_equal(gradients(y.sum(), [x])[0].numpy(), [-1, 0, 5])


def test_numbers_are_ordered_as_numbers():
    x = Tensor([3.0, 1.0, 2.0], requires_grad=True)
    assert max(x).requires_grad
    assert [t.item() for t in sorted(x)] == [1, 2, 3]
    assert x.sum() == 6
    assert x.sum() < 6.5


def test_an_element_is_in_a_tensor():
    x = Tensor([[1.0, 2.0], [3.0, 4.0]])
    assert 3 in x
    assert Tensor([2.0]) in x
    assert 5.0 not in x
    assert None not in x


def test_a_tensor_is_found_by_its_identity():
    """Whatever its values, and without asking for the truth of many."""
    a, b = Tensor(np.zeros(3), requires_grad=True), Tensor(np.zeros(3), requires_grad=True)
    assert len({a, b, a}) == 2
    assert {a: 1, b: 2}[b] == 2
    assert a in [a, b]
    assert [a, b] == [a, b]
    with pytest.raises(ValueError, match="more than one element"):
        bool(a == b)


def test_other_arrays_are_compared_on_their_side(device):
    x = Tensor(device.asarray([0.0, 1.0]))
    assert type(x == 0) is type(x.array)
    with pytest.raises(TypeError, match="arrays of"):
        x == np.zeros(2)  # noqa: B015

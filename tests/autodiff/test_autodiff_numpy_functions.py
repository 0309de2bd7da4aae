"""NumPy's functions read values; where a graph would be lost, they say so."""

import numpy as np
import pytest

from minisparse.autodiff import OPS, Tensor, no_grad
from minisparse.autodiff.numpy_functions import QUESTIONS

VALUES = np.array([[3.0, 1.0], [0.0, 2.0]])
FUNCTIONS = {
    np.sum: (),
    np.mean: (0,),
    np.max: (1,),
    np.std: (),
    np.reshape: (4,),
    np.transpose: (),
    np.clip: (0.5, 2.5),
    np.sort: (),
    np.dot: (VALUES,),
    np.zeros_like: (),
    np.linalg.norm: (),
}


@pytest.mark.parametrize("f", FUNCTIONS, ids=lambda f: f.__name__)
def test_functions_of_values(f):
    found = f(Tensor(VALUES), *FUNCTIONS[f])
    assert not isinstance(found, Tensor)
    np.testing.assert_array_equal(found, f(VALUES, *FUNCTIONS[f]))


@pytest.mark.parametrize("f", FUNCTIONS, ids=lambda f: f.__name__)
def test_nothing_with_a_graph_is_read_past_the_tape(f):
    with pytest.raises(TypeError, match=f"NumPy's {f.__name__} would end the graph"):
        f(Tensor(VALUES, requires_grad=True), *FUNCTIONS[f])


def test_tensors_among_others():
    x = Tensor(VALUES)
    assert np.concatenate([x, VALUES, [(x * 2).numpy()[0]]]).shape == (5, 2)
    assert np.where(VALUES > 1, x, 0.0).sum() == 5
    assert np.full_like(a=x, fill_value=2.0).sum() == 8
    x.requires_grad = True
    for call in (
        lambda: np.concatenate([VALUES, x]),
        lambda: np.where(VALUES > 1, 0.0, x),
        lambda: np.copyto(VALUES.copy(), src=x),
    ):
        with pytest.raises(TypeError, match="end the graph"):
            call()


def test_questions_are_answered():
    """`array_equal` was False for whatever has a graph: it takes an error for inequality."""
    x = Tensor(VALUES, requires_grad=True)
    assert np.array_equal(x, VALUES)
    assert not np.array_equal(x, VALUES + 1)
    assert np.array_equiv(x, x)
    assert np.allclose(x, x * 1.0)
    assert np.argmax(x) == 0
    assert np.count_nonzero(x) == 3
    assert np.shape(x) == (2, 2)
    for f in QUESTIONS - {np.array_equal, np.array_equiv, np.allclose, np.isclose}:
        assert repr(f(x)) == repr(f(VALUES))


def test_results_without_a_graph_are_values():
    x = Tensor(VALUES, requires_grad=True)
    with no_grad():
        assert np.sum(x * 2) == 12
    assert np.sum((x * 2).detach()) == 12


@pytest.mark.parametrize("name", ["sum", "max", "reshape", "transpose", "clip", "broadcast_to"])
def test_the_hint_names_the_operation_that_keeps_the_graph(name):
    operation = OPS[name].__name__
    with pytest.raises(TypeError, match=f"use minisparse.autodiff.{operation}, or call"):
        getattr(np, name)(Tensor(VALUES, requires_grad=True), (2, 2))

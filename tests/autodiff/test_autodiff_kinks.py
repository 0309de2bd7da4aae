"""One stated convention at every kink, and the signatures that tell the branches apart."""

import numpy as np
import pytest

import minisparse.autodiff as ad
from minisparse.autodiff import Op, Tensor, gradients, record_branches

KINKS = {
    # name: (function, inputs on a kink, gradients of the sum)
    "relu": (ad.relu, ([-1.0, 0.0, -0.0, 1.0],), ([0, 0, 0, 1],)),
    "absolute": (ad.absolute, ([-1.0, 0.0, -0.0, 1.0],), ([-1, 0, 0, 1],)),
    "clip": (lambda x: ad.clip(x, -1, 1), ([-2.0, -1.0, 0.0, 1.0, 2.0],), ([0, 0, 1, 0, 0],)),
    "clip to a point": (lambda x: ad.clip(x, 1, 1), ([0.0, 1.0, 2.0],), ([0, 0, 0],)),
    "clip below": (lambda x: ad.clip(x, lo=0), ([-1.0, 0.0, 1.0],), ([0, 0, 1],)),
    "clip above": (lambda x: ad.clip(x, hi=0), ([-1.0, 0.0, 1.0],), ([1, 0, 0],)),
    "maximum": (
        ad.maximum,
        ([1.0, 2.0, 3.0, 0.0], [1.0, 3.0, 2.0, -0.0]),
        ([1, 0, 1, 1], [0, 1, 0, 0]),
    ),
    "minimum": (
        ad.minimum,
        ([1.0, 2.0, 3.0, 0.0], [1.0, 3.0, 2.0, -0.0]),
        ([1, 1, 0, 1], [0, 0, 1, 0]),
    ),
    "max": (lambda x: x.max(), ([1.0, 3.0, 3.0, 2.0],), ([0, 1, 0, 0],)),
    "max along an axis": (lambda x: x.max(0), ([[2.0, 1.0], [2.0, 5.0]],), ([[1, 0], [0, 1]],)),
    "max over two axes": (
        lambda x: x.max((0, 2)),
        ([[[1.0, 1.0], [0.0, 4.0]], [[1.0, 0.0], [4.0, 4.0]]],),
        ([[[1, 0], [0, 1]], [[0, 0], [0, 0]]],),
    ),
    "min": (lambda x: x.min(), ([4.0, 3.0, 3.0],), ([0, 1, 0],)),
    "max_pool2d": (
        lambda x: ad.max_pool2d(x.reshape(1, 2, 4, 1), 2),
        ([[0.0, 7.0, 1.0, 2.0], [7.0, 7.0, 3.0, 3.0]],),
        ([[0, 1, 0, 0], [0, 0, 1, 0]],),
    ),
    "max_pool2d at the border": (  # padding never wins, not even over negative numbers
        lambda x: ad.max_pool2d(x.reshape(1, 2, 2, 1), 2, 1, 1),
        ([[-1.0, -2.0], [-3.0, -4.0]],),
        ([[4, 2], [2, 1]],),
    ),
}


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", KINKS)
def test_convention(name, dtype):
    f, inputs, expected = KINKS[name]
    xs = [Tensor(np.array(x, dtype), requires_grad=True) for x in inputs]
    y = f(*xs)
    for x, g, e in zip(xs, gradients(y, xs, np.ones(y.shape)), expected, strict=True):
        np.testing.assert_array_equal(g.numpy(), e)
        assert g.dtype == x.dtype == dtype


def test_a_network_of_zeros_gets_no_gradient():
    """What a pruned network does all day: exact zeros before every relu."""
    x, w = Tensor(np.zeros((3, 4))), Tensor(np.zeros((4, 2)), requires_grad=True)
    ad.relu(x @ w).sum().backward()
    np.testing.assert_array_equal(w.grad.numpy(), np.zeros((4, 2)))


def signature(f, *inputs):
    with record_branches() as log:
        y = f(*(Tensor(np.array(x, dtype=np.float64)) for x in inputs))
    assert isinstance(y, Tensor)
    return [np.asarray(s).tolist() for _, s in log]


@pytest.mark.parametrize(
    ("f", "inputs", "expected"),
    [
        (ad.relu, [[-1, 0, 2]], [False, False, True]),
        (ad.absolute, [[-1, 0, 2]], [-1, 0, 1]),
        (lambda x: ad.clip(x, 0, 1), [[-1, 0, 0.5, 1, 2]], [-1, -1, 0, 1, 1]),
        (ad.maximum, [[1, 2, 3], [1, 3, 2]], [True, False, True]),
        (ad.minimum, [[1, 2, 3], [1, 3, 2]], [True, True, False]),
        (lambda x: x.max(1), [[[1, 5, 5], [2, 0, 1]]], [1, 0]),
        (lambda x: x.max(), [[[1, 0], [2, 2]]], 2),
        (lambda x: x.min(0), [[[1, 0], [1, -1]]], [0, 1]),
        (lambda a, b: ad.where(np.array([True, False]), a, b), [[1, 2], [3, 4]], [True, False]),
        (lambda x: ad.max_pool2d(x.reshape(1, 2, 2, 1)), [[1, 4, 3, 4]], [[[[1]]]]),
    ],
    ids=["relu", "abs", "clip", "maximum", "minimum", "max", "max all", "min", "where", "pool"],
)
def test_signatures(f, inputs, expected):
    assert signature(f, *inputs) == [expected]


def test_smooth_operations_have_no_signature():
    def smooth(x):
        return (ad.softmax(ad.tanh(x) * x + 1) ** 2).logsumexp() + ad.exp(x).sum()

    assert signature(smooth, [0.0, 1.0]) == []


def test_signatures_come_in_order_with_their_operation():
    with record_branches() as log:
        x = Tensor([1.0, -2.0])
        ad.relu(ad.absolute(x) - 1).max()
    assert [op.name for op, _ in log] == ["Abs", "ReLU", "Max"]
    assert all(isinstance(op, Op) for op, _ in log)


def test_equal_signatures_mean_one_smooth_piece():
    """A relu network is linear as long as no signature changes."""
    rng = np.random.default_rng(3)
    w, u = rng.standard_normal((3, 8)), rng.standard_normal((8, 2))

    def f(x):
        return ad.relu(ad.relu(Tensor(x) @ w) @ u).numpy()

    def branches(x):
        with record_branches() as log:
            ad.relu(ad.relu(Tensor(x) @ w) @ u)
        return np.concatenate([s.ravel() for _, s in log])

    x, d = rng.standard_normal(3), rng.standard_normal(3)
    same = different = 0
    for t in np.linspace(0, 1, 40):
        bend = f(x - t * d) - 2 * f(x) + f(x + t * d)
        if all((branches(x + s * d) == branches(x)).all() for s in np.linspace(-t, t, 9)):
            same += 1
            np.testing.assert_allclose(bend, 0, atol=1e-12)
        else:
            different += np.abs(bend).max() > 1e-6
    assert same
    assert different


def test_logs_nest_and_end():
    x = Tensor([1.0])
    with record_branches() as outer:
        ad.relu(x)
        with record_branches() as inner:
            ad.absolute(x)
        ad.relu(x)
    ad.relu(x)
    assert ([op.name for op, _ in outer], [op.name for op, _ in inner]) == (["ReLU"] * 2, ["Abs"])
    with pytest.raises(ZeroDivisionError), record_branches() as log:
        raise ZeroDivisionError
    ad.relu(x)
    assert log == []

"""No route of writing to a saved array gives a wrong gradient without a word."""

import copy
import pickle

import numpy as np
import pytest

import minisparse.autodiff as ad
from minisparse.autodiff import Tensor, WriteError, detect_writes, gradients, linear, no_grad
from minisparse.autodiff.fusing import fusing
from minisparse.nn import Linear, Module


def leaf(*values):
    return Tensor(np.array(values or (1.0, 2.0, 3.0)), requires_grad=True)


# ---- refused at once --------------------------------------------------------------------------

REFUSED_BY_NAME = {
    "index": lambda w: w.data.__setitem__(0, 9.0),
    "ellipsis": lambda w: w.data.__setitem__(Ellipsis, 0.0),
    "mask": lambda w: w.data.__setitem__(w.data > 1, 0.0),
    "slice of a slice": lambda w: w.data[1:].__setitem__(0, 0.0),
    "transposed": lambda w: w.data.T.__setitem__(0, 0.0),
    "times": lambda w: setattr(w, "data", w.data.__imul__(0)),
    "plus": lambda w: setattr(w, "data", w.data.__iadd__(1)),
    "out": lambda w: np.add(w.data, 1, out=w.data),
    "out of a slice": lambda w: np.add(1.0, 1.0, out=w.data[:1]),
    "at": lambda w: np.multiply.at(w.data, [0], 2),
    "two results": lambda w: np.modf(np.ones(3), out=(np.zeros(3), w.data)),
}


@pytest.mark.parametrize("route", REFUSED_BY_NAME)
def test_fresh_data_refuses_and_names_the_operation(route):
    w = leaf()
    y = (w * w).sum()
    with pytest.raises(WriteError, match=r"Mul saved this array.*Run backward\(\) first"):
        REFUSED_BY_NAME[route](w)
    y.backward()
    np.testing.assert_array_equal(w.grad.numpy(), [2, 4, 6])
    REFUSED_BY_NAME[route](w)  # allowed again
    assert w.numpy().tolist() != [1, 2, 3]


@pytest.mark.parametrize("write", [np.copyto, np.put_along_axis, np.place, np.ndarray.fill])
def test_numpys_own_functions_refuse(write):
    w = leaf()
    y = (w * w).sum()
    more = {np.put_along_axis: (np.array([0]), 5, 0), np.place: ([True] * 3, [5])}
    with pytest.raises((ValueError, WriteError), match=r"read-only|writ"):
        write(w.data, *more.get(write, (5,)))
    y.backward()
    np.testing.assert_array_equal(w.grad.numpy(), [2, 4, 6])


def test_the_statement_of_pruning_code():
    w = leaf()
    mask = np.array([1.0, 0.0, 1.0])
    y = (w * w).sum()
    with pytest.raises(WriteError, match="Mul"):
        w.data *= mask
    with pytest.raises(WriteError, match="Mul"):
        w.data[mask == 0] = 0
    y.backward()
    w.data *= mask
    np.testing.assert_array_equal(w.numpy(), [1, 0, 3])


def test_an_alias_taken_before_the_forward():
    w = leaf()
    alias = w.data
    y = (w * w).sum()
    with pytest.raises(ValueError, match="read-only"):
        alias *= 0
    with pytest.raises(ValueError, match="read-only"):
        alias[0] = 5
    y.backward()
    alias[0] = 5
    assert w.numpy()[0] == 5
    assert w.data is alias


def test_the_users_own_array():
    mine = np.array([1.0, 2.0, 3.0])
    w = Tensor(mine, requires_grad=True)
    assert w.data is mine
    y = (w * w).sum()
    with pytest.raises(ValueError, match="read-only"):
        mine *= 0
    y.backward()
    mine *= 0
    np.testing.assert_array_equal(w.numpy(), 0)


VIEWS = {
    "reshape": lambda x: x.reshape(3, 1),
    "flatten": lambda x: ad.flatten(x, 0),
    "transpose": lambda x: x.T,
    "slice": lambda x: x[::-1],
    "integer": lambda x: x[1],
    "newaxis": lambda x: x[None],
    "broadcast": lambda x: ad.broadcast_to(x, (2, 3)),
    "view of a view": lambda x: x.reshape(3, 1).T[0, :2],
    "detached": lambda x: x.detach(),
}


@pytest.mark.parametrize("recorded", [True, False])
@pytest.mark.parametrize("view", VIEWS)
def test_the_base_of_a_view_that_was_saved(view, recorded):
    """Images are flattened, the product saves the flat ones: the images must not change."""
    mine = np.array([1.0, 2.0, 3.0])
    x = Tensor(mine, requires_grad=recorded)
    w = Tensor(np.array(2.0), requires_grad=True)
    v = VIEWS[view](x)
    y = (v * w).sum()
    for write in (
        lambda: mine.__setitem__(0, 9.0),
        lambda: x.data.__setitem__(0, 9.0),
        lambda: v.data.__setitem__(Ellipsis, 9.0),
    ):
        with pytest.raises((WriteError, ValueError), match=r"Mul|read-only"):
            write()
    y.backward()
    assert w.grad.item() == v.numpy().sum()
    mine[0] = 9.0
    assert x.numpy()[0] == 9


@pytest.mark.parametrize("view", [v for v in VIEWS if v not in ("detached", "flatten")])
def test_a_view_of_what_was_saved_refuses_writes_always(view):
    """Its array could not be told when the base is needed: it is read-only from the beginning."""
    w = leaf()
    v = VIEWS[view](w)
    early = v.data
    with pytest.raises(WriteError, match="shows the memory of the one it was made from"):
        early[...] = 0
    y = (w * w).sum()
    with pytest.raises(WriteError):
        early[...] = 0
    y.backward()
    np.testing.assert_array_equal(w.grad.numpy(), [2, 4, 6])


def test_a_detached_tensor_writes_to_the_same_memory():
    w = leaf()
    d = w.detach()
    assert not d.requires_grad
    y = (w * w).sum()
    with pytest.raises(WriteError, match="Mul"):
        d.data *= 0
    with d.writing() as raw:
        raw *= 0
    with pytest.raises(WriteError, match="Mul"):
        y.backward()
    d.data[0] = 5
    assert w.numpy()[0] == 5


def test_an_operation_that_returns_its_input():
    class Same(ad.Op):
        def forward(self, x):
            return x

        def backward(self, grad, *_):
            return grad

    w = leaf()
    s = Same()(w)
    y = (s * s).sum()
    with pytest.raises(WriteError, match="Mul"):
        w.data[0] = 0
    y.backward()
    np.testing.assert_array_equal(w.grad.numpy(), [2, 4, 6])


def test_the_result_that_a_rule_reads():
    w = leaf(0.0, 1.0)
    y = ad.exp(w)
    with pytest.raises(WriteError, match="Exp"):
        y.data *= 2
    with y.writing() as raw:
        raw *= 2
    with pytest.raises(WriteError, match="Exp"):
        y.sum().backward()
    y = ad.exp(w)
    y.data = np.array([7.0, 7.0])
    with pytest.raises(WriteError, match="Exp"):
        y.sum().backward()
    y = ad.exp(w)
    y.sum().backward()
    y.data *= 2  # nobody needs it any more


def test_two_tensors_of_one_array():
    mine = np.array([1.0, 2.0, 3.0])
    a, b = Tensor(mine, requires_grad=True), Tensor(mine, requires_grad=True)
    ya, yb = (a * a).sum(), (b * b).sum()
    ya.backward()
    with pytest.raises(ValueError, match="read-only"):
        mine *= 0
    with a.writing() as raw:  # b shows the same memory
        raw *= 2
    with pytest.raises(WriteError, match="Mul"):
        yb.backward()
    del yb
    mine *= 0
    np.testing.assert_array_equal(b.numpy(), 0)


def test_tensors_of_an_array_and_of_a_part_of_it():
    mine = np.array([1.0, 2.0, 3.0])
    part = mine[:2]
    whole_tensor, part_tensor = Tensor(mine, requires_grad=True), Tensor(part, requires_grad=True)
    y, z = (whole_tensor**2).sum(), (part_tensor**2).sum()
    del z  # unlocks the part while the whole is locked
    part[0] = 1.0
    with pytest.raises(ValueError, match="read-only"):
        mine[0] = 5
    del y
    mine[0] = 5
    assert part[0] == 5


# ---- found in the backward --------------------------------------------------------------------


def replace(w):
    w.data = np.array([4.0, 5.0, 6.0])


def update(w):
    with w.writing() as raw:
        raw *= 2


@pytest.mark.parametrize("write", [replace, update])
def test_writes_through_the_tensor_are_found(write):
    w = leaf()
    w.name = "fc1.weight"
    y = (w * w).sum()
    write(w)
    with pytest.raises(WriteError, match=r"tensor 'fc1.weight' of shape \(3,\).*after Mul saved"):
        y.backward()
    assert w.grad is None
    (w * w).sum().backward()
    np.testing.assert_array_equal(w.grad.numpy(), 2 * w.numpy())


def test_a_step_before_the_backward_is_found():
    from minisparse import nn, optim

    layer = nn.Linear(3, 2, rng=np.random.default_rng(0))
    sgd = optim.SGD(layer, lr=0.1)
    x = Tensor(np.ones((4, 3), np.float32), requires_grad=True)
    layer(x).sum().backward()
    y = layer(x).sum()
    sgd.step()
    with pytest.raises(WriteError, match="Affine"):
        y.backward()


def test_between_the_backward_and_its_own_backward():
    w = leaf()
    (g,) = gradients((w**3).sum(), [w], create_graph=True)
    with pytest.raises(WriteError):
        w.data *= 2
    update(w)
    with pytest.raises(WriteError):
        g.sum().backward()


def test_what_no_rule_reads_may_be_written():
    """Sums, relus, maxima and reshapes do not need the values."""
    w = leaf(1.0, -2.0, 3.0)
    y = (ad.relu(w) + w).max() + w.reshape(1, 3).sum() + ad.absolute(w).sum()
    w.data *= 0
    y.backward()
    np.testing.assert_array_equal(w.grad.numpy(), [2, 0, 4])


def test_data_that_is_constant_is_guarded_too():
    x, w = Tensor(np.array([1.0, 2.0])), leaf(1.0, 1.0)
    y = (x * w).sum()
    with pytest.raises(WriteError, match="Mul"):
        x.data[0] = 7
    y.backward()
    np.testing.assert_array_equal(w.grad.numpy(), [1, 2])


def test_nothing_is_held_without_a_graph():
    w = leaf()
    with ad.no_grad():
        y = w * w
    z = Tensor(np.ones(3)) * Tensor(np.ones(3))
    w.data *= 2
    np.testing.assert_array_equal(w.numpy(), [2, 4, 6])
    np.testing.assert_array_equal(y.numpy(), [1, 4, 9])
    assert z.requires_grad is False


# ---- released again ---------------------------------------------------------------------------


def locked(array):
    return not array.flags.writeable


def test_after_the_backward():
    w = leaf()
    mine = w.data
    y = (w * w).sum()
    assert locked(mine)
    y.backward()
    assert not locked(mine)  # although y is alive


def test_after_the_graph_is_dropped():
    w = leaf()
    mine = w.data
    y = (w * w).sum()
    assert locked(mine)
    del y
    assert not locked(mine)


def test_a_retained_graph_holds_on():
    w = leaf()
    mine = w.data
    y = (w * w).sum()
    y.backward(retain_graph=True)
    assert locked(mine)
    with pytest.raises(WriteError, match="Mul"):
        w.data *= 0
    y.backward()
    assert not locked(mine)
    np.testing.assert_array_equal(w.grad.numpy(), [4, 8, 12])


def test_two_graphs_hold_one_tensor():
    w = leaf()
    mine = w.data
    y, z = (w * w).sum(), (w**3).sum()
    y.backward()
    assert locked(mine)
    with pytest.raises(WriteError, match="PowConstant"):
        w.data *= 0
    del z
    assert not locked(mine)


def test_after_a_refused_backward():
    w = leaf()
    mine = w.data
    y = (w * w).sum()
    update(w)
    with pytest.raises(WriteError):
        y.backward()
    del y
    assert not locked(mine)


def test_an_array_that_was_replaced_meanwhile():
    mine, other = np.array([1.0, 2.0]), np.array([3.0, 4.0])
    w = Tensor(mine, requires_grad=True)
    y = (w * w).sum()
    w.data = other
    assert locked(mine)
    assert not locked(other)
    z = (w * w).sum()
    assert locked(other)
    del y
    assert not locked(mine)
    z.backward()
    assert not locked(other)
    np.testing.assert_array_equal(w.grad.numpy(), [6, 8])


def test_an_array_given_to_data_is_guarded():
    w = leaf()
    other = np.array([3.0, 4.0, 5.0])
    w.data = other
    assert w.data is other
    y = (w * w).sum()
    with pytest.raises(ValueError, match="read-only"):
        other *= 0
    y.backward()
    np.testing.assert_array_equal(w.grad.numpy(), [6, 8, 10])


def test_a_read_only_array_of_the_user_stays_read_only():
    mine = np.array([1.0, 2.0])
    mine.flags.writeable = False
    w = Tensor(mine, requires_grad=True)
    (w * w).sum().backward()
    assert locked(mine)
    with pytest.raises(ValueError, match="read-only"):
        w.data[0] = 5
    y = (w * w).sum()
    del y
    assert locked(mine)


def test_data_of_a_held_tensor_in_another_one():
    """What a held tensor hands out may be read and copied; a tensor made of it is a copy."""
    w = leaf()
    y = (w * w).sum()
    held = w.data
    u = Tensor(held)
    v = leaf()
    v.data = held
    assert type(held + 1) is type(held.copy()) is np.ndarray
    np.testing.assert_array_equal(held * 2, [2, 4, 6])
    u.data *= 2
    v.data *= 3
    y.backward()
    np.testing.assert_array_equal(w.grad.numpy(), [2, 4, 6])
    np.testing.assert_array_equal(w.numpy(), [1, 2, 3])


def test_computing_with_held_data():
    w = leaf(3.0, 1.0, 2.0)
    y = (w * w).sum()
    held = w.data
    assert held.sum() == held.mean() * 3 == 6
    assert held.max() == 3
    assert held.argmax() == 0
    np.testing.assert_array_equal(np.sort(held), [1, 2, 3])
    np.testing.assert_array_equal(held[held > 1], [3, 2])
    np.testing.assert_array_equal(np.where(held > 1, held, 0), [3, 0, 2])
    np.testing.assert_array_equal(np.concatenate([held, held]), [3, 1, 2, 3, 1, 2])
    np.testing.assert_array_equal(np.add.reduce(held), 6)
    np.testing.assert_array_equal(np.linalg.norm(held), np.sqrt(14))
    out = np.zeros(3)
    assert np.add(held, 1, out=out) is out
    own = held[[0, 1]]  # a copy, which may be written
    own *= 2
    y.backward()


@pytest.mark.parametrize(
    "duplicate",
    [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))],
    ids=["copy", "deepcopy", "pickle"],
)
def test_copies_are_tensors_of_their_own(duplicate):
    """Such as the copy of a model with the best weights so far."""
    w = leaf()
    w.name = "w"
    y = (w * w).sum()
    (w * 1.0).sum().backward()
    twin = duplicate(w)
    assert (twin.requires_grad, twin.name, twin.dtype) == (True, "w", w.dtype)
    twin.data[0] = 7  # the original is held, the copy is not
    twin.grad.data *= 0
    np.testing.assert_array_equal(twin.numpy(), [7, 2, 3])
    z = (twin * twin).sum()
    with pytest.raises(WriteError, match="Mul"):
        twin.data[0] = 1
    y.backward()
    z.backward()
    np.testing.assert_array_equal(w.grad.numpy(), [3, 5, 7])
    np.testing.assert_array_equal(twin.grad.numpy(), [14, 4, 6])
    with pytest.raises(TypeError, match=r"whole graph: copy .detach\(\) of it"):
        duplicate(w * 2)


@pytest.mark.parametrize(
    "duplicate",
    [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x)), lambda x: tuple(map(copy.copy, x))],
    ids=["deepcopy", "pickle", "copy"],
)
def test_copies_of_tensors_that_share_memory_do_not_share_any(duplicate):
    """A write through one would pass by the book of the other."""
    w = leaf()
    one, other = duplicate((w, w.detach()))
    loss = (one * one).sum()
    other.data[...] = 0
    loss.backward()
    np.testing.assert_array_equal(one.grad.numpy(), [2, 4, 6])


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_a_copy_in_a_forward_is_a_tensor(duplicate):
    class Keeps(Module):
        def __init__(self):
            self.layer, self.kept = Linear(70, 70, rng=np.random.default_rng(0)), None

        def forward(self, x):
            with no_grad():
                h = self.layer(x)
                self.kept = duplicate(h)
                return h

    model = Keeps()
    y = model(np.ones((100, 70), np.float32))
    assert type(model.kept) is Tensor
    np.testing.assert_array_equal(model.kept.numpy(), y.numpy())


# ---- the array itself -------------------------------------------------------------------------


def test_the_raw_array_is_always_the_same():
    """Unlike `data`, which is another view while an operation needs the values."""
    w = leaf()
    raw = w.array
    assert type(raw) is np.ndarray
    assert raw is w.array
    y = (w * w).sum()
    assert raw is w.array
    assert type(w.data) is not np.ndarray
    with pytest.raises(AttributeError):
        w.array = raw
    with w.writing() as array:
        assert array is raw
        array *= 2
    np.testing.assert_array_equal(w.numpy(), [2, 4, 6])
    with pytest.raises(WriteError, match="Mul"):
        y.backward()


def test_the_raw_array_of_a_result_that_waits():
    x, w, b = (
        Tensor(np.ones((2, 3))),
        Tensor(np.ones((3, 4)), requires_grad=True),
        Tensor(np.ones(4)),
    )
    with fusing():
        assert linear(x, w, b).array.sum() == 32


# ---- operators in place -----------------------------------------------------------------------


def test_in_place_operators_make_new_tensors():
    """As for Python's numbers: whoever else has the old one keeps it."""
    w = leaf()
    y = w
    y += 1.0
    y *= w
    y -= 2.0
    y /= 2.0
    y **= 2
    assert w.op is None
    np.testing.assert_array_equal(w.numpy(), [1, 2, 3])
    np.testing.assert_array_equal(y.numpy(), [0, 4, 25])
    y.sum().backward()  # of ((w + 1) w - 2)^2 / 4
    np.testing.assert_array_equal(w.grad.numpy(), [0, 10, 35])


def test_a_step_that_changes_nothing_is_said_to_do_so():
    """Elsewhere this is how one descends; here the weights would stay as they are."""
    weights = [leaf(), leaf()]
    for w in weights:
        w.grad = Tensor(np.ones(3))
        with no_grad(), pytest.warns(UserWarning, match=r"leaves a tensor .* as it is.*\.data"):
            w -= 0.1 * w.grad
    np.testing.assert_array_equal(weights[0].numpy(), [1, 2, 3])
    with no_grad():
        total = weights[0].sum()
        total += 1.0  # nobody trains it
    assert total == 7


# ---- aliases that nobody can lock -------------------------------------------------------------


def test_detect_writes_finds_aliases_made_earlier():
    w = leaf()
    alias = w.data[::-1]
    with detect_writes():
        y = (w * w).sum()
    alias *= 2
    with pytest.raises(WriteError, match="Mul"):
        y.backward()

    mine = np.arange(6.0)
    x = Tensor(mine[:3], requires_grad=True)
    with detect_writes():
        y = ad.exp(x * x).sum()
    mine[:] = 0
    with pytest.raises(WriteError, match="Mul"):
        y.backward()


def test_detect_writes_is_silent_when_nothing_was_written():
    w = leaf()
    mask = Tensor(np.array([True, False, True]))
    with detect_writes():
        y = (ad.broadcast_to(w * mask, (2, 3)).T @ Tensor(np.ones((2, 0)))).sum() + (w * w).sum()
        y = y + ad.exp(w[1]) + Tensor(np.float64(2.0)) * w[0]
    y.backward()
    np.testing.assert_allclose(w.grad.numpy(), [4, 4 + np.exp(2), 6])


def test_writes_of_the_same_values_are_harmless():
    w = leaf()
    alias = w.data[:]
    with detect_writes():
        y = (w * w).sum()
    alias *= 1
    y.backward()
    np.testing.assert_array_equal(w.grad.numpy(), [2, 4, 6])


# ---- gradients own their memory ---------------------------------------------------------------


def test_clipping_one_gradient_leaves_the_others_alone():
    a, b, c = leaf(), leaf(), leaf()
    v = np.ones(3)
    (a + b + c.reshape(1, 3)).backward(v[None])
    a.grad.data *= 0
    np.testing.assert_array_equal(b.grad.numpy(), 1)
    b.grad.data *= 0
    np.testing.assert_array_equal(c.grad.numpy(), 1)
    c.grad.data[0] = 7
    np.testing.assert_array_equal(v, 1)


def test_a_gradient_that_was_broadcast_can_be_masked():
    w = leaf()
    w.sum().backward()
    w.grad.data *= np.array([1, 0, 1])
    np.testing.assert_array_equal(w.grad.numpy(), [1, 0, 1])


@pytest.mark.parametrize("create_graph", [False, True])
def test_gradients_returns_separate_arrays(create_graph):
    a, b = leaf(), leaf()
    y = a + b
    v = np.ones(3)
    ga, gb, gy = gradients(y, [a, b, y], v, create_graph=create_graph)
    ga.data[0], gb.data[1] = 5, 6
    for g, expected in ((ga, [5, 1, 1]), (gb, [1, 6, 1]), (gy, 1), (Tensor(v), 1)):
        np.testing.assert_array_equal(g.numpy(), expected)


def test_a_second_backward_does_not_change_the_first_gradient_object():
    w = leaf()
    w.sum().backward()
    first = w.grad
    w.sum().backward()
    np.testing.assert_array_equal(first.numpy(), 1)
    np.testing.assert_array_equal(w.grad.numpy(), 2)

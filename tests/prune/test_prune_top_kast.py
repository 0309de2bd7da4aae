import itertools

import numpy as np
import pytest
from every_method import NETS, data, layers_of

from minisparse import Tensor
from minisparse.optim import SGD, Adam
from minisparse.prune.magnitude import magnitude_mask
from minisparse.prune.masked import FixedMask
from minisparse.prune.method import Method
from minisparse.prune.schedule import one_shot
from minisparse.prune.straight_through import StraightThroughPruning, add_masks
from minisparse.prune.top_kast import TopKAST, add_explored, exploration_penalty
from minisparse.train import train


def fit(method, *others, add=add_explored, optimizer=None, epochs=2):
    model = NETS["mlp"](np.random.default_rng(0))
    if add:
        add(model, layers_of(model))
    optimizer = (optimizer or (lambda m: SGD(m, 0.1, momentum=0.9)))(model)
    train(
        model, data(), optimizer, epochs=epochs, rng=np.random.default_rng(3), batch_size=10,
        methods=[method, *others], progress=False,
    )  # fmt: skip
    return model


def test_the_penalty_is_dearer_outside_a_and_free_outside_b():
    theta = Tensor(np.array([1.0, -2.0, 3.0, -4.0]), requires_grad=True)
    a, b = np.array([1.0, 0, 0, 1]), np.array([1.0, 1, 0, 1])
    value = exploration_penalty(theta, a, b, 0.5)
    assert value.item() == pytest.approx(1 + 4 + 2 / 0.5)
    value.backward()
    assert theta.grad.numpy().tolist() == [1, -2, 0, -1]


@pytest.mark.parametrize("optimizer", [None, lambda m: Adam(m, 1e-2)])
def test_what_is_outside_b_rests(optimizer):
    method, looks = TopKAST(0.8, 0.5, strength=1e-3, every=3), []

    class Look(Method):
        def before_loss(self, _run):
            self.before = [(w.weight.numpy(), e.mask, e.reach) for w, e in method.explored()]

        def after_step(self, _run):
            now = [layer.weight.numpy() for layer, _ in method.explored()]
            looks.append(list(zip(self.before, now, strict=True)))

    fit(method, Look(), optimizer=optimizer)
    explored = 0
    for look in looks:
        for (before, a, b), after in look:
            assert (a <= b).all()
            assert a.sum() < b.sum()
            np.testing.assert_array_equal(after[b == 0], before[b == 0])
            explored += ((after != before) & (a == 0)).sum()
    assert explored > 0
    sets = [look[0][0][2] for look in looks]
    assert any((x != y).any() for x, y in itertools.pairwise(sets)), "B moves"


def test_a_and_b_are_the_largest():
    method = TopKAST(0.8, 0.5, every=1)
    fit(method)
    for layer, e in method.explored():
        size = abs(layer.weight.numpy())
        for m, share in ((e.mask, 0.2), (e.reach, 0.5)):
            assert m.sum() == np.floor(share * m.size + 0.5)
            assert size[m == 1].min() >= size[m == 0].max()


def test_without_room_to_explore_it_is_training_under_the_largest_weights():
    """M = 0: what is outside A never moves, so A stays as it was."""
    method = TopKAST(0.6, 0.4, strength=0.0, every=2)
    first = magnitude_mask(NETS["mlp"](np.random.default_rng(0)), 0.4, "layer")
    slow = lambda m: SGD(m, 1e-3)
    found = fit(method, optimizer=slow)
    expected = fit(FixedMask(first), add=None, optimizer=slow).state_dict()
    steady = {n: method.mask()[n] & first[n] for n in first}
    for name, w in found.named_parameters():
        where = steady.get(name, np.ones(w.shape, bool))
        assert where.sum() > 0.9 * where.size * (0.4 if name in first else 1)
        np.testing.assert_allclose(w.numpy()[where], expected[name][where], rtol=1e-4, atol=1e-6)


def test_with_everything_in_reach_it_is_straight_through_top_k():
    a = fit(TopKAST(0.6, 1.0, strength=0.0, every=1))
    b = fit(StraightThroughPruning(one_shot(0.6), scope="layer"), add=add_masks)
    for (name, p), (_, q) in zip(a.named_parameters(), b.named_parameters(), strict=True):
        np.testing.assert_array_equal(p.numpy(), q.numpy(), err_msg=name)


def test_errors():
    for settings in ((1.0, 0.5), (0.5, 0.4), (0.5, 1.1)):
        with pytest.raises(ValueError, match="expected 0 < D"):
            TopKAST(*settings)
    with pytest.raises(ValueError, match="weight decay would move"):
        fit(TopKAST(0.5, 0.6), optimizer=lambda m: SGD(m, 0.1, weight_decay=0.1))

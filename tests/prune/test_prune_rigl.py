import math

import numpy as np
import pytest
from every_method import NETS, data
from hypothesis import given
from hypothesis import strategies as st

from minisparse.autodiff import no_grad
from minisparse.optim import SGD
from minisparse.prune.method import Method
from minisparse.prune.rigl import RigL, drop_fraction, rewire
from minisparse.prune.scope import count_for, layer_densities
from minisparse.train import train


class Watch(Method):
    """Keep what was there before and after each step."""

    def __init__(self, method):
        self.method, self.seen = method, []

    def after_backward(self, run):
        self.before = run.model.state_dict()

    def after_step(self, run):
        self.seen.append((self.before, run.model.state_dict(), self.method.mask()))


def fit(method, *others, net="mlp", epochs=3):
    rng = np.random.default_rng(0)
    model = NETS[net](rng)
    train(
        model, data(), SGD(model, 0.1, momentum=0.9), epochs=epochs, rng=rng, batch_size=10,
        methods=[*others, method], progress=False,
    )  # fmt: skip
    return model


def test_the_share_that_is_dropped_falls_as_half_a_cosine():
    for t in np.linspace(0, 8, 9):
        expected = 0.15 * (1 + math.cos(math.pi * t / 8))
        assert drop_fraction(t, 8) == pytest.approx(expected)
    assert drop_fraction(9, 8) == 0
    assert drop_fraction(0, 8, alpha=0.5) == 0.5


@given(st.integers(0, 10_000), st.floats(0, 1), st.floats(0.05, 1))
def test_a_rewired_layer_has_as_many_weights_as_before(seed, fraction, density):
    rng = np.random.default_rng(seed)
    w, g = rng.standard_normal((2, 5, 7))
    kept = rng.random((5, 7)) < density
    new = rewire(np.where(kept, w, 0), g, kept, fraction)
    assert np.count_nonzero(new) == np.count_nonzero(kept)


def test_the_smallest_go_and_the_largest_gradients_come():
    w = np.array([3.0, -0.1, 2.0, 0.2, 0, 0, 0, 0])
    g = np.array([9.0, 0.0, 9.0, 0.0, 0.1, -5.0, 0.2, 4.0])
    kept = w != 0
    new = rewire(w, g, kept, 0.5)
    assert new.tolist() == [True, False, True, False, False, True, False, True]
    g[1] = 100.0  # what has just gone is among those that may come
    assert rewire(w, g, kept, 0.5)[1]


def test_the_mask_moves_the_counts_do_not_and_what_comes_starts_at_0():
    method = RigL(0.7, every=3, alpha=0.5)
    watch = Watch(method)
    # the watch stands after the method: it sees the weights as the step leaves them
    rng = np.random.default_rng(0)
    model = NETS["mlp"](rng)
    train(
        model, data(), SGD(model, 0.1, momentum=0.9), epochs=3, rng=rng, batch_size=10,
        methods=[method, watch], progress=False,
    )  # fmt: skip
    shapes = {n: m.shape for n, m in method.mask().items()}
    densities = layer_densities(shapes, 0.3, "erk")
    moved = 0
    for i, (_, after, mask) in enumerate(watch.seen):
        for name, m in mask.items():
            assert m.sum() == count_for(densities[name], m.size)
            assert not after[name][~m].any()
        if i and watch.seen[i - 1][2] != mask:
            moved += 1
            assert (i + 1) % 3 == 0
            earlier = watch.seen[i - 1]
            for name, m in mask.items():
                grown = m & ~earlier[2][name]
                assert not after[name][grown].any(), "starts at 0"
                stays = m & earlier[2][name]
                np.testing.assert_array_equal(after[name][stays], earlier[1][name][stays])
    assert moved == sum(1 for s in range(18) if (s + 1) % 3 == 0 and s / 6 < 0.75 * 3)


def test_growing_leaves_the_outputs_as_they_are():
    """Weights of 0 with a mask that lets them learn: only what is dropped changes the function."""
    rng = np.random.default_rng(1)
    model = NETS["cnn"](rng)
    x = rng.random((4, 6, 6, 1), np.float32)
    with no_grad():
        before = model(x).numpy()
    method = RigL(0.0)
    method.attach(model, SGD(model, 0.1), rng)
    method.set_mask(method.mask())
    with no_grad():
        np.testing.assert_array_equal(model(x).numpy(), before)


def test_after_the_end_the_mask_rests():
    method = RigL(0.6, every=1, end=1.0)
    masks = []

    class Look(Method):
        def after_step(self, _run):
            masks.append(method.mask())

    fit(method, Look())
    assert len(set(map(id, masks[:6]))) > 3
    assert all(m == masks[7] for m in masks[7:])


@pytest.mark.parametrize(
    "settings", [{"sparsity": 1.1}, {"alpha": -0.1}, {"every": 0}, {"end": 0.0}, {"end": -1}]
)
def test_errors(settings):
    with pytest.raises(ValueError, match=r"expected|end"):
        RigL(**{"sparsity": 0.5, **settings})

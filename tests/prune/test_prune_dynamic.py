import numpy as np
import pytest
from every_method import METHODS, NETS, data
from hypothesis import given
from hypothesis import strategies as st

from minisparse.optim import SGD
from minisparse.prune.dynamic import SparseFromStart, allocate, at_random
from minisparse.prune.method import Method
from minisparse.prune.scope import count_for, layer_densities
from minisparse.train import train

COUNTS_STAY = ["set", "deep-r", "rigl"]
TOTAL_STAYS = [*COUNTS_STAY, "sparse-momentum", "dsr"]


class Look(Method):
    def __init__(self, method):
        self.method, self.masks, self.weights = method, [], []

    def look(self, run):
        self.masks.append(self.method.mask())
        self.weights.append(run.model.state_dict())

    def after_step(self, run):
        self.look(run)

    def after_epoch(self, run):
        self.look(run)


def watched(method, net="mlp", *others, epochs=3, **optimizer):
    rng = np.random.default_rng(0)
    model, look = NETS[net](rng), Look(method)
    train(
        model, data(), SGD(model, **{"lr": 0.1, "momentum": 0.9, **optimizer}), epochs=epochs,
        rng=rng, batch_size=10, methods=[*others, method, look], progress=False,
    )  # fmt: skip
    return look


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("name", TOTAL_STAYS)
def test_the_number_of_weights_is_constant_after_every_step(name, net):
    look = watched(METHODS[name].make(), net)
    first = look.masks[0]
    assert len({m.kept for m in look.masks}) == 1
    assert any(m != first for m in look.masks), "the mask moves"
    if name in COUNTS_STAY:
        for mask in look.masks:
            for layer, m in mask.items():
                assert m.sum() == first[layer].sum()


def test_the_first_mask_is_random_with_the_densities_of_the_scope():
    masks = [watched(SparseFromStart(0.7)).masks[0] for _ in range(2)]
    assert masks[0] == masks[1], "of the run's generator alone"
    shapes = masks[0].shapes()
    for scope in ("erk", "layer"):
        mask = watched(SparseFromStart(0.7, scope), epochs=1).masks[0]
        for name, density in layer_densities(shapes, 0.3, scope).items():
            assert mask[name].sum() == count_for(density, mask[name].size)
    with pytest.raises(ValueError, match="expected a sparsity"):
        SparseFromStart(-0.1)


@given(st.integers(0, 999), st.integers(0, 12))
def test_the_chosen_are_free_and_as_many_as_asked(seed, k):
    rng = np.random.default_rng(seed)
    free = np.zeros(20, bool)
    free[rng.permutation(20)[:12]] = True
    chosen = at_random(free.reshape(4, 5), k, rng)
    assert chosen.sum() == k
    assert not (chosen & ~free.reshape(4, 5)).any()


def test_all_that_is_free_is_as_likely():
    rng, free = np.random.default_rng(0), np.array([True, False, True, True, True])
    share = np.mean([at_random(free, 2, rng) for _ in range(4000)], axis=0)
    np.testing.assert_allclose(share, [0.5, 0, 0.5, 0.5, 0.5], atol=4 * 0.5 / np.sqrt(4000))


ROOMS = st.lists(st.tuples(st.floats(0, 5), st.integers(0, 9)), min_size=1, max_size=5)


@given(ROOMS, st.data())
def test_what_is_allocated_adds_up_and_fits(layers, draw):
    shares = {str(i): s for i, (s, _) in enumerate(layers)}
    room = {str(i): r for i, (_, r) in enumerate(layers)}
    total = draw.draw(st.integers(0, sum(room.values())))
    given_ = allocate(total, shares, room)
    assert sum(given_.values()) == total
    assert all(0 <= given_[n] <= room[n] for n in room)
    wide = allocate(total, shares, dict.fromkeys(room, 1000))
    if sum(shares.values()) > 1e-3:
        for n, k in wide.items():
            assert abs(k - total * shares[n] / sum(shares.values())) < 1


def test_too_many_are_refused():
    with pytest.raises(ValueError, match="no room"):
        allocate(3, {"a": 1.0}, {"a": 2})

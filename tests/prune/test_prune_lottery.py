import itertools

import numpy as np
import pytest
from every_method import NETS, data

from minisparse import nn
from minisparse.optim import SGD, Adam
from minisparse.prune.lottery import (
    Remember,
    find_tickets,
    next_mask,
    random_like,
    reinitialised,
)
from minisparse.prune.mask import Mask
from minisparse.prune.masked import rewind
from minisparse.prune.method import Method
from minisparse.train import train


class Starts(Method):
    """Keep the weights that a training begins with, as its first step finds them."""

    def __init__(self):
        self.weights = []

    def before_loss(self, run):
        if run.step == 0:
            self.weights.append(run.model.state_dict())


def fit_with(*others, epochs=2):
    rng = np.random.default_rng(3)

    def fit(model, methods):
        train(
            model, data(), SGD(model, 0.1, momentum=0.9), epochs=epochs, rng=rng, batch_size=10,
            methods=[*methods, *others], progress=False,
        )  # fmt: skip

    return fit


def test_the_ladder_of_the_paper():
    """51.28, 21.07, 13.52, 3.58, 1.85, 1.19 % after 3, 7, 9, 15, 18, 20 rounds."""
    model = nn.LeNet300(rng=np.random.default_rng(0))
    weights = {n: p.numpy() for n, p in model.named_parameters() if p.ndim > 1}
    rates = {"fc1.weight": 0.2, "fc2.weight": 0.2, "fc3.weight": 0.1}
    mask, ladder = Mask.full(model), {0: 100.0}
    for i in range(1, 21):
        after = next_mask(weights, mask, rates)
        for name, m in after.items():
            assert not (m & ~mask[name]).any(), "nested"
        mask = after
        ladder[i] = round(100 * mask.density, 2)
    assert [ladder[i] for i in (3, 7, 9, 15, 18, 20)] == [51.28, 21.07, 13.52, 3.58, 1.85, 1.19]


def test_exactly_the_share_goes_and_not_one_weight_more():
    """The released code's `<=` at the threshold removes one more."""
    w = np.arange(1.0, 11.0)
    mask = Mask({"w": np.ones(10, bool)})
    mask = next_mask({"w": w}, mask, {"w": 0.2})
    assert mask["w"].tolist() == [False] * 2 + [True] * 8
    mask = next_mask({"w": -w}, mask, {"w": 0.25})
    assert mask["w"].tolist() == [False] * 4 + [True] * 6
    ties = next_mask({"w": np.ones(10)}, Mask({"w": np.ones(10, bool)}), {"w": 0.5})
    assert ties.kept == 5


@pytest.mark.parametrize("net", NETS)
def test_every_round_starts_from_the_first_weights_bit_for_bit_under_nested_masks(net):
    model, starts = NETS[net](np.random.default_rng(0)), Starts()
    first, masks = model.state_dict(), []
    for ticket in find_tickets(model, fit_with(starts), rounds=3):
        masks.append(ticket.mask)
        for name, w in ticket.start.items():
            np.testing.assert_array_equal(w, first[name])
        for name, m in ticket.mask.items():
            assert not model.state_dict()[name][~m].any(), "trained under the mask"
    assert [t.sparsity > 0 for t in masks] == [False, True, True, True]
    for before, after in itertools.pairwise(masks):
        assert before & after == after
        assert after.kept < before.kept
    assert len(starts.weights) == 4
    for start, mask in zip(starts.weights, masks, strict=True):
        for name, w in start.items():
            expected = first[name] * mask[name] if name in mask else first[name]
            np.testing.assert_array_equal(w, expected)


def test_a_round_prunes_by_the_trained_weights_half_as_much_at_the_output():
    model = NETS["mlp"](np.random.default_rng(0))
    trained, tickets = [], []
    for ticket in find_tickets(model, fit_with(), rounds=2, rate=0.4):
        trained.append(model.state_dict())
        tickets.append(ticket.mask)
    rates = [0.4, 0.4, 0.2]
    for i in (1, 2):
        for (name, m), p in zip(tickets[i].items(), rates, strict=True):
            before = tickets[i - 1][name]
            assert m.sum() == np.floor((1 - p) * before.sum() + 0.5)
            w = abs(trained[i - 1][name])
            assert w[m].min() >= w[before & ~m].max()


def test_rewinding_goes_back_to_an_early_epoch():
    model, early = NETS["mlp"](np.random.default_rng(0)), Remember(1)
    first = model.state_dict()
    tickets = list(find_tickets(model, fit_with(early), rounds=1, rewind_to=1))
    other = NETS["mlp"](np.random.default_rng(0))
    fit_with(epochs=1)(other, [])
    for name, w in tickets[1].start.items():
        np.testing.assert_array_equal(w, other.state_dict()[name])
        assert (w != first[name]).any()


def test_the_controls():
    model = NETS["mlp"](np.random.default_rng(0))
    *_, ticket = find_tickets(model, fit_with(), rounds=3)
    rng = np.random.default_rng(5)
    random = random_like(ticket.mask, rng)
    assert random != ticket.mask
    assert {n: m.sum() for n, m in random.items()} == {n: m.sum() for n, m in ticket.mask.items()}
    new = reinitialised(ticket, lambda: NETS["mlp"](rng))
    for name, m in ticket.mask.items():
        w = new.state_dict()[name]
        assert not w[~m].any()
        assert (w[m] != ticket.start[name][m]).all()
    rewind(model, ticket.start, random)
    assert Mask.of_nonzeros(model) & random == Mask.of_nonzeros(model)


def test_what_is_remembered_survives_an_interruption(tmp_path):
    class Stop(Exception):
        pass

    class StopAt(Method):
        def after_step(self, run):
            if run.step == 9 and not stopped:
                stopped.append(True)
                raise Stop

    def fit(model, remember):
        rng = np.random.default_rng(3)
        train(
            model, data(), Adam(model, 1e-2), epochs=3, rng=rng, batch_size=10,
            methods=[remember, StopAt()], checkpoint=tmp_path / "run.npz", checkpoint_seconds=0,
            progress=False,
        )  # fmt: skip

    stopped = []
    with pytest.raises(Stop):
        fit(NETS["mlp"](np.random.default_rng(0)), Remember(0))
    again = Remember(0)
    fit(NETS["mlp"](np.random.default_rng(0)), again)
    for name, w in NETS["mlp"](np.random.default_rng(0)).state_dict().items():
        np.testing.assert_array_equal(again.state[name], w)


@pytest.mark.filterwarnings("ignore:.*due later:RuntimeWarning")
def test_errors():
    model = NETS["mlp"](np.random.default_rng(0))
    with pytest.raises(ValueError, match="rates of pruning"):
        next(find_tickets(model, fit_with(), rounds=1, rate=1.0))
    with pytest.raises(ValueError, match="ended before epoch 7"):
        next(find_tickets(model, fit_with(), rounds=1, rewind_to=7))
    with pytest.raises(ValueError, match="whole epochs"):
        Remember(0.5)

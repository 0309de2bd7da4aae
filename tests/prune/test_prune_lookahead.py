from itertools import pairwise

import numpy as np
import pytest
from every_method import NETS
from test_prune_batch import images

from minisparse import nn
from minisparse.autodiff import concatenate
from minisparse.nn.graph import follow
from minisparse.prune.batch import Batch
from minisparse.prune.lookahead import LookaheadPruning, lookahead, neighbours
from minisparse.prune.schedule import one_shot


def chain(*widths, seed=0):
    rng = np.random.default_rng(seed)
    layers = [nn.Linear(a, b, bias=False, rng=rng) for a, b in pairwise(widths)]
    return nn.Sequential(*layers).to(np.float64)


def scores_of(model, x):
    method = LookaheadPruning(one_shot(0.5))
    method.model = model
    weights = {n: p.array for n, p in model.named_parameters() if p.ndim > 1}
    return weights, method.score(weights, Batch(model, (x, np.zeros(len(x), int))))


@pytest.mark.parametrize("widths", [(4, 5, 3), (4, 5, 3, 2)])
def test_a_score_is_the_frobenius_change_of_the_product_when_the_weight_goes(widths):
    """Exactly, for a weight and the layers beside it; at the ends there is one of these."""
    model = chain(*widths)
    weights, scores = scores_of(model, np.zeros((1, 4)))
    names = list(weights)
    for place, name in enumerate(names):
        beside = [weights[n] for n in names[max(place - 1, 0) : place + 2]]
        at = min(place, 1)
        for index in np.ndindex(*weights[name].shape):
            without = weights[name].copy()
            without[index] = 0
            changed = [*beside[:at], without, *beside[at + 1 :]]
            change = np.linalg.multi_dot(beside) - np.linalg.multi_dot(changed)
            assert scores[name][index] == pytest.approx(np.linalg.norm(change))


def test_scaling_a_unit_up_and_its_readers_down_changes_no_score():
    model = chain(4, 5, 3)
    _, before = scores_of(model, np.zeros((1, 4)))
    c = np.random.default_rng(1).random(5) + 0.5
    model[0].weight.data = model[0].weight.numpy() * c
    model[1].weight.data = model[1].weight.numpy() / c[:, None]
    _, after = scores_of(model, np.zeros((1, 4)))
    for n in before:
        np.testing.assert_allclose(after[n], before[n])


def test_between_a_convolution_and_a_flattened_layer_positions_are_added_up():
    model = NETS["cnn"](np.random.default_rng(0)).to(np.float64)
    weights, scores = scores_of(model, images(1)[0])
    conv, first, second = weights.values()
    pixels = first.reshape(2, 2, 4, 6)  # height, width, channel, unit
    leaving = (pixels**2).sum(axis=(0, 1, 3))
    np.testing.assert_allclose(scores["0.weight"], abs(conv) * np.sqrt(leaving))
    entering = np.tile((conv**2).sum(axis=(0, 1, 2)), 4)
    expected = abs(first) * np.sqrt(entering[:, None] * (second**2).sum(axis=1))
    np.testing.assert_allclose(scores["4.weight"], expected)


def test_units_of_several_readers_and_sources_are_followed():
    class Branches(nn.Module):
        def __init__(self, rng):
            self.a, self.b, self.c = (nn.Linear(i, o, rng=rng) for i, o in ((6, 4), (4, 4), (8, 3)))

        def forward(self, x):
            a = self.a(x.reshape(-1, 36)[:, :6]).relu()
            return self.c(concatenate([a, self.b(a)], axis=1))

    model = Branches(np.random.default_rng(0)).to(np.float64)
    graph = follow(model, images(1)[0])
    w = {n: p.array for n, p in model.named_parameters() if p.ndim > 1}
    found = neighbours(graph, w)
    squares = {n: v**2 for n, v in w.items()}
    readers = squares["b.weight"].sum(axis=1) + squares["c.weight"][:4].sum(axis=1)
    np.testing.assert_allclose(found["a.weight"][1], readers)
    both = [squares["a.weight"].sum(axis=0), squares["b.weight"].sum(axis=0)]
    np.testing.assert_allclose(found["c.weight"][0], np.concatenate(both))
    np.testing.assert_array_equal(found["c.weight"][1], 1)
    np.testing.assert_array_equal(found["a.weight"][0], 1)


def test_units_that_can_not_be_followed_are_refused():
    class Turned(nn.Module):
        def __init__(self, rng):
            self.a, self.b = nn.Linear(6, 6, rng=rng), nn.Linear(6, 3, rng=rng)

        def forward(self, x):
            rows = self.a(x.reshape(-1, 6, 6)).transpose(0, 2, 1)  # units are rows now
            return self.b(rows).sum(axis=1)

    model = Turned(np.random.default_rng(0)).to(np.float64)
    with pytest.raises(ValueError, match="needs the readers of 'a'"):
        scores_of(model, images(1)[0])


def test_the_formula_by_hand():
    found = lookahead(np.array([[2.0, -3.0]]), np.array([4.0]), np.array([1.0, 9.0]))
    np.testing.assert_allclose(found, [[4.0, 18.0]])

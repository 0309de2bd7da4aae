import numpy as np
import pytest
from every_method import METHODS, NETS, data

from minisparse.optim import SGD
from minisparse.prune.exploration import Exploration, exploration_rate
from minisparse.prune.magnitude import MagnitudePruning
from minisparse.prune.mask import Mask
from minisparse.prune.masked import FixedMask
from minisparse.prune.method import Method
from minisparse.prune.schedule import one_shot
from minisparse.train import train


def fit(*methods, epochs=3):
    rng = np.random.default_rng(0)
    model = NETS["mlp"](rng)
    return train(
        model, data(), SGD(model, 0.1), epochs=epochs, rng=rng, batch_size=10, methods=methods,
        progress=False,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["set", "deep-r", "sparse-momentum", "dsr", "rigl"])
def test_the_rate_is_the_union_of_all_masks(name):
    method = METHODS[name].make()
    ever = []

    class Union(Method):
        def look(self, _run):
            mask = method.mask()
            ever.append({n: m | ever[-1][n] if ever else m for n, m in mask.items()})

        begin = after_step = after_epoch = look

    watch = Exploration(method)
    run = fit(method, Union(), watch)
    assert watch.rate == exploration_rate(ever[-1])
    rates = [line["exploration"] for line in run.history]
    assert rates == sorted(rates)
    assert method.mask().density < rates[-1] <= 1


def test_a_mask_that_stays_explores_its_density_and_dense_training_everything():
    rng = np.random.default_rng(1)
    model = NETS["mlp"](rng)
    mask = Mask({n: rng.random(p.shape) < 0.3 for n, p in model.named_parameters() if p.ndim > 1})
    fixed = FixedMask(mask)
    watch = Exploration(fixed)
    fit(fixed, watch)
    assert watch.rate == mask.density
    late = MagnitudePruning(one_shot(0.9, at=1))
    watch = Exploration(late)
    fit(late, watch)
    assert watch.rate == 1
    assert watch.mask().kept == watch.mask().total


def test_what_was_active_between_two_looks_of_the_same_mask_costs_nothing():
    """A mask that was not replaced is not looked at again."""
    method = METHODS["rigl"].make()
    looked = []

    class Counting(Exploration):
        def look(self):
            before = self._last
            super().look()
            looked.append(self._last is not before)

    fit(method, Counting(method))
    assert sum(looked) < len(looked) / 2

import numpy as np
import pytest
from every_method import NETS, data
from hooks import begin

from minisparse.optim import SGD
from minisparse.prune.magnitude import magnitude_mask
from minisparse.prune.mask import Mask
from minisparse.prune.random_pruning import RandomPruning, densities_of, random_scores
from minisparse.prune.schedule import gradual, one_shot
from minisparse.prune.scope import layer_densities


def pruned(method, net="mlp", seed=0):
    model = NETS[net](np.random.default_rng(0))
    begin(method, model, SGD(model, 0.1), data(), rng=np.random.default_rng(seed))
    return model, method.mask()


@pytest.mark.parametrize("scope", ["layer", "erk"])
def test_each_layer_has_as_many_weights_as_its_density_says(scope):
    _, mask = pruned(RandomPruning(one_shot(0.7), scope=scope))
    for name, density in layer_densities(mask.shapes(), 0.3, scope).items():
        assert np.count_nonzero(mask[name]) == int(density * mask[name].size + 0.5)


def test_over_the_whole_network_the_count_is_exact():
    _, mask = pruned(RandomPruning(one_shot(0.7)))
    assert mask.kept == round(0.3 * mask.total)


def test_the_control_of_another_method_has_its_ratios_and_is_another_mask():
    """A random control that is the same mask controls nothing."""
    model, _ = pruned(RandomPruning(one_shot(0.0)))
    theirs = magnitude_mask(model, 0.4)
    _, control = pruned(RandomPruning(one_shot(theirs.sparsity), scope=densities_of(theirs)))
    counts = {name: np.count_nonzero(m) for name, m in theirs.items()}
    assert {name: np.count_nonzero(m) for name, m in control.items()} == counts
    assert control != theirs
    _, again = pruned(RandomPruning(one_shot(theirs.sparsity), scope=densities_of(theirs)), seed=1)
    assert again != control


def test_every_weight_is_kept_equally_often():
    rng, n, density = np.random.default_rng(0), 4000, 0.3
    hits = np.zeros((4, 5))
    for _ in range(n):
        s = random_scores({"w": (4, 5)}, rng)["w"]
        hits += s >= np.sort(s, axis=None)[-6]
    sd = np.sqrt(density * (1 - density) / n)
    assert (abs(hits / n - density) < 5 * sd).all()


def test_what_is_gone_stays_gone_when_the_schedule_asks_for_more():
    method = RandomPruning(gradual(0.9, 0, 10, initial=0.3))
    model = NETS["mlp"](np.random.default_rng(0))
    run = begin(method, model, SGD(model, 0.1), data())
    before = method.mask()
    run.step = 5 * run.steps_per_epoch
    method.update(run)
    assert method.mask().kept < before.kept
    assert method.mask() & before == method.mask()


def test_densities_of_a_mask():
    assert densities_of(Mask({"a": np.eye(4, dtype=bool)})) == {"a": 0.25}

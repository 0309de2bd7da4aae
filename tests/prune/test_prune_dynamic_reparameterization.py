import numpy as np
import pytest
from every_method import data
from hooks import after_step, begin
from test_prune_dynamic import watched

from minisparse import nn
from minisparse.optim import SGD
from minisparse.prune.dynamic_reparameterization import DSR, adapt


def wide(rng):
    return nn.Sequential(
        *(nn.Flatten(), nn.Linear(36, 100, rng=rng), nn.ReLU()),
        *(nn.Linear(100, 50, rng=rng), nn.ReLU(), nn.Linear(50, 3, rng=rng)),
    )


def test_h_moves_only_if_the_number_leaves_ten_percent_around_the_target():
    assert [adapt(0.4, k, 100) for k in (0, 89, 90, 110, 111)] == [0.8, 0.8, 0.4, 0.4, 0.2]


def test_h_settles_where_the_target_is_dropped():
    """With new random sizes each time the share below H is known: H finds it from far away."""
    model = wide(np.random.default_rng(0))
    method = DSR(0.5, target=300, every=1, threshold=1e-6)
    run = begin(method, model, SGD(model, 0.0), data(), batch_size=10)
    rng, dropped = np.random.default_rng(1), []
    for _ in range(40):
        for _, p, kept in method.mask().parameters(model):
            with p.writing() as w:
                w[...] = rng.random(p.shape) * kept
        kept = method.mask()
        h = method.state_dict()["threshold"]
        dropped.append(sum((abs(p.numpy())[m] < h).sum() for _, p, m in kept.parameters(model)))
        run.epochs = 1000
        after_step(run)
        assert method.mask().kept == kept.kept
    assert all(150 <= k <= 600 for k in dropped[-10:])


def test_layers_with_more_survivors_gain():
    model = wide(np.random.default_rng(0))
    method = DSR(0.8, target=100, every=1, threshold=0.5)
    run = begin(method, model, SGD(model, 0.0), data(), batch_size=10)
    before = {n: int(m.sum()) for n, m in method.mask().items()}
    names = list(before)
    for name, p, kept in method.mask().parameters(model):
        with p.writing() as w:  # all of the first layer would survive, half of the others
            w[...] = np.where(np.arange(w.size).reshape(w.shape) % 2 == 0, 1, 0.1) * kept
            if name == names[0]:
                w[...] = kept
    left = {n: int((p.numpy() >= 0.5).sum()) for n, p, _ in method.mask().parameters(model)}
    after_step(run)
    after = {n: int(m.sum()) for n, m in method.mask().items()}
    assert sum(after.values()) == sum(before.values())
    dropped = sum(before.values()) - sum(left.values())
    for n in names:
        assert abs(after[n] - left[n] - dropped * left[n] / sum(left.values())) < 1
    assert after[names[0]] > before[names[0]]


def test_the_mask_rests_after_the_end_and_h_is_in_the_history():
    look = watched(DSR(0.6, target=10, every=2, threshold=0.05, end=1.0))
    assert look.masks[0] != look.masks[6]
    assert all(m == look.masks[6] for m in look.masks[6:])


def test_errors():
    for settings in ({"target": 0}, {"every": 0}, {"threshold": 0.0}, {"end": 0.0}):
        with pytest.raises(ValueError, match="expected a number of weights"):
            DSR(0.5, **settings)

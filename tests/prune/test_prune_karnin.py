from itertools import pairwise

import numpy as np
import pytest
from every_method import NETS, data
from hooks import begin

from minisparse.autodiff import Tensor
from minisparse.data import batches
from minisparse.optim import SGD, Adam
from minisparse.prune.karnin import KarninPruning, shadow_sensitivity
from minisparse.prune.method import Run
from minisparse.prune.schedule import one_shot
from minisparse.train import train


def descend(method, run, steps, loss):
    for _ in range(steps):
        run.model.zero_grad()
        loss().backward()
        method.after_backward(run)
        run.optimizer.step()
        run.step += 1
        method.after_step(run)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_where_the_error_is_a_sum_of_parabolas_and_w_starts_at_0_it_is_exact(momentum):
    """S is what deleting a weight costs, E(0) - E(w_f), whatever way was taken to w_f."""
    model = NETS["mlp"](np.random.default_rng(0)).to(np.float64)
    p, rng = dict(model.named_parameters())["3.weight"], np.random.default_rng(0)
    h, best = rng.uniform(0.5, 2, p.shape), rng.standard_normal(p.shape)
    p.data = np.zeros(p.shape)
    optimizer = SGD([("w", p)], 0.001 * (1 - momentum), momentum=momentum)
    method = KarninPruning(one_shot(0.0), names=["3.weight"])
    run = begin(method, model, optimizer, data())

    def error(w):
        return h * (w - best) * (w - best) * 0.5

    descend(method, run, 1500, lambda: error(p).sum())
    w = p.numpy()
    s = method.score({"3.weight": w}, None)["3.weight"]
    np.testing.assert_allclose(s, error(0 * w) - error(w), rtol=2e-3)


def test_with_plain_descent_the_shadow_is_the_sum_of_squared_steps_over_eta():
    eta, seen = 0.05, []
    model = NETS["mlp"](np.random.default_rng(0)).to(np.float64)

    class Watch(KarninPruning):
        def after_step(self, run):
            seen.append({n: self._before[n][0] for n in self._before})
            super().after_step(run)

    method = Watch(one_shot(0.0))
    train(model, data(), SGD(model, eta), epochs=2, rng=np.random.default_rng(0), batch_size=10,
          methods=[method], progress=False)  # fmt: skip
    seen.append({n: p.numpy() for n, p in model.named_parameters() if p.ndim > 1})
    for n, shadow in method._shadow.items():
        squares = sum((b[n] - a[n]) ** 2 for a, b in pairwise(seen))
        np.testing.assert_allclose(shadow, squares / eta, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize(("kind", "lr"), [(SGD, 2e-3), (Adam, 2e-5)])
def test_summed_over_all_parameters_the_shadow_is_the_loss_that_is_gone(kind, lr):
    model = NETS["mlp"](np.random.default_rng(0)).to(np.float64)
    names = [n for n, _ in model.named_parameters()]
    method = KarninPruning(one_shot(0.0), names=names)
    run = begin(method, model, kind(model, lr), data())
    x, y = next(batches(data(), 60))
    x = x.astype(np.float64)
    first = run.loss_function(model(Tensor(x)), y).item()
    descend(method, run, 300, lambda: run.loss_function(model(Tensor(x)), y))
    gone = first - run.loss_function(model(Tensor(x)), y).item()
    assert gone > 0.005
    assert sum(a.sum() for a in method._shadow.values()) == pytest.approx(gone, rel=0.02)


def test_the_smallest_s_go_signs_and_all():
    a, f, i = (
        np.array([1.0, 1.0, 1.0, 0.0]),
        np.array([1.0, 0.5, 2.0, 3.0]),
        np.array([0.5, 1, 0, 3]),
    )
    np.testing.assert_allclose(shadow_sensitivity(a, f, i), [2.0, -1.0, 1.0, 0.0])
    model = NETS["mlp"](np.random.default_rng(0))
    method = KarninPruning(one_shot(0.0))
    train(model, data(), SGD(model, 0.1), epochs=1, rng=np.random.default_rng(0), batch_size=10,
          methods=[method], progress=False)  # fmt: skip
    weights = {n: p.numpy() for n, p in model.named_parameters() if p.ndim > 1}
    s = method.score(weights, None)
    mask = method.choose(0.5, None)
    assert max(s[n][~m].max() for n, m in mask.items()) <= min(
        s[n][m].min() for n, m in mask.items()
    )
    assert min(v.min() for v in s.values()) < 0


def test_no_images_are_looked_at(monkeypatch):
    monkeypatch.setattr(Run, "_draw", lambda *_: 1 / 0)
    model = NETS["mlp"](np.random.default_rng(0))
    method = KarninPruning(one_shot(0.5, at=1))
    train(model, data(), SGD(model, 0.1), epochs=1, rng=np.random.default_rng(0), batch_size=10,
          methods=[method], progress=False)  # fmt: skip
    assert method.mask().kept == round(0.5 * method.mask().total)

import numpy as np
import pytest
from every_method import NETS, data
from test_prune_gsm import fit

from minisparse.optim import SGD
from minisparse.prune.cram import CrAM, ascended
from minisparse.prune.magnitude import magnitude_mask
from minisparse.prune.method import Method
from minisparse.train import train


@pytest.mark.parametrize("net", NETS)
def test_without_ascent_and_compression_it_is_twice_the_gradient(net):
    ours = fit([CrAM(rho=0.0, sparsities=[0.0])], net, lr=0.05)
    plain = fit([], net, lr=0.1)
    for (name, a), (_, b) in zip(ours.named_parameters(), plain.named_parameters(), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-3, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("plus", [True, False])
@pytest.mark.parametrize("net", NETS)
def test_the_gradient_is_that_at_the_compressed_point_by_hand(net, plus):
    seen = []

    class Before(Method):
        def after_backward(self, run):
            self.g = {n: p.grad.numpy() for n, p in run.model.named_parameters()}
            self.w = run.model.state_dict()

    class After(Method):
        def after_backward(self, run):
            seen.append({n: p.grad.numpy() for n, p in run.model.named_parameters()})
            for n, p in run.model.named_parameters():
                np.testing.assert_array_equal(p.numpy(), before.w[n], "it looks, and comes back")
            there = NETS[net](np.random.default_rng(0))
            there.load_state_dict({n: ascended(w, before.g[n], 0.3) for n, w in before.w.items()})
            mask = magnitude_mask(there, 1 - 0.6)
            mask.apply(there)
            kept = dict(mask.items())
            run.loss_function(there(run.x), run.y).backward()
            for n, p in there.named_parameters():
                g = p.grad.numpy() * kept.get(n, 1) + plus * before.g[n]
                np.testing.assert_allclose(seen[-1][n], g, rtol=1e-4, atol=1e-6, err_msg=n)

    before = Before()
    fit([before, CrAM(0.3, [0.6], plus), After()], net)
    assert len(seen) == 6


def test_the_sparsity_is_drawn_anew_at_each_step():
    drawn = []

    class Spy(CrAM):
        def compressed(self, run, weights, gradients):
            found = super().compressed(run, weights, gradients)
            drawn.append(round(found[1].sparsity, 1))
            return found

    fit([Spy()], epochs=10)
    assert set(drawn) == {0.5, 0.7, 0.9}


def test_it_makes_pruning_in_one_shot_cheaper():
    def error_after_pruning(methods):
        found = []
        for seed in range(3):
            rng = np.random.default_rng(seed)
            model = NETS["mlp"](rng, width=40)
            split = data(n=300)
            train(
                model, split, SGD(model, 0.1, momentum=0.9), epochs=12, rng=rng, batch_size=10,
                methods=methods, progress=False,
            )  # fmt: skip
            magnitude_mask(model, 0.08).apply(model)
            x = split.images.astype(np.float32) / 255
            found.append((model(x).numpy().argmax(axis=1) != split.labels).mean())
        return np.mean(found)

    assert error_after_pruning([CrAM()]) < error_after_pruning([])


def test_errors():
    for settings in ((-1.0,), (0.05, []), (0.05, [1.5])):
        with pytest.raises(ValueError, match="expected rho"):
            CrAM(*settings)

import math

import numpy as np
import pytest

from minisparse import nn
from minisparse.autodiff import no_grad
from minisparse.nn import Conv2d, Linear
from minisparse.prune.bayesian_compression import add_horseshoe_scales, add_normal_scales
from minisparse.prune.bernoulli_gates import add_unit_gates
from minisparse.prune.structured_bayesian import add_log_normal_noise
from minisparse.prune.structured_variational_dropout import add_unit_alphas
from minisparse.prune.vibnet import add_bottlenecks

ADD = {
    "log-normal": lambda m, rng: add_log_normal_noise(m, [""], rng, initial=-0.5),
    "gaussian": lambda m, rng: add_unit_alphas(m, [""], rng, initial=-1.0),
    "bottleneck": lambda m, rng: add_bottlenecks(m, [""], rng, initial=-1.0),
    "gates": lambda m, rng: add_unit_gates(m, [""], rng, initial=0.7),
    "gnj": lambda m, rng: add_normal_scales(m, [""], rng, initial=-2.0, threshold=5),
    "ghs": lambda m, rng: add_horseshoe_scales(m, [""], rng, initial=-2.0, threshold=5),
}
KINDS = pytest.mark.parametrize("kind", ["linear", "conv"])


def noisy(name, kind):
    rng = np.random.default_rng(0)
    if kind == "linear":
        layer, x = Linear(4, 3, rng=rng), rng.standard_normal((2, 4))
    else:
        layer, x = Conv2d(2, 3, 2, rng=rng), rng.standard_normal((2, 3, 3, 2))
    layer.to(np.float64)
    layer.bias.data = np.array([1.0, -2.0, 0.5])
    ADD[name](layer, rng)
    return layer.to(np.float64), x


def draws(layer, x, n=8000):
    with no_grad():
        y = layer(np.repeat(x[None], n, axis=0).reshape(-1, *x.shape[1:])).numpy()
    return y.reshape(n, x.shape[0], *y.shape[1:])


@KINDS
@pytest.mark.parametrize("name", ADD)
def test_evaluation_computes_the_mean_of_what_training_draws(name, kind):
    layer, x = noisy(name, kind)
    y = draws(layer, x)
    mean = layer.eval()(x).numpy()
    assert layer.parametrization.open().all()
    assert (abs(y.mean(0) - mean) < 5 * y.std(0) / math.sqrt(len(y)) + 1e-12).all()
    assert y.std(0).max() > 0.1


@KINDS
@pytest.mark.parametrize("name", ADD)
def test_gone_groups_are_zero_and_harden_knows_them(name, kind, monkeypatch):
    layer, x = noisy(name, kind)
    held = layer.parametrization
    stays = np.arange(held.groups) != 1
    monkeypatch.setattr(type(held), "open", lambda _: stays)
    plain, kept = nn.harden(layer)
    index = (Ellipsis, 1) if kind == "conv" else (1,)
    assert not plain.weight.numpy()[index].any()
    assert not kept["weight"][index].any()
    assert kept["weight"].sum() == kept["weight"].size * stays.mean()
    assert ("bias" in kept) == (kind == "conv")
    if kind == "conv":
        assert plain.bias.numpy()[1] == 0
        assert kept["bias"].tolist() == stays.tolist()
    np.testing.assert_array_equal(plain(x).numpy(), layer.eval()(x).numpy())


@pytest.mark.parametrize("name", sorted(ADD.keys() - {"gnj", "ghs"}))
def test_an_example_has_one_factor_for_a_filter_at_all_positions_and_another_has_another(name):
    layer, x = noisy(name, "conv")
    layer.weight.data = abs(layer.weight.numpy())
    clean = layer.affine(nn.weighted.Tensor(x), layer.weight, layer.bias).numpy()
    factor = draws(layer, x, 40) / clean
    assert np.ptp(factor, axis=(2, 3)).max() < 1e-10
    assert np.ptp(factor[:, :, 0, 0], axis=(0, 1)).min() > 1e-3


@KINDS
@pytest.mark.parametrize("name", sorted(ADD.keys() - {"gates"}))
def test_gradients_through_the_noise_and_the_divergence(name, kind):
    layer, x = noisy(name, kind)
    held, rng = layer.parametrization, layer.parametrization.rng
    start, c = rng.bit_generator.state, np.random.default_rng(3).standard_normal(layer(x).shape)

    def objective():
        rng.bit_generator.state = start
        return (layer(x) * c).sum() + held.divergence(layer.weight) * 0.3

    objective().backward()
    for p in layer.parameters():
        for i in [i for k, i in enumerate(np.ndindex(p.shape)) if k < 6]:
            values = []
            for h in (1e-5, -1e-5):
                with p.writing() as a:
                    a[i] += h
                values.append(objective().item())
                with p.writing() as a:
                    a[i] -= h
            slope = (values[0] - values[1]) / 2e-5
            assert p.grad.numpy()[i] == pytest.approx(slope, rel=1e-4, abs=1e-5)


def test_evaluation_draws_nothing():
    for name in ADD:
        layer, x = noisy(name, "linear")
        state = layer.parametrization.rng.bit_generator.state
        layer.eval()(x)
        assert layer.parametrization.rng.bit_generator.state == state

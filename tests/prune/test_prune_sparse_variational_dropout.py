import copy
import math

import numpy as np
import pytest

from minisparse import autodiff as ad
from minisparse import gradcheck, nn
from minisparse.autodiff import Tensor, no_grad
from minisparse.data import Split
from minisparse.nn import Conv2d, Linear, Module
from minisparse.optim import EMA, SGD, Adam
from minisparse.prune.mask import Mask
from minisparse.prune.sparse_variational_dropout import (
    SparseVariationalDropout,
    Variances,
    add_variances,
    divergence,
    log_alpha,
    pre_activation,
)
from minisparse.sparse import shrink, sparsify
from minisparse.train import evaluate, train

ALPHAS = np.exp([-8.0, -4.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 5.0, 8.0])


# ---- the divergence -----------------------------------------------------------------------------


def expected_log(alpha):
    """E log |e| for e ~ N(1, alpha): both sides of the pole at 0, as powers of 2."""
    sd = math.sqrt(alpha)
    t = np.linspace(-60, math.log2(1 + 12 * sd), 200_001)
    e = 2.0**t
    total = np.zeros_like(t)
    for sign in (1, -1):
        density = np.exp(-((sign * e - 1) ** 2) / (2 * alpha)) / (sd * math.sqrt(2 * math.pi))
        total += np.log(e) * density * e * math.log(2)
    return np.trapezoid(total, t)


def true_divergence(alpha):
    """KL up to its constant, which makes it 0 in the limit: E log |N(0, 1)| = -(gamma + log 2)/2."""
    limit = -(np.euler_gamma + math.log(2)) / 2
    return expected_log(alpha) - math.log(alpha) / 2 - limit


@pytest.mark.parametrize("alpha", [0.05, 1.0, 30.0])
def test_the_quadrature_itself_against_draws(alpha):
    e = 1 + math.sqrt(alpha) * np.random.default_rng(0).standard_normal(1_000_000)
    drawn = np.log(abs(e))
    assert expected_log(alpha) == pytest.approx(drawn.mean(), abs=4.5 * drawn.std() / 1000)


@pytest.mark.parametrize("alpha", ALPHAS)
def test_the_divergence_is_that_of_the_log_uniform_prior(alpha):
    approximate = divergence(Tensor(np.log([alpha]))).item()
    assert approximate == pytest.approx(true_divergence(alpha), abs=0.009)
    assert abs(true_divergence(1e9)) < 1e-3


@pytest.mark.parametrize("alpha", ALPHAS)
def test_so_is_its_derivative(alpha):
    la = Tensor(np.log([alpha]), requires_grad=True)
    divergence(la).sum().backward()
    h = 1e-3
    slope = (true_divergence(alpha * math.exp(h)) - true_divergence(alpha * math.exp(-h))) / (2 * h)
    assert la.grad.item() == pytest.approx(slope, abs=0.02)
    assert la.grad.item() < 0  # more noise is always better


def test_it_stays_finite_far_outside():
    la = Tensor(np.array([-400.0, 400.0]), requires_grad=True)
    y = divergence(la)
    y.sum().backward()
    np.testing.assert_allclose(y.numpy(), [200.63576, 0], atol=1e-12)
    np.testing.assert_allclose(la.grad.numpy(), [-0.5, 0], atol=1e-12)


def test_the_ratio_and_a_weight_of_zero():
    theta, log_sigma2 = np.array([0.5, -0.5, 0.0]), np.array([-8.0, -2.0, -8.0])
    expected = [-8 - 2 * math.log(0.5), -2 - 2 * math.log(0.5), -8 + 16 * math.log(10)]
    np.testing.assert_allclose(log_alpha(Tensor(theta), log_sigma2).numpy(), expected, rtol=1e-12)
    w = Tensor(np.zeros(2, np.float32), requires_grad=True)
    divergence(log_alpha(w, Tensor(np.full(2, -8, np.float32)))).sum().backward()
    assert (w.grad.numpy() == 0).all()


def test_gradients_of_the_formulas():
    rng = np.random.default_rng(0)
    theta, log_sigma2 = rng.standard_normal((4, 3)), rng.normal(-2, 2, (4, 3))
    noise = rng.standard_normal((4, 3))
    assert gradcheck(lambda t, s: divergence(log_alpha(t, s)).sum(), theta, log_sigma2)
    assert gradcheck(lambda m, v: pre_activation(m, v, noise).sum(), theta, np.exp(log_sigma2))


# ---- the noise ----------------------------------------------------------------------------------


def noisy(kind, log_sigma2=None):
    rng = np.random.default_rng(0)
    if kind == "linear":
        layer, x = Linear(4, 3, rng=rng), rng.standard_normal((2, 4))
    else:
        layer, x = Conv2d(2, 3, 2, (2, 1), 1, rng=rng), rng.standard_normal((2, 3, 3, 2))
    layer.to(np.float64)
    layer.bias.data = np.array([1.0, -2.0, 0.5])
    add_variances(layer, [""], rng)
    given = rng.normal(-1, 1, layer.weight.shape) if log_sigma2 is None else log_sigma2
    layer.parametrization.log_sigma2.data = given
    return layer, x


@pytest.mark.parametrize("kind", ["linear", "conv"])
def test_pre_activations_have_the_law_of_noisy_weights(kind):
    """Mean and variance, against the formula and against weights that are drawn themselves."""
    layer, x = noisy(kind)
    theta, sigma2 = layer.weight.numpy(), np.exp(layer.parametrization.log_sigma2.numpy())
    mean = layer.affine(Tensor(x), layer.weight, layer.bias).numpy()
    variance = layer.affine(Tensor(x * x), Tensor(sigma2), None).numpy()
    n, rng = 3000, np.random.default_rng(1)
    weights = theta + np.sqrt(sigma2) * rng.standard_normal((n, *theta.shape))
    with no_grad():
        at_once = layer(np.repeat(x[None], n, axis=0).reshape(-1, *x.shape[1:])).numpy()
        one_by_one = [layer.affine(Tensor(x), Tensor(w), layer.bias).numpy() for w in weights]
    for y in (at_once.reshape(n, *mean.shape), np.array(one_by_one)):
        assert (abs(y.mean(0) - mean) < 5 * np.sqrt((variance + 1e-12) / n)).all()
        np.testing.assert_allclose(y.var(0), variance, rtol=5 * math.sqrt(2 / n), atol=1e-7)
    assert variance.max() > 0.5


def test_each_example_and_each_place_has_its_own_noise():
    for kind in ("linear", "conv"):
        layer, x = noisy(kind)
        y = layer(np.repeat(x[:1], 2, axis=0)).numpy()
        assert (y[0] != y[1]).all()
    layer, _ = noisy("conv")
    y = layer(np.ones((1, 7, 7, 2))).numpy()[0, 1:-1, 1:-1]  # without noise it is the same all over
    assert np.unique(y).size == y.size


@pytest.mark.parametrize("kind", ["linear", "conv"])
def test_gradients_through_the_noise_and_the_divergence(kind):
    layer, x = noisy(kind)
    method = SparseVariationalDropout(7)
    method.model = layer
    g = layer.parametrization.rng
    start, c = g.bit_generator.state, np.random.default_rng(3).standard_normal(layer(x).shape)

    def objective():
        g.bit_generator.state = start
        return (layer(x) * c).sum() + method.divergence() * 0.3

    objective().backward()
    for p in layer.parameters():
        for i in np.ndindex(p.shape):
            values = []
            for h in (1e-6, -1e-6):
                with p.writing() as a:
                    a[i] += h
                values.append(objective().item())
                with p.writing() as a:
                    a[i] -= h
            slope = (values[0] - values[1]) / 2e-6
            assert p.grad.numpy()[i] == pytest.approx(slope, rel=1e-5, abs=1e-6)


def test_inputs_of_zero_have_a_gradient():
    layer, x = noisy("linear")
    layer.to(np.float32)
    layer(0 * x.astype(np.float32)).sum().backward()
    assert all(np.isfinite(p.grad.numpy()).all() for p in layer.parameters())


# ---- evaluation ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["linear", "conv"])
def test_evaluation_uses_the_means_of_what_is_more_than_noise(kind):
    layer, x = noisy(kind)
    theta, log_sigma2 = layer.weight.numpy(), layer.parametrization.log_sigma2.numpy()
    stays = np.exp(log_sigma2) < math.exp(3) * theta**2
    assert 0 < stays.mean() < 1
    plain, kept = nn.harden(layer)
    assert (kept["weight"] == stays).all()
    assert list(kept) == ["weight"]
    assert np.array_equal(plain.weight.numpy(), theta * stays)
    state = layer.parametrization.rng.bit_generator.state
    expected = layer.affine(Tensor(x), Tensor(theta * stays), layer.bias).numpy()
    assert np.array_equal(layer.eval()(x).numpy(), expected)
    assert np.array_equal(plain(x).numpy(), expected)
    assert layer.parametrization.rng.bit_generator.state == state


def test_the_threshold_is_a_dropout_rate_of_95_percent():
    alpha = math.exp(3)
    assert alpha / (1 + alpha) == pytest.approx(0.953, abs=5e-4)


# ---- in training --------------------------------------------------------------------------------


class Flat(Module):
    def __init__(self, rng):
        self.a, self.b = Linear(12, 8, rng=rng), Linear(8, 3, rng=rng)

    def forward(self, x):
        return self.b(ad.relu(self.a(ad.flatten(x))))


def images(n=300):
    """Classes that the first three of twelve pixels tell; the others are noise."""
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 3, n)
    x = rng.integers(0, 256, (n, 3, 4, 1))
    x[:, 0, :3, 0] = 40 * x[:, 0, :3, 0] // 255 + 200 * np.eye(3, dtype=int)[labels]
    return Split(x.astype(np.uint8), labels)


def prepared(seed=0):
    rng = np.random.default_rng(seed)
    model = Flat(rng)
    add_variances(model, ["a", "b"], rng)
    return model, Adam(model, 1e-2), rng


def test_training_removes_what_tells_nothing():
    split = images()
    model, optimizer, rng = prepared()
    method = SparseVariationalDropout(len(split), warm_up=10)
    run = train(
        model, split, optimizer, epochs=120, rng=rng, batch_size=30, methods=[method],
        progress=False,
    )  # fmt: skip
    mask = method.mask()
    assert mask.total == 120
    assert run.history[0]["weights_left"] > 110
    assert run.history[-1]["weights_left"] == mask.kept < 40
    assert mask["a.weight"][:3].any(axis=1).all()
    assert mask["a.weight"][3:].mean() < 0.1
    assert evaluate(model, split).error_percent < 2

    plain, kept = nn.harden(model)
    assert Mask(kept) == mask
    assert evaluate(plain, split) == evaluate(model, split)
    x = split.images[:9].astype(np.float32) / 255
    with no_grad():
        expected = model.eval()(x).numpy()
        small, report = shrink(plain, mask, example=x[:1])
        for form in (small, sparsify(plain, mask, "csr", example=x[:1])):
            np.testing.assert_allclose(form.eval()(x).numpy(), expected, rtol=1e-4, atol=1e-4)
    assert report.removed["a"].size > 0


def test_the_divergence_is_warmed_up():
    split = images(60)
    seen = []

    class Watch(SparseVariationalDropout):
        def before_loss(self, run):
            term = super().before_loss(run)
            seen.append(term.item() / (self.divergence().item() / 60))
            return term

    for warm_up, expected in ((1.5, [0, 1 / 3, 2 / 3, 1]), (0, [1, 1, 1, 1])):
        model, optimizer, rng = prepared()
        seen.clear()
        train(
            model, split, optimizer, epochs=2, rng=rng, batch_size=30,
            methods=[Watch(60, warm_up)], progress=False,
        )  # fmt: skip
        np.testing.assert_allclose(seen, expected, atol=1e-6)


def test_an_interrupted_run_ends_with_the_same_bits(tmp_path):
    class Stop(Exception):
        pass

    class Bomb(SparseVariationalDropout):
        at = 0

        def after_step(self, run):
            if run.step == self.at:
                raise Stop

    def go(path, at):
        model, optimizer, rng = prepared()
        average = EMA(model, 0.9)
        method = Bomb(60, 2.0)
        method.at = at
        run = train(
            model, images(60), optimizer, epochs=4, rng=rng, batch_size=20, methods=[method],
            average=average, checkpoint=path, checkpoint_seconds=0, progress=False,
        )  # fmt: skip
        return run, model.state_dict() | {f"{i}": a for i, a in enumerate(average.average())}

    run, whole = go(tmp_path / "whole.npz", at=0)
    assert "a.parametrization.log_sigma2" in whole
    for at in (2, 3, 11):
        with pytest.raises(Stop):
            go(tmp_path / f"{at}.npz", at)
        again, resumed = go(tmp_path / f"{at}.npz", at=0)
        assert all((whole[k] == resumed[k]).all() for k in whole)
        assert [r["weights_left"] for r in again.history] == [
            r["weights_left"] for r in run.history
        ]


def test_what_does_not_fit_is_refused():
    model, optimizer, rng = prepared()
    plain = Flat(rng)
    with pytest.raises(ValueError, match="Flat has no variances: call add_variances first"):
        SparseVariationalDropout(60).attach(plain, Adam(plain), rng)
    early = Adam(plain)
    add_variances(plain, ["a"], rng)
    with pytest.raises(ValueError, match="does not train the variances of a: call add_variances"):
        SparseVariationalDropout(60).attach(plain, early, rng)
    with pytest.raises(ValueError, match="variances of a must draw from the run's rng"):
        SparseVariationalDropout(60).attach(model, optimizer, np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"pull log sigma2 to 0 as well: use .*L2 instead"):
        SparseVariationalDropout(60).attach(model, SGD(model, 0.1, weight_decay=1e-4), rng)
    for n, warm_up in ((0, 1.0), (60, -1.0), (60, math.nan), (60, math.inf)):
        with pytest.raises(ValueError, match="number of training images and a duration"):
            SparseVariationalDropout(n, warm_up)
    with pytest.raises(ValueError, match="n = 600, but this run trains on 60 images"):
        train(
            model, images(60), optimizer, epochs=1, rng=rng, batch_size=20,
            methods=[SparseVariationalDropout(600)], progress=False,
        )  # fmt: skip


def test_float32_stays_and_the_copy_draws_from_the_same_generator():
    model, _, rng = prepared()
    y = model(np.ones((2, 3, 4, 1), np.float32))
    assert y.dtype == np.float32
    y.sum().backward()
    assert {p.grad.dtype for p in model.parameters()} == {np.dtype(np.float32)}
    other = nn.names.copied(model)
    assert isinstance(other.a.parametrization, Variances)
    assert other.a.parametrization.rng is rng
    assert copy.deepcopy(model).a.parametrization.rng is not rng


def test_a_device(device):
    model, _, _ = prepared()
    model.to(array_module=device)
    x = device.asarray(np.ones((2, 3, 4, 1), np.float32))
    y = model(Tensor(x))
    assert isinstance(y.data, device.ndarray)
    y.sum().backward()
    plain, kept = nn.harden(model)
    assert type(kept["a.weight"]) is np.ndarray
    assert isinstance(plain.a.weight.data, device.ndarray)

import numpy as np
import pytest
from every_method import NETS, data

from minisparse import nn
from minisparse.arrays import to_numpy
from minisparse.autodiff import cross_entropy
from minisparse.data import batches
from minisparse.optim import SGD
from minisparse.prune.batch import Batch, layer_gradients
from minisparse.prune.method import Run


def images(n=7, seed=0):
    x, y = next(batches(data(seed, n), n))
    return x.astype(np.float64), y


def normed(rng):
    """Return a network with batch norm and dropout."""
    return nn.Sequential(
        *(nn.Flatten(), nn.Linear(36, 8, rng=rng), nn.BatchNorm1d(8), nn.ReLU()),
        *(nn.Dropout(0.5, rng=rng), nn.Linear(8, 3, rng=rng)),
    )


class AtPositions(nn.Module):
    """Applies one matrix to each row of the image."""

    def __init__(self, rng):
        self.rows, self.out = nn.Linear(6, 4, rng=rng), nn.Linear(24, 3, rng=rng)

    def forward(self, x):
        return self.out(self.rows(x.reshape(-1, 6, 6)).tanh().reshape(-1, 24))


ALL = {**NETS, "positions": AtPositions}


def model_of(net):
    return ALL[net](np.random.default_rng(3)).to(np.float64)


def weights_of(model):
    return [n for n, p in model.named_parameters() if p.ndim > 1]


def central(function, at, direction, h=1e-5):
    up = function({n: w + h * direction[n] for n, w in at.items()})
    down = function({n: w - h * direction[n] for n, w in at.items()})
    return up, down, 2 * h


@pytest.mark.parametrize("net", ALL)
def test_the_gradient_is_the_change_of_the_loss(net):
    model = model_of(net)
    batch = Batch(model, images())
    at = {n: p.numpy() for n, p in model.named_parameters()}
    rng = np.random.default_rng(0)
    direction = {n: rng.standard_normal(w.shape) for n, w in at.items()}
    g = batch.gradients(list(at))
    slope = sum((g[n] * direction[n]).sum() for n in at)
    up, down, step = central(batch.loss_at, at, direction)
    assert slope == pytest.approx((up - down) / step, rel=1e-6)
    assert batch.loss_at() == pytest.approx(batch.loss_tensor().item())
    for n, p in model.named_parameters():
        np.testing.assert_array_equal(p.numpy(), at[n])
        assert p.grad is None


@pytest.mark.parametrize("net", ["mlp", "cnn", "positions"])
def test_the_hessian_vector_product_is_the_change_of_the_gradient(net):
    model = model_of(net)
    batch = Batch(model, images())
    names = weights_of(model)
    at = {n: dict(model.named_parameters())[n].numpy() for n in names}
    rng = np.random.default_rng(1)
    v = {n: rng.standard_normal(w.shape) for n, w in at.items()}
    found = batch.hessian_vector(v)

    def gradient(weights):
        for n, w in weights.items():
            dict(model.named_parameters())[n].data = w
        return batch.gradients(names)

    up, down, step = central(gradient, at, v, h=1e-6)
    for n in names:
        expected = (up[n] - down[n]) / step
        np.testing.assert_allclose(found[n], expected, atol=1e-6 * np.abs(expected).max(), rtol=1e-5)


def test_a_hessian_is_symmetric():
    model = model_of("cnn")
    batch = Batch(model, images())
    rng = np.random.default_rng(1)
    shapes = {n: dict(model.named_parameters())[n].shape for n in weights_of(model)}
    u, v = ({n: rng.standard_normal(s) for n, s in shapes.items()} for _ in range(2))
    hv, hu = batch.hessian_vector(v), batch.hessian_vector(u)
    assert sum((u[n] * hv[n]).sum() for n in u) == pytest.approx(sum((v[n] * hu[n]).sum() for n in u))
    with pytest.raises(ValueError, match="no direction"):
        batch.hessian_vector({})


@pytest.mark.parametrize("net", ALL)
def test_squares_are_those_of_the_gradients_of_single_images(net):
    model = model_of(net)
    x, y = images(5)
    found = Batch(model, (x, y)).squares()
    names = weights_of(model)
    assert sorted(found) == sorted(names)
    single = [Batch(model, (x[i : i + 1], y[i : i + 1])).gradients(names) for i in range(5)]
    for n in names:
        expected = np.mean([g[n] ** 2 for g in single], axis=0)
        np.testing.assert_allclose(found[n], expected, rtol=1e-9, atol=1e-15)


def test_the_model_is_as_before_and_dropout_and_batch_norm_are_asked_as_in_evaluation():
    model = normed(np.random.default_rng(0))
    model.train()
    before = model.state_dict()
    modes = [m.training for m in model.modules()]
    x, y = next(batches(data(), 8))
    for training in (False, True):
        batch = Batch(model, (x, y), training=training)
        first = batch.loss_at()
        batch.gradients(weights_of(model))
        batch.inputs()
        for name, value in model.state_dict().items():
            np.testing.assert_array_equal(value, before[name])
        assert [m.training for m in model.modules()] == modes
        assert (batch.loss_at() == first) is not training  # dropout draws anew
    plain = model.eval()
    assert Batch(model, (x, y)).loss_at() == pytest.approx(cross_entropy(plain(x), y).item())


def test_images_are_drawn_when_they_are_looked_at_and_only_once():
    model = NETS["mlp"](np.random.default_rng(0))
    run = Run(model, SGD(model, 0.1), np.random.default_rng(5), (), data(), 3, 10)
    state = run.rng.bit_generator.state
    batch = run.draw(25)
    assert run.rng.bit_generator.state == state
    assert len(batch) == 25
    x = batch.x
    assert run.rng.bit_generator.state != state
    assert batch.x is x
    assert x.dtype == np.float32
    assert len({row.tobytes() for row in x}) == 25, "all different"
    assert len(run.draw(1000)) == len(data())


def test_inputs_of_the_layers():
    model = NETS["cnn"](np.random.default_rng(0))
    x, y = next(batches(data(), 4))
    inputs = Batch(model, (x, y)).inputs()
    assert [a.shape for a in inputs.values()] == [(4, 6, 6, 1), (4, 16), (4, 6)]
    np.testing.assert_array_equal(inputs["0"], x)


def test_a_weight_that_is_shared_or_mapped_is_refused():
    class Twice(nn.Module):
        def __init__(self, rng):
            self.layer = nn.Linear(36, 36, rng=rng)

        def forward(self, x):
            return self.layer(self.layer(x.reshape(-1, 36)))

    batch = Batch(Twice(np.random.default_rng(0)), images())
    logits, layers = batch.layers()
    with pytest.raises(ValueError, match="more than once"):
        layer_gradients(logits, layers, np.ones((1, *logits.shape)))


def test_a_parameter_that_is_not_there():
    batch = Batch(NETS["mlp"](np.random.default_rng(0)), images())
    with pytest.raises(KeyError, match="the model has no"):
        batch.gradients(["2.weight"])


def test_on_another_array_library(device):
    x, y = next(batches(data(), 6))
    here = Batch(NETS["mlp"](np.random.default_rng(0)), (x, y))
    model = NETS["mlp"](np.random.default_rng(0)).to(array_module=device)
    there = Batch(model, (device.asarray(x), device.asarray(y)))
    names = weights_of(model)
    for a, b in ((here.gradients(names), there.gradients(names)), (here.squares(), there.squares())):
        for n in names:
            np.testing.assert_allclose(to_numpy(b[n]), a[n], rtol=1e-4, atol=1e-7)

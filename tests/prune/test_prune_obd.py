import numpy as np
import pytest
from every_method import NETS, data
from hooks import begin
from test_prune_batch import ALL, images, model_of, weights_of

from minisparse import nn
from minisparse.autodiff import gradients, softmax
from minisparse.data import batches
from minisparse.optim import SGD
from minisparse.prune.batch import Batch
from minisparse.prune.obd import (
    OBDPruning,
    curvatures,
    recursion,
    recursion_curvatures,
    saliency,
)
from minisparse.prune.schedule import one_shot


def second_difference(batch, name, index, h=1e-4):
    """Return d^2 L / dw_i^2 by differences."""
    w = batch.parameters([name])[0].numpy()

    def at(step):
        moved = w.copy()
        moved[index] += step
        return batch.loss_at({name: moved})

    return (at(h) - 2 * at(0.0) + at(-h)) / h**2


@pytest.mark.parametrize("net", ["mlp", "cnn"])
def test_h_of_the_last_layer_is_the_second_derivative(net):
    model = model_of(net)
    batch = Batch(model, images(6))
    name = weights_of(model)[-1]
    h = curvatures(batch)[name]
    for index in [(0, 0), (3, 1), (5, 2)]:
        assert h[index] == pytest.approx(second_difference(batch, name, index), rel=1e-5, abs=1e-9)


@pytest.mark.parametrize("net", ["mlp", "cnn"])
def test_with_relus_and_maxima_h_is_the_hessians_diagonal_in_every_layer(net):
    """As functions of one weight the logits are piecewise linear; of two weights they are not."""
    model = model_of(net)
    batch = Batch(model, images(6))
    rng = np.random.default_rng(0)
    for name, h in curvatures(batch).items():
        for q in rng.permutation(h.size)[:20]:
            e = np.zeros(h.shape)
            e.flat[q] = 1
            row = batch.hessian_vector({name: e})[name]
            assert row.flat[q] == pytest.approx(h.flat[q], rel=1e-9, abs=1e-14)


@pytest.mark.parametrize("net", ALL)
def test_h_is_the_diagonal_of_the_gauss_newton_matrix(net):
    """J^T (diag(p) - p p^T) J, formed for single images and single weights."""
    model = model_of(net)
    x, y = images(4)
    names = weights_of(model)
    expected = dict.fromkeys(names, 0.0)
    for i in range(4):
        z = model(x[i : i + 1])
        p = softmax(z).numpy()[0]
        rows = gradients(
            z, [dict(model.named_parameters())[n] for n in names], np.eye(3)[:, None, :],
            batched=True,
        )  # fmt: skip
        middle = np.diag(p) - np.outer(p, p)
        for n, j in zip(names, rows, strict=True):
            jacobian = j.numpy()
            expected[n] = expected[n] + np.einsum("k...,kl,l...->...", jacobian, middle, jacobian) / 4
    found = curvatures(Batch(model, (x, y)))
    for n in names:
        np.testing.assert_allclose(found[n], expected[n], rtol=1e-8, atol=1e-14)


def test_the_saliency_is_the_change_of_a_quadratic_loss():
    """L = sum_i a_i (w_i - t_i)^2 / 2 at its minimum: deleting w_i costs a_i t_i^2 / 2, exactly."""
    rng = np.random.default_rng(0)
    a, t = rng.random(9), rng.standard_normal(9)
    for i in range(9):
        w = t.copy()
        w[i] = 0
        assert saliency(t, a)[i] == pytest.approx((a * (w - t) ** 2 / 2).sum())


def test_the_recursion_of_the_paper_is_exact_where_one_unit_follows_another():
    """A chain of single units, relu between, squared error: no terms between units to drop."""
    rng = np.random.default_rng(1)
    w1, w2 = 0.7 + rng.random(2)
    x = 0.5 + rng.random((5, 1))
    t = rng.random((5, 1))
    a = x * w1
    h2 = np.full((5, 1), 1.0)  # d^2/da^2 of (a - t)^2 / 2
    h1 = recursion(h2, np.array([[w2]]), (a > 0).astype(float))
    found = (x**2 * h1).mean()

    def loss(w):
        return ((np.maximum(x * w, 0) * w2 - t) ** 2 / 2).mean()

    step = 1e-4
    assert found == pytest.approx((loss(w1 + step) - 2 * loss(w1) + loss(w1 - step)) / step**2)


def test_the_recursion_drops_what_couples_units():
    """With several units between, h of the recursion is the sum of squares, not the square."""
    w = np.array([[1.0, -2.0]])
    assert recursion(np.ones((1, 2)), w, np.ones((1, 1))) == pytest.approx(5.0)


def mean_square(z, labels):
    return ((z - 1.0) ** 2).sum() / (2 * len(labels))


def test_through_a_whole_chain_of_single_units_the_recursion_is_the_second_derivative():
    rng = np.random.default_rng(2)
    layers = [nn.Linear(36, 1, rng=rng), nn.ReLU(), nn.Linear(1, 1, rng=rng), nn.ReLU()]
    model = nn.Sequential(nn.Flatten(), *layers, nn.Linear(1, 1, rng=rng)).to(np.float64)
    for p in model.parameters():
        p.data = abs(p.numpy()) + 0.1  # all units are on
    batch = Batch(model, images(5), loss=mean_square)
    found = recursion_curvatures(batch, output=np.ones((5, 1)))
    assert list(found) == ["1.weight", "3.weight", "5.weight"]
    for name, index in (("1.weight", (3, 0)), ("1.weight", (20, 0)), ("3.weight", (0, 0)), ("5.weight", (0, 0))):
        assert found[name][index] == pytest.approx(second_difference(batch, name, index), rel=1e-5)


class Tanh(nn.Module):
    def forward(self, x):
        return x.tanh()


@pytest.mark.parametrize("activation", [nn.ReLU, Tanh])
def test_the_recursion_is_exact_in_the_last_layer_and_drops_couplings_before_it(activation):
    """With two layers: h = (1/B) sum_n x^2 f'^2 sum_k w_k^2 p_k (1 - p_k), the squares alone."""
    rng = np.random.default_rng(0)
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(36, 8, rng=rng), activation(), nn.Linear(8, 3, rng=rng)
    ).to(np.float64)
    x, y = images(6)
    batch = Batch(model, (x, y))
    found, exact = recursion_curvatures(batch), curvatures(batch)
    np.testing.assert_allclose(found["3.weight"], exact["3.weight"])
    _, (first, _) = batch.layers()
    a = first.output.numpy()
    slope = (a > 0) * 1.0 if activation is nn.ReLU else 1 - np.tanh(a) ** 2
    p = softmax(model(x)).numpy()
    h = slope**2 * ((p * (1 - p)) @ (model[3].weight.numpy() ** 2).T)
    expected = (x.reshape(6, 36) ** 2).T @ h / 6
    np.testing.assert_allclose(found["1.weight"], expected)
    assert not np.allclose(found["1.weight"], exact["1.weight"], rtol=0.05)


@pytest.mark.parametrize("net", ["cnn", "positions"])
def test_the_recursion_is_for_chains_of_linear_layers(net):
    with pytest.raises(ValueError, match="chain of Linear layers"):
        recursion_curvatures(Batch(model_of(net), images(2)))


def test_obd_ranks_by_the_brute_force_change_of_the_loss_where_it_is_quadratic():
    """A linear model trained to its minimum: the ranking is that of what deleting one weight does."""
    rng = np.random.default_rng(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 3, rng=rng)).to(np.float64)
    x, y = images(40, seed=2)
    batch = Batch(model, (x, y))
    name = "1.weight"
    for _ in range(400):
        for key, g in batch.gradients(["1.weight", "1.bias"]).items():
            p = batch.parameters([key])[0]
            p.data = p.numpy() - 1.0 * (g + 1e-2 * p.numpy() * 0)
    w = model[1].weight.numpy()
    s = saliency(w, curvatures(batch)[name])
    true = np.empty_like(w)
    for index in np.ndindex(*w.shape):
        without = w.copy()
        without[index] = 0
        true[index] = batch.loss_at({name: without}) - batch.loss_at()
    ranks = [np.argsort(np.argsort(v.ravel())) for v in (s, true, np.abs(w))]
    of_obd, of_size = np.corrcoef(ranks)[1, 0], np.corrcoef(ranks)[1, 2]
    assert of_obd > 0.9
    assert of_obd > of_size


def test_in_training_it_keeps_the_largest_saliencies():
    model = NETS["cnn"](np.random.default_rng(0))
    method = OBDPruning(one_shot(0.5), images=30)
    run = begin(method, model, SGD(model, 0.1), data(), rng=np.random.default_rng(2))
    again = NETS["cnn"](np.random.default_rng(0))
    run.rng = np.random.default_rng(2)
    drawn = run.draw(30)
    h = curvatures(Batch(again, (drawn.x, drawn.y)))
    weights = dict(again.named_parameters())
    scores = {n: saliency(weights[n].numpy(), h[n]) for n in h}
    lowest_kept = min(scores[n][m].min() for n, m in method.mask().items() if m.any())
    assert lowest_kept >= max(scores[n][~m].max() for n, m in method.mask().items() if not m.all())


def test_on_another_array_library(device):
    x, y = next(batches(data(), 6))
    here = curvatures(Batch(NETS["mlp"](np.random.default_rng(0)), (x, y)))
    model = NETS["mlp"](np.random.default_rng(0)).to(array_module=device)
    there = curvatures(Batch(model, (device.asarray(x), device.asarray(y))))
    for n in here:
        np.testing.assert_allclose(device.asnumpy(there[n]), here[n], rtol=1e-4, atol=1e-8)

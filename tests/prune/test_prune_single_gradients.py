import numpy as np
import pytest
from test_prune_batch import ALL, images, model_of, weights_of

from minisparse import nn
from minisparse.autodiff import cross_entropy, gradients, softmax
from minisparse.nn import record_layers
from minisparse.prune.batch import Batch
from minisparse.prune.single_gradients import curvature_factors, loss_factors, unrolled


def one_by_one(model, x, y, names):
    parameters = dict(model.named_parameters())
    found = []
    for i in range(len(x)):
        loss = cross_entropy(model(x[i : i + 1]), y[i : i + 1])
        found.append([g.numpy() for g in gradients(loss, [parameters[n] for n in names])])
    return {n: np.stack([row[k] for row in found]) for k, n in enumerate(names)}


@pytest.mark.parametrize("net", ALL)
def test_a_row_is_the_gradient_of_a_single_image(net):
    model = model_of(net)
    x, y = images(5)
    names = weights_of(model)
    expected = one_by_one(model, x, y, names)
    for n, factors in loss_factors(Batch(model, (x, y)), names).items():
        rows = factors.rows().reshape(expected[n].shape)
        np.testing.assert_allclose(rows, expected[n], rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("net", ALL)
def test_products_with_the_matrix_need_not_form_it(net):
    model = model_of(net)
    rng = np.random.default_rng(0)
    for factors in loss_factors(Batch(model, images(6)), weights_of(model)).values():
        rows = factors.rows()
        v, u = rng.standard_normal(rows.shape[1:]), rng.standard_normal(6)
        kept = rng.random(rows.shape[1:]) < 0.4
        np.testing.assert_allclose(factors.times(v), (rows * v).sum(axis=(1, 2)))
        np.testing.assert_allclose(factors.transposed_times(u), np.tensordot(u, rows, 1))
        a = rows[:, kept]
        for at_once in (1, 10**6):
            np.testing.assert_allclose(factors.gram(kept, at_once), a @ a.T, atol=1e-15)


@pytest.mark.parametrize("net", ALL)
def test_the_rows_of_all_classes_make_the_gauss_newton_matrix(net):
    """J^T (diag(p) - p p^T) J, formed from the Jacobians of single images."""
    model = model_of(net)
    x, y = images(3)
    names = weights_of(model)
    parameters = [dict(model.named_parameters())[n] for n in names]
    expected = 0.0
    for i in range(3):
        z = model(x[i : i + 1])
        p = softmax(z).numpy()[0]
        found = gradients(z, parameters, np.eye(3)[:, None, :], batched=True)
        jacobian = np.concatenate([j.numpy().reshape(3, -1) for j in found], axis=1)
        expected = expected + jacobian.T @ (np.diag(p) - np.outer(p, p)) @ jacobian
    factors = curvature_factors(Batch(model, (x, y)), names)
    rows = [f.rows().reshape(9, -1) for f in factors.values()]  # three classes of three images
    a = np.concatenate(rows, axis=1)
    np.testing.assert_allclose(a.T @ a, expected, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize(("stride", "padding"), [(1, 0), (2, 1), ((1, 2), (2, 0))])
def test_a_convolution_is_a_product_with_its_patches(stride, padding):
    rng = np.random.default_rng(0)
    layer = nn.Conv2d(2, 3, (3, 2), stride, padding, rng=rng).to(np.float64)
    with record_layers(layer) as records:
        y = layer(rng.standard_normal((4, 6, 5, 2))).numpy()
    patches = unrolled(records[0])
    product = patches @ layer.weight.numpy().reshape(-1, 3)
    np.testing.assert_allclose(product.reshape(y.shape), y - layer.bias.numpy())
    np.testing.assert_array_equal(unrolled(records[0], 1, 3), patches[1:3])


def test_biases_are_refused():
    model = model_of("mlp")
    with pytest.raises(ValueError, match=r"not for \['1.bias'\]"):
        loss_factors(Batch(model, images(2)), ["1.bias"])

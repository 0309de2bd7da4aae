"""The definition of shrinking on arrays: against the masked network, and against `shrink`."""

from itertools import pairwise

import numpy as np
import pytest

from minisparse.autodiff import Tensor, no_grad
from minisparse.nn import Linear, ReLU, Sequential
from minisparse.sparse import shrink
from minisparse.sparse.perceptron import shrink_perceptron


def perceptron(rng, sizes, density):
    weights = []
    for shape in pairwise(sizes):
        kept = rng.random(shape) < density
        kept &= (rng.random(shape[1]) < 0.7) & (rng.random((shape[0], 1)) < 0.8)
        weights.append(np.where(kept, rng.standard_normal(shape), 0.0))
    return weights, [rng.standard_normal(n) for n in sizes[1:]]


def forward(x, weights, biases):
    for w, b in zip(weights[:-1], biases[:-1], strict=True):
        x = np.maximum(x @ w + b, 0)
    return x @ weights[-1] + biases[-1]


@pytest.mark.parametrize("density", [0.15, 0.4, 0.9])
@pytest.mark.parametrize("seed", range(5))
def test_it_computes_the_same_and_is_as_small_as_can_be(seed, density):
    rng = np.random.default_rng(seed)
    weights, biases = perceptron(rng, (9, 8, 7, 6, 4), density)
    small, small_biases = shrink_perceptron(weights, biases)
    x = rng.standard_normal((20, 9))
    expected = forward(x, weights, biases)
    np.testing.assert_allclose(forward(x, small, small_biases), expected, rtol=1e-12, atol=1e-12)
    for here, following in pairwise(small):
        assert all(here[:, j].any() and following[j].any() for j in range(here.shape[1]))
    assert small[0].shape[0] == 9
    assert small[-1].shape[1] == 4


def test_it_agrees_with_the_shrinking_of_models():
    rng = np.random.default_rng(0)
    weights, biases = perceptron(rng, (12, 11, 10, 5), 0.4)
    layers = [Linear(*w.shape, rng=rng).to(np.float64) for w in weights]
    for layer, w, b in zip(layers, weights, biases, strict=True):
        layer.weight.data, layer.bias.data = w.copy(), b.copy()
    model = Sequential(layers[0], ReLU(), layers[1], ReLU(), layers[2])
    small, _ = shrink(model)
    found = [p.numpy() for p in small.parameters()]
    arrays, constants = shrink_perceptron(weights, biases)
    assert any(a.shape != w.shape for a, w in zip(arrays, weights, strict=True))
    for a, b in zip(found[::2], arrays, strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(found[1::2], constants, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)
    x = rng.standard_normal((3, 12))
    with no_grad():
        np.testing.assert_allclose(small(Tensor(x)).numpy(), forward(x, weights, biases))


def test_a_layer_may_lose_all_its_units():
    w, b = [np.zeros((3, 2)), np.ones((2, 2))], [np.array([1.0, -1.0]), np.zeros(2)]
    small, biases = shrink_perceptron(w, b)
    assert [a.shape for a in small] == [(3, 0), (0, 2)]
    np.testing.assert_array_equal(biases[1], [1.0, 1.0])
    np.testing.assert_array_equal(forward(np.ones((1, 3)), small, biases), [[1.0, 1.0]])
    assert b[1].tolist() == [0.0, 0.0]

"""Loss and gradients in one compiled call: its definition, finite differences, the tape."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_kernels_program import lenet_like, networks

from minisparse import definitions, kernels, nn
from minisparse.autodiff import cross_entropy
from minisparse.definitions.program import Layer
from minisparse.kernels.program import build_program
from minisparse.kernels.program_step import build_step


def rng(seed=0):
    return np.random.default_rng(seed)


def labels_for(n, classes, seed=0):
    return rng(seed).integers(0, classes, n)


def with_scores(layers, in_shape):
    """The network with a linear layer of 4 classes behind it, so that there are scores."""
    size = int(np.prod(build_program(layers, in_shape).out_shape))
    w = rng(7).standard_normal((size, 4)).astype(layers[0].w.dtype)
    return [*layers, Layer(w / w.dtype.type(np.sqrt(size)), None, False)]


@settings(max_examples=80)
@given(networks(), st.integers(0, 100))
def test_any_network_is_its_definition(drawn, seed):
    layers, in_shape, x = drawn
    layers = with_scores(layers, in_shape)
    labels = labels_for(len(x), 4, seed)
    step = build_step(build_program(layers, in_shape))
    loss, logits, gradients, wrong = kernels.run_step(x, labels, step)
    # the definition takes the same branches only in the same precision
    want = definitions.run_step(x, labels, step)
    tolerance = 2e-4 if x.dtype == np.float32 else 1e-10
    assert loss == pytest.approx(want[0], rel=tolerance, abs=tolerance)
    scale = np.abs(want[1]).max() + 1
    np.testing.assert_allclose(logits, want[1], rtol=tolerance, atol=tolerance * scale)
    assert gradients.shape == step.program.numbers.shape
    if x.dtype == np.float64:  # in float32 a relu near 0 may fall on either side
        scale = np.abs(want[2]).max() + 1
        np.testing.assert_allclose(gradients, want[2], rtol=1e-9, atol=1e-9 * scale)
        assert wrong == want[3]


def test_gradients_are_those_of_the_loss():
    """Finite differences in float64, of every kind of layer, in random directions."""
    layers = lenet_like(np.float64)
    step = build_step(build_program(layers, (20, 20, 1)))
    x, labels = rng(2).random((5, 20, 20, 1)), labels_for(5, 10)
    _, _, gradients, _ = kernels.run_step(x, labels, step)
    numbers = step.program.numbers
    for seed in range(6):
        direction = rng(seed).standard_normal(numbers.shape)
        if seed < len(layers):  # one layer alone
            own = np.zeros_like(direction)
            row = step.program.table[seed]
            own[row[0] : row[1] + row[6]] = direction[row[0] : row[1] + row[6]]
            direction = own
        has_bias = np.ones_like(numbers, bool)
        row = step.program.table[1]  # the second layer has no bias: its place is not read
        has_bias[row[1] : row[1] + row[6]] = False
        direction *= has_bias
        h, before = 1e-6, numbers.copy()
        numbers[...] = before + h * direction
        up, *_ = kernels.run_step(x, labels, step)
        numbers[...] = before - h * direction
        down, *_ = kernels.run_step(x, labels, step)
        numbers[...] = before
        assert (up - down) / (2 * h) == pytest.approx((gradients * direction).sum(), rel=1e-6)


@pytest.mark.parametrize("net", [nn.LeNet300, nn.LeNet5])
def test_the_tape_finds_the_same(net):
    model = net(rng=rng())
    modules = [m for m in model.modules() if hasattr(m, "weight")]
    last = modules[-1]
    layers = [
        Layer(m.weight.array, m.bias.array, m is not last, m.weight.ndim == 4) for m in modules
    ]
    step = build_step(build_program(layers, (28, 28, 1)))
    x = rng(3).random((7, 28, 28, 1)).astype(np.float32)
    labels = labels_for(7, 10)
    loss, logits, gradients, wrong = kernels.run_step(x, labels, step)
    scores = model(x)
    tape_loss = cross_entropy(scores, labels)
    tape_loss.backward()
    assert loss == pytest.approx(tape_loss.item(), rel=1e-6)
    np.testing.assert_allclose(logits, scores.numpy(), rtol=1e-4, atol=1e-5)
    assert wrong == (scores.numpy().argmax(axis=1) != labels).sum()
    tape = np.concatenate([p.grad.numpy().reshape(-1) for m in modules for p in (m.weight, m.bias)])
    np.testing.assert_allclose(gradients, tape, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("n", [1, 2, 5, 260])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_split_among_threads_does_not_change_a_bit(n, dtype, monkeypatch):
    step = build_step(build_program(lenet_like(dtype), (20, 20, 1)))
    x, labels = rng(2).random((n, 20, 20, 1)).astype(dtype), labels_for(n, 10)
    found = []
    for threads in (1, 2, 3):
        monkeypatch.setattr(kernels.program_step, "threads_for", lambda *_, t=threads: t)
        loss, logits, gradients, wrong = kernels.run_step(x, labels, step)
        found.append((loss, logits, gradients, wrong))
        assert loss == found[0][0]
        np.testing.assert_array_equal(logits, found[0][1])
        np.testing.assert_array_equal(gradients, found[0][2])


def test_what_does_not_fit():
    step = build_step(build_program(lenet_like(), (20, 20, 1)))
    x = rng(2).random((3, 20, 20, 1)).astype(np.float32)
    for labels in (np.array([0, 1]), np.array([0, 1, 10]), np.array([0, -1, 2])):
        with pytest.raises(ValueError, match="expected 3 labels from 0 to 9"):
            kernels.run_step(x, labels, step)
    with pytest.raises(ValueError, match=r"expected images \[n, 20, 20, 1\] of float32"):
        kernels.run_step(x.astype(np.float64), np.array([0, 1, 2]), step)


def test_what_is_not_finite_shows():
    step = build_step(build_program(lenet_like(), (20, 20, 1)))
    x = rng(2).random((3, 20, 20, 1)).astype(np.float32)
    x[1] = np.nan
    loss, logits, gradients, _ = kernels.run_step(x, np.array([0, 1, 2]), step)
    assert np.isnan(loss)
    assert np.isnan(logits[1]).all()
    assert np.isfinite(logits[[0, 2]]).all()
    assert np.isnan(gradients).any()

"""How many evaluations a check takes: counted, not timed."""

import numpy as np
import pytest

from minisparse import Tensor, autodiff, gradcheck, nn
from minisparse.gradcheck import directions


class WrongBias(autodiff.Op):
    """x + b, with a mean for a sum in b's gradient."""

    def forward(self, x, b):
        return x + b

    def backward(self, grad, y, x, b):
        return grad, autodiff.mean(grad, axis=-2)


def digits(n=2):
    return np.random.default_rng(3).random((n, 28, 28, 1)).astype(np.float32)


@pytest.mark.parametrize("model", [nn.LeNet5, nn.LeNet300])
def test_a_network_takes_seconds(model):
    """A forward of two images takes a millisecond or two, a backward a few."""
    network = model(rng=np.random.default_rng(0))
    before = {name: p.numpy().copy() for name, p in network.named_parameters()}
    report = gradcheck(network, digits())
    assert report, str(report)
    assert report.evaluations < 2200
    names = [name for name, _ in network.named_parameters()]
    assert [a.name for a in report.arguments] == ["x", *names]
    for a in report.arguments:
        assert a.projections >= 4
        assert a.elements <= 10
    for name, p in network.named_parameters():
        assert p.dtype == np.float32
        np.testing.assert_array_equal(p.numpy(), before[name])


def test_a_wrong_bias_in_a_network_is_found_without_a_table_of_all_weights():
    network = nn.LeNet300(rng=np.random.default_rng(0))

    def forward(x):
        hidden = autodiff.relu(network.fc1(autodiff.flatten(x)))
        return WrongBias()(hidden @ network.fc2.weight, network.fc2.bias)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = network

        def forward(self, x):
            return forward(x)

    report = gradcheck(Net(), digits(4))
    assert report.cause == "constant-factor"
    assert report.argument == "network.fc2.bias"
    assert "mean" in report.message
    assert report.evaluations < 7000
    assert any("fails by itself" in note for note in report.notes)


@pytest.mark.parametrize("n", [1_000, 30_000])
def test_the_number_of_evaluations_does_not_grow_with_the_size(n):
    x = np.random.default_rng(4).standard_normal(n)
    report = gradcheck(np.sin, x, backward=lambda g, x: g * np.cos(x))
    assert report
    assert report.evaluations < 400


def test_one_wrong_element_of_many_is_found_by_halving():
    x = np.random.default_rng(5).standard_normal(20_000)

    def backward(g, x):
        d = g * np.cos(x)
        d[16_543] *= 0.99
        return d

    report = gradcheck(np.sin, x, backward=backward)
    assert report.cause == "wrong-elements"
    assert report.worst.index == (16_543,)
    assert report.wrong == 1
    assert report.evaluations < 7000


def test_slow_functions_get_fewer_single_elements(monkeypatch):
    monkeypatch.setattr(directions, "PATIENCE", 0.0)
    x = np.random.default_rng(6).standard_normal(100)
    report = gradcheck(np.sin, x, backward=lambda g, x: g * np.cos(x))
    assert report
    assert report.arguments[0].elements < 10


def test_evaluations_are_counted():
    calls = []

    def forward(x):
        calls.append(1)
        return np.sin(x)

    report = gradcheck(forward, np.ones(3), backward=lambda g, x: g * np.cos(x))
    assert 0 < report.evaluations <= len(calls)
    assert len(calls) < 2 * report.evaluations + 200


def test_tensors_are_left_alone():
    x = Tensor(np.ones(3), requires_grad=True)
    gradcheck(autodiff.exp, x)
    assert x.grad is None
    np.testing.assert_array_equal(x.numpy(), 1.0)

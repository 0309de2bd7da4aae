import numpy as np
import pytest

from minisparse import nn
from minisparse.autodiff import cross_entropy, no_grad


def rng(seed=0):
    return np.random.default_rng(seed)


def multiply_adds(model, x):
    """Count from the shapes that really occur: one product per weight and output position."""
    with no_grad(), nn.record_layers(model) as layers:
        model(x)
    count = {}
    for r in layers:
        n_out = r.output.shape[-1]
        positions = r.output.size // n_out // len(x)
        assert r.module.weight.shape[-1] == n_out
        count[r.name] = positions * r.module.weight.size
    return count, {r.name: r.output.shape[1:] for r in layers}


def test_lenet300_is_the_network_of_the_literature():
    model = nn.LeNet300(rng=rng())
    assert nn.num_parameters(model) == 266_610
    assert sum(p.size for n, p in model.named_parameters() if n.endswith("weight")) == 266_200
    assert {n: p.shape for n, p in model.named_parameters()} == {
        "fc1.weight": (784, 300),
        "fc1.bias": (300,),
        "fc2.weight": (300, 100),
        "fc2.bias": (100,),
        "fc3.weight": (100, 10),
        "fc3.bias": (10,),
    }
    count, _ = multiply_adds(model, np.zeros((2, 28, 28, 1), np.float32))
    assert sum(count.values()) == 266_200


def test_lenet5_is_the_network_of_caffe():
    model = nn.LeNet5(rng=rng())
    assert nn.num_parameters(model) == 431_080
    assert sum(p.size for n, p in model.named_parameters() if n.endswith("weight")) == 430_500
    assert {n: p.shape for n, p in model.named_parameters() if n.endswith("weight")} == {
        "conv1.weight": (5, 5, 1, 20),
        "conv2.weight": (5, 5, 20, 50),
        "fc1.weight": (800, 500),
        "fc2.weight": (500, 10),
    }
    count, shapes = multiply_adds(model, np.zeros((3, 28, 28, 1), np.float32))
    assert shapes["conv1"] == (24, 24, 20)
    assert shapes["conv2"] == (8, 8, 50)
    assert count == {"conv1": 288_000, "conv2": 1_600_000, "fc1": 400_000, "fc2": 5_000}
    assert sum(count.values()) == 2_293_000


def reference_lenet300(p, x):
    h = x.reshape(len(x), 784)
    for i in (1, 2):
        h = np.maximum(h @ p[f"fc{i}.weight"] + p[f"fc{i}.bias"], 0)
    return h @ p["fc3.weight"] + p["fc3.bias"]


def reference_lenet5(p, x, conv_relu):
    for i in (1, 2):
        w, b = p[f"conv{i}.weight"], p[f"conv{i}.bias"]
        windows = np.lib.stride_tricks.sliding_window_view(x, (5, 5), axis=(1, 2))
        y = np.einsum("nhwcab,abco->nhwo", windows, w, optimize=True) + b
        if conv_relu:
            y = np.maximum(y, 0)
        n, h, width, c = y.shape
        x = y.reshape(n, h // 2, 2, width // 2, 2, c).max(axis=(2, 4))
    h = np.maximum(x.reshape(len(x), 800) @ p["fc1.weight"] + p["fc1.bias"], 0)
    return h @ p["fc2.weight"] + p["fc2.bias"]


def with_biases(model, seed=3):
    model.to(np.float64)
    for name, p in model.named_parameters():
        if name.endswith("bias"):
            p.data[...] = rng(seed).normal(0, 0.3, p.shape)
    return model


def test_lenet300_computes_what_it_should():
    model = with_biases(nn.LeNet300(rng=rng()))
    x = rng(1).random((4, 28, 28, 1))
    expected = reference_lenet300(model.state_dict(), x)
    np.testing.assert_allclose(model(x).numpy(), expected, rtol=1e-10, atol=1e-12)
    np.testing.assert_array_equal(model(x.reshape(4, 784)).numpy(), model(x).numpy())
    small = nn.LeNet300(rng=rng(), widths=(6, 4))
    assert nn.num_parameters(small) == 784 * 6 + 6 + 6 * 4 + 4 + 4 * 10 + 10


@pytest.mark.parametrize("conv_relu", [True, False])
def test_lenet5_computes_what_it_should(conv_relu):
    model = with_biases(nn.LeNet5(rng=rng(), conv_relu=conv_relu))
    x = rng(1).standard_normal((2, 28, 28, 1))
    expected = reference_lenet5(model.state_dict(), x, conv_relu)
    np.testing.assert_allclose(model(x).numpy(), expected, rtol=1e-10, atol=1e-12)
    other = reference_lenet5(model.state_dict(), x, not conv_relu)
    assert np.abs(other - expected).max() > 0.01


def reference_cnn(p, x, convolutions):
    for i in range(1, convolutions + 1):
        padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
        y = np.einsum("nhwcab,abco->nhwo", windows, p[f"conv{i}.weight"]) + p[f"conv{i}.bias"]
        n, h, width, c = y.shape
        x = y[:, : h // 2 * 2, : width // 2 * 2].reshape(n, h // 2, 2, width // 2, 2, c)
        x = np.maximum(reference_norm(p, i, x.max(axis=(2, 4))), 0)
    h = reference_norm(p, convolutions + 1, x.reshape(len(x), -1) @ p["fc1.weight"] + p["fc1.bias"])
    return np.maximum(h, 0) @ p["fc2.weight"] + p["fc2.bias"]


def reference_norm(p, i, x):
    if f"norm{i}.weight" not in p:
        return x
    mean, var = p[f"norm{i}.running_mean"], p[f"norm{i}.running_var"]
    return (x - mean) / np.sqrt(var + 1e-5) * p[f"norm{i}.weight"] + p[f"norm{i}.bias"]


@pytest.mark.parametrize(
    ("shape", "parameters", "products"),
    [((28, 28, 1), 421_642, 4_241_152), ((32, 32, 3), 545_098, 6_128_896)],
)
def test_small_cnn_has_the_sizes_that_it_states(shape, parameters, products):
    model = nn.SmallCNN(shape, rng=rng())
    assert nn.num_parameters(model) == parameters
    count, _ = multiply_adds(model, np.zeros((2, *shape), np.float32))
    assert sum(count.values()) == products


@pytest.mark.parametrize("batch_norm", [False, True])
def test_small_cnn_computes_what_it_should(batch_norm):
    options = {"dropout": 0.5, "batch_norm": batch_norm}
    model = with_biases(nn.SmallCNN((13, 10, 2), 3, **options, rng=rng()))
    x = rng(1).standard_normal((4, 13, 10, 2))
    for _ in range(batch_norm):
        model(x)  # running mean and variance that are not 0 and 1
    model.eval()
    expected = reference_cnn(model.state_dict(), x, 2)
    np.testing.assert_allclose(model(x).numpy(), expected, rtol=1e-10, atol=1e-12)
    model.train()
    assert np.abs(model(x).numpy() - expected).max() > 0.01
    with pytest.raises(ValueError, match="4 x 4 or more, got 3 x 8"):
        nn.SmallCNN((3, 8, 1), rng=rng())


def test_norm_cnn_has_the_sizes_that_it_states():
    model = nn.NormCNN(rng=rng())
    assert nn.num_parameters(model) == 753_226
    count, _ = multiply_adds(model, np.zeros((2, 32, 32, 3), np.float32))
    assert sum(count.values()) == 10_980_480


def test_norm_cnn_computes_what_it_should():
    widths = (3, 4, 5, 6)
    model = with_biases(nn.NormCNN((19, 17, 2), 3, widths=widths, dropout=0.5, rng=rng()))
    x = rng(1).standard_normal((4, 19, 17, 2))
    model(x)  # running mean and variance that are not 0 and 1
    model.eval()
    expected = reference_cnn(model.state_dict(), x, 3)
    np.testing.assert_allclose(model(x).numpy(), expected, rtol=1e-10, atol=1e-12)
    model.train()
    assert np.abs(model(x).numpy() - expected).max() > 0.01
    with pytest.raises(ValueError, match="8 x 8 or more, got 7 x 8"):
        nn.NormCNN((7, 8, 1), rng=rng())


@pytest.mark.parametrize("build", [nn.LeNet300, nn.LeNet5, nn.SmallCNN])
def test_gradients_of_the_whole_network(build):
    model = with_biases(build(rng=rng()))
    x, labels = rng(1).random((3, 28, 28, 1)), np.array([3, 0, 7])

    def loss():
        with no_grad():
            return cross_entropy(model(x), labels).item()

    cross_entropy(model(x), labels).backward()
    for name, p in model.named_parameters():
        # along a direction of equal signs, every element counts; and one element by itself
        direction = np.sign(p.grad.numpy())
        one = np.zeros(p.shape)
        one.flat[np.abs(p.grad.numpy()).argmax()] = 1
        for d in (direction, one):
            expected = (p.grad.numpy() * d).sum()
            step = min(1e-7, 1e-4 / abs(expected))  # a steep direction crosses kinks sooner
            kept = p._array.copy()
            p._array[...] = kept + step * d
            up = loss()
            p._array[...] = kept - step * d
            slope = (up - loss()) / (2 * step)
            p._array[...] = kept
            np.testing.assert_allclose(slope, expected, rtol=1e-5, err_msg=name)

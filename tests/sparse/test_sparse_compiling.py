"""A compiled model against the model itself, and what becomes of it when the model changes."""

import numpy as np
import pytest

from minisparse import nn, sparse
from minisparse.autodiff import Tensor, cross_entropy, max_pool2d, no_grad, relu, sigmoid, tanh
from minisparse.optim import SGD
from minisparse.prune.mask import Mask
from minisparse.sparse import NotCompilableError, compiled


def rng(seed=0):
    return np.random.default_rng(seed)


def with_biases(model):
    for name, p in model.named_parameters():
        if name.endswith("bias"):
            p.data = rng(len(name)).normal(0, 0.1, p.shape).astype(p.dtype)
    return model.eval()


def images(n=3, shape=(28, 28, 1), dtype=np.float32):
    return rng(5).random((n, *shape)).astype(dtype)


def same(fast, model, x):
    with no_grad():
        got, want = fast(x).numpy(), model(x).numpy()
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
    return got


def was_compiled(fast, x, monkeypatch):
    calls = []
    run = sparse.compiling.kernels.run_program
    monkeypatch.setattr(
        sparse.compiling.kernels, "run_program", lambda *a: calls.append(1) or run(*a)
    )
    with no_grad():
        fast(x)
    monkeypatch.undo()
    return bool(calls)


@pytest.mark.parametrize("n", [1, 3, 130])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("net", [nn.LeNet300, nn.LeNet5, nn.SmallCNN])
def test_the_networks_of_the_experiments(net, dtype, n, monkeypatch):
    model = with_biases(net(rng=rng())).to(dtype)
    x = images(n, dtype=dtype)
    fast = compiled(model, x)
    same(fast, model, x)
    assert was_compiled(fast, x, monkeypatch)
    assert fast(x).requires_grad  # outside of no_grad: the model itself


def test_layers_in_any_arrangement(monkeypatch):
    r = rng()
    model = with_biases(
        nn.Sequential(
            nn.Conv2d(2, 5, (3, 2), stride=(2, 1), padding=(1, 0), rng=r),
            nn.MaxPool2d(2),
            nn.ReLU(),
            nn.Conv2d(5, 4, 3, padding=1, bias=False, rng=r),
            nn.ReLU(),
            nn.Dropout(0.5, rng=r),
            nn.Flatten(),
            nn.Linear(4 * 4 * 4, 17, rng=r),
            nn.ReLU(),
            nn.ReLU(),
            nn.Linear(17, 3, bias=False, rng=r),
            nn.ReLU(),
        )
    )
    x = images(4, (15, 9, 2))
    fast = compiled(model, x)
    same(fast, model, x)
    assert was_compiled(fast, x, monkeypatch)


def test_parameters_are_shared_both_ways():
    model = with_biases(nn.LeNet300(rng=rng(), widths=(12, 7)))
    fast, x = compiled(model), images()
    before = same(fast, model, x)
    with model.fc2.weight.writing() as w:
        w *= -1
    assert np.abs(same(fast, model, x) - before).max() > 1e-3
    fast.model.fc3.bias.data = np.arange(10, dtype=np.float32)
    same(fast, model, x)
    state = {f"model.{k}": np.zeros_like(v) for k, v in model.state_dict().items()}
    fast.load_state_dict(state)
    assert (same(fast, model, x) == 0).all()


def test_training_goes_on_as_before():
    model, other = (with_biases(nn.LeNet5(rng=rng())) for _ in range(2))
    fast, x, y = compiled(model), images(4), np.array([1, 2, 3, 0])
    for net in (fast, other):
        net.train()
        optimizer = SGD(net, lr=0.1, momentum=0.9)
        for _ in range(3):
            optimizer.zero_grad()
            cross_entropy(net(x), y).backward()
            optimizer.step()
        net.eval()
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    same(fast, other, x)


def test_a_graph_that_waits_keeps_its_arrays():
    """Compiling must not move the arrays away from a backward that is still to come."""
    model = with_biases(nn.LeNet300(rng=rng(), widths=(12, 7)))
    x, y = images(), np.array([1, 2, 3])
    loss = cross_entropy(model(x), y)
    fast = compiled(model)
    same(fast, model, x)
    loss.backward()
    got = [p.grad.numpy() for p in model.parameters()]
    again = with_biases(nn.LeNet300(rng=rng(), widths=(12, 7)))
    cross_entropy(again(x), y).backward()
    for a, p in zip(got, again.parameters(), strict=True):
        np.testing.assert_array_equal(a, p.grad.numpy())
    same(fast, model, x)


def test_an_exchanged_layer_is_noticed():
    model = with_biases(nn.LeNet300(rng=rng(), widths=(12, 7)))
    fast, x = compiled(model), images()
    before = same(fast, model, x)
    model.fc2 = nn.Linear(12, 7, rng=rng(9))
    assert np.abs(same(fast, model, x) - before).max() > 1e-3
    model.fc2 = nn.Linear(12, 9, rng=rng(9))
    model.fc3 = nn.Linear(9, 10, rng=rng(9))
    same(fast, model, x)


def test_other_inputs_go_through_the_model(monkeypatch):
    model = with_biases(nn.Sequential(nn.Conv2d(1, 3, 3, rng=rng()), nn.ReLU()))
    fast = compiled(model, images())
    for x in (images(2, (9, 11, 1)), images(2, dtype=np.float64)):
        same(fast, model, x)
        assert not was_compiled(fast, x, monkeypatch)
    with pytest.raises(ValueError, match="channels"):
        fast(images(2, (9, 11, 2)))


def test_dropout_acts_while_training():
    model = with_biases(nn.SmallCNN(rng=rng(), dropout=0.5))
    fast, x = compiled(model, images()), images()
    still = same(fast, model, x)
    model.drop.train()
    with no_grad():
        assert np.abs(fast(x).numpy() - still).max() > 1e-3
    model.drop.eval()
    fast.train()
    with no_grad():
        assert np.abs(fast(x).numpy() - still).max() > 1e-3


def test_a_shrunk_model():
    model = with_biases(nn.LeNet5(rng=rng()))
    kept = np.ones((5, 5, 20, 50), bool)
    kept[..., 7:] = False
    masks = Mask({"conv2.weight": kept})
    small, _ = sparse.shrink(model, masks, example=images(1))
    same(compiled(small, images(1)), small.eval(), images())
    mlp = with_biases(nn.LeNet300(rng=rng()))
    kept = rng(1).random((784, 300)) < 0.5
    kept[::2] = False  # inputs that nobody reads
    small, _ = sparse.shrink(mlp, Mask({"fc1.weight": kept}), example=images(1))
    fast = compiled(small.eval(), images(1))
    same(fast, small, images())
    assert isinstance(fast, nn.Selected) == isinstance(small, nn.Selected)


class Residual(nn.Module):
    def __init__(self):
        self.a, self.b = nn.Linear(3, 3, rng=rng()), nn.Linear(3, 3, rng=rng())

    def forward(self, x):
        return self.b(self.a(x) + x)


class Beside(nn.Module):
    def __init__(self):
        self.a, self.b = nn.Linear(3, 3, rng=rng()), nn.Linear(3, 3, rng=rng())

    def forward(self, x):
        self.a(x)
        return self.b(x)


def function(f):
    class Behind(nn.Module):
        def __init__(self):
            self.a = nn.Linear(3, 4, rng=rng())

        def forward(self, x):
            return f(self.a(x))

    return Behind()


@pytest.mark.parametrize(
    ("model", "why"),
    [
        (Residual(), "not one layer after another: .*Add"),
        (Beside(), r"beside the way from input to output: \['a'\]"),
        (function(tanh), "behind 'a' stands Tanh"),
        (function(lambda t: relu(sigmoid(t))), "behind 'a' stands ReLU of Sigmoid"),
        (nn.Sequential(nn.Linear(3, 4, rng=rng()), nn.BatchNorm1d(4)), "'1' is a BatchNorm1d"),
        (
            nn.Sequential(nn.ReLU(), nn.Linear(3, 4, rng=rng())),
            "before the first layer stands ReLU",
        ),
    ],
)
def test_models_that_are_something_else(model, why):
    with pytest.raises(NotCompilableError, match=why):
        compiled(model.eval(), np.ones((1, 3), np.float32))


def test_other_pools_are_refused():
    class Pooled(nn.Module):
        def __init__(self, **how):
            self.conv, self.how = nn.Conv2d(1, 2, 3, rng=rng()), how

        def forward(self, x):
            return max_pool2d(self.conv(x), **self.how)

    compiled(Pooled(window=2), images())
    with pytest.raises(NotCompilableError, match="behind 'conv' stands MaxPool2d"):
        compiled(Pooled(window=3), images())


def test_gates_are_refused():
    from minisparse.prune.l0 import add_gates

    model = nn.LeNet300(rng=rng())
    add_gates(model, {"fc1": 0.2, "fc2": 0.5, "fc3": 0.5}, rng())
    with pytest.raises(NotCompilableError, match=r"'fc1' has a parametrization \(Gates\)"):
        compiled(model)


def test_on_a_device(device):
    model = with_biases(nn.LeNet300(rng=rng(), widths=(12, 7)))
    want = same(model, model, images())
    model.to(array_module=device)
    fast = compiled(model, device.asarray(images()))
    with no_grad():
        got = fast(Tensor(device.asarray(images()))).numpy()
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_somebody_who_watches_the_layers_sees_them():
    model = nn.LeNet300(rng=rng()).eval()
    fast = compiled(model)
    with no_grad(), nn.record_layers(model) as seen:
        fast(images())
    assert [record.name for record in seen] == ["fc1", "fc2", "fc3"]

"""The whole engine on arrays that are not NumPy's: a strict stand-in, and CuPy with a GPU."""

import numpy as np
import pytest
from cases import every_case

import minisparse.autodiff as ad
from minisparse import nn, optim
from minisparse.autodiff import GraphError, Tensor, WriteError, gradients

K = 2


def results(case, xp, dtype):
    """Return everything the engine computes for a case with arrays of `xp`, as NumPy arrays."""
    rng = np.random.default_rng(1)

    def draw(*shape):
        return xp.asarray(rng.standard_normal(shape).astype(dtype))

    constants = [xp.asarray(c.astype(dtype) if c.dtype.kind == "f" else c) for c in case.constants]
    xs = [Tensor(xp.asarray(a.astype(dtype)), requires_grad=True) for a in case.inputs]
    y = case.f(*xs, *constants)
    with ad.no_grad():
        silent = case.f(*xs, *constants)
    v = Tensor(draw(*y.shape), requires_grad=True)
    gs = gradients(y, xs, v, create_graph=True)
    vs = Tensor(draw(K, *y.shape), requires_grad=True)
    batch = gradients(y, xs, vs, batched=True, create_graph=True)
    us = [draw(*g.shape) for g in batch]
    q = sum((g * Tensor(u)).sum() for g, u in zip(batch, us, strict=True))
    q = q + sum((g * g).sum() for g in gs)
    hs = gradients(q, [*xs, v, vs], retain_graph=True, allow_unused=True)
    y.backward(draw(*y.shape))
    tensors = [y, silent, *gs, *batch, *hs, *(x.grad for x in xs)]
    assert all(type(t.data) is type(xs[0].data) or xp is np for t in tensors)
    assert {t.dtype for t in tensors} == {np.dtype(dtype)}
    return [t.numpy() for t in tensors]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("case", **every_case)
def test_every_operation_and_its_derivatives(case, device, dtype):
    tolerance = 1e-11 if dtype == np.float64 else 1e-3
    for found, expected in zip(results(case, device, dtype), results(case, np, dtype), strict=True):
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


def test_numbers_lists_and_integers_go_to_the_tensor(device):
    x = Tensor(device.asarray([1.0, 2.0]), requires_grad=True)
    y = ad.where(device.asarray([True, False]), 2 * x + [1, 2], x ** np.float64(2) - np.int64(1))
    assert type(y.data) is type(x.data)
    np.testing.assert_array_equal(y.numpy(), [3, 3])
    y.backward([1, 10])
    np.testing.assert_array_equal(x.grad.numpy(), [2, 40])


@pytest.mark.parametrize("shape", [(), (1,), (0,), (2, 0, 3)])
def test_scalars_and_empty_arrays(device, shape):
    x = Tensor(device.asarray(np.ones(shape)), requires_grad=True)
    for f in (ad.relu, ad.absolute, ad.exp, lambda x: ad.clip(x, 0, 2), lambda x: ad.maximum(x, 0)):
        y = f(x * 1.0)
        y = f(y + x)
        assert type(y.data) is type(x.data)
        assert y.shape == shape
        (g,) = gradients(y, [x], device.asarray(np.ones(shape)))
        assert g.shape == shape
    x.sum().backward()
    assert x.grad.shape == shape


def test_errors_are_the_same(device):
    x = Tensor(device.asarray([1.0, 2.0]), requires_grad=True)
    with pytest.raises(GraphError, match="single number"):
        (x * 2).backward()
    with pytest.raises(ValueError, match="do not broadcast"):
        x + device.asarray([1.0, 2.0, 3.0])
    with pytest.raises(TypeError, match="integers"):
        ad.cross_entropy(x.reshape(1, 2), device.asarray([0.0]))
    with pytest.raises(ValueError, match="go from 2 to 2"):
        ad.cross_entropy(x.reshape(1, 2), [2])
    with pytest.raises(TypeError, match="floating-point tensor"):
        Tensor(device.asarray([1, 2]), requires_grad=True)


def test_two_sides_do_not_mix(device):
    x = Tensor(device.asarray([[1.0, 2.0]]), requires_grad=True)
    here = np.ones((1, 2))
    for mix in (
        lambda: ad.cross_entropy(x, np.array([0])),
        lambda: ad.where(np.array([True, False]), x, x),
        lambda: setattr(x, "data", here),
        lambda: (x * 2).backward(here),
    ):
        with pytest.raises(TypeError, match="in one computation"):
            mix()
    for mix in (lambda: x + here, lambda: x @ here.T):
        with pytest.raises(TypeError):
            mix()


def test_writes_through_the_tensor_are_found(device):
    x = Tensor(device.asarray([1.0, 2.0]), requires_grad=True)

    def scale():
        x.data *= 2

    def replace():
        x.data = device.asarray([5.0, 6.0])

    def update():
        with x.writing() as w:
            w[...] = 0

    for write in (scale, replace, update):
        y = (x * x).sum()
        write()
        with pytest.raises(WriteError, match="Mul"):
            y.backward()
    assert x.grad is None


def test_checksums_find_writes_through_any_alias(device):
    x = Tensor(device.asarray([1.0, 2.0]), requires_grad=True)
    with ad.detect_writes():
        y = (x * x).sum()
    x.data[0] = 7
    with pytest.raises(WriteError, match="Mul"):
        y.backward()
    with ad.detect_writes():
        z = ad.exp(x)
    z.data[0] = 7  # the result itself, which the rule of exp reads
    with pytest.raises(WriteError, match="Exp"):
        z.sum().backward()


def test_gradients_own_their_memory(device):
    """Where a read-only flag would not catch it: no two gradients share an array."""
    a, b = (Tensor(device.asarray([1.0, 2.0]), requires_grad=True) for _ in range(2))
    v = device.asarray([1.0, 1.0])
    (a + b).backward(v)
    a.grad.data *= 0
    np.testing.assert_array_equal(b.grad.numpy(), [1, 1])
    np.testing.assert_array_equal(device.asnumpy(v), [1, 1])
    a.grad = None
    a.sum().backward()
    a.grad.data[0] = 5  # all elements were one, broadcast
    np.testing.assert_array_equal(a.grad.numpy(), [5, 1])


def test_functions(device):
    x = device.asarray([0.3, -0.8])
    v = device.asarray([1.0, 2.0])

    def f(x):
        return ad.tanh(x * x.sum())

    def scalar(x):
        return f(x).sum()

    for there, here in (
        (ad.jacobian(f, x), ad.jacobian(f, np.array([0.3, -0.8]))),
        (ad.grad(scalar)(x), ad.grad(scalar)(np.array([0.3, -0.8]))),
        (ad.hvp(scalar, x, v), ad.hvp(scalar, np.array([0.3, -0.8]), [1.0, 2.0])),
        (ad.vjp(f, x)[1](v)[0], ad.vjp(f, np.array([0.3, -0.8]))[1]([1.0, 2.0])[0]),
    ):
        assert type(there.data) is type(x)
        np.testing.assert_allclose(there.numpy(), here.numpy(), rtol=1e-12)


def test_branches(device):
    x = np.array([[1.0, -2.0, 0.0], [3.0, 3.0, -1.0]])

    def signatures(x):
        with ad.record_branches() as log:
            ad.relu(x), ad.absolute(x), ad.clip(x, -1, 2), ad.maximum(x, 0.0), x.max(1), x.min()
        return [(op.name, s) for op, s in log]

    there, here = signatures(Tensor(device.asarray(x))), signatures(Tensor(x))
    assert [name for name, _ in there] == [name for name, _ in here]
    for (_, a), (_, b) in zip(there, here, strict=True):
        np.testing.assert_array_equal(device.asnumpy(a), b)


def network(rng):
    return nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1, bias=False, rng=rng),  # batch norm would remove a bias
        nn.BatchNorm2d(3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(3, 4, 2, rng=rng),
        nn.AvgPool2d(2, stride=1),
        nn.Flatten(),
        nn.Dropout(0.3, rng=rng),
        nn.Linear(16, 5, bias=False, rng=rng),
        nn.BatchNorm1d(5),
    )


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda m: optim.SGD(m, 0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
        lambda m: optim.SGD(m, 0.1),
        lambda m: optim.Adam(m, 0.01),
        lambda m: optim.AdamW(m, 0.01, weight_decay=0.1),
    ],
    ids=["nesterov", "sgd", "adam", "adamw"],
)
def test_training_a_network(device, optimizer):
    """Layers, losses, optimizers and averages: the same numbers as with NumPy."""

    def train(xp):
        rng = np.random.default_rng(5)
        model = network(rng).to(dtype=np.float64, array_module=None if xp is np else xp)
        steps = optimizer(model)
        average = optim.EMA(model, 0.5)
        losses = []
        for _ in range(3):
            x = xp.asarray(rng.standard_normal((6, 8, 8, 1)))
            labels = xp.asarray(rng.integers(0, 5, 6))
            model.zero_grad()
            loss = ad.cross_entropy(model(x), labels)
            loss.backward()
            steps.step()
            average.update()
            losses.append(loss.item())
        with average.applied():
            model.eval()
            losses.append(ad.cross_entropy(model(x), labels).item())
        state = model.state_dict()
        model.load_state_dict(state)
        steps.load_state_dict(steps.state_dict())
        return losses, state

    (found, there), (expected, here) = train(device), train(np)
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert there.keys() == here.keys()
    for name in here:
        np.testing.assert_allclose(there[name], here[name], rtol=1e-8, atol=1e-10, err_msg=name)

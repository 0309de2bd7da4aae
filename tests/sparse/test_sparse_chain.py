import copy

import numpy as np
import pytest

from minisparse import kernels
from minisparse.autodiff import Tensor, no_grad
from minisparse.nn import (
    Conv2d,
    Dropout,
    Flatten,
    LeNet5,
    LeNet300,
    Linear,
    MaxPool2d,
    ReLU,
    Selected,
    Sequential,
)
from minisparse.optim import SGD
from minisparse.prune.mask import Mask
from minisparse.sparse import (
    BlockedLinear,
    Chain,
    CSRLinear,
    SparseConv2d,
    densify,
    shrink,
    sparsify,
)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def pruned(model, rng, density=0.2, dtype=np.float64):
    """Return the model with random biases, a mask, and the masked model."""
    model.to(dtype)
    for name, p in model.named_parameters():
        if name.endswith("bias"):
            p.data = rng.standard_normal(p.shape).astype(dtype)
    masks = Mask(
        {n: rng.random(p.shape) < density for n, p in model.named_parameters() if p.ndim > 1}
    )
    masked = copy.deepcopy(model)
    masks.apply(masked)
    return model, masks, masked


def outputs(model, x):
    with no_grad():
        return model(x).numpy()


def lenet300(rng):
    return LeNet300(rng=rng, widths=(21, 14))


# ---- forms of a model ---------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["csr", "blocked", "dense"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_perceptron_becomes_a_chain(rng, format, dtype):
    model, masks, masked = pruned(lenet300(rng), rng, dtype=dtype)
    sparse = sparsify(model, masks, format)
    assert isinstance(sparse, Chain)
    assert sparse.relus == (True, True, False)
    assert {n.partition(".")[0] for n, _ in sparse.named_parameters()} == {"fc1", "fc2", "fc3"}
    for n in (1, 2, 100):
        x = rng.standard_normal((n, 28, 28, 1)).astype(dtype)
        expected = outputs(masked, x)
        at_once = outputs(sparse, x)
        one_by_one = sparse(x).numpy()
        assert at_once.dtype == dtype
        tolerance = {"rtol": 1e-4, "atol": 1e-4} if dtype == np.float32 else {"rtol": 1e-11}
        np.testing.assert_allclose(at_once, expected, **tolerance)
        np.testing.assert_allclose(one_by_one, expected, **tolerance)


def test_the_chain_is_one_call(rng, monkeypatch):
    model, masks, _ = pruned(lenet300(rng), rng)
    sparse = sparsify(model, masks, "csr")
    calls = []
    whole = kernels.sparse_chain
    monkeypatch.setattr(kernels, "sparse_chain", lambda *a: calls.append(1) or whole(*a))
    x = rng.standard_normal((3, 784))
    outputs(sparse, x)
    assert len(calls) == 1
    sparse(x)  # recorded: layer by layer
    outputs(sparse, x.astype(np.float32))  # of another type than the weights: likewise
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("parts", "chained"),
    [
        (lambda r: [Flatten(), Linear(8, 5, rng=r), ReLU(), Linear(5, 3, rng=r)], True),
        (lambda r: [Linear(8, 5, rng=r), ReLU(), ReLU(), Linear(5, 3, rng=r), ReLU()], True),
        (lambda r: [Sequential(Linear(8, 5, rng=r), ReLU()), Linear(5, 3, rng=r)], True),
        (lambda r: [Linear(8, 5, rng=r), Dropout(0.5, rng=r), Linear(5, 3, rng=r)], False),
        (lambda r: [ReLU(), Linear(8, 5, rng=r)], False),
    ],
    ids=["flatten", "relus", "nested", "dropout", "relu first"],
)
def test_which_models_are_chains(rng, parts, chained):
    model, masks, masked = pruned(Sequential(*parts(rng)), rng, 0.4)
    sparse = sparsify(model, masks, "csr")
    assert isinstance(sparse, Chain) is chained
    x = rng.standard_normal((5, 8))
    np.testing.assert_allclose(outputs(sparse.eval(), x), outputs(masked.eval(), x), rtol=1e-11)
    assert {n for n, _ in sparse.named_parameters() if "bias" in n} == {
        n for n, _ in model.named_parameters() if "bias" in n
    }
    back = densify(sparse).eval()
    assert not any(isinstance(m, CSRLinear | Chain) for m in back.modules())
    np.testing.assert_allclose(outputs(back, x), outputs(masked, x), rtol=1e-11)


def test_a_convolutional_network(rng):
    model, masks, masked = pruned(LeNet5(rng=rng), rng, dtype=np.float32)
    sparse = sparsify(model, masks, {"conv1": "dense", "fc2": "blocked"})
    kinds = [type(getattr(sparse, n)) for n in ("conv1", "conv2", "fc1", "fc2")]
    assert kinds == [Conv2d, SparseConv2d, CSRLinear, BlockedLinear]
    x = rng.standard_normal((3, 28, 28, 1)).astype(np.float32)
    close = {"rtol": 1e-3, "atol": 1e-3}
    np.testing.assert_allclose(outputs(sparse, x), outputs(masked, x), **close)
    np.testing.assert_allclose(outputs(densify(sparse), x), outputs(masked, x), **close)
    sparse(x).sum().backward()
    masked(x).sum().backward()
    expected = masked.conv2.weight.grad.numpy()[masks["conv2.weight"]]
    inside = sparse.conv2.pattern.scatter(sparse.conv2.values.grad.numpy())
    found = inside.reshape(5, 5, 20, 50)[masks["conv2.weight"]]
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


def test_a_model_that_reads_some_of_its_inputs(rng):
    model, _, _ = pruned(lenet300(rng), rng)
    kept = np.zeros((784, 21), bool)
    kept[::3] = rng.random((262, 21)) < 0.3
    masks = Mask({"fc1.weight": kept})
    masks.apply(model)
    small, report = shrink(model, masks, inputs=True)
    sparse = sparsify(small, report.mask, "csr")
    assert isinstance(sparse, Selected)
    assert isinstance(sparse.model, Chain)
    x = rng.standard_normal((3, 28, 28, 1))
    np.testing.assert_allclose(outputs(sparse, x), outputs(model, x), rtol=1e-10, atol=1e-11)
    with pytest.raises(ValueError, match="fc1, fc2, fc3: sparse already"):
        shrink(sparsify(model, format="csr"))


def test_auto_measures_each_layer(rng):
    model, masks, masked = pruned(lenet300(rng), rng, 0.02, np.float32)
    sparse = sparsify(model, masks, batch=8)
    assert isinstance(sparse, Chain)
    x = rng.standard_normal((8, 784)).astype(np.float32)
    np.testing.assert_allclose(outputs(sparse, x), outputs(masked, x), rtol=1e-4, atol=1e-4)
    images = Sequential(
        Conv2d(1, 3, 3, rng=rng), ReLU(), MaxPool2d(2), Flatten(), Linear(27, 4, rng=rng)
    )
    model, masks, masked = pruned(images, rng, 0.3, np.float32)
    x = rng.standard_normal((4, 8, 8, 1)).astype(np.float32)
    sparse = sparsify(model, masks, batch=4, example=x[:1])
    np.testing.assert_allclose(outputs(sparse, x), outputs(masked, x), rtol=1e-4, atol=1e-4)


def test_a_single_layer(rng):
    layer, masks, masked = pruned(Linear(7, 6, rng=rng), rng, 0.5)
    sparse = sparsify(layer, masks, "csr")
    assert isinstance(sparse, CSRLinear)
    x = rng.standard_normal((5, 7))
    np.testing.assert_allclose(outputs(sparse, x), outputs(masked, x), rtol=1e-11)


def test_wrong_requests(rng):
    model, _, _ = pruned(lenet300(rng), rng)
    with pytest.raises(ValueError, match=r"'auto' or one of dense, csr, blocked, got \['coo'\]"):
        sparsify(model, format="coo")
    with pytest.raises(KeyError, match="has no layer"):
        sparsify(model, format={"fc4": "csr"})
    first, second = (CSRLinear.of(Linear(4, 3, rng=rng)) for _ in range(2))
    with pytest.raises(ValueError, match="'b' takes 4 inputs, the layer before it returns 3"):
        Chain({"a": first, "b": second}, [True, False])
    with pytest.raises(ValueError, match="2 layers and 1 relus"):
        Chain({"a": first, "b": second}, [True])
    sparse = sparsify(model, format="csr")
    for recording in (True, False):
        with pytest.raises(ValueError, match="takes 784 inputs in the last axis"):
            sparse(np.zeros((2, 5))) if recording else outputs(sparse, np.zeros((2, 5)))


# ---- the packed arrays follow the parameters ----------------------------------------------------


def both_ways(sparse, x):
    """Return the outputs computed at once and layer by layer."""
    return outputs(sparse, x), sparse(x).numpy()


@pytest.mark.parametrize("format", ["csr", "blocked", "dense"])
def test_every_write_to_a_parameter_is_seen(rng, format):
    model, masks, _ = pruned(lenet300(rng), rng)
    sparse = sparsify(model, masks, format)
    x = rng.standard_normal((3, 784))
    seen = [both_ways(sparse, x)[0]]

    def changed():
        at_once, one_by_one = both_ways(sparse, x)
        np.testing.assert_allclose(at_once, one_by_one, rtol=1e-9, atol=1e-9)
        assert all(np.abs(at_once - before).max() > 1e-6 for before in seen)
        seen.append(at_once)

    sparse.fc1.values.data *= 1.5
    changed()
    sparse.fc2.values.data[:40] = 3.0  # a view, which the tensor does not hear of
    if format != "csr":
        sparse.fc2.values.data *= sparse.fc2.kept
    changed()
    sparse.fc3.bias.data = rng.standard_normal(10)
    changed()
    optimizer = SGD(sparse, 0.1, momentum=0.9)
    sparse(x).sum().backward()
    optimizer.step()
    changed()
    sparse.load_state_dict(
        {k: 0.5 * v if v.dtype == float else v for k, v in sparse.state_dict().items()}
    )
    changed()
    sparse.fc3 = copy.deepcopy(sparse.fc3)
    sparse.fc3.values.data *= 2
    changed()


def test_a_copy_shares_nothing(rng):
    model, masks, _ = pruned(lenet300(rng), rng)
    sparse = sparsify(model, masks, "csr")
    x = rng.standard_normal((3, 784))
    before = outputs(sparse, x)
    other = copy.deepcopy(sparse)
    other.fc1.values.data *= 2
    np.testing.assert_array_equal(outputs(sparse, x), before)
    at_once, one_by_one = both_ways(other, x)
    np.testing.assert_allclose(at_once, one_by_one, rtol=1e-11)
    assert np.abs(at_once - before).max() > 1e-3


def test_looking_without_gradients_between_forward_and_backward(rng):
    model, masks, _ = pruned(lenet300(rng), rng)
    sparse = sparsify(model, masks, "csr")
    x = rng.standard_normal((3, 784))
    loss = (sparse(x) ** 2).sum()
    outputs(sparse, x)  # packs for the first time, while a graph holds the parameters
    loss.backward()
    found = sparse.fc1.values.grad.numpy()
    sparse.zero_grad()
    (sparse(x) ** 2).sum().backward()
    np.testing.assert_array_equal(found, sparse.fc1.values.grad.numpy())


def test_another_type_of_number(rng):
    model, masks, _ = pruned(lenet300(rng), rng)
    sparse = sparsify(model, masks, "csr")
    x = rng.standard_normal((3, 784))
    expected = outputs(sparse, x)
    sparse.to(np.float32)
    found = outputs(sparse, x.astype(np.float32))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)
    sparse.fc1.to(np.float64)  # mixed: layer by layer
    np.testing.assert_allclose(
        outputs(sparse, x.astype(np.float32)), expected, rtol=1e-3, atol=1e-3
    )


def test_on_a_device(rng, device):
    model, masks, masked = pruned(lenet300(rng), rng)
    x = rng.standard_normal((3, 784))
    expected = outputs(masked, x)
    sparse = sparsify(model, masks, "csr").to(array_module=device)
    with no_grad():
        y = sparse(Tensor(device.asarray(x)))
    assert isinstance(y.data, device.ndarray)
    np.testing.assert_allclose(y.numpy(), expected, rtol=1e-10)


def test_the_definitions_of_the_kernels(rng):
    model, masks, _ = pruned(lenet300(rng), rng)
    sparse = sparsify(model, masks, "blocked")
    x = rng.standard_normal((3, 784))
    expected = outputs(sparse, x)
    try:
        kernels.use("numpy")
        np.testing.assert_allclose(outputs(sparse, x), expected, rtol=1e-11)
    finally:
        kernels.use()

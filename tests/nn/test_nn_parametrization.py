"""What the methods to come need of a parametrization, on small ones of each kind."""

import copy

import numpy as np
import pytest

from minisparse import nn
from minisparse.autodiff import Op, Tensor, absolute, cross_entropy, exp, no_grad, relu, sigmoid
from minisparse.data import Split
from minisparse.nn import (
    BatchNorm1d,
    Conv2d,
    Dropout,
    Linear,
    Module,
    Parameter,
    Parametrization,
    Sequential,
    harden,
    parametrize,
)
from minisparse.optim import SGD
from minisparse.prune.mask import Mask
from minisparse.sparse import report, shrink, sparsify
from minisparse.train import train


def rng(seed=0):
    return np.random.default_rng(seed)


# ---- small methods, one for each kind -----------------------------------------------------------


class Step(Op):
    """1 where x > 0; backward as if it were the identity."""

    surrogate = staticmethod(lambda x: x)

    def forward(self, x):
        return (x > 0).astype(x.dtype)

    def backward(self, grad, y, x):  # noqa: ARG002
        return grad


class SoftThreshold(Parametrization):
    """STR: sign(w) relu(|w| - sigmoid(s)), s learned for the layer."""

    def __init__(self, layer):
        self.s = Parameter(np.array([-1.5], layer.weight.dtype), name="s")

    def forward(self, weight, bias):
        sign = Tensor(np.sign(weight.numpy()))
        return sign * relu(absolute(weight) - sigmoid(self.s)), bias


class Thresholds(Parametrization):
    """DST: a weight is used if it is larger than the threshold of its neuron."""

    def __init__(self, layer):
        start = np.full(layer.weight.shape[-1], 0.3, layer.weight.dtype)
        self.thresholds = Parameter(start, name="thresholds")

    def forward(self, weight, bias):
        return weight * Step()(absolute(weight) - self.thresholds), bias


class Scores(Parametrization):
    """Edge-popup: the weights stay as they were drawn, their scores learn which are used."""

    def __init__(self, layer):
        layer.weight.requires_grad = False
        start = rng(3).standard_normal(layer.weight.shape).astype(layer.weight.dtype)
        self.scores = Parameter(start, name="scores")

    def forward(self, weight, bias):
        return weight * Step()(self.scores), bias


class Power(Parametrization):
    """Powerpropagation: w = v |v|^(a-1); a mask of a buffer goes over it."""

    def __init__(self, layer, a=2.0):
        self.a = a
        v = layer.weight.numpy()
        layer.weight.data = np.sign(v) * abs(v) ** (1 / a)
        self.register_buffer("mask", np.arange(v.size).reshape(v.shape) % 3 > 0)

    def forward(self, weight, bias):
        w = weight * absolute(weight) ** (self.a - 1)
        return w * Tensor(self.mask.astype(weight.dtype)), bias

    def kept(self, weight, bias):  # noqa: ARG002
        return self.mask, None


class TargetedDropout(Parametrization):
    """The smaller half drops at random while training, and all of it afterwards."""

    def __init__(self, layer):  # noqa: ARG002
        self.rng = rng(5)

    def forward(self, weight, bias):
        w = weight.numpy()
        small = abs(w) < np.median(abs(w))
        if self.training:
            small &= self.rng.random(w.shape) < 0.5
        return weight * Tensor((~small).astype(w.dtype)), bias


class UnitNoise(Parametrization):
    """Structured Bayesian pruning in small: a factor on each unit, noise for each example."""

    def __init__(self, layer):
        start = np.arange(layer.weight.shape[-1]).astype(layer.weight.dtype)
        self.mean, self.rng = Parameter(start, name="mean"), rng(6)  # unit 0 is gone

    def forward(self, weight, bias):
        return weight * self.mean, None if bias is None else bias * self.mean

    def apply(self, layer, x):
        y = layer.affine(x, layer.weight, layer.bias)
        noise = self.rng.standard_normal((len(y), *(1,) * (y.ndim - 2), y.shape[-1]))
        return y * (self.mean + Tensor(noise.astype(y.dtype)))


class Bottleneck(Parametrization):
    """VIBNet in small: noise on the hidden units, where the next layer reads them."""

    def __init__(self, layer):
        start = np.arange(layer.weight.shape[-2]).astype(layer.weight.dtype) - 1
        self.mean, self.rng = Parameter(start, name="mean"), rng(7)  # input 1 is gone

    def forward(self, weight, bias):
        return weight * self.mean.reshape(-1, 1), bias

    def apply(self, layer, x):
        noise = self.rng.standard_normal((len(x), *(1,) * (x.ndim - 2), x.shape[-1]))
        return layer.affine(
            x * (self.mean + Tensor(noise.astype(x.dtype))), layer.weight, layer.bias
        )


class GroupScales(Parametrization):
    """BC-GNJ in small: a random scale for each input, and each weight's own variance."""

    def __init__(self, layer):
        dtype = layer.weight.dtype
        self.scale = Parameter(
            np.linspace(0, 1, layer.weight.shape[-2]).astype(dtype), name="scale"
        )
        self.log_var = Parameter(np.full(layer.weight.shape, -6.0, dtype), name="log_var")
        self.rng = rng(8)

    def forward(self, weight, bias):
        return weight * self.scale.reshape(-1, 1), bias

    def apply(self, layer, x):
        z = self.scale + Tensor(0.1 * self.rng.standard_normal((len(x), *x.shape[1:])))
        mean = layer.affine(x * z, layer.weight, layer.bias)
        variance = layer.affine(x * x * z * z, exp(self.log_var), None)
        return mean + (variance + 1e-8) ** 0.5 * Tensor(self.rng.standard_normal(mean.shape))


KINDS = [
    *(SoftThreshold, Thresholds, Scores, Power, TargetedDropout),
    *(UnitNoise, Bottleneck, GroupScales),
]
RANDOM = {TargetedDropout, UnitNoise, Bottleneck, GroupScales}


def make(layer_kind):
    """A layer in float64, whose bias can be seen, and inputs for it."""
    if layer_kind == "linear":
        layer, x = Linear(4, 3, rng=rng()), rng(1).standard_normal((5, 4))
    else:
        layer, x = Conv2d(3, 4, 2, 1, 1, rng=rng()), rng(1).standard_normal((2, 4, 4, 3))
    layer.to(np.float64)
    layer.bias.data = np.arange(1.0, layer.bias.size + 1)
    return layer, x


def outputs(model, x):
    with no_grad():
        return model(x).numpy()


# ---- what holds for all of them -----------------------------------------------------------------


@pytest.mark.parametrize("layer_kind", ["linear", "conv"])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_evaluation_is_the_hardened_layer(kind, layer_kind):
    layer, x = make(layer_kind)
    parametrize(layer, {"": kind})
    before = layer.state_dict()
    plain, mask = harden(layer)
    assert np.array_equal(outputs(layer.eval(), x), outputs(plain.eval(), x))
    assert plain.parametrization is None
    assert list(plain.state_dict()) == ["weight", "bias"]
    assert all(np.array_equal(a, before[n]) for n, a in layer.state_dict().items())
    assert isinstance(layer.parametrization, kind)
    # the mask says what is left, and puts to zero what is gone
    assert 0 < mask["weight"].mean() < 1
    assert ((plain.weight.numpy() != 0) == mask["weight"]).all()
    assert ("bias" in mask) == (kind is UnitNoise)
    if "bias" in mask:
        units = mask["weight"].any(axis=tuple(range(mask["weight"].ndim - 1)))
        assert mask["bias"].tolist() == units.tolist() == [False] + [True] * (units.size - 1)
        assert plain.bias.numpy()[0] == 0


@pytest.mark.parametrize("layer_kind", ["linear", "conv"])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_training_draws_and_evaluation_does_not(kind, layer_kind):
    layer, x = make(layer_kind)
    parametrize(layer, {"": kind})
    first, second = outputs(layer, x), outputs(layer, x)
    assert np.array_equal(first, second) == (kind not in RANDOM)
    layer.eval()
    assert np.array_equal(outputs(layer, x), outputs(layer, x))
    assert np.array_equal(first, outputs(layer, x)) == (kind not in RANDOM)


@pytest.mark.parametrize("layer_kind", ["linear", "conv"])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_gradients_reach_the_parameters_of_both(kind, layer_kind):
    layer, x = make(layer_kind)
    parametrize(layer, {"": kind})
    held = layer.parametrization
    start = held.rng.bit_generator.state if kind in RANDOM else None
    c = rng(2).standard_normal(layer(x).shape)

    def loss():
        if start:
            held.rng.bit_generator.state = start
        return (layer(x) * c).sum()

    layer.zero_grad()
    loss().backward()
    for name, p in layer.named_parameters():
        if not p.requires_grad:
            assert p.grad is None
            continue
        assert p.grad is not None, name
        if kind in (Thresholds, Scores) and name != "bias":
            continue  # a surrogate: not the derivative of what is computed
        direction = rng(4).standard_normal(p.shape)
        values = []
        for h in (1e-6, -1e-6):
            with p.writing() as a:
                a += h * direction
            values.append(loss().item())
            with p.writing() as a:
                a -= h * direction
        slope = (values[0] - values[1]) / 2e-6
        assert (p.grad.numpy() * direction).sum() == pytest.approx(slope, rel=1e-5, abs=1e-6), name


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_all_that_it_learns_is_saved(kind):
    (layer, _), (other, x) = make("linear"), make("linear")
    parametrize(layer, {"": kind})
    parametrize(other, {"": kind})
    for p in layer.parameters():
        p.data = p.numpy() + 0.25
    other.load_state_dict(layer.state_dict())
    assert np.array_equal(outputs(layer.eval(), x), outputs(other.eval(), x))
    own = [n for n in layer.state_dict() if n.startswith("parametrization.")]
    assert bool(own) == (kind is not TargetedDropout)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_the_hardened_model_shrinks_and_becomes_sparse(kind):
    model = Sequential(Linear(6, 5, rng=rng()), nn.ReLU(), Linear(5, 4, rng=rng()))
    model.to(np.float64)
    model[0].bias.data = np.linspace(-1, 1, 5)
    parametrize(model, {"0": kind, "2": kind})
    plain, mask = harden(model)
    x = rng(1).standard_normal((7, 6))
    expected = outputs(model.eval(), x)
    small, _ = shrink(plain, Mask(mask))
    for form in (small, sparsify(plain, Mask(mask), "csr")):
        np.testing.assert_allclose(outputs(form.eval(), x), expected, rtol=1e-12, atol=1e-12)
    if kind is Bottleneck:  # nobody reads unit 1: it goes with its column
        assert small[0].weight.shape == (6, 4)


# ---- apply --------------------------------------------------------------------------------------


class Told(Parametrization):
    def __init__(self):
        self.seen = ()

    def forward(self, weight, bias):
        return 2.0 * weight, bias

    def apply(self, layer, x):
        self.seen = (*self.seen, x.shape)
        return layer.affine(x, layer.weight, None) * 3.0


def test_apply_is_asked_in_training_only():
    layer, x = make("linear")
    w, b = layer.weight.numpy(), layer.bias.numpy()
    layer.parametrization = told = Told()
    np.testing.assert_allclose(outputs(layer, x), 3 * x @ w, rtol=1e-12)
    np.testing.assert_allclose(outputs(layer.eval(), x), 2 * x @ w + b, rtol=1e-12)
    np.testing.assert_allclose(outputs(harden(layer)[0].train(), x), 2 * x @ w + b, rtol=1e-12)
    assert told.seen == ((5, 4),)


def test_it_has_the_mode_of_its_layer():
    layer, _ = make("linear")
    layer.eval().parametrization = told = Told()
    assert not told.training
    layer.train()
    assert told.training


class Arm(Parametrization):
    """L0-ARM: z = 1[u > sigmoid(-phi)], and for the second loss 1[u < sigmoid(phi)]."""

    def __init__(self, layer):
        self.phi = Parameter(np.linspace(-1, 1, layer.weight.shape[0]), name="phi")
        self.u, self.second = np.zeros(0), False

    def forward(self, weight, bias):
        p = 1 / (1 + np.exp(-self.phi.numpy()))
        z = self.u < p if self.second else self.u > 1 - p
        return weight * Tensor(z.astype(float)[:, None]), bias


def test_a_method_can_ask_for_the_loss_of_two_samples():
    """ARM's estimate, averaged over all u of a grid, is the derivative of the expected loss."""
    layer, x = make("linear")
    parametrize(layer, {"": Arm})
    arm, y = layer.parametrization, np.array([0, 1, 2, 0, 1])
    p = 1 / (1 + np.exp(-arm.phi.numpy()))

    def loss(u=None, second=False, z=None):
        arm.u, arm.second = u if z is None else np.where(z, 2.0, -1.0), second
        return cross_entropy(layer(x), y).item()

    def expected(p):
        total = 0.0
        for bits in np.ndindex(*(2,) * 4):
            z = np.array(bits)
            total += np.prod(np.where(z, p, 1 - p)) * loss(z=z == 1)
        return total

    draws = rng(11).random((1500, 4))
    found = np.mean([(loss(u) - loss(u, True)) * (u - 0.5) for u in draws], axis=0)
    errors = np.std([(loss(u) - loss(u, True)) * (u - 0.5) for u in draws], axis=0) / 1500**0.5
    h = 1e-6
    slopes = np.array([(expected(p + h * e) - expected(p - h * e)) / (2 * h) for e in np.eye(4)])
    assert (abs(found - slopes * p * (1 - p)) < 4.5 * errors).all()
    assert (abs(slopes * p * (1 - p)) > 5 * errors).any()


# ---- putting them in, taking them out -----------------------------------------------------------


def test_making_them_by_halves_changes_nothing():
    model = nn.LeNet300(rng=rng(), widths=(4, 3))
    told = Told()

    def fails(layer):  # noqa: ARG001
        raise ValueError("not this one")

    with pytest.raises(ValueError, match="not this one"):
        parametrize(model, {"fc1": lambda layer: told, "fc2": fails})  # noqa: ARG005
    with pytest.raises(KeyError, match=r"no layer \['fc9'\]; it has fc1, fc2, fc3"):
        parametrize(model, {"fc1": fails, "fc9": fails})
    with pytest.raises(ValueError, match="no layer of this LeNet300 has a parametrization"):
        harden(model)
    parametrize(model, {"fc2": lambda layer: told})  # noqa: ARG005
    with pytest.raises(ValueError, match=r"\['fc2'\] have a parametrization already"):
        parametrize(model, {"fc1": fails, "fc2": fails})
    assert list(nn.parametrized(model, Parametrization)) == ["fc2"]
    assert not nn.parametrized(model, Arm)


def test_they_are_made_in_the_models_order():
    model, order = nn.LeNet300(rng=rng(), widths=(4, 3)), []
    parametrize(
        model, {n: lambda layer: order.append(layer) or Told() for n in ("fc3", "fc1", "fc2")}
    )
    assert order == [model.fc1, model.fc2, model.fc3]


def test_another_module_is_no_parametrization():
    layer, _ = make("linear")
    with pytest.raises(
        TypeError, match=r"is a minisparse\.nn\.Parametrization or None, got a ReLU"
    ):
        layer.parametrization = nn.ReLU()
    layer.parametrization = Told()
    layer.parametrization = None
    layer.parametrization = Parametrization()
    with pytest.raises(NotImplementedError, match="Parametrization has no forward"):
        layer(np.ones((1, 4)))


def test_generators_stay_and_buffers_are_copied():
    g = rng()
    model = Sequential(Linear(4, 4, rng=g), BatchNorm1d(4), Dropout(0.5, rng=g))
    parametrize(model, {"0": Thresholds})
    plain, _ = harden(model)
    assert plain[2].rng is g
    model[1].running_mean[...] = 7
    assert not plain[1].running_mean.any()
    assert all(module.training for module in plain.modules())


def test_frozen_weights_stay_frozen_and_nothing_keeps_a_gradient():
    layer, x = make("linear")
    parametrize(layer, {"": Scores})
    layer(x).sum().backward()
    plain, _ = harden(layer)
    assert [p.requires_grad for p in plain.parameters()] == [False, True]
    assert all(p.grad is None for p in plain.parameters())
    assert layer.parametrization.scores.grad is not None


def test_a_layer_at_two_places_and_a_weight_of_two_layers():
    class Tied(Module):
        def __init__(self):
            self.a = Linear(3, 3, rng=rng())
            self.again, self.c = self.a, Linear(3, 3, rng=rng())
            self.c.weight = self.a.weight

        def forward(self, x):
            return self.c(relu(self.again(relu(self.a(x)))))

    model, x = Tied(), rng(1).standard_normal((4, 3)).astype(np.float32)
    parametrize(model, {"a": Thresholds})
    plain, mask = harden(model)
    assert list(mask) == ["a.weight"]
    assert plain.again is plain.a
    assert np.array_equal(outputs(model.eval(), x), outputs(plain.eval(), x))
    Mask(mask).apply(plain)
    assert np.array_equal(outputs(model, x), outputs(plain, x))


class Shared(Module):
    def __init__(self):
        self.value = Parameter(np.array([0.4], np.float32), name="value")


class Beyond(Parametrization):
    def __init__(self, threshold):
        self.threshold = threshold

    def forward(self, weight, bias):
        return weight * Step()(absolute(weight) - self.threshold.value), bias


def test_one_threshold_for_the_whole_model():
    model, shared = nn.LeNet300(rng=rng(), widths=(4, 3)), Shared()
    parametrize(model, dict.fromkeys(["fc1", "fc2"], lambda layer: Beyond(shared)))  # noqa: ARG005
    names = [n for n, _ in model.named_parameters() if "threshold" in n]
    assert names == ["fc1.parametrization.threshold.value"]
    other = copy.deepcopy(model)
    assert other.fc1.parametrization.threshold is other.fc2.parametrization.threshold


# ---- who must not be deceived -------------------------------------------------------------------


def test_what_reads_the_parameters_refuses_them():
    model = nn.LeNet300(rng=rng(), widths=(4, 3))
    parametrize(model, {"fc1": Thresholds})
    for reader in (shrink, sparsify, lambda m: report(m, measure_latency=False)):
        with pytest.raises(ValueError, match=r"'fc1' are mapped by Thresholds .*nn\.harden"):
            reader(model)


def test_train_goes_through_the_parametrization():
    """The fast way through a plain model must not be taken; also when it was taken before."""
    split = Split(rng().integers(0, 256, (40, 28, 28, 1), np.uint8), np.arange(40) % 10)
    model, g = nn.LeNet300(rng=rng(), widths=(4, 3)), rng(1)
    train(model, split, SGD(model, 0.1), epochs=1, rng=g, progress=False)
    parametrize(model, {"fc1": Scores})
    before = model.state_dict()
    train(model, split, SGD(model, 0.1), epochs=1, rng=g, progress=False)
    after = model.state_dict()
    changed = [n for n in before if not np.array_equal(before[n], after[n])]
    assert "fc1.parametrization.scores" in changed
    assert "fc1.weight" not in changed

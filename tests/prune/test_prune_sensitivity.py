"""The formulas of S against finite differences: each output by each weight, example by example."""

import itertools

import numpy as np
import pytest

from minisparse import nn
from minisparse.autodiff import Tensor, cross_entropy, gradients, no_grad, relu
from minisparse.prune import sensitivity as sd
from minisparse.prune.sensitivity import sensitivity

VARIANTS, FORMS, OUTPUTS = ("unspecific", "specific"), ("per-sample", "batch-mean"), (
    "logits",
    "softmax",
)  # fmt: skip


def rng(seed=0):
    return np.random.default_rng(seed)


def outputs_of(model, x):
    """Return logits and softmax output, [2, B, C]."""
    with no_grad():
        y = model(x).numpy()
    e = np.exp(y - y.max(axis=1, keepdims=True))
    return np.array([y, e / e.sum(axis=1, keepdims=True)])


def derivatives(model, x, step=1e-6):
    """Return dy[n, k] / dw of every parameter by central differences, [2, B, C, *shape]."""
    found = {}
    for name, p in model.named_parameters():
        w = p.array
        d = np.empty((*outputs_of(model, x).shape, *w.shape))
        for i in np.ndindex(w.shape):
            kept = w[i]
            w[i] = kept + step
            up = outputs_of(model, x)
            w[i] = kept - step
            d[(..., *i)] = (up - outputs_of(model, x)) / (2 * step)
            w[i] = kept
        found[name] = d
    return found


def by_definition(d, labels, variant, form):
    """Return S from dy[n, k] / dw, in the words of the paper."""
    b, c = d.shape[:2]
    total = np.zeros(d.shape[2:])
    if form == "per-sample":
        for n in range(b):
            for k in range(c):
                alpha = 1 / c if variant == "unspecific" else float(k == labels[n])
                total += alpha * np.abs(d[n, k]) / b
    elif variant == "unspecific":
        for k in range(c):
            total += np.abs(sum(d[n, k] for n in range(b)) / b) / c
    else:
        total += np.abs(sum(d[n, labels[n]] for n in range(b)) / b)
    return total


class Mlp(nn.Module):
    def __init__(self):
        generator = rng(0)
        self.first = nn.Linear(4, 5, rng=generator)
        self.second = nn.Linear(5, 4, bias=False, rng=generator)
        self.third = nn.Linear(4, 3, rng=generator)

    def forward(self, x):
        return self.third(relu(self.second(relu(self.first(x)))))


class Convnet(nn.Module):
    def __init__(self):
        generator = rng(1)
        self.conv = nn.Conv2d(2, 3, (3, 2), stride=(2, 1), padding=(1, 0), rng=generator)
        self.deep = nn.Conv2d(3, 2, 2, padding=1, rng=generator)
        self.pool = nn.MaxPool2d(2)
        self.fc = nn.Linear(8, 3, rng=generator)

    def forward(self, x):
        h = relu(self.deep(relu(self.conv(x))))
        return self.fc(self.pool(h).reshape((x.shape[0], -1)))


class Pointwise(nn.Module):
    """A linear layer at each of several positions."""

    def __init__(self):
        self.shared = nn.Linear(3, 4, rng=rng(2))
        self.out = nn.Linear(4, 3, rng=rng(3))

    def forward(self, x):
        return self.out(relu(self.shared(x)).mean(axis=1))


MODELS = {
    "mlp": (Mlp, (6, 4)),
    "conv": (Convnet, (4, 5, 5, 2)),
    "pointwise": (Pointwise, (5, 6, 3)),
    "one layer": (lambda: nn.Linear(4, 3, rng=rng(4)), (6, 4)),
}


def prepare(name):
    build, shape = MODELS[name]
    model = build().to(np.float64)
    generator = rng(5)
    for key, p in model.named_parameters():
        if key.endswith("bias"):
            p.data[...] = generator.normal(0, 0.5, p.shape)
    x = generator.standard_normal(shape)
    return model, x, generator.integers(0, 3, shape[0])


@pytest.fixture(scope="module", params=MODELS)
def case(request):
    model, x, labels = prepare(request.param)
    return model, x, labels, derivatives(model, x)


def measure(model, x, labels, **options):
    with nn.record_layers(model) as layers:
        logits = model(x)
    return sensitivity(logits, layers, labels, **options)


@pytest.mark.parametrize(
    ("variant", "form", "output"), list(itertools.product(VARIANTS, FORMS, OUTPUTS))
)
def test_sensitivity_is_what_finite_differences_say(case, variant, form, output):
    model, x, labels, d = case
    found = measure(
        model, x, labels, variant=variant, form=form, output=output, biases=True
    )  # fmt: skip
    assert list(found) == [n for n, _ in model.named_parameters()]
    for name, s in found.items():
        expected = by_definition(d[name][OUTPUTS.index(output)], labels, variant, form)
        assert s.shape == expected.shape
        np.testing.assert_allclose(s, expected, rtol=1e-6, atol=1e-8, err_msg=name)
    assert max(s.max() for s in found.values()) > 0.01


def test_the_options_are_different_things(case):
    model, x, labels, _ = case
    results = []
    for options in itertools.product(VARIANTS, FORMS, OUTPUTS):
        found = measure(model, x, labels, **dict(zip(("variant", "form", "output"), options)))  # noqa: B905
        results.append(np.concatenate([s.ravel() for s in found.values()]))
    for a, b in itertools.combinations(results, 2):
        assert np.abs(a - b).max() > 1e-3


def test_the_default_is_the_definition_on_logits_without_biases():
    model, x, labels = prepare("mlp")
    default = measure(model, x, labels)
    explicit = measure(
        model, x, labels, variant="unspecific", form="per-sample", output="logits", biases=False
    )
    assert list(default) == ["first.weight", "second.weight", "third.weight"]
    for name, s in default.items():
        np.testing.assert_array_equal(s, explicit[name])


# ---- the pure functions -----------------------------------------------------------------------


def test_linear_factorisation_is_exact():
    x, delta = rng(0).standard_normal((7, 4)), rng(1).standard_normal((3, 7, 5))
    per_sample = np.zeros((4, 5))
    means = np.zeros((3, 4, 5))
    for n in range(7):
        for k in range(3):
            dy_dw = np.outer(x[n], delta[k, n])
            per_sample += 0.2 * np.abs(dy_dw) / 7
            means[k] += dy_dw / 7
    np.testing.assert_allclose(sd.linear_per_sample(x, delta, 0.2), per_sample, rtol=1e-12)
    batch_mean = 0.2 * np.abs(means).sum(axis=0)
    np.testing.assert_allclose(sd.linear_batch_mean(x, delta, 0.2), batch_mean, rtol=1e-11)
    assert (batch_mean <= per_sample).all()


@pytest.mark.parametrize(
    ("kernel", "stride", "padding"),
    [((1, 1), (1, 1), (0, 0)), ((3, 2), (2, 1), (1, 2)), ((2, 4), (3, 3), (0, 1))],
)
def test_conv_formulas(kernel, stride, padding):
    """Against patches that are cut out by hand, and outer products one by one."""
    x = rng(0).standard_normal((2, 6, 5, 3))
    (kh, kw), (sy, sx), (py, px) = kernel, stride, padding
    padded = np.pad(x, ((0, 0), (py, py), (px, px), (0, 0)))
    rows, columns = (6 + 2 * py - kh) // sy + 1, (5 + 2 * px - kw) // sx + 1
    delta = rng(1).standard_normal((3, 2, rows, columns, 4))
    per_sample = np.zeros((kh, kw, 3, 4))
    means = np.zeros((3, kh, kw, 3, 4))
    for k in range(3):
        for n in range(2):
            dy_dw = np.zeros((kh, kw, 3, 4))
            for i in range(rows):
                for j in range(columns):
                    patch = padded[n, i * sy : i * sy + kh, j * sx : j * sx + kw]
                    dy_dw += np.multiply.outer(patch, delta[k, n, i, j])
            per_sample += 0.2 * np.abs(dy_dw) / 2
            means[k] += dy_dw / 2
    arguments = x, delta, 0.2, kernel, stride, padding
    np.testing.assert_allclose(sd.conv_per_sample(*arguments), per_sample, rtol=1e-11)
    np.testing.assert_allclose(
        sd.conv_batch_mean(*arguments), 0.2 * np.abs(means).sum(axis=0), rtol=1e-10
    )


def test_cotangents():
    labels = np.array([2, 0])
    seeds = sd.cotangents(labels, 3, "unspecific", np.float32)
    assert seeds.dtype == np.float32
    assert seeds.tolist() == [[row, row] for row in ([1, 0, 0], [0, 1, 0], [0, 0, 1])]
    assert sd.cotangents(labels, 3, "specific", np.float64).tolist() == [[[0, 0, 1], [1, 0, 0]]]
    for bad in ([0, 3], [-1, 0]):
        with pytest.raises(ValueError, match="labels are the classes 0 to 2"):
            sd.cotangents(np.array(bad), 3, "specific", np.float64)
    with pytest.raises(ValueError, match="variant is one of unspecific, specific, got 'both'"):
        sd.cotangents(labels, 3, "both", np.float64)


# ---- a large network --------------------------------------------------------------------------


def test_lenet5_example_by_example():
    model = nn.LeNet5(rng=rng()).to(np.float64)
    x, labels = rng(1).random((2, 28, 28, 1)), np.array([3, 8])
    parameters = dict(model.named_parameters())
    expected = {v: {n: np.zeros(p.shape) for n, p in parameters.items()} for v in VARIANTS}
    for n in range(2):
        for k in range(10):
            y = model(x[n : n + 1])[0, k]
            for name, g in zip(parameters, gradients(y, list(parameters.values())), strict=True):
                expected["unspecific"][name] += np.abs(g.numpy()) / 10 / 2
                expected["specific"][name] += np.abs(g.numpy()) * (labels[n] == k) / 2
    for variant in VARIANTS:
        found = measure(model, x, labels, variant=variant, biases=True)
        assert list(found) == list(parameters)
        for name, s in found.items():
            np.testing.assert_allclose(s, expected[variant][name], rtol=1e-9, atol=1e-14)


def test_float32_stays_float32_and_is_close():
    model, x, labels = prepare("conv")
    exact = measure(model, x, labels, biases=True)
    found = measure(model.to(np.float32), x.astype(np.float32), labels, biases=True)
    for name, s in found.items():
        assert s.dtype == np.float32
        np.testing.assert_allclose(s, exact[name], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["mlp", "conv"])
@pytest.mark.parametrize("form", FORMS)
def test_other_array_libraries(device, name, form):
    model, x, labels = prepare(name)
    for variant in VARIANTS:
        expected = measure(model.to(array_module=np), x, labels, variant=variant, form=form)
        model.to(array_module=device)
        found = measure(
            model, device.asarray(x), device.asarray(labels), variant=variant, form=form
        )  # fmt: skip
        for key, s in found.items():
            np.testing.assert_allclose(device.asnumpy(s), expected[key], rtol=1e-10, atol=1e-12)


# ---- what it leaves alone ---------------------------------------------------------------------


def test_no_gradient_flows_through_s_and_the_graph_stays_usable():
    model, x, labels = prepare("mlp")
    cross_entropy(model(x), labels).backward()
    plain = [p.grad.numpy() for p in model.parameters()]
    model.zero_grad()
    with nn.record_layers(model) as layers:
        logits = model(x)
    for output, variant in itertools.product(OUTPUTS, VARIANTS):
        found = sensitivity(logits, layers, labels, variant=variant, output=output)
        assert all(type(s) is np.ndarray for s in found.values())
    assert all(p.grad is None for p in model.parameters())
    cross_entropy(logits, labels).backward()
    for p, g in zip(model.parameters(), plain, strict=True):
        np.testing.assert_array_equal(p.grad.numpy(), g)


def test_dead_units_and_silent_inputs_are_insensitive():
    model, x, labels = prepare("mlp")
    x[:, 2] = 0
    model.first.bias.data[1] = -1e3
    s = measure(model, x, labels, biases=True)
    assert (s["first.weight"][2] == 0).all()
    assert (s["first.weight"][:, 1] == 0).all()
    assert s["first.bias"][1] == 0
    assert (s["second.weight"][1] == 0).all(), "its output is 0"
    assert (s["first.weight"][[0, 1, 3]][:, [0, 2, 3, 4]] > 0).any()


# ---- what it refuses --------------------------------------------------------------------------


def test_unknown_options():
    model, x, labels = prepare("mlp")
    for option in ("variant", "form", "output"):
        with pytest.raises(ValueError, match=r"expected one of .*, got 'other'"):
            measure(model, x, labels, **{option: "other"})


def test_labels_that_do_not_fit():
    model, x, labels = prepare("mlp")
    with pytest.raises(
        ValueError, match=r"expected logits \[B, C\] and labels \[B\], got \(6, 3\)"
    ):
        measure(model, x, labels[:4])
    with pytest.raises(ValueError, match="labels are the classes"):
        measure(model, x, labels + 2, variant="specific")
    with pytest.raises(ValueError, match=r"expected logits \[B, C\]"):
        measure(model, x[0], labels)


class Twice(nn.Module):
    def __init__(self, how):
        self.a, self.b = nn.Linear(3, 3, rng=rng()), nn.Linear(3, 3, rng=rng())
        if how == "weight":
            self.b.weight = self.a.weight
        elif how == "layer":
            self.b = self.a

    def forward(self, x):
        return self.b(relu(self.a(x)))


@pytest.mark.parametrize("how", ["weight", "layer"])
def test_a_weight_that_is_used_twice(how):
    x, labels = rng().standard_normal((2, 3)).astype(np.float32), np.array([0, 1])
    measure(Twice("apart"), x, labels)
    with pytest.raises(ValueError, match=r"the weight of '[ab]' is applied more than once"):
        measure(Twice(how), x, labels)


def test_a_parametrized_weight():
    class Doubled(nn.Parametrization):
        def forward(self, weight, bias):
            return weight * 2.0, bias

    model, x, labels = prepare("mlp")
    model.second.parametrization = Doubled()
    with pytest.raises(ValueError, match="does not use the weight of 'second'"):
        measure(model, x, labels)


def test_a_forward_without_graph():
    model, x, labels = prepare("mlp")
    with pytest.raises(RuntimeError, match="no_grad"), no_grad():
        measure(model, x, labels)
    assert isinstance(model(x), Tensor)

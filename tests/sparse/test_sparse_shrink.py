import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minisparse.autodiff import Tensor, concatenate, no_grad, relu, sigmoid
from minisparse.nn import (
    AvgPool2d,
    BatchNorm1d,
    BatchNorm2d,
    Conv2d,
    Dropout,
    Flatten,
    LeNet5,
    LeNet300,
    Linear,
    MaxPool2d,
    Module,
    Parameter,
    ReLU,
    Selected,
    Sequential,
    num_parameters,
)
from minisparse.optim import SGD, Adam
from minisparse.prune.mask import Mask
from minisparse.sparse import shrink


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def random_everything(model, rng, dtype=np.float64):
    """Give biases, batch norms and running statistics values that tests can see."""
    state = model.state_dict()
    for name, a in state.items():
        state[name] = (
            rng.uniform(0.5, 1.5, a.shape) if "var" in name else 0.3 * rng.standard_normal(a.shape)
        )
    model.to(dtype).load_state_dict(state)
    return model.eval()


def random_masks(model, rng, density):
    """Remove single weights, and whole units and inputs on top, so that some units die."""
    entries = {}
    for name, p in model.named_parameters():
        if p.ndim < 2:
            continue
        kept = rng.random(p.shape) < density
        kept &= rng.random(p.shape[-1]) < 0.7
        kept &= rng.random((p.shape[-2], 1)) < 0.8
        entries[name] = kept
    return Mask(entries)


def outputs(model, x):
    with no_grad():
        return model(x).numpy()


def masked(model, masks):
    other = copy.deepcopy(model)
    masks.apply(other)
    return other


def dead_by_brute_force(model, layer, x):
    """Return which units of a layer can be overwritten with anything without a trace."""
    before = outputs(model, x)
    dead = []
    for j in range(layer.weight.shape[-1]):
        saved = layer.weight.numpy(), layer.bias.numpy()
        w, b = saved[0].copy(), saved[1].copy()
        w[..., j] = 7.0
        b[j] = -3.0
        layer.weight.data, layer.bias.data = w, b
        dead.append(bool((outputs(model, x) == before).all()))
        layer.weight.data, layer.bias.data = saved
    return np.array(dead)


# ---- random networks ----------------------------------------------------------------------------


def perceptron(rng, draw):
    widths = [draw(st.integers(1, 9)) for _ in range(draw(st.integers(2, 4)))]
    parts = []
    for n_in, n_out in zip(widths, [*widths[1:], 4], strict=True):
        parts.append(Linear(n_in, n_out, bias=draw(st.booleans()), rng=rng))
        parts += draw(st.sampled_from([[], [ReLU()], [BatchNorm1d(n_out), ReLU()], [ReLU()] * 2]))
        if draw(st.booleans()):
            parts.append(Dropout(0.5, rng=rng))
    return Sequential(*parts), (widths[0],)


def convolutional(rng, draw):
    size = (draw(st.integers(29, 31)), draw(st.integers(9, 10)))  # three strides of 2 fit
    c, parts = draw(st.integers(1, 3)), []
    shape = (*size, c)
    for _ in range(draw(st.integers(1, 3))):
        o = draw(st.integers(2, 6))
        parts.append(
            Conv2d(
                c,
                o,
                (draw(st.integers(1, 3)), draw(st.integers(1, 3))),
                draw(st.sampled_from([1, (2, 1)])),
                draw(st.sampled_from([0, 1])),
                bias=draw(st.booleans()),
                rng=rng,
            )
        )
        parts += draw(
            st.sampled_from(
                [
                    [],
                    [ReLU()],
                    [BatchNorm2d(o), ReLU()],
                    [MaxPool2d(2, 1), ReLU()],
                    [ReLU(), AvgPool2d(2, 1, 1)],
                    [MaxPool2d(2, 1, 1)],
                ]
            )
        )
        c = o
    parts.append(Flatten())
    features = outputs(Sequential(*parts).eval(), np.zeros((1, *shape), np.float32)).shape[1]
    parts.append(Linear(features, 5, rng=rng))
    if draw(st.booleans()):
        parts += [BatchNorm1d(5), ReLU(), Linear(5, 3, rng=rng)]
    return Sequential(*parts), shape


@settings(max_examples=60)
@given(data=st.data())
def test_the_small_model_computes_the_same(data):
    draw = data.draw
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    make = draw(st.sampled_from([perceptron, convolutional]))
    model, shape = make(rng, draw)
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    random_everything(model, rng, dtype)
    masks = random_masks(model, rng, draw(st.sampled_from([0.1, 0.4, 1.0])))
    x = rng.standard_normal((6, *shape)).astype(dtype)
    small, report = shrink(model, masks, example=x[:1])
    expected = outputs(masked(model, masks), x)
    tolerance = 1e-4 if dtype == np.float32 else 1e-11
    scale = max(1.0, np.abs(expected).max())
    np.testing.assert_allclose(outputs(small, x), expected, rtol=tolerance, atol=tolerance * scale)
    assert report.after == num_parameters(small) <= report.before == num_parameters(model)
    # what is left cannot be shrunk any further
    again = shrink(small, example=x[:1])[1]
    assert again.after == report.after
    assert not again.lines


def test_nothing_dead_is_left(rng):
    """Where all can be folded, exactly the units that matter are kept: seen from outside."""
    model = Sequential(*[m for n in (12, 10, 8) for m in (Linear(n, n - 2, rng=rng), ReLU())])
    random_everything(model, rng)
    masks = random_masks(model, rng, 0.3)
    x = rng.standard_normal((50, 12))
    small, report = shrink(model, masks)
    for name in ("0", "2"):
        layer = getattr(small, name)
        before = getattr(model, name).weight.shape[1]
        assert layer.weight.shape[1] + report.removed.get(name, np.array([])).size == before
        dead = dead_by_brute_force(small, layer, x)
        assert not dead.any() or layer.weight.shape[1] == 1
    assert report.removed


def test_lenet5_maps_filters_through_flatten(rng):
    model = random_everything(LeNet5(rng=rng), rng)
    gone = [3, 17, 49]
    kept = np.ones((5, 5, 20, 50), bool)
    kept[..., gone] = False
    x = rng.random((4, 28, 28, 1))
    small, report = shrink(model, Mask({"conv2.weight": kept}))
    assert report.removed["conv2"].tolist() == gone
    assert report.folded == {"conv2": 3}
    assert small.fc1.weight.shape == (4 * 4 * 47, 500)
    assert str(report).splitlines() == [
        "conv2: 20-50 (5x5) => 20-47 (5x5)",
        "fc1: 800-500 => 752-500",
        "3 constant units folded into the next biases",
        "parameters: 431,080 => 405,577 (94.1 %)",
    ]
    expected = outputs(masked(model, Mask({"conv2.weight": kept})), x)
    np.testing.assert_allclose(outputs(small, x), expected, rtol=1e-11, atol=1e-11)
    # the remaining rows of fc1 are those of the remaining filters at each of the 16 places
    rows = [16 * [0]] and [p * 50 + c for p in range(16) for c in range(50) if c not in gone]
    np.testing.assert_array_equal(small.fc1.weight.numpy(), model.fc1.weight.numpy()[rows])


# ---- constants ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("padding", "removed"), [(0, [1]), (1, [])])
def test_a_constant_image_is_not_constant_after_padding(rng, padding, removed):
    model = Sequential(
        Conv2d(1, 3, 3, rng=rng), ReLU(), Conv2d(3, 2, 3, 1, padding, rng=rng), Flatten()
    )
    random_everything(model, rng)
    bias = model[0].bias.numpy()
    bias[1] = 0.5
    model[0].bias.data = bias
    kept = np.ones((3, 3, 1, 3), bool)
    kept[..., 1] = False
    masks = Mask({"0.weight": kept})
    x = rng.standard_normal((3, 6, 6, 1))
    small, report = shrink(model, masks, example=x)
    assert [*report.removed.get("0", [])] == removed
    np.testing.assert_allclose(outputs(small, x), outputs(masked(model, masks), x), rtol=1e-11)
    if padding:
        assert "0: dead units stay: their constants cannot go into the bias of 2" in str(report)
        # a constant of 0 is 0 in the padding, too
        bias[1] = -0.5
        model[0].bias.data = bias
        small, report = shrink(model, masks, example=x)
        assert report.removed["0"].tolist() == [1]
        np.testing.assert_allclose(outputs(small, x), outputs(masked(model, masks), x), rtol=1e-11)


def test_a_constant_without_a_bias_to_go_to_stays(rng):
    model = Sequential(Linear(3, 2, rng=rng), ReLU(), Linear(2, 2, bias=False, rng=rng))
    model[0].bias.data = np.array([1.0, 1.0], np.float32)
    masks = Mask({"0.weight": np.array([[1, 0]] * 3)})
    small, report = shrink(model, masks)
    assert small[0].weight.shape == (3, 2)
    assert not report.lines
    assert report.kept_whole["0"].startswith("their constants cannot go into the bias of 2")


def test_batch_norm_makes_a_dead_unit_a_constant(rng):
    """relu(gamma (0 + b - mean) / sigma + beta), by hand."""
    model = Sequential(
        Linear(3, 2, rng=rng), BatchNorm1d(2), ReLU(), Linear(2, 1, bias=True, rng=rng)
    )
    random_everything(model, rng)
    model[1].bias.data = np.array([2.0, 2.0])
    masks = Mask({"0.weight": np.array([[1, 0]] * 3)})
    small, report = shrink(model, masks)
    norm, b = model[1], model[0].bias.numpy()[1]
    z = (b - norm.running_mean[1]) / np.sqrt(norm.running_var[1] + norm.eps)
    constant = max(z * norm.weight.numpy()[1] + norm.bias.numpy()[1], 0)
    assert constant > 0
    expected = model[3].bias.numpy() + constant * model[3].weight.numpy()[1]
    np.testing.assert_allclose(small[3].bias.numpy(), expected, rtol=1e-12)
    assert small[1].weight.shape == small[1].running_var.shape == (1,)
    assert str(report).splitlines()[:3] == ["0: 3-2 => 3-1", "1: 2 => 1", "3: 2-1 => 1-1"]


def test_removal_goes_on(rng):
    """A unit that only fed a dead unit dies with it."""
    model = Sequential(
        Linear(4, 4, rng=rng), ReLU(), Linear(4, 3, rng=rng), ReLU(), Linear(3, 2, rng=rng)
    )
    last = np.ones((3, 2), bool)
    last[0] = False  # unit 0 of the second layer is not read
    middle = np.ones((4, 3), bool)
    middle[2, 1:] = False  # unit 2 of the first layer fed that one only
    small, report = shrink(model, Mask({"2.weight": middle, "4.weight": last}))
    assert {k: v.tolist() for k, v in report.removed.items()} == {"0": [2], "2": [0]}
    assert report.folded == {}
    assert [small[i].weight.shape for i in (0, 2, 4)] == [(4, 3), (3, 2), (2, 2)]


def test_a_layer_that_dies_keeps_one_unit(rng):
    model = random_everything(LeNet300(rng=rng, widths=(6, 5)), rng)
    masks = Mask({"fc1.weight": np.zeros((784, 6), bool)})
    x = rng.random((3, 784))
    small, _ = shrink(model, masks)
    assert small.fc1.weight.shape == (784, 1)
    np.testing.assert_allclose(outputs(small, x), outputs(masked(model, masks), x), rtol=1e-12)


# ---- the optimizer and the mask -----------------------------------------------------------------


OPTIMIZERS = {
    "momentum": lambda m: SGD(m, 0.05, momentum=0.9),
    "adam": lambda m: Adam(m, 0.01),
    "plain": lambda m: SGD(m, 0.05),
}


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_training_goes_on_as_if_nothing_had_happened(rng, make):
    """Units without outgoing weights have no gradient: both models take the same steps."""
    model = random_everything(LeNet300(rng=rng, widths=(7, 6)), rng)
    kept = np.ones((7, 6), bool)
    kept[[1, 4]] = False
    masks = Mask({"fc2.weight": kept, "fc3.weight": rng.random((6, 10)) < 0.9})
    optimizer = make(model)

    def step(m, opt, x, mask):
        opt.zero_grad()
        (m(x) ** 2).sum().backward()
        opt.step()
        mask.apply(m)

    batches = [0.1 * rng.standard_normal((4, 784)) for _ in range(6)]
    masks.apply(model)
    for x in batches[:3]:
        step(model, optimizer, x, masks)
    other = copy.deepcopy(model)
    other_optimizer = make(other)
    other_optimizer.load_state_dict(optimizer.state_dict())
    small, report = shrink(model, masks, optimizer)
    assert small.fc1.weight.shape == (784, 5)
    assert report.mask["fc2.weight"].shape == (5, 6)
    assert [p is q for (_, p), q in zip(optimizer.params, small.parameters(), strict=True)] == 6 * [
        1
    ]
    for x in batches[3:]:
        step(other, other_optimizer, x, masks)
        step(small, optimizer, x, report.mask)
    x = rng.standard_normal((5, 784))
    np.testing.assert_allclose(outputs(small, x), outputs(other, x), rtol=1e-9, atol=1e-10)
    alive = [0, 2, 3, 5, 6]
    for slot, arrays in optimizer.state.items():
        np.testing.assert_allclose(
            arrays[0], other_optimizer.state[slot][0][:, alive], rtol=1e-9, atol=1e-14
        )


def test_an_optimizer_of_another_model(rng):
    model = LeNet300(rng=rng, widths=(3, 3))
    with pytest.raises(ValueError, match="which is no parameter of the model"):
        shrink(model, optimizer=SGD(LeNet300(rng=rng, widths=(3, 3)), 0.1))


def test_the_model_itself_is_left_alone(rng):
    model = random_everything(LeNet300(rng=rng, widths=(7, 6)), rng)
    before = model.state_dict()
    shrink(model, random_masks(model, rng, 0.2))
    after = model.state_dict()
    assert all(np.array_equal(before[k], after[k]) for k in before)


# ---- inputs -------------------------------------------------------------------------------------


def test_unused_pixels_are_dropped_if_asked(rng):
    model = random_everything(LeNet300(rng=rng, widths=(7, 6)), rng)
    kept = rng.random((784, 7)) < 0.1
    masks = Mask({"fc1.weight": kept})
    used = np.flatnonzero(kept.any(axis=1))
    optimizer = SGD(model, 0.1, momentum=0.9)
    small, report = shrink(model, masks, optimizer, inputs=True)
    assert isinstance(small, Selected)
    assert small.index.tolist() == report.inputs.tolist() == used.tolist()
    assert small.model.fc1.weight.shape == (used.size, 7)
    assert f"fc1: 784-7 => {used.size}-7" in report.lines
    x = rng.random((3, 28, 28, 1))
    expected = outputs(masked(model, masks), x)
    np.testing.assert_allclose(outputs(small, x), expected, rtol=1e-11, atol=1e-12)
    assert [n for n, _ in optimizer.params] == [n for n, _ in small.named_parameters()]
    assert optimizer.state["velocity"][0].shape == (used.size, 7)
    assert report.mask["model.fc1.weight"].shape == (used.size, 7)
    report.mask.apply(small)
    np.testing.assert_allclose(outputs(small, x), expected, rtol=1e-11, atol=1e-12)


def test_unused_channels(rng):
    model = Sequential(Conv2d(4, 3, 3, rng=rng), ReLU(), Flatten(), Linear(3 * 16, 2, rng=rng))
    random_everything(model, rng)
    kept = np.ones((3, 3, 4, 3), bool)
    kept[:, :, [0, 2]] = False
    x = rng.standard_normal((2, 6, 6, 4))
    small, report = shrink(model, Mask({"0.weight": kept}), example=x, inputs=True)
    assert report.inputs.tolist() == [1, 3]
    expected = outputs(masked(model, Mask({"0.weight": kept})), x)
    np.testing.assert_allclose(outputs(small, x), expected, rtol=1e-11)


def test_inputs_that_are_not_read_directly(rng):
    model = Sequential(Sigmoid(), Linear(3, 2, rng=rng))
    with pytest.raises(ValueError, match=r"something is applied before .*leave out inputs=True"):
        shrink(model, inputs=True)


# ---- what cannot be followed --------------------------------------------------------------------


class Sigmoid(Module):
    def forward(self, x):
        return sigmoid(x)


class Custom(Module):
    """Layers a, b, c, and a forward that a test gives."""

    def __init__(self, rng, forward, n=4):
        self.a, self.b, self.c = (Linear(n, n, rng=rng) for _ in range(3))
        self.scale = Parameter(np.arange(1.0, n + 1))
        self.f = forward

    def forward(self, x):
        return self.f(self, x)


def around(f, h):
    return h + f(h)


STAYS = {
    "skip connection": (
        lambda m, x: m.c(relu(m.a(x)) + relu(m.b(x))),
        "they are coupled with units of b",
    ),
    "around a layer": (lambda m, x: m.c(around(m.b, m.a(x))), "coupled with units of b"),
    "from the input": (lambda m, x: m.c(relu(m.a(x)) + x), "Add joins them with the input"),
    "a learned scale": (lambda m, x: m.c(m.a(x) * m.scale), "Mul joins them with a learned array"),
    "a sum over units": (
        lambda m, x: m.c(around(lambda h: -h.mean(axis=-1, keepdims=True), m.a(x))),
        "Sum comes after a: it may mix or move units",
    ),
    "applied twice": (lambda m, x: m.c(relu(m.a(relu(m.a(x))))), "applied more than once"),
    "concatenated": (lambda m, x: m.c(concatenate([m.a(x), m.b(x)], axis=1)[:, 2:6]), "Slice"),
    "turned around": (lambda m, x: m.c(m.a(x).reshape(-1, 2, 2).transpose(0, 2, 1).reshape(-1, 4)),
                      "Reshape comes after a"),
    "detached": (lambda m, x: m.c(m.a(x).detach()), "no layer is seen to read it"),
}  # fmt: skip


@pytest.mark.parametrize("name", STAYS)
def test_units_whose_way_is_not_clear_stay(rng, name):
    forward, reason = STAYS[name]
    model = random_everything(Custom(rng, forward), rng)
    masks = Mask({"a.weight": np.array([[1, 0, 1, 1]] * 4)})  # unit 1 of a is a constant
    x = rng.standard_normal((3, 4))
    small, report = shrink(model, masks)
    assert "a" not in report.removed
    np.testing.assert_allclose(outputs(small, x), outputs(masked(model, masks), x), rtol=1e-12)
    assert reason in report.kept_whole["a"]


def test_one_sample_of_one_value_is_no_number(rng):
    class Net(Module):
        def __init__(self):
            self.a, self.b = Linear(1, 3, rng=rng), Linear(3, 2, rng=rng)

        def forward(self, x):
            return self.b(relu(self.a(x)) + x.detach())

    model = random_everything(Net(), rng)
    x = rng.standard_normal((20, 1))
    masks = Mask({"a.weight": np.array([[True, False, True]])})
    small, report = shrink(model, masks, example=x[:1])
    masks.apply(model)
    assert not report.removed
    assert "Add" in report.kept_whole["a"]
    assert np.array_equal(outputs(small, x), outputs(model, x))


def test_a_shared_weight_stays(rng):
    model = Sequential(Linear(4, 4, rng=rng), ReLU(), Linear(4, 4, rng=rng))
    model[2].weight = model[0].weight
    kept = np.array([[1, 0, 1, 1]] * 4)
    small, report = shrink(model, Mask({"0.weight": kept}))
    assert not report.removed
    assert "shares parameters" in report.kept_whole["0"]
    x = rng.standard_normal((3, 4)).astype(np.float32)
    expected = outputs(masked(model, Mask({"0.weight": kept})), x)
    np.testing.assert_allclose(outputs(small, x), expected)


def test_numbers_of_units_in_the_forward_are_refused(rng):
    def forward(m, x):
        return m.c(relu(m.a(x)).reshape(-1, 4))

    masks = Mask({"a.weight": np.array([[1, 0, 1, 1]] * 4)})
    with pytest.raises(ValueError, match=r"cannot be applied .* cannot be followed"):
        shrink(Custom(rng, forward), masks)


def test_a_hidden_dependence_on_the_units_is_refused(rng):
    def forward(m, x):
        h = relu(m.a(x))
        return m.c(h * float(h.detach().numpy().mean()))

    masks = Mask({"a.weight": np.array([[1, 0, 1, 1]] * 4)})
    with pytest.raises(ValueError, match="computes something else"):
        shrink(random_everything(Custom(rng, forward), rng), masks)


def test_parametrized_weights_are_refused(rng):
    from minisparse.prune.l0 import add_gates

    model = LeNet300(rng=rng, widths=(3, 3))
    add_gates(model, {"fc1": 0.5}, rng)
    with pytest.raises(ValueError, match=r"'fc1' are mapped by Gates .*harden"):
        shrink(model)


def test_the_size_of_images_must_be_given(rng):
    model = Sequential(Conv2d(1, 2, 3, rng=rng), Flatten(), Linear(32, 2, rng=rng))
    with pytest.raises(ValueError, match="give example="):
        shrink(model)
    shrink(model, example=Tensor(np.zeros((1, 6, 6, 1))))


def test_a_device(rng, device):
    model = random_everything(LeNet300(rng=rng, widths=(7, 6)), rng)
    masks = random_masks(model, rng, 0.2)
    here, _ = shrink(model, masks)
    x = rng.random((3, 784))
    expected = outputs(here, x)
    there, _ = shrink(model.to(array_module=device), masks)
    y = there(Tensor(device.asarray(x)))
    assert isinstance(y.data, device.ndarray)
    np.testing.assert_allclose(y.numpy(), expected, rtol=1e-10)


def test_weights_that_are_not_finite_are_told_as_what_they_are(rng):
    model = Sequential(Linear(3, 4, rng=rng), ReLU(), Linear(4, 2, rng=rng))
    with model[0].weight.writing() as w:
        w[0, 0] = np.nan
    with pytest.raises(ValueError, match="find the weight or the input that is not finite"):
        shrink(model)

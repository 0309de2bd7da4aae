import numpy as np
import pytest

from minisparse import nn
from minisparse.autodiff import Tensor, cross_entropy, gradients, no_grad


def rng(seed=0):
    return np.random.default_rng(seed)


def naive_conv(x, w, b, stride, padding):
    """Convolution by its definition, one output number at a time."""
    (sh, sw), (ph, pw) = stride, padding
    n, h, width, _ = x.shape
    kh, kw, _, c_out = w.shape
    padded = np.zeros((n, h + 2 * ph, width + 2 * pw, x.shape[3]))
    padded[:, ph : ph + h, pw : pw + width] = x
    rows = len(range(0, h + 2 * ph - kh + 1, sh))
    columns = len(range(0, width + 2 * pw - kw + 1, sw))
    y = np.empty((n, rows, columns, c_out))
    for i, m, j, o in np.ndindex(y.shape):
        field = padded[i, m * sh : m * sh + kh, j * sw : j * sw + kw]
        y[i, m, j, o] = (field * w[..., o]).sum() + b[o]
    return y


def finite_differences(loss, array, step=1e-6):
    """Return d loss / d array by central differences, one element at a time, in float64."""
    g = np.empty(array.shape)
    for i in np.ndindex(array.shape):
        kept = array[i]
        array[i] = kept + step
        up = loss()
        array[i] = kept - step
        g[i] = (up - loss()) / (2 * step)
        array[i] = kept
    return g


def check_gradients(model, x):
    """Compare the gradients of a random projection of model(x) with finite differences."""
    model.to(np.float64)
    weights = rng(99).standard_normal(model(x).shape)

    def loss():
        with no_grad():
            return float((model(x).numpy() * weights).sum())

    x_tensor = Tensor(x.copy(), requires_grad=True)
    parameters = model.parameters()
    found = gradients(model(x_tensor), [*parameters, x_tensor], weights)
    for p, g in zip(parameters, found, strict=False):
        expected = finite_differences(loss, p.array)
        np.testing.assert_allclose(g.numpy(), expected, rtol=1e-6, atol=1e-7, err_msg=p.name)
    np.testing.assert_allclose(
        found[-1].numpy(), finite_differences(loss, x), rtol=1e-6, atol=1e-7, err_msg="x"
    )


# ---- Linear -----------------------------------------------------------------------------------


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(3,), (5, 3), (2, 5, 3)])
def test_linear(bias, shape):
    layer = nn.Linear(3, 4, bias, rng=rng()).to(np.float64)
    if bias:
        layer.bias.data[...] = [1, 2, 3, 4]
    x = rng(1).standard_normal(shape)
    expected = np.einsum("...i,io->...o", x, layer.weight.numpy())
    if bias:
        expected += [1, 2, 3, 4]
    np.testing.assert_allclose(layer(x).numpy(), expected, rtol=1e-12)
    assert len(layer.parameters()) == 1 + bias
    if len(shape) > 1:
        check_gradients(layer, x)


def test_linear_refuses_other_widths():
    layer = nn.Linear(3, 4, rng=rng())
    for shape in ((2, 4), (3, 1), ()):
        with pytest.raises(ValueError, match="takes 3 inputs in the last axis"):
            layer(np.zeros(shape, np.float32))


# ---- Conv2d -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "shape"),
    [
        (1, 1, 0, (4, 5)),
        (3, 1, 1, (4, 5)),
        ((3, 2), (2, 1), (1, 0), (6, 5)),
        (2, 3, 2, (5, 4)),
        ((4, 5), 1, 0, (4, 5)),
    ],
)
def test_conv(kernel, stride, padding, shape):
    layer = nn.Conv2d(2, 3, kernel, stride, padding, rng=rng()).to(np.float64)
    layer.bias.data[...] = [0.5, -1.0, 2.0]
    x = rng(1).standard_normal((2, *shape, 2))
    pair = [v if isinstance(v, tuple) else (v, v) for v in (kernel, stride, padding)]
    assert layer.weight.shape == (*pair[0], 2, 3)
    expected = naive_conv(x, layer.weight.numpy(), layer.bias.numpy(), *pair[1:])
    np.testing.assert_allclose(layer(x).numpy(), expected, rtol=1e-11, atol=1e-12)
    check_gradients(layer, x)


def test_conv_refuses_what_does_not_fit():
    layer = nn.Conv2d(2, 3, 5, rng=rng())
    with pytest.raises(ValueError, match="channels"):
        layer(np.zeros((1, 8, 8, 3), np.float32))
    with pytest.raises(ValueError, match="larger than the image"):
        layer(np.zeros((1, 4, 8, 2), np.float32))
    for settings in ({"kernel": 0}, {"kernel": 3, "stride": 0}, {"kernel": 3, "padding": -1}):
        with pytest.raises(ValueError, match="integer >="):
            nn.Conv2d(2, 3, **settings, rng=rng())
    with pytest.raises(ValueError, match="integer >="):
        nn.Conv2d(2, 3, 2.5, rng=rng())
    assert nn.Conv2d(2, 3, 5, bias=False, rng=rng()).bias is None


# ---- pooling, flatten -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("window", "stride", "padding"),
    [(2, None, 0), (3, 2, 0), ((2, 3), (1, 2), (1, 1)), (2, 1, 1)],
)
def test_pooling(window, stride, padding):
    x = rng().permutation(2 * 6 * 7 * 3).reshape(2, 6, 7, 3).astype(np.float64)
    (kh, kw), (ph, pw) = (v if isinstance(v, tuple) else (v, v) for v in (window, padding))
    sh, sw = (kh, kw) if stride is None else stride if isinstance(stride, tuple) else (stride,) * 2
    rows, columns = range(0, 6 + 2 * ph - kh + 1, sh), range(0, 7 + 2 * pw - kw + 1, sw)
    for module, fill, reduce in (
        (nn.MaxPool2d, -np.inf, np.max),
        (nn.AvgPool2d, 0.0, np.mean),
    ):
        padded = np.pad(x, ((0, 0), (ph, ph), (pw, pw), (0, 0)), constant_values=fill)
        expected = np.stack(
            [
                np.stack([reduce(padded[:, i : i + kh, j : j + kw], (1, 2)) for j in columns], 1)
                for i in rows
            ],
            axis=1,
        )
        layer = module(window, stride, padding)
        y = layer(x)
        assert y.shape == (2, len(rows), len(columns), 3)
        np.testing.assert_allclose(y.numpy(), expected, rtol=1e-12)


def test_flatten_goes_through_rows_columns_channels():
    x = np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5)
    y = nn.Flatten()(x)
    np.testing.assert_array_equal(y.numpy(), np.arange(120).reshape(2, 60))
    assert nn.Flatten()(np.zeros((0, 3, 2), np.float32)).shape == (0, 6)


def test_relu():
    x = np.array([-1.0, 0.0, 2.0])
    np.testing.assert_array_equal(nn.ReLU()(x).numpy(), [0, 0, 2])


# ---- Dropout ----------------------------------------------------------------------------------


def test_dropout_has_the_law_it_should():
    # y = x m / (1 - p): mean x, variance x^2 p / (1 - p), each element 0 or x / (1 - p)
    n, p = 200_000, 0.3
    layer = nn.Dropout(p, rng=rng())
    y = layer(np.full(n, 2.0)).numpy()
    values, counts = np.unique(y, return_counts=True)
    np.testing.assert_allclose(values, [0, 2 / 0.7], rtol=1e-12)
    assert abs(counts[0] / n - p) < 5 * np.sqrt(p * (1 - p) / n)
    variance = 4 * p / (1 - p)
    assert abs(y.mean() - 2) < 5 * np.sqrt(variance / n)
    # The standard error of the sample variance of a two-point law, from its fourth moment.
    fourth = (p * 2**4) + (1 - p) * (2 / 0.7 - 2) ** 4
    assert abs(y.var() - variance) < 5 * np.sqrt((fourth - variance**2) / n)
    correlation = np.corrcoef(y[:-1], y[1:])[0, 1]
    assert abs(correlation) < 5 / np.sqrt(n), "elements are independent"


def test_dropout_in_evaluation_is_the_identity_and_draws_nothing():
    generator = rng()
    layer = nn.Dropout(0.5, rng=generator).eval()
    before = generator.bit_generator.state
    x = Tensor(np.ones(100))
    assert layer(x) is x
    assert generator.bit_generator.state == before


def test_dropout_draws_from_the_generator_it_was_given():
    generator = rng(5)
    layer = nn.Dropout(0.5, rng=generator)
    x = np.ones((4, 50))
    state = generator.bit_generator.state
    first, second = layer(x).numpy(), layer(x).numpy()
    assert (first != second).any(), "new noise every time"
    generator.bit_generator.state = state
    np.testing.assert_array_equal(layer(x).numpy(), first)
    np.testing.assert_array_equal(nn.Dropout(0.5, rng=rng(5))(x).numpy(), first)


def test_the_gradient_of_dropout_passes_through_the_same_noise():
    x = Tensor(np.ones(50), requires_grad=True)
    y = nn.Dropout(0.4, rng=rng())(x)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), y.numpy())


@pytest.mark.parametrize("p", [-0.1, 1.0, 1.5, float("nan")])
def test_dropout_probability(p):
    with pytest.raises(ValueError, match=r"\[0, 1\)"):
        nn.Dropout(p, rng=rng())


# ---- batch normalization ----------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(7, 3), (4, 5, 2, 3)])
def test_batch_norm_in_training_and_evaluation(shape):
    layer = (nn.BatchNorm1d if len(shape) == 2 else nn.BatchNorm2d)(3, eps=1e-3, momentum=0.2)
    layer.to(np.float64)
    gamma, beta = np.array([1.0, -2.0, 0.5]), np.array([0.0, 1.0, 3.0])
    layer.weight.data[...], layer.bias.data[...] = gamma, beta
    mean, var = np.zeros(3), np.ones(3)
    for seed in range(3):
        x = rng(seed).normal(2, 3, shape)
        flat = x.reshape(-1, 3)
        y = layer(x).numpy()
        normal = (x - flat.mean(0)) / np.sqrt(flat.var(0) + 1e-3)
        np.testing.assert_allclose(y, gamma * normal + beta, rtol=1e-10)
        mean = 0.8 * mean + 0.2 * flat.mean(0)
        var = 0.8 * var + 0.2 * flat.var(0, ddof=1)
        np.testing.assert_allclose(layer.running_mean, mean, rtol=1e-12)
        np.testing.assert_allclose(layer.running_var, var, rtol=1e-12)
    layer.eval()
    x = rng(7).normal(2, 3, shape)
    expected = gamma * (x - mean) / np.sqrt(var + 1e-3) + beta
    np.testing.assert_allclose(layer(x).numpy(), expected, rtol=1e-10)
    np.testing.assert_array_equal(layer.running_mean, layer.state_dict()["running_mean"])
    np.testing.assert_allclose(layer.running_mean, mean, rtol=1e-12, err_msg="unchanged by eval")
    one = layer(x[:1]).numpy()
    np.testing.assert_allclose(one, expected[:1], rtol=1e-10, err_msg="examples are independent")


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", [(5, 3), (2, 3, 2, 3)])
def test_gradients_of_batch_norm(shape, training):
    layer = (nn.BatchNorm1d if len(shape) == 2 else nn.BatchNorm2d)(3)
    x = rng(1).normal(1, 2, shape)
    layer.to(np.float64)
    layer(rng(2).normal(1, 2, shape))
    check_gradients(layer.train(training), x)


def test_batch_norm_keeps_its_dtype():
    layer = nn.BatchNorm1d(3)
    y = layer(np.ones((4, 3), np.float32))
    assert y.dtype == layer.running_mean.dtype == layer.running_var.dtype == np.float32
    assert layer.eval()(np.ones((4, 3), np.float32)).dtype == np.float32


def test_batch_norm_errors():
    with pytest.raises(ValueError, match="two values per channel"):
        nn.BatchNorm1d(3)(np.zeros((1, 3), np.float32))
    with pytest.raises(ValueError, match=r"takes 2 axes, the last of length 3, got shape \(4, 2\)"):
        nn.BatchNorm1d(3)(np.zeros((4, 2), np.float32))
    with pytest.raises(ValueError, match="takes 4 axes"):
        nn.BatchNorm2d(3)(np.zeros((4, 3), np.float32))
    for settings in ({"eps": 0.0}, {"momentum": 0.0}, {"momentum": 1.1}, {"eps": float("nan")}):
        with pytest.raises(ValueError, match="expected"):
            nn.BatchNorm1d(3, **settings)


# ---- parametrized layers ----------------------------------------------------------------------


class Halved(nn.Parametrization):
    def __init__(self):
        self.factor = nn.Parameter(np.array([0.5]))

    def forward(self, weight, bias):
        return weight * self.factor, bias


@pytest.mark.parametrize("kind", ["linear", "conv"])
def test_a_parametrization_maps_the_weight_before_use(kind):
    if kind == "linear":
        layer, x = nn.Linear(3, 2, rng=rng()), rng(1).standard_normal((4, 3))
    else:
        layer, x = nn.Conv2d(1, 2, 2, rng=rng()), rng(1).standard_normal((2, 4, 4, 1))
    layer.to(np.float64)
    layer.bias.data[...] = [3.0, 4.0]
    plain = layer(x).numpy()
    layer.parametrization = Halved()
    np.testing.assert_allclose(layer(x).numpy() - [3, 4], (plain - [3, 4]) / 2, rtol=1e-12)
    assert [n for n, _ in layer.named_parameters()] == ["weight", "bias", "parametrization.factor"]
    check_gradients(layer, x)


# ---- record_layers ----------------------------------------------------------------------------


def test_records_hold_the_input_and_what_comes_before_the_relu():
    model = nn.LeNet5(rng=rng())
    x = Tensor(rng(1).standard_normal((2, 28, 28, 1)).astype(np.float32))
    with nn.record_layers(model) as layers:
        logits = model(x)
    assert [r.name for r in layers] == ["conv1", "conv2", "fc1", "fc2"]
    assert all(r.module is getattr(model, r.name) for r in layers)
    assert layers[0].input is x
    assert layers[-1].output is logits
    for r in layers:
        assert (r.output.numpy() < 0).any(), "not rectified"
        assert (r.input.numpy() >= 0).all() == (r.name != "conv1"), "rectified before"
        np.testing.assert_allclose(
            r.output.numpy(), r.module(r.input.numpy()).numpy(), rtol=1e-5, atol=1e-6
        )
    np.testing.assert_array_equal(np.maximum(layers[2].output.numpy(), 0), layers[3].input.numpy())


def test_gradients_reach_the_recorded_pre_activations():
    model = nn.LeNet300(rng=rng(), widths=(8, 5)).to(np.float64)
    x, labels = rng(1).standard_normal((3, 28, 28, 1)), np.array([1, 2, 3])
    with nn.record_layers(model) as layers:
        loss = cross_entropy(model(x), labels)
    found = gradients(loss, [r.output for r in layers], retain_graph=True)
    loss.backward()
    for r, delta in zip(layers, found, strict=True):
        flat = r.input.numpy().reshape(3, -1)
        np.testing.assert_allclose(
            r.module.weight.grad.numpy(), flat.T @ delta.numpy(), rtol=1e-10, atol=1e-14
        )


def test_recording_stops_at_the_end_and_after_an_error():
    model, other = nn.Linear(2, 2, rng=rng()), nn.Linear(2, 2, rng=rng())
    x = np.zeros((1, 2), np.float32)

    def fail(inside):
        with nn.record_layers(model) as records:
            inside.append(records)
            other(x)  # not part of the model
            model(x)
            raise RuntimeError

    seen = []
    with pytest.raises(RuntimeError):
        fail(seen)
    model(x)
    assert [r.name for r in seen[0]] == [""]


def test_a_module_without_inputs_can_be_watched():
    class Constant(nn.Module):
        def forward(self):
            return Tensor([1.0])

    model = Constant()
    with nn.record_layers(model) as layers:
        assert model().numpy() == [1]
    assert layers == []


# ---- initializers -----------------------------------------------------------------------------

FANS = {(400, 300): (400, 300), (5, 4, 30, 40): (600, 800)}
VARIANCES = {
    "lecun_normal": lambda n, _: 1 / n,
    "glorot_normal": lambda n, m: 2 / (n + m),
    "glorot_uniform": lambda n, m: 2 / (n + m),
    "he_normal": lambda n, _: 2 / n,
    "he_uniform": lambda n, _: 2 / n,
    "uniform_fan_in": lambda n, _: 1 / n / 3,  # half-width 1 / sqrt(n)
}


@pytest.mark.parametrize("shape", FANS)
@pytest.mark.parametrize("name", VARIANCES)
def test_initializers_have_the_variance_and_the_law_of_the_literature(name, shape):
    w = nn.init.initialize(name, rng(), shape).astype(np.float64)
    variance = VARIANCES[name](*FANS[shape])
    n = w.size
    kurtosis = 1.8 if "uniform" in name else 3.0
    assert abs(w.mean()) < 5 * np.sqrt(variance / n)
    assert abs(w.var() / variance - 1) < 5 * np.sqrt((kurtosis - 1) / n)
    assert abs((w**4).mean() / w.var() ** 2 - kurtosis) < 0.1, "uniform or normal"
    if "uniform" in name:
        limit = np.sqrt(3 * variance)
        assert 0.999 * limit < np.abs(w).max() <= limit * (1 + 1e-7)
    else:
        assert np.abs(w).max() > 4 * np.sqrt(variance), "not truncated"


def test_a_relu_network_keeps_its_signal_with_he():
    x = rng().standard_normal((500, 400)).astype(np.float32)
    for i in range(10):
        x = np.maximum(nn.Linear(400, 400, rng=rng(i))(x).numpy(), 0)
    assert 0.5 < (x**2).mean() < 2, "He is the default: E x^2 stays about 1"


def test_biases_start_at_zero_and_weights_follow_the_seed():
    one, two, other = (nn.LeNet5(rng=rng(s)).state_dict() for s in (0, 0, 1))
    for name in one:
        np.testing.assert_array_equal(one[name], two[name])
        assert one[name].dtype == np.float32
        assert (one[name] == other[name]).all() == name.endswith("bias")
        assert (one[name] == 0).all() == name.endswith("bias")


def test_an_initializer_of_ones_own():
    layer = nn.Linear(3, 2, rng=rng(), init=lambda _, shape: np.full(shape, 7, np.float64))
    assert (layer.weight.numpy() == 7).all()
    assert layer.bias.dtype == np.float64
    assert (nn.Linear(3, 2, rng=rng(), init="zeros").weight.numpy() == 0).all()
    with pytest.raises(ValueError, match=r"returned shape \(3,\), expected \(3, 2\)"):
        nn.Linear(3, 2, rng=rng(), init=lambda *_: np.zeros(3))
    with pytest.raises(ValueError, match="unknown initializer 'he'; there are lecun_normal"):
        nn.Linear(3, 2, rng=rng(), init="he")
    with pytest.raises(TypeError, match=r"np.random.default_rng\(seed\)"):
        nn.Linear(3, 2, rng=0)
    with pytest.raises(ValueError, match="at least two axes"):
        nn.init.fans((3,))

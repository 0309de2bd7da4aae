"""Unusual shapes, layouts and values: no NaN, no warning, no wrong number."""

import numpy as np
import pytest
from cases import every_case

import minisparse.autodiff as ad
from minisparse.autodiff import Tensor, gradients, hvp, jacobian


def leaf(values, dtype=np.float64):
    return Tensor(np.array(values, dtype), requires_grad=True)


def gradient(f, values, dtype=np.float64):
    """Return the value of f and the gradient of its sum."""
    x = leaf(values, dtype)
    y = f(x)
    (g,) = gradients(y, [x], np.ones(y.shape))
    return y.numpy(), g.numpy()


# ---- shapes -----------------------------------------------------------------------------------


ELEMENTWISE = [
    *(ad.exp, ad.sqrt, ad.log, ad.absolute, ad.relu, ad.sigmoid, ad.tanh, ad.softplus, ad.neg),
    pytest.param(lambda x: ad.clip(x, 0, 1), id="clip"),
    pytest.param(lambda x: ad.maximum(x, 0.5), id="maximum"),
    pytest.param(lambda x: ad.where(x.numpy() > 1, x, 2 * x), id="where"),
    pytest.param(lambda x: x**2 / (x + 1) - x * 3, id="arithmetic"),
    pytest.param(lambda x: ad.dropout(x, 0.5, np.random.default_rng(0)), id="dropout"),
    pytest.param(lambda x: x[...], id="getitem"),
    pytest.param(lambda x: x.T, id="T"),
]


@pytest.mark.parametrize("f", ELEMENTWISE)
@pytest.mark.parametrize("shape", [(), (1,), (1, 1), (0,), (2, 0, 2)], ids=str)
def test_any_shape_comes_back(f, shape):
    value, slope = gradient(f, np.full(shape, 1.5))
    assert type(value) is np.ndarray
    assert value.shape == slope.shape == shape
    expected = gradient(f, [1.5])
    for found, one in zip((value, slope), expected, strict=True):
        np.testing.assert_array_equal(found, np.full(shape, one[0]))


def test_tensors_without_axes():
    x = leaf(2.0)
    assert x.shape == ()
    for y in (x.sum(), x.mean(), x.max(), x.min(), x.logsumexp(), x.sum(axis=()), x.reshape(())):
        assert y.shape == ()
        assert isinstance(y.data, np.ndarray)
        assert gradients(y, [x])[0].item() == 1
    assert x.reshape(1, 1).shape == x[None, None].shape == (1, 1)
    assert float(x * x) == 4.0
    assert x
    assert not x * 0
    assert repr(x) == "Tensor(2., dtype=float64, requires_grad=True)"


@pytest.mark.parametrize("axis", [0, 1, (0, 1), None])
def test_empty_axes(axis):
    x = leaf(np.ones((2, 0)))
    y = x.sum(axis)
    assert y.shape == np.ones((2, 0)).sum(axis).shape
    assert gradients(y, [x], np.ones(y.shape))[0].shape == (2, 0)


def test_empty_batches():
    """No example at all, e.g. the last batch of a filtered data set."""
    w, u = leaf(np.ones((2, 2, 1, 3))), leaf(np.ones((3, 4)))
    x = leaf(np.ones((0, 5, 5, 1)))
    h = ad.max_pool2d(ad.conv2d(x, w), 2)
    h = h + ad.avg_pool2d(ad.conv2d(x, w), 2)
    y = ad.log_softmax(ad.flatten(h)[:, :3] @ u)
    assert y.shape == (0, 4)
    losses = ad.cross_entropy(y, np.zeros(0, int), "none")
    for batched in (False, True):
        v = np.ones((2, 0)) if batched else np.ones(0)
        gs = gradients(losses, [x, w, u], v, batched=batched, retain_graph=True)
        for g, z in zip(gs, (x, w, u), strict=True):
            assert g.shape == ((2,) if batched else ()) + z.shape
            assert not g.numpy().any()


def test_matmul_over_an_empty_axis():
    a, b = leaf(np.ones((2, 0))), leaf(np.ones((0, 3)))
    y = a @ b
    np.testing.assert_array_equal(y.numpy(), np.zeros((2, 3)))
    ga, gb = gradients(y, [a, b], np.ones((2, 3)))
    assert (ga.shape, gb.shape) == ((2, 0), (0, 3))


def test_axes_of_length_one_and_broadcasting_to_nothing():
    x = leaf(np.full((1, 3, 1), 2.0))
    y = x * np.ones((4, 1, 0))
    assert y.shape == (4, 3, 0)
    (g,) = gradients(y, [x], np.ones((4, 3, 0)))
    np.testing.assert_array_equal(g.numpy(), np.zeros((1, 3, 1)))


def test_inputs_with_gaps_and_negative_strides():
    base = np.arange(24.0).reshape(2, 3, 4)
    x = Tensor(base.transpose(2, 0, 1)[::-2, :, 1:], requires_grad=True)
    assert not x.data.flags.c_contiguous
    y = (x.reshape(-1) ** 2).sum() + x.max() + x.T[0].sum()
    (g,) = gradients(y, [x])
    expected = 2 * x.numpy()
    expected[np.unravel_index(x.numpy().argmax(), x.shape)] += 1
    expected[..., 0] += 1
    np.testing.assert_allclose(g.numpy(), expected)


# ---- indexing ---------------------------------------------------------------------------------


def test_repeated_indices_accumulate():
    x = leaf([1.0, 2.0, 3.0])
    (g,) = gradients(x[[0, 2, 0, 0]], [x], [1.0, 10.0, 100.0, 1000.0])
    np.testing.assert_array_equal(g.numpy(), [1101, 0, 10])
    m = leaf(np.arange(6.0).reshape(2, 3))
    (g,) = gradients(m[[0, 0], [1, 1]], [m], [1.0, 2.0])
    np.testing.assert_array_equal(g.numpy(), [[0, 3, 0], [0, 0, 0]])
    j = jacobian(lambda m: m[[1, 1, 0]], m).numpy()
    assert j.shape == (3, 3, 2, 3)
    np.testing.assert_array_equal(j.sum((0, 1)), [[1, 1, 1], [2, 2, 2]])


INDICES = [
    *(0, -1, np.int64(1), slice(None), slice(1, None), slice(None, None, -1), slice(2, 0, -2)),
    *(Ellipsis, None, (Ellipsis, 0), (0, Ellipsis), (None, 0, None), (slice(None), 1)),
    *((Ellipsis, slice(None, None, -2)), (1, slice(0, 0)), (), (0, 1, 2), ([0, 2],), [2, 0, 0]),
    *(([0, 1], slice(None), [1, 1]), (slice(None), [0, 1], [2, 2]), (0, [1, 1, 0])),
    *(([[0, 1], [2, 0]],), np.array([2, 1]), np.array(1), (np.array([], dtype=int),)),
    *(np.array([True, False, True]), (slice(None), np.array([False, True]), None)),
    np.arange(24).reshape(3, 2, 4) % 3 == 0,
    *((Ellipsis, np.array([True, False, True, True])), np.zeros((3, 2, 4), bool)),
]


@pytest.mark.parametrize("index", INDICES, ids=lambda i: " ".join(repr(i).split()))
def test_indices_mean_what_they_mean_to_numpy(index):
    values = np.arange(24.0).reshape(3, 2, 4)
    x = leaf(values)
    y = x[index]
    np.testing.assert_array_equal(y.numpy(), values[index])
    v = np.arange(1.0, y.size + 1).reshape(y.shape)
    expected = np.zeros_like(values)
    np.add.at(expected, index, v)
    np.testing.assert_array_equal(gradients(y, [x], v)[0].numpy(), expected)


def test_tensors_as_indices():
    x = leaf([1.0, 2.0, 3.0])
    np.testing.assert_array_equal(x[Tensor(np.array([2, 0]))].numpy(), [3, 1])
    np.testing.assert_array_equal(x[Tensor(np.array([True, False, True]))].numpy(), [1, 3])
    with pytest.raises(IndexError):
        x[Tensor([0.0])]


def test_iteration_and_unpacking():
    x = leaf([[1.0, 2.0], [3.0, 4.0]])
    a, b = x
    (a * b).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [[3, 4], [1, 2]])
    assert len(x) == 2


# ---- large and infinite values ----------------------------------------------------------------

LARGE = [-1e30, -1e4, -800.0, -90.0, -0.0, 0.0, 90.0, 800.0, 1e4, 1e30]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("f", [ad.sigmoid, ad.tanh, ad.softplus, ad.softmax, ad.log_softmax])
def test_large_values(f, dtype):
    with np.errstate(under="ignore"):
        value, slope = gradient(f, LARGE, dtype)
        curve = hvp(lambda x: f(x).sum(), np.array(LARGE, dtype), np.ones(10, dtype)).numpy()
    assert np.isfinite(value).all()
    assert np.isfinite(slope).all()
    assert np.isfinite(curve).all()


def test_limits_of_large_values():
    values, slopes = gradient(ad.sigmoid, LARGE)
    np.testing.assert_array_equal(values[[0, 1, 4, 5, -1]], [0, 0, 0.5, 0.5, 1])
    np.testing.assert_array_equal(slopes[[0, 4, -1]], [0, 0.25, 0])
    assert 0 < values[3] < 1e-38
    values, slopes = gradient(ad.softplus, LARGE)
    np.testing.assert_array_equal(values[[0, -2, -1]], [0, 1e4, 1e30])
    np.testing.assert_array_equal(slopes[[0, 4, -1]], [0, 0.5, 1])
    values, slopes = gradient(lambda x: x.logsumexp(), [1e4, 1e4])
    np.testing.assert_allclose(values, 1e4 + np.log(2))
    np.testing.assert_allclose(slopes, [0.5, 0.5])


def test_infinite_values():
    for f, expected in ((ad.sigmoid, [0, 1]), (ad.tanh, [-1, 1]), (ad.softplus, [0, np.inf])):
        value, slope = gradient(f, [-np.inf, np.inf])
        np.testing.assert_array_equal(value, expected)
        assert np.isfinite(slope).all()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_cross_entropy_of_certain_classifiers(dtype):
    logits = leaf([[1e4, 0.0, -1e4], [1e30, 0, 0], [-1e4, -1e4, 0]], dtype)
    right = ad.cross_entropy(logits, [0, 0, 2], "none")
    np.testing.assert_array_equal(right.numpy(), 0)
    (g,) = gradients(right, [logits], np.ones(3))
    np.testing.assert_array_equal(g.numpy(), 0)
    wrong = ad.cross_entropy(logits, [2, 1, 0], "none")
    np.testing.assert_allclose(wrong.numpy(), [2e4, 1e30, 1e4], rtol=1e-6)
    (g,) = gradients(wrong, [logits], np.ones(3))
    np.testing.assert_array_equal(g.numpy(), [[1, 0, -1], [1, -1, 0], [-1, 0, 1]])


def test_excluded_classes():
    """A logit of -inf takes a class out; its gradient is 0."""
    x = [[-np.inf, 1.0, 2.0], [0.5, -np.inf, 0.5]]
    p = np.array([[0, 1, np.e], [0.5, 0, 0.5]]) / [[1 + np.e], [1]]

    value, slope = gradient(lambda x: x.logsumexp(-1), x)
    np.testing.assert_allclose(value, [np.log(np.e + np.e**2), 0.5 + np.log(2)])
    np.testing.assert_allclose(slope, p)

    value, _ = gradient(ad.softmax, x)
    np.testing.assert_allclose(value, p)

    value, slope = gradient(lambda x: ad.log_softmax(x)[:, 2], x)
    np.testing.assert_allclose(value, np.log(p[:, 2]))
    np.testing.assert_allclose(slope, np.array([0, 0, 1]) - p)

    value, slope = gradient(lambda x: ad.cross_entropy(x, [1, 2], "none"), x)
    np.testing.assert_allclose(value, -np.log([p[0, 1], p[1, 2]]))
    np.testing.assert_allclose(slope, p - np.eye(3)[[1, 2]])

    value, _ = gradient(lambda x: ad.cross_entropy(x, [0, 0], "none"), x)
    np.testing.assert_allclose(value, [np.inf, np.log(2)])


def test_the_logarithm_of_an_empty_sum():
    with ad.no_grad():
        y = ad.logsumexp([[-np.inf, -np.inf], [0.0, 0.0]], 1)
        np.testing.assert_allclose(y.numpy(), [-np.inf, np.log(2)], rtol=1e-6)
        assert ad.logsumexp([np.inf, 0.0]).item() == np.inf


# ---- powers, roots, quotients at 0 ------------------------------------------------------------


def test_powers_at_zero():
    value, slope = gradient(lambda x: x**0, [0.0, 2.0])
    np.testing.assert_array_equal(value, [1, 1])
    np.testing.assert_array_equal(slope, [0, 0])
    for p, at_zero in ((1, 1), (2, 0), (3, 0), (2.5, 0), (1.0, 1)):
        value, slope = gradient(lambda x, p=p: x**p, [0.0])
        assert (value, slope) == (0, at_zero)
    assert hvp(lambda x: (x**2).sum(), [0.0], [1.0]).item() == 2
    assert hvp(lambda x: (x**1).sum(), [0.0], [1.0]).item() == 0


def test_zero_to_the_power_of_a_tensor():
    a, b = leaf([0.0, 0.0, 0.0, 2.0]), leaf([0.0, 1.0, 2.0, 0.0])
    y = a**b
    np.testing.assert_array_equal(y.numpy(), [1, 0, 0, 1])
    ga, gb = gradients(y, [a, b], np.ones(4))
    np.testing.assert_array_equal(ga.numpy(), [0, 1, 0, 0])
    np.testing.assert_allclose(gb.numpy(), [0, 0, 0, np.log(2)])


def test_powers_of_negative_numbers():
    value, slope = gradient(lambda x: x**3, [-2.0])
    assert (value, slope) == (-8, 12)
    a, b = leaf([-2.0]), Tensor(np.array([3.0]))
    (g,) = gradients(a**b, [a], [1.0])
    assert g.item() == 12


@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning")
def test_infinite_slopes_are_infinite():
    for f in (ad.sqrt, lambda x: x**0.5, lambda x: ad.log(x + 1.0 - 1.0)):
        _, slope = gradient(f, [0.0])
        assert slope == np.inf


# ---- the tensor itself ------------------------------------------------------------------------


@pytest.mark.parametrize("case", **every_case)
def test_nothing_depends_on_recording(case):
    """With and without a graph the values are the same bits."""
    recorded = case.f(*(Tensor(a, requires_grad=True) for a in case.inputs), *case.constants)
    with ad.no_grad():
        silent = case.f(*map(Tensor, case.inputs), *case.constants)
    np.testing.assert_array_equal(recorded.numpy(), silent.numpy())


def test_numpy_gives_a_copy():
    x = leaf([1.0, 2.0])
    x.numpy()[0] = 7
    assert x.numpy()[0] == 1


def test_operators_from_both_sides():
    x = leaf([1.0, 4.0])
    a = np.array([2.0, 2.0])
    for found, expected in (
        (a + x, [3, 6]),
        (a - x, [1, -2]),
        (a * x, [2, 8]),
        (a / x, [2, 0.5]),
        (a**x, [2, 16]),
        (a @ x, 10),
        (a[None] @ x, [10]),
        (x @ a, 10),
        ([1, 2] + x, [2, 6]),  # noqa: RUF005
        (1 - x, [0, -3]),
        (-x, [-1, -4]),
        (abs(-x), [1, 4]),
    ):
        assert isinstance(found, Tensor)
        assert found.requires_grad
        np.testing.assert_array_equal(found.numpy(), expected)


def test_methods_and_functions_are_the_same():
    x = leaf([[0.3, -0.2], [0.1, 0.7]])
    for method in ("exp", "tanh", "sigmoid", "relu", "abs", "logsumexp", "mean", "sum", "max"):
        function = getattr(
            ad, {"abs": "absolute", "sum": "sum_", "max": "max_"}.get(method, method)
        )
        np.testing.assert_array_equal(getattr(x, method)().numpy(), function(x).numpy())
    np.testing.assert_array_equal(x.clip(0, 0.5).numpy(), [[0.3, 0], [0.1, 0.5]])
    np.testing.assert_array_equal(x.astype(np.float32).numpy(), x.numpy().astype(np.float32))


def test_dropout_keeps_the_expectation_and_repeats_its_noise_in_the_backward(rng):
    x = leaf(np.ones(20_000))
    y = ad.dropout(x, 0.25, rng)
    assert set(np.unique(y.numpy())) == {0, 1 / 0.75}
    assert abs((y.numpy() == 0).mean() - 0.25) < 5 * np.sqrt(0.25 * 0.75 / 20_000)
    (g,) = gradients(y, [x], np.ones(20_000))
    np.testing.assert_array_equal(g.numpy(), y.numpy())
    assert ad.dropout(x, 0.0, rng) is x


def test_a_leaf_used_in_two_backwards_sums_up():
    x = leaf([1.0, 2.0])
    (x * 3).sum().backward()
    (x * x).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [5, 7])
    x.zero_grad()
    assert x.grad is None


def test_an_array_without_axes_is_no_list():
    for call in (lambda a: ad.stack(a), lambda a: ad.max_(ad.Tensor([1.0]), a)):
        with pytest.raises(TypeError, match="got array"):
            call(np.array(0))


def test_padding_of_a_number_that_is_no_width_is_told_and_one_without_axes_has_no_rim():
    with pytest.raises(ValueError, match="pad needs"):
        ad.pad(ad.Tensor(1.0), "a")
    assert ad.pad(ad.Tensor(1.0), 2).item() == 1


def test_masks_of_records_are_no_numbers_either():
    records = np.ma.masked_array(np.zeros(2, [("a", "?"), ("b", "?")]), [(1, 0), (0, 0)])
    with pytest.raises(TypeError, match="real numbers"):
        ad.Tensor(records)

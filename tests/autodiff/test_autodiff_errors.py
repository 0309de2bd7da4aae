"""Bad input gets an error that says what was wrong, what was expected, and what to do."""

import numpy as np
import pytest

import minisparse.autodiff as ad
from minisparse.autodiff import GraphError, Op, Tensor, gradients


def ones(*shape, requires_grad=True):
    return Tensor(np.ones(shape), requires_grad=requires_grad)


LABELS = np.array([0, 1])

BAD = {
    # name: (call, exception, message)
    "broadcast": (lambda: ones(2) + ones(3), ValueError, r"\(2,\) and \(3,\) do not broadcast"),
    "broadcast an array": (lambda: ones(2) * np.ones(3), ValueError, "do not broadcast"),
    "broadcast without a graph": (
        lambda: ones(2, requires_grad=False) + np.ones(3),
        ValueError,
        "do not broadcast|could not be broadcast",
    ),
    "broadcast_to": (
        lambda: ad.broadcast_to(ones(2), (2, 3)),
        ValueError,
        r"\(2,\) cannot be broadcast to \(2, 3\)",
    ),
    "broadcast_to smaller": (
        lambda: ad.broadcast_to(ones(2, 3), (3,)),
        ValueError,
        "cannot be broadcast",
    ),
    "where": (lambda: ad.where([True, False], ones(3), 0), ValueError, "do not broadcast"),
    "where of numbers": (
        lambda: ad.where(np.ones(2), ones(2), 0.0),
        TypeError,
        "boolean condition, got dtype float64",
    ),
    "matmul": (
        lambda: ones(2, 3) @ ones(2, 3),
        ValueError,
        r"inner lengths of \(2, 3\) @ \(2, 3\) differ",
    ),
    "matmul vectors": (lambda: ones(2) @ ones(3), ValueError, "inner lengths"),
    "matmul stacks": (lambda: ones(2, 3, 4) @ ones(3, 4, 2), ValueError, "do not broadcast"),
    "matmul a number": (lambda: ones(2, 2) @ 3.0, ValueError, r"multiply by a number with \*"),
    "axis": (lambda: ones(2, 3).sum(2), ValueError, "axis 2 is out of range for 2 axes"),
    "negative axis": (lambda: ones(2, 3).max(-3), ValueError, "axis -3 is out of range"),
    "one of the axes": (lambda: ones(2, 3).mean((0, 5)), ValueError, r"axis \(0, 5\)"),
    "axis twice": (lambda: ones(2, 3).sum((0, -2)), ValueError, "named twice"),
    "softmax axis": (lambda: ad.softmax(ones(2), 1), ValueError, "axis 1 is out of range"),
    "log_softmax axis": (lambda: ad.log_softmax(ones(2), -2), ValueError, "out of range"),
    "softmax of a number": (lambda: ad.softmax(Tensor(1.0)), ValueError, "for 0 axes"),
    "concatenate axis": (lambda: ad.concatenate([ones(2)], 1), ValueError, "out of range"),
    "stack axis": (lambda: ad.stack([ones(2)], 2), ValueError, "axis 2 is out of range"),
    "transpose axis": (lambda: ones(2, 3).transpose(0, 3), ValueError, "each of 2 axes once"),
    "transpose too few": (lambda: ones(2, 3).transpose(1), ValueError, "each of 2 axes once"),
    "mT of a vector": (lambda: ones(2).mT, ValueError, "a matrix has two axes"),
    "flatten": (lambda: ad.flatten(ones(2, 3), 3), ValueError, "axis 3 on: out of range"),
    "reshape": (
        lambda: ones(2, 3).reshape(4, 2),
        ValueError,
        r"cannot reshape \(2, 3\) \(6 elements\) to \(4, 2\)",
    ),
    "reshape -1": (lambda: ones(2, 3).reshape(4, -1), ValueError, r"to \(4, -1\)"),
    "reshape -1 twice": (lambda: ones(2, 3).reshape(-1, -1), ValueError, "cannot reshape"),
    "reshape -2": (lambda: ones(2, 3).reshape(-2, -3), ValueError, "cannot reshape"),
    "reshape nothing": (lambda: ones(0).reshape(0, -1), ValueError, "cannot reshape"),
    "concatenate shapes": (
        lambda: ad.concatenate([ones(2, 3), ones(2, 2)]),
        ValueError,
        "along axis 0: the other lengths differ",
    ),
    "concatenate nothing": (lambda: ad.concatenate([]), ValueError, "at least one"),
    "stack nothing": (lambda: ad.stack([]), ValueError, "at least one"),
    "stack shapes": (lambda: ad.stack([ones(2), ones(3)]), ValueError, "differ"),
    "pad": (lambda: ad.pad(ones(2, 3), [(1, 1)]), ValueError, "each of 2 axes"),
    "pad negative": (lambda: ad.pad(ones(2), -1), ValueError, ">= 0"),
    "index": (lambda: ones(2)[5], IndexError, "out of bounds"),
    "too many indices": (lambda: ones(2)[0, 0], IndexError, "too many indices"),
    "mask of another shape": (lambda: ones(2)[np.array([True])], IndexError, "boolean index"),
    "max of nothing": (lambda: ones(2, 0).max(1), ValueError, "max over an empty axis"),
    "mean of nothing": (lambda: ones(0).mean(), ValueError, "mean over an empty axis"),
    "clip": (lambda: ad.clip(ones(2), 2, 1), ValueError, "lower limit 2.0 is above"),
    "clip without limits": (lambda: ad.clip(ones(2)), ValueError, "or both"),
    "labels too large": (
        lambda: ad.cross_entropy(ones(2, 3), [0, 3]),
        ValueError,
        "labels go from 0 to 3, but there are 3 classes",
    ),
    "labels negative": (lambda: ad.cross_entropy(ones(2, 3), [-1, 0]), ValueError, "from -1 to 0"),
    "labels not integers": (
        lambda: ad.cross_entropy(ones(2, 3), [0.0, 1.0]),
        TypeError,
        "class indices .*float64",
    ),
    "too few labels": (
        lambda: ad.cross_entropy(ones(2, 3), [0]),
        ValueError,
        r"\[n, classes\] and labels \[n\], got \(2, 3\) and \(1,\)",
    ),
    "labels one-hot": (lambda: ad.cross_entropy(ones(2, 3), np.eye(3)[:2]), ValueError, "labels"),
    "reduction": (
        lambda: ad.cross_entropy(ones(2, 3), LABELS, "average"),
        ValueError,
        "'mean', 'sum' or 'none', got 'average'",
    ),
    "dropout": (
        lambda: ad.dropout(ones(2), 1.0, np.random.default_rng(0)),
        ValueError,
        r"\[0, 1\), got 1.0",
    ),
    "batch norm of one": (
        lambda: ad.batch_norm(ones(1, 3), ones(3), ones(3)),
        ValueError,
        "at least two values per channel",
    ),
    "batch norm channels": (
        lambda: ad.batch_norm(ones(4, 3), ones(1), ones(3)),
        ValueError,
        r"gamma and beta of shape \(3,\), got \(1,\)",
    ),
    "convolution channels": (
        lambda: ad.conv2d(ones(1, 4, 4, 2), ones(3, 3, 1, 5)),
        ValueError,
        "2 channels",
    ),
    "convolution axes": (lambda: ad.conv2d(ones(4, 4, 2), ones(3, 3, 2, 5)), ValueError, "images"),
    "filter larger than image": (
        lambda: ad.conv2d(ones(1, 2, 2, 1), ones(3, 3, 1, 1)),
        ValueError,
        "larger than the image",
    ),
    "stride": (
        lambda: ad.conv2d(ones(1, 4, 4, 1), ones(2, 2, 1, 1), stride=0),
        ValueError,
        "stride is an integer >= 1",
    ),
    "padding": (
        lambda: ad.conv2d(ones(1, 4, 4, 1), ones(2, 2, 1, 1), padding=(1, 2, 3)),
        ValueError,
        "padding is an integer >= 0, or two",
    ),
    "pooling window": (lambda: ad.max_pool2d(ones(1, 4, 4, 1), 0), ValueError, "pooling window"),
    "pooling": (lambda: ad.avg_pool2d(ones(4, 4)), ValueError, "images"),
    "item": (lambda: ones(2).item(), ValueError, r"one element, this tensor has shape \(2,\)"),
    "truth": (lambda: bool(ones(2)), ValueError, "one element"),
    "length": (lambda: len(Tensor(1.0)), TypeError, "0-d tensor has no length"),
    "iteration": (lambda: list(Tensor(1.0)), TypeError, "0-d"),
    "tensor of a tensor": (lambda: Tensor(ones(2)), TypeError, "already; use .detach()"),
    "tensor of tensors": (lambda: Tensor([ones(2), ones(2)]), TypeError, "stack or concatenate"),
    "complex": (lambda: Tensor([1j]), TypeError, "real numbers, got list .*complex"),
    "text": (lambda: ones(1) + "1", TypeError, "real numbers, got str"),
    "none": (lambda: ones(1) * None, TypeError, "real numbers, got NoneType"),
    "to numpy": (lambda: np.asarray(ones(2)), TypeError, r"call .numpy\(\)"),
    "numpy ufunc": (lambda: np.exp(ones(2)), TypeError, "Tensor"),
    "numpy function": (lambda: np.mean(ones(2)), TypeError, "use minisparse.autodiff.mean, or"),
    "numpy function of many": (lambda: np.stack([ones(2)]), TypeError, "use minisparse.*stack, or"),
    "numpy function without twin": (
        lambda: np.std(ones(2)),
        TypeError,
        r"graph.*: call .numpy\(\)",
    ),
    "array of tensors": (lambda: np.array([ones(), ones()], float), TypeError, "stack or conc"),
    "hidden elements": (
        lambda: Tensor(np.ma.masked_greater([1.0, 2.0], 1.5)),
        TypeError,
        r"behind a mask.*filled\(0.0\)",
    ),
    "predictions in a column": (
        lambda: ad.mean_squared_error(ones(4, 1), ones(4)),
        ValueError,
        r"\(4, 1\) and targets of shape \(4,\) would be compared each with each, \(4, 4\)",
    ),
    "targets in a column": (lambda: ad.mean_squared_error(ones(4), ones(4, 1)), ValueError, "each"),
    "compare other shapes": (lambda: ones(2) == ones(3), ValueError, "do not broadcast"),
    "compare with text": (lambda: ones(2) < "1", TypeError, "not supported between"),
    "integer leaf": (
        lambda: Tensor(np.arange(3), requires_grad=True),
        TypeError,
        "dtype int64: pass dtype=np.float32 or np.float64, or write 1.0 instead of 1",
    ),
    "integer list leaf": (lambda: Tensor([1, 2], requires_grad=True), TypeError, "int64"),
    "boolean leaf": (lambda: Tensor([True], requires_grad=True), TypeError, "bool"),
    "astype": (lambda: ones(2).astype(np.int64), TypeError, "not to int64"),
}


@pytest.mark.parametrize("name", BAD)
def test_message(name):
    call, exception, message = BAD[name]
    with pytest.raises(exception, match=message):
        call()


def test_new_data_must_fit():
    w = Tensor(np.ones(3, np.float32), name="fc.weight")
    with pytest.raises(ValueError, match=r"tensor 'fc.weight' has shape \(3,\).*\(2,\)"):
        w.data = np.ones(2, np.float32)
    with pytest.raises(ValueError, match="dtype float64"):
        w.data = np.ones(3)
    w.data = [1, 2, 3]
    assert w.dtype == np.float32
    np.testing.assert_array_equal(w.numpy(), [1, 2, 3])


# ---- the backward -----------------------------------------------------------------------------


def test_backward_of_more_than_one_number():
    y = ones(2, 3) * 2
    with pytest.raises(GraphError, match=r"shape \(2, 3\): reduce it first .*or give a cotangent"):
        y.backward()
    y.backward(np.ones((2, 3)))


def test_cotangent_of_another_shape():
    y = ones(2, 3) * 2
    for wrong in (np.ones(3), np.ones((3, 2)), 1.0, np.ones((1, 2, 3))):
        with pytest.raises(ValueError, match=r"expected \(2, 3\)"):
            y.backward(wrong)


def test_a_gradient_of_another_shape_is_not_added_to():
    x = ones(3)
    x.grad = ones(2, 3)
    with pytest.raises(ValueError, match=r"shape \(3,\) has a .grad of shape \(2, 3\)"):
        (x * x).sum().backward()
    for fits in (None, 0.0, np.zeros(3), Tensor(np.zeros(3))):
        x.grad = fits
        (x * x).sum().backward()
        np.testing.assert_array_equal(x.grad.numpy(), 2)


def test_nothing_to_differentiate():
    with pytest.raises(GraphError, match="does not depend on a tensor with requires_grad=True"):
        Tensor(1.0).backward()
    with ad.no_grad():
        y = ones() * 2
    with pytest.raises(GraphError, match=r"computed inside no_grad\(\)"):
        y.backward()
    with pytest.raises(GraphError, match="tensor 'loss' of shape"):
        Tensor(1.0, name="loss").backward()


def test_a_second_backward():
    y = (ones(2) ** 2).sum()
    y.backward()
    with pytest.raises(GraphError, match="freed; pass retain_graph=True to the first backward"):
        y.backward()


def test_unused_inputs():
    x, z = ones(2), ones(3)
    z.name = "z"
    y = (x * 2).sum()
    with pytest.raises(
        GraphError, match=r"xs\[1\] \(tensor 'z' of shape \(3,\)\); pass allow_unused=True"
    ):
        gradients(y, [x, z], retain_graph=True)
    gx, gz = gradients(y, [x, z], allow_unused=True, retain_graph=True)
    np.testing.assert_array_equal(gx.numpy(), 2)
    np.testing.assert_array_equal(gz.numpy(), np.zeros(3))
    (gz,) = gradients(y, [z], [1.0, 2.0], batched=True, allow_unused=True)
    assert gz.shape == (2, 3)


def test_constants_and_detached_tensors_are_unused():
    x, c = ones(2), ones(2, requires_grad=False)
    y = (x * c + x.detach()).sum()
    with pytest.raises(GraphError, match=r"xs\[0\]"):
        gradients(y, [c], retain_graph=True)
    with pytest.raises(GraphError, match=r"xs\[0\]"):
        gradients(y, [ones(2)])


def test_xs_must_be_a_sequence():
    x = ones(2)
    with pytest.raises(TypeError, match=r"gradients\(y, \[x\]\)"):
        gradients(x.sum(), x)


# ---- operations that a user wrote -------------------------------------------------------------


class Sum2(Op):
    """a + b with a backward that the test chooses."""

    def __init__(self, rule):
        self.rule = rule

    def forward(self, a, b):
        return a + b

    def backward(self, grad, y, a, b):
        return self.rule(grad, y, a, b)


def differentiate(rule, cotangent=None, shape=(2, 3), **options):
    a, b = ones(*shape), ones(*shape)
    y = Sum2(rule)(a, b)
    return gradients(y, [a, b], np.ones(y.shape) if cotangent is None else cotangent, **options)


WRONG = {
    "one gradient for two inputs": (
        lambda g, *_: g,
        r"backward of Sum2 returned 1 gradients for 2 inputs",
    ),
    "three gradients": (lambda g, *_: (g, g, g), "returned 3 gradients for 2 inputs"),
    "reduced": (
        lambda g, *_: (g, g.sum(0)),
        r"gradient of shape \(3,\) for an input of shape \(2, 3\)",
    ),
    "transposed": (lambda g, *_: (g, g.T), r"shape \(3, 2\) for an input of shape \(2, 3\)"),
    "lazily wrong": (lambda g, *_: (g, lambda: g.sum()), r"shape \(\) for an input"),
    "an array": (lambda g, *_: (g, g.numpy()), "returned ndarray, not a Tensor"),
    "a number": (lambda g, *_: (g, 1.0), "returned float, not a Tensor"),
    "lazily an array": (lambda g, *_: (g, lambda: g.numpy()), "returned ndarray, not a Tensor"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_backward(name):
    rule, message = WRONG[name]
    with pytest.raises(GraphError, match=message):
        differentiate(rule)


def test_a_rule_that_addresses_axes_from_the_front():
    """It works with one cotangent and is refused with several."""

    def rule(g, *_):
        return g, g.reshape(2, 3) if g.size == 6 else g[0]

    differentiate(rule)
    with pytest.raises(GraphError, match="Sum2"):
        differentiate(rule, np.ones((4, 2, 3)), batched=True)


def test_a_rule_that_loses_the_axis_of_several_cotangents():
    def rule(g, *_):
        return g, g.sum()

    with pytest.raises(GraphError, match="Sum2"):
        differentiate(rule, np.ones(4), shape=(), batched=True)


def test_none_and_lazy_rules():
    called = []

    def lazy(grad):
        return lambda: called.append(1) or grad

    a, b = ones(2), ones(2)
    ga, gb = gradients(Sum2(lambda g, *_: (None, g))(a, b), [a, b], np.ones(2), allow_unused=True)
    np.testing.assert_array_equal(ga.numpy(), 0)
    np.testing.assert_array_equal(gb.numpy(), 1)
    gradients(Sum2(lambda g, *_: (lazy(g), g))(a, b), [b], np.ones(2))
    assert called == [], "a gradient that nobody wants is not computed"
    gradients(Sum2(lambda g, *_: (lazy(g), g))(a, b), [a], np.ones(2))
    assert called == [1]


def test_operations_apply_to_tensors():
    with pytest.raises(TypeError, match="Sum2 applies to Tensors, got ndarray, Tensor"):
        Sum2(None)(np.ones(2), ones(2))


def test_an_operation_without_formulas():
    with pytest.raises(NotImplementedError):
        Op()(ones(2))


def test_a_user_defined_operation():
    """The example of the manual: second order and batches come for free."""

    class Cube(Op):
        saves = (0,)

        def forward(self, x):
            return x**3

        def backward(self, grad, y, x):  # noqa: ARG002
            return grad * 3 * x**2

    x = Tensor(np.array([1.0, 2.0]), requires_grad=True)
    assert ad.jacobian(lambda x: Cube()(x), x).numpy().tolist() == [[3, 0], [0, 12]]
    assert ad.hvp(lambda x: Cube()(x).sum(), x, [1.0, 1.0]).numpy().tolist() == [6, 12]
    y = Cube()(x)
    with pytest.raises(ad.WriteError, match="Cube"):
        x.data *= 2
    del y

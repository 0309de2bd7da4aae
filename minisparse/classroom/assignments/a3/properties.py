"""What a solution of a3 must do: against sums written out, and against difference quotients."""

import math

import numpy as np

from minisparse.classroom.properties import (
    array,
    close,
    exact,
    gradient_holds,
    prop,
    refuses,
    require,
)


def layer(rng, level):
    """Return x [m, k], w [k, n], b [n]; no two lengths are equal, so each names its axis."""
    lengths = rng.choice(np.arange(3, 8 if level == "grading" else 6), 3, replace=False)
    m, k, n = (int(s) for s in lengths)
    return rng.standard_normal((m, k)), rng.standard_normal((k, n)), rng.standard_normal(n)


def product(a, b):
    """Return the matrix product, one sum for each element."""
    return np.array([[math.fsum(row * column) for column in b.T] for row in a])


# ---- 3.1 ----------------------------------------------------------------------------------------


@prop("3.1", "forward", points=1, name="the matrix product")
def plain_product(student, reference, rng, level):
    x, w, _ = layer(rng, level)
    close(student.frozen.matmul(x, w), product(x, w), rtol=1e-9, atol=1e-12, what="x W")


@prop("3.1", "forward", points=2, name="bias, then rectifier")
def bias_and_relu(student, reference, rng, level):
    x, w, b = layer(rng, level)
    y = product(x, w) + b
    close(student.frozen.matmul(x, w, b), y, rtol=1e-9, atol=1e-12, what="x W + b")
    want = np.where(y > 0, y, 0)
    close(student.frozen.matmul(x, w, b, True), want, rtol=1e-9, atol=1e-12, what="its rectifier")
    want = np.where(y - b > 0, y - b, 0)
    got = student.matmul(x, w, relu=True)
    close(got, want, rtol=1e-9, atol=1e-12, what="the rectifier without a bias")


@prop("3.1", "edge", points=1, name="float32, no examples, shapes that do not fit")
def odd_products(student, reference, rng, level):
    x, w, b = (a.astype(np.float32) for a in layer(rng, level))
    want = np.maximum(product(x, w) + b, 0).astype(np.float32)
    close(student.matmul(x, w, b, True), want, rtol=1e-4, atol=1e-5, what="the layer in float32")
    array(student.matmul(x[:0], w, b), (0, len(b)), "the layer of no examples", np.float32)
    refuses(student.matmul, x, np.zeros((w.shape[0] + 1, 2)), because="inner lengths that differ")
    refuses(student.matmul, x, w, np.zeros(len(b) + 1), because="a bias of another length")


# ---- 3.2 ----------------------------------------------------------------------------------------


def three(got):
    right = isinstance(got, (tuple, list)) and len(got) == 3
    require(right, "linear_backward should return three things: gx, gw, gb")
    return got


def check_gradient(student, rng, level, which):
    """Check one of the three gradients, with and without a rectifier."""
    x, w, b = layer(rng, level)
    name = ("gx", "gw", "gb")[which]
    forward = (lambda x: x @ w + b, lambda w: x @ w + b, lambda b: x @ w + b)[which]

    def backward(g, _):
        return three(student.frozen.linear_backward(g, x, w))[which]

    gradient_holds(forward, backward, (x, w, b)[which])
    g = rng.standard_normal((len(x), len(b)))
    for y in (None, np.maximum(x @ w + b, 0)):
        passed = g if y is None else np.where(y > 0, g, 0)
        want = (
            product(passed, w.T),
            product(x.T, passed),
            product(passed.T, np.ones((len(x), 1)))[:, 0],
        )
        got = three(student.frozen.linear_backward(g, x, w, y))[which]
        exact(got, want[which], f"{name}{' behind a rectifier' if y is not None else ''}")


@prop("3.2", "gradient", points=2, name="the gradient of the input")
def input_gradient(student, reference, rng, level):
    check_gradient(student, rng, level, 0)


@prop("3.2", "gradient", points=2, name="the gradient of the weights")
def weight_gradient(student, reference, rng, level):
    check_gradient(student, rng, level, 1)


@prop("3.2", "gradient", points=1, name="the gradient of the bias")
def bias_gradient(student, reference, rng, level):
    check_gradient(student, rng, level, 2)


@prop("3.2", "edge", points=1, name="only what is wanted; nothing passes where y = 0")
def wanted(student, reference, rng, level):
    x, w, b = layer(rng, level)
    g = rng.standard_normal((len(x), len(b)))
    whole = three(student.linear_backward(g, x, w))
    close(whole[2], product(g.T, np.ones((len(x), 1)))[:, 0], rtol=1e-9, what="gb")
    for wants in ((True, False, False), (False, True, False), (False, False, True)):
        got = three(student.linear_backward(g, x, w, None, wants))
        for one, all_of_it, want, name in zip(got, whole, wants, ("gx", "gw", "gb"), strict=True):
            require(want or one is None, f"{name} is not wanted, and should be None")
            close(one, all_of_it if want else None, rtol=1e-12, what=f"{name} alone")
    nothing = three(student.linear_backward(g, x, w, np.zeros_like(g)))
    close(nothing, tuple(np.zeros_like(a) for a in (x, w, b)), atol=0, what="gradients where y = 0")


@prop("3.2", "edge", points=1, name="float32, and shapes that do not fit")
def odd_gradients(student, reference, rng, level):
    x, w, b = (a.astype(np.float32) for a in layer(rng, level))
    g = rng.standard_normal((len(x), len(b))).astype(np.float32)
    got = three(student.linear_backward(g, x, w, np.ones_like(g)))
    rows = product(g.T, np.ones((len(x), 1)))[:, 0]
    for one, want, name in zip(
        got, (product(g, w.T), product(x.T, g), rows), ("gx", "gw", "gb"), strict=True
    ):
        what = f"{name} in float32"
        close(one, want.astype(np.float32), rtol=1e-4, atol=1e-5, what=what)
    refuses(student.linear_backward, g[:-1], x, w, because="a gradient of another shape")


# ---- 3.3 ----------------------------------------------------------------------------------------


def scores(rng, level):
    lengths = rng.choice(np.arange(3, 9 if level == "grading" else 6), 2, replace=False)
    n, classes = (int(s) for s in lengths)
    return 2 * rng.standard_normal((n, classes)), rng.integers(0, classes, n)


def losses_of(x, labels):
    return np.array(
        [math.log(math.fsum(map(math.exp, r))) - r[t] for r, t in zip(x, labels, strict=True)]
    )


def two(got):
    right = isinstance(got, (tuple, list)) and len(got) == 2
    require(right, "cross_entropy should return two arrays: losses and gradient")
    return got


@prop("3.3", "forward", points=2, name="the loss of each example")
def losses(student, reference, rng, level):
    x, labels = scores(rng, level)
    got = two(student.frozen.cross_entropy(x, labels))[0]
    close(got, losses_of(x, labels), rtol=1e-9, atol=1e-12, what="the losses")


@prop("3.3", "gradient", points=2, name="the gradient of each loss")
def slopes(student, reference, rng, level):
    x, labels = scores(rng, level)
    gradient_holds(
        lambda x: losses_of(x, labels),
        lambda g, x: g[:, None] * two(student.frozen.cross_entropy(x, labels))[1],
        x,
    )
    want = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
    want[np.arange(len(x)), labels] -= 1
    exact(two(student.cross_entropy(x, labels))[1], want, "the gradient")


@prop("3.3", "edge", points=2, name="scores in the thousands, in float32 too")
def large_scores(student, reference, rng, level):
    for dtype in (np.float64, np.float32):
        far = int(rng.integers(1000, 1900))
        x = np.array([[far, 0, -1000], [-2000, -far, 3000], [3000 + far, 3000 + far, 0]], dtype)
        got, gradient = two(student.cross_entropy(x, np.array([1, 2, 0])))
        want = np.array([far, 0, math.log(2)], dtype)
        close(got, want, rtol=1e-6, what="losses of large scores")
        want = np.array([[1, -1, 0], [0, 0, 0], [-0.5, 0.5, 0]], dtype)
        close(gradient, want, rtol=1e-6, what="the gradient at large scores")


@prop("3.3", "edge", points=1, name="one class, small losses, and labels that are no class")
def odd_labels(student, reference, rng, level):
    got, gradient = two(student.cross_entropy(rng.standard_normal((3, 1)), np.zeros(3, np.int64)))
    close(got, np.zeros(3), atol=1e-12, what="losses with one class")
    close(gradient, np.zeros((3, 1)), atol=1e-12, what="the gradient with one class")
    x = rng.standard_normal((2, 4))
    got = two(student.cross_entropy(np.zeros((2, 4)), np.array([0, 3], np.int32)))[0]
    close(got, np.full(2, math.log(4)), rtol=1e-9, what="losses of four equal scores")
    for labels in ([0, 4], [-1, 0]):
        refuses(student.cross_entropy, x, np.array(labels), because=f"labels {labels} of 4 classes")
    refuses(student.cross_entropy, x, np.array([0, 1, 2]), because="3 labels for 2 examples")

"""What a solution of a4 must do: against loops over pixels, adjoints and difference quotients."""

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

GEOMETRIES = (((1, 1), (0, 0)), ((2, 1), (1, 0)), ((1, 3), (0, 2)), ((2, 2), (1, 1)))


def windows(image, kernel, stride, padding):
    """Return how many windows fit, by sliding them."""
    found = []
    for n, k, s, p in zip(image, kernel, stride, padding, strict=True):
        found.append(len(range(0, n + 2 * p - k + 1, s)))
    return tuple(found)


def places(shape, kernel, stride, padding):
    """Yield (i, j, r, s, y, x): output pixel, place in the kernel, and the pixel there in the image."""
    (_, h, w, _), (sy, sx), (py, px) = shape, stride, padding
    ho, wo = windows((h, w), kernel, stride, padding)
    for i, j, r, s in np.ndindex(ho, wo, *kernel):
        y, x = i * sy + r - py, j * sx + s - px
        if 0 <= y < h and 0 <= x < w:
            yield i, j, r, s, y, x


def setting(rng, geometry, level):
    """Return images, weights and a gradient that fit together.

    No two axes of the images, or of the weights, are equally long: who takes one for the other fails.
    """
    n, c, o = (int(v) for v in rng.permutation([4, 5, 6]))
    kernel = tuple(int(v) for v in rng.permutation([2, 3]))
    h, w = (int(v) for v in rng.permutation(np.arange(7, 10 if level == "grading" else 9))[:2])
    x, weights = rng.standard_normal((n, h, w, c)), rng.standard_normal((*kernel, c, o))
    g = rng.standard_normal((n, *windows((h, w), kernel, *geometry), o))
    return x, weights, g


def convolved(x, w, geometry):
    """Return the convolution as a sum over the places of the kernel, each a product for all windows."""
    (sy, sx), (py, px) = geometry
    n, height, width, c = x.shape
    padded = np.zeros((n, height + 2 * py, width + 2 * px, c), x.dtype)
    padded[:, py : py + height, px : px + width] = x
    ho, wo = windows((height, width), w.shape[:2], *geometry)
    return sum(
        padded[:, r : r + sy * ho : sy, s : s + sx * wo : sx] @ w[r, s]
        for r, s in np.ndindex(w.shape[:2])
    )


# ---- 4.1 ----------------------------------------------------------------------------------------


@prop("4.1", "forward", points=3, name="sums over windows and channels")
def forward(student, reference, rng, level):
    for geometry in GEOMETRIES:
        x, w, _ = setting(rng, geometry, level)
        got = student.frozen.conv2d(x, w, *geometry)
        what = f"the convolution with stride {geometry[0]} and padding {geometry[1]}"
        close(got, convolved(x, w, geometry), rtol=1e-9, atol=1e-11, what=what)


@prop("4.1", "forward", points=1, name="a bias, then a rectifier")
def bias_and_relu(student, reference, rng, level):
    x, w, _ = setting(rng, GEOMETRIES[0], level)
    b = rng.standard_normal(w.shape[-1])
    y = convolved(x, w, GEOMETRIES[0]) + b
    got = student.frozen.conv2d(x, w, bias=b)
    close(got, y, rtol=1e-9, atol=1e-11, what="the convolution with a bias")
    got = student.frozen.conv2d(x, w, bias=b, relu=True)
    close(got, np.where(y > 0, y, 0), rtol=1e-9, atol=1e-11, what="its rectifier")


@prop("4.1", "edge", points=1, name="a single pixel is moved, not turned; float32")
def one_pixel(student, reference, rng, level):
    """A correlation: the kernel does not appear mirrored where a filter finds itself."""
    w = rng.standard_normal((3, 3, 1, 1))
    x = np.zeros((1, 5, 5, 1))
    x[0, 2, 2] = 1
    got = array(student.conv2d(x, w), (1, 3, 3, 1), "the image of one pixel")
    close(got[0, ..., 0], w[::-1, ::-1, 0, 0].copy(), atol=0, what="the image of one pixel")
    small = student.conv2d(x.astype(np.float32), w.astype(np.float32))
    array(small, (1, 3, 3, 1), "the convolution in float32", np.float32)


@prop("4.1", "edge", points=1, name="what does not fit is refused")
def channels_that_differ(student, reference, rng, level):
    value = int(rng.integers(1, 10_000)) / 64
    x, w = np.full((1, 5, 5, 1), value), np.ones((3, 3, 1, 1))
    close(student.conv2d(x, w), np.full((1, 3, 3, 1), 9 * value), what="the sum of 9 equal pixels")
    refuses(student.conv2d, x, np.ones((3, 3, 2, 1)), because="kernels of other channels")
    refuses(student.conv2d, x, w, (1, 1), (0, 0), np.ones(2), because="a bias of another length")


# ---- 4.2 and 4.3 --------------------------------------------------------------------------------


@prop("4.2", "gradient", points=4, name="what each pixel receives")
def input_gradient(student, reference, rng, level):
    geometry = GEOMETRIES[int(rng.integers(1, 3))]
    x, w = rng.standard_normal((3, 4, 5, 2)), rng.standard_normal((2, 3, 2, 4))
    gradient_holds(
        lambda images: convolved(images, w, geometry),
        lambda g, images: student.conv2d_input_grad(g, w, images.shape, *geometry),
        x,
    )
    for geometry in GEOMETRIES:
        x, w, g = setting(rng, geometry, level)
        want = np.zeros(x.shape)
        for i, j, r, s, py, px in places(x.shape, w.shape[:2], *geometry):
            want[:, py, px] += g[:, i, j] @ w[r, s].T
        got = student.frozen.conv2d_input_grad(g, w, x.shape, *geometry)
        exact(got, want, f"the gradient with stride {geometry[0]} and padding {geometry[1]}")


@prop("4.2", "edge", points=1, name="pixels that no window meets; float32; shapes")
def unmet_pixels(student, reference, rng, level):
    value = np.float32(int(rng.integers(1, 10_000)) / 64)
    g, w = np.full((1, 2, 2, 1), value), np.ones((2, 2, 1, 1), np.float32)
    got = student.conv2d_input_grad(g, w, (1, 6, 7, 1), (3, 4))
    want = np.zeros((6, 7), np.float32)
    for i, j in ((0, 0), (0, 4), (3, 0), (3, 4)):
        want[i : i + 2, j : j + 2] = value
    close(got, want[None, ..., None], atol=0, what="gradients between windows, which are 0")
    refuses(student.conv2d_input_grad, g, w, (1, 6, 6, 1), because="a gradient of another shape")


@prop("4.3", "gradient", points=4, name="what each weight receives")
def weight_gradient(student, reference, rng, level):
    geometry = GEOMETRIES[int(rng.integers(1, 3))]
    x, w = rng.standard_normal((6, 3, 4, 5)), rng.standard_normal((2, 3, 5, 4))
    gradient_holds(
        lambda w: convolved(x, w, geometry),
        lambda g, w: student.conv2d_weight_grad(x, g, w.shape[:2], *geometry),
        w,
    )
    for geometry in GEOMETRIES:
        x, w, g = setting(rng, geometry, level)
        want = np.zeros(w.shape)
        for i, j, r, s, py, px in places(x.shape, w.shape[:2], *geometry):
            want[r, s] += x[:, py, px].T @ g[:, i, j]
        got = student.frozen.conv2d_weight_grad(x, g, w.shape[:2], *geometry)
        exact(got, want, f"the gradient with stride {geometry[0]} and padding {geometry[1]}")


@prop("4.3", "edge", points=1, name="float32, and shapes that do not fit")
def odd_weight_gradients(student, reference, rng, level):
    value = np.float32(int(rng.integers(1, 10_000)) / 64)
    x, g = np.full((2, 5, 4, 1), value), np.ones((2, 3, 3, 2), np.float32)
    got = student.conv2d_weight_grad(x, g, (3, 2))
    close(got, np.full((3, 2, 1, 2), 18 * value), what="the gradient in float32, 18 equal numbers")
    f = student.conv2d_weight_grad
    refuses(f, x, g[:, 1:], (3, 2), because="a gradient of another shape")


# ---- 4.4 ----------------------------------------------------------------------------------------

POOLS = (((2, 2), (2, 2), (0, 0)), ((3, 2), (2, 1), (1, 1)), ((2, 3), (1, 2), (0, 1)))


def images(rng, ties=False):
    shape = (2, int(rng.integers(4, 8)), int(rng.integers(4, 8)), 2)
    x = rng.standard_normal(shape)
    return rng.integers(0, 3, shape).astype(np.float64) if ties else x


def pooled_max(x, kernel, stride, padding):
    ho, wo = windows(x.shape[1:3], kernel, stride, padding)
    y = np.full((len(x), ho, wo, x.shape[-1]), -np.inf)
    winner = np.zeros(y.shape, np.int32)
    for i, j, r, s, py, px in places(x.shape, kernel, stride, padding):
        better = x[:, py, px] > y[:, i, j]
        y[:, i, j][better] = x[:, py, px][better]
        winner[:, i, j][better] = r * kernel[1] + s
    return y, winner


def check_pool(student, x, pool):
    got = student.frozen.max_pool2d(x, *pool)
    right = isinstance(got, (tuple, list)) and len(got) == 2
    require(right, "max_pool2d should return two arrays: the maxima and their places")
    y, winner = pooled_max(x, *pool)
    close(got[0], y, atol=0, what="the maxima")
    close(got[1], winner, what="the places of the maxima")


@prop("4.4", "forward", points=2, name="the maxima and their places", function="max_pool2d")
def maxima(student, reference, rng, level):
    for pool in POOLS:
        check_pool(student, images(rng), pool)


@prop(
    "4.4", "edge", points=1, name="ties go to the first; padding never wins", function="max_pool2d"
)
def ties(student, reference, rng, level):
    for pool in POOLS:
        check_pool(student, images(rng, ties=True), pool)
        check_pool(student, -1 - np.abs(images(rng)), pool)
    refuses(
        student.max_pool2d, images(rng), (2, 2), (2, 2), (2, 0), because="windows in the padding"
    )


@prop("4.4", "edge", points=1, name="a NaN shows", function="max_pool2d")
def not_a_number(student, reference, rng, level):
    x = np.abs(images(rng))
    x[0, 1, 1, 0] = np.nan
    got = student.max_pool2d(x)
    want = pooled_max(x, *POOLS[0])
    want[0][0, 0, 0, 0], want[1][0, 0, 0, 0] = np.nan, 3
    close(got, want, atol=0, what="maxima and places, with a NaN in one window")


@prop(
    "4.4",
    "gradient",
    points=2,
    name="the gradient goes to the winner",
    function="max_pool2d_backward",
)
def winner_takes_all(student, reference, rng, level):
    for pool in POOLS:
        x = images(rng)
        y, winner = pooled_max(x, *pool)
        g = rng.standard_normal(y.shape)
        want = np.zeros(x.shape)
        for i, j, r, s, py, px in places(x.shape, *pool):
            want[:, py, px] += np.where(winner[:, i, j] == r * pool[0][1] + s, g[:, i, j], 0)
        exact(student.frozen.max_pool2d_backward(g, winner, x.shape, *pool), want, "the gradient")
    gradient_holds(
        lambda x: pooled_max(x, *POOLS[1])[0],
        lambda g, x: student.max_pool2d_backward(
            g, pooled_max(x, *POOLS[1])[1], x.shape, *POOLS[1]
        ),
        rng.standard_normal((1, 3, 3, 1)),
    )


# ---- 4.5 ----------------------------------------------------------------------------------------


def pooled_mean(x, kernel, stride, padding):
    ho, wo = windows(x.shape[1:3], kernel, stride, padding)
    y = np.zeros((len(x), ho, wo, x.shape[-1]))
    for i, j, _, _, py, px in places(x.shape, kernel, stride, padding):
        y[:, i, j] += x[:, py, px] / (kernel[0] * kernel[1])
    return y


@prop("4.5", "forward", points=1, name="the means", function="avg_pool2d")
def means(student, reference, rng, level):
    for pool in POOLS:
        x = images(rng)
        got = student.frozen.avg_pool2d(x, *pool)
        close(got, pooled_mean(x, *pool), rtol=1e-9, atol=1e-12, what="the means")


@prop("4.5", "gradient", points=2, name="a share for every pixel", function="avg_pool2d_backward")
def shares(student, reference, rng, level):
    for pool in POOLS:
        shape = images(rng).shape
        g = rng.standard_normal((2, *windows(shape[1:3], *pool), 2))
        want = np.zeros(shape)
        for i, j, _, _, py, px in places(shape, *pool):
            want[:, py, px] += g[:, i, j] / (pool[0][0] * pool[0][1])
        exact(student.frozen.avg_pool2d_backward(g, shape, *pool), want, "the gradient")


@prop("4.5", "edge", points=1, name="float32, and shapes that do not fit")
def odd_means(student, reference, rng, level):
    value = np.float32(int(rng.integers(1, 10_000)) / 64)
    x = np.full((2, 4, 6, 2), value)
    close(student.avg_pool2d(x), x[:, :2, :3].copy(), what="the means in float32")
    g = np.full((2, 2, 3, 2), 4 * value)
    close(student.avg_pool2d_backward(g, x.shape), x, what="the gradient in float32")
    refuses(student.avg_pool2d_backward, g[:, 1:], x.shape, because="a gradient of another shape")
    refuses(student.avg_pool2d, x, (9, 2), because="a window larger than the image")

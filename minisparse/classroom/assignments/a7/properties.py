"""What a solution of a7 must do: against loops over examples, and against a network's derivatives."""

from itertools import product

import numpy as np

from minisparse.classroom.properties import array, close, gradient_holds, prop, refuses


def layer(rng, outputs=None):
    """Return x [B, in] and Delta [K, B, out]."""
    b, n_in, n_out = rng.integers(3, 7, 3)
    k = outputs or int(rng.integers(2, 5))
    return rng.standard_normal((b, n_in)), rng.standard_normal((k, b, n_out))


# ---- 7.1 ----------------------------------------------------------------------------------------


@prop("7.1", "forward", points=1, name="unspecific: one unit vector for each class")
def unit_vectors(student, reference, rng, level):
    classes, b = int(rng.integers(3, 7)), int(rng.integers(2, 6))
    labels = rng.integers(0, classes, b)
    want = np.zeros((classes, b, classes))
    for k, n in product(range(classes), range(b)):
        want[k, n, k] = 1
    got = student.frozen.cotangents(labels, classes, "unspecific", "float64")
    close(got, want, atol=0, what="the cotangents")


@prop("7.1", "forward", points=1, name="specific: the one-hot targets")
def one_hot(student, reference, rng, level):
    classes, b = int(rng.integers(3, 7)), int(rng.integers(2, 6))
    labels = rng.integers(0, classes, b)
    want = np.zeros((1, b, classes), np.float32)
    for n, label in enumerate(labels):
        want[0, n, label] = 1
    got = student.frozen.cotangents(labels, classes, "specific", "float32")
    close(got, want, atol=0, what="the cotangents")


@prop("7.1", "edge", points=1, name="labels that are no class, and other variants")
def no_class(student, reference, rng, level):
    several = rng.integers(0, 4, 12)
    got = student.cotangents(several, 4, "specific", "float64")
    close(got, np.eye(4)[several][None], what="12 labels of 4 classes")
    for label in (-1, 4):
        labels = np.append(several, [label, 3])
        refuses(student.cotangents, labels, 4, "specific", "float64", because=f"label {label} of 4")
    refuses(student.cotangents, several, 4, "special", "float64", because="an unknown variant")


# ---- 7.2 and 7.3 --------------------------------------------------------------------------------


def by_loops(x, delta, alpha, inside):
    """Return S by its definition; `inside`: the mean over examples stands inside |.|."""
    b = len(x)
    outer = np.einsum("bi,kbj->kbij", x, delta)  # dy_k/dW of every example
    terms = np.abs(outer.sum(axis=1)) if inside else np.abs(outer).sum(axis=1)
    return alpha * terms.sum(axis=0) / b


@prop("7.2", "forward", points=2, name="the mean over examples of |dy/dw|")
def per_sample(student, reference, rng, level):
    x, delta = layer(rng)
    alpha = float(rng.uniform(0.1, 1))
    got = student.frozen.linear_per_sample(x, delta, alpha)
    close(got, by_loops(x, delta, alpha, False), rtol=1e-9, what="S")


@prop("7.2", "gradient", points=2, name="it is the sensitivity of a network")
def of_a_network(student, reference, rng, level):
    """Against derivatives of y = tanh(x W) V by a complex step, one weight and example at a time."""
    n_in, hidden, classes = (int(n) for n in rng.integers(2, 5, 3))
    x, w, v = (rng.standard_normal(s) for s in ((2, n_in), (n_in, hidden), (hidden, classes)))
    x, v[:, 0] = np.concatenate([x, -x]), -v[:, 1]  # examples and outputs that would cancel
    b = len(x)
    want = np.zeros((n_in, hidden))
    for i, j in np.ndindex(n_in, hidden):
        step = np.zeros((n_in, hidden), complex)
        step[i, j] = 1e-20j
        slopes = (np.tanh(x @ (w + step)) @ v).imag / 1e-20
        want[i, j] = np.abs(slopes).sum() / (b * classes)
    delta = np.stack([(1 - np.tanh(x @ w) ** 2) * v[:, k] for k in range(classes)])
    got = student.linear_per_sample(x, delta, 1 / classes)
    close(got, want, rtol=1e-8, what="S of the first layer of tanh(x W) V")


@prop("7.2", "edge", points=1, name="nothing cancels; float32 stays float32")
def nothing_cancels(student, reference, rng, level):
    x, delta = layer(rng)
    got = student.linear_per_sample(np.tile(x, (2, 1)), np.concatenate([delta, -delta], 1), 1.0)
    want = by_loops(x, delta, 1.0, False)
    close(got, want, rtol=1e-9, what="S of examples with opposite derivatives")
    small = student.linear_per_sample(x.astype(np.float32), delta.astype(np.float32), 0.5)
    array(small, want.shape, "S of float32 arrays", np.float32)


@prop("7.3", "forward", points=2, name="the magnitude of the mean of dy/dw")
def batch_mean(student, reference, rng, level):
    x, delta = layer(rng)
    alpha = float(rng.uniform(0.1, 1))
    got = student.frozen.linear_batch_mean(x, delta, alpha)
    close(got, by_loops(x, delta, alpha, True), rtol=1e-9, what="S")


@prop("7.3", "edge", points=1, name="opposite examples cancel, outputs do not")
def what_cancels(student, reference, rng, level):
    x, delta = layer(rng)
    shape = (x.shape[1], delta.shape[2])
    got = student.linear_batch_mean(np.tile(x, (2, 1)), np.concatenate([delta, -delta], 1), 1.0)
    close(got, np.zeros(shape), atol=1e-12, what="S of examples with opposite derivatives")
    both = student.linear_batch_mean(x, np.concatenate([delta, -delta]), 1.0)
    single = by_loops(x, delta, 1.0, True)
    close(both, 2 * single, rtol=1e-9, what="S of outputs with opposite derivatives")


# ---- 7.4 ----------------------------------------------------------------------------------------


def convolution(rng, stride, padding):
    """Return x, Delta, the kernel's shape, and dy_k/dW of every example [K, B, kh, kw, C, O]."""
    b, c, o, k = (int(n) for n in rng.integers(2, 4, 4))
    kh, kw, h, w = (int(n) for n in (*rng.integers(1, 4, 2), *rng.integers(4, 7, 2)))
    (sy, sx), (py, px) = stride, padding
    ho, wo = (h + 2 * py - kh) // sy + 1, (w + 2 * px - kw) // sx + 1
    x, delta = rng.standard_normal((b, h, w, c)), rng.standard_normal((k, b, ho, wo, o))
    padded = np.pad(x, ((0, 0), (py, py), (px, px), (0, 0)))
    each = np.zeros((k, b, kh, kw, c, o))
    for i, j in np.ndindex(ho, wo):
        patch = padded[:, i * sy : i * sy + kh, j * sx : j * sx + kw]
        each += np.einsum("brsc,kbo->kbrsco", patch, delta[:, :, i, j])
    return x, delta, (kh, kw), each


GEOMETRIES = (((1, 1), (0, 0)), ((2, 1), (1, 0)), ((1, 2), (0, 1)))


@prop("7.4", "forward", points=2, name="every example by itself", function="conv_per_sample")
def conv_per_sample(student, reference, rng, level):
    for geometry in GEOMETRIES:
        x, delta, kernel, each = convolution(rng, *geometry)
        got = student.frozen.conv_per_sample(x, delta, 0.5, kernel, *geometry)
        want = 0.5 * np.abs(each).sum(axis=(0, 1)) / len(x)
        close(got, want, rtol=1e-9, what=f"S with stride {geometry[0]} and padding {geometry[1]}")


@prop("7.4", "forward", points=2, name="the magnitude of the mean", function="conv_batch_mean")
def conv_batch_mean(student, reference, rng, level):
    for geometry in GEOMETRIES:
        x, delta, kernel, each = convolution(rng, *geometry)
        got = student.frozen.conv_batch_mean(x, delta, 0.5, kernel, *geometry)
        want = 0.5 * np.abs(each.sum(axis=1)).sum(axis=0) / len(x)
        close(got, want, rtol=1e-9, what=f"S with stride {geometry[0]} and padding {geometry[1]}")


@prop("7.4", "edge", points=1, name="one position is a linear layer; stride and padding left out")
def one_position(student, reference, rng, level):
    x, delta = layer(rng)
    images, wide = x[:, None, None, :], delta[:, :, None, None, :]
    got = student.conv_per_sample(images, wide, 1.0, (1, 1))
    close(got, by_loops(x, delta, 1.0, False)[None, None], rtol=1e-9, what="per sample")
    got = student.conv_batch_mean(images, wide, 1.0, (1, 1))
    close(got, by_loops(x, delta, 1.0, True)[None, None], rtol=1e-9, what="batch mean")


# ---- 7.5 ----------------------------------------------------------------------------------------


@prop("7.5", "forward", points=1, name="max(0, 1 - S)", function="insensitivity")
def bounded(student, reference, rng, level):
    s = np.concatenate([rng.uniform(0, 2, 8), [0.0, 1.0, 50.0]])
    want = [1 - v if v < 1 else 0.0 for v in s]
    close(student.frozen.insensitivity(s), np.array(want), rtol=1e-12, what="the insensitivity")


@prop(
    "7.5",
    "gradient",
    points=2,
    name="the gradient of lambda w^2 / 2, S fixed",
    function="shrinkage",
)
def of_the_regularizer(student, reference, rng, level):
    strength = float(rng.uniform(0.1, 1))
    w, s = rng.standard_normal((3, 4)), rng.uniform(0, 1.6, (3, 4))
    factor = np.where(s < 1, 1 - s, 0)
    gradient_holds(
        lambda w: strength * (w * w / 2 * factor).sum(),
        lambda g, w: g * student.shrinkage(w, s, strength),
        w,
    )


@prop("7.5", "edge", points=1, name="sensitive weights rest, others decay; arguments stay")
def extremes(student, reference, rng, level):
    w = rng.standard_normal(6).astype(np.float32)
    s = np.array([0, 0, 1, 2, 1e6, 0], np.float32)
    want = np.where(s == 0, np.float32(0.25) * w, np.float32(0))
    close(student.frozen.shrinkage(w, s, 0.25), want, atol=0, what="the shrinkage")


# ---- 7.6 ----------------------------------------------------------------------------------------


@prop("7.6", "forward", points=1, name="the mean over outputs and examples")
def neurons(student, reference, rng, level):
    delta = rng.standard_normal(rng.integers(2, 6, 3))
    want = [np.mean([abs(v) for v in delta[..., j].ravel()]) for j in range(delta.shape[-1])]
    close(student.frozen.neuron_sensitivity(delta), np.array(want), rtol=1e-9, what="S of neurons")


@prop("7.6", "edge", points=1, name="positions count like examples")
def filters(student, reference, rng, level):
    delta = rng.standard_normal((2, 3, 4, 5, 3))
    got = array(student.neuron_sensitivity(delta), (3,), "S of filters")
    flat = delta.transpose(4, 0, 1, 2, 3).reshape(3, -1)
    close(got, np.array([sum(map(abs, row)) / 120 for row in flat]), rtol=1e-9, what="S of filters")

"""What a solution of a14 must do: smaller networks whose outputs are the same."""

from itertools import pairwise

import numpy as np

from minisparse.classroom.properties import array, close, prop, require


def holes(rng, shape, density=0.4):
    """Return weights with single zeros, and with whole rows and columns of them."""
    w = np.where(rng.random(shape) < density, rng.standard_normal(shape), 0.0)
    return w * (rng.random(shape[-1]) < 0.7) * (rng.random((shape[-2], 1)) < 0.7)


# ---- 14.1 ---------------------------------------------------------------------------------------


@prop("14.1", "forward", points=1, name="which inputs are read", function="reads")
def read_inputs(student, reference, rng, level):
    for shape in ((6, 4), (2, 3, 6, 2)):
        w = holes(rng, shape)
        w[..., 2, 0], w[..., 2, 1] = 1.0, -1.0  # read, although the weights cancel
        want = [any(v != 0 for v in w[..., i, :].ravel()) for i in range(6)]
        close(student.frozen.reads(w), np.array(want), what=f"the inputs that weights {shape} read")


@prop("14.1", "forward", points=2, name="the bias of a linear reader", function="folded_bias")
def linear_reader(student, reference, rng, level):
    """b + c W is what the layer computes when these inputs are all it gets."""
    k, n_out = (int(n) for n in rng.integers(2, 6, 2))
    values, w = rng.standard_normal(k), rng.standard_normal((k, n_out))
    bias = rng.standard_normal(n_out)
    want = [bias[j] + sum(values[i] * w[i, j] for i in range(k)) for j in range(n_out)]
    got = student.frozen.folded_bias(bias, values, w)
    close(got, np.array(want), rtol=1e-9, atol=1e-12, what="the new bias")


@prop("14.1", "forward", points=1, name="the bias of a convolution", function="folded_bias")
def filter_reader(student, reference, rng, level):
    kh, kw, k, n_out = (int(n) for n in rng.integers(2, 5, 4))
    values, w = rng.standard_normal(k), rng.standard_normal((kh, kw, k, n_out))
    want = np.zeros(n_out)
    for r, s in np.ndindex(kh, kw):
        want += values @ w[r, s]
    close(
        student.frozen.folded_bias(np.zeros(n_out), values, w), want, rtol=1e-9, what="the new bias"
    )


@prop("14.1", "edge", points=1, name="no constants, float32", function="folded_bias")
def nothing_to_fold(student, reference, rng, level):
    bias = rng.standard_normal(3).astype(np.float32)
    none = np.zeros(0, np.float32), np.zeros((0, 3), np.float32)
    close(student.folded_bias(bias, *none), bias, atol=0, what="the bias without constants")


# ---- 14.2 ---------------------------------------------------------------------------------------


@prop("14.2", "forward", points=2, name="the same everywhere")
def constant_inputs(student, reference, rng, level):
    units, images = int(rng.integers(4, 7)), int(rng.integers(3, 8))
    for shape in ((images, units), (images, 3, 2, units)):
        seen = rng.standard_normal(shape)
        constant = rng.permutation(units) < 3
        seen[..., constant] = rng.standard_normal(3)
        w = rng.standard_normal((units, 2))
        got = student.frozen.foldable(seen, w, units, zeros_only=False)
        close(got, constant, what=f"the units that are constant in {shape}")


@prop("14.2", "forward", points=1, name="one place that differs is enough")
def one_place(student, reference, rng, level):
    """At the corners of the image, and somewhere inside it."""
    inside = tuple(int(v) for v in rng.integers(1, 3, 2))
    for place in ((0, 0), (3, 3), (0, 3), inside):
        seen = np.full((4, 4, 4, 5), float(rng.uniform(1, 2)))
        unit = int(rng.integers(5))
        seen[(int(rng.integers(4)), *place, unit)] += 1e-6
        got = student.foldable(seen, rng.uniform(1, 2, (2, 2, 5, 3)), 5, zeros_only=False)
        close(got, np.arange(5) != unit, what=f"the units, of which one differs at {place}")


@prop("14.2", "edge", points=1, name="the last bits, zeros only, weights that ignore")
def conditions(student, reference, rng, level):
    for dtype in (np.float32, np.float64):
        value = dtype(rng.uniform(3, 4))
        seen = np.full((5, 4), value, dtype)
        seen[2, 1] = np.nextafter(value, dtype(9))  # rounding
        seen[:, 2] = 0
        seen[1, 3] = value + dtype(0.25)
        w = rng.uniform(1, 2, (4, 2)).astype(dtype)
        got = student.foldable(seen, w, 4, zeros_only=False)
        close(got, np.array([True, True, True, False]), what="units, one of them off by rounding")
        got = student.foldable(seen, w, 4, zeros_only=True)
        close(
            got, np.array([False, False, True, False]), what="units where only zeros can be folded"
        )
        w[3] = 0
        got = student.foldable(seen, w, 4, zeros_only=True)
        close(
            got, np.array([False, False, True, True]), what="units, the last of which is not read"
        )


@prop("14.2", "edge", points=1, name="flattened images: each position its own constant")
def positions(student, reference, rng, level):
    units = 3
    seen = np.tile(rng.standard_normal(4 * units), (6, 1))
    moving = int(rng.integers(units))
    seen[3, int(rng.integers(4)) * units + moving] += 1
    got = student.foldable(seen, np.ones((4 * units, 2)), units, zeros_only=False)
    close(got, np.arange(units) != moving, what="units at 4 positions, one of which moves at one")


# ---- 14.3 ---------------------------------------------------------------------------------------


def perceptron(rng, density=0.4, sizes=None):
    """Return a network with holes, in which every way to die occurs and is seen in the outputs.

    Unit 0 of the first hidden layer is a constant that relu lets through, unit 1 one that it holds
    back.  Unit 2 of the second is read by nobody, and it alone reads unit 3 of the first.  Unit 4 of
    every layer lives, and carries the constants to the outputs.
    """
    sizes = sizes or [int(n) for n in rng.integers(5, 10, 5)]
    weights = tuple(holes(rng, shape, density) for shape in pairwise(sizes))
    biases = tuple(rng.standard_normal(n) for n in sizes[1:])
    if len(sizes) == 5:
        first, second, third, _ = weights
        for w in weights:
            w[4, 4] = rng.uniform(1, 2)
        for b in biases:
            b[4] = rng.uniform(3, 4)
        first[:, :2], biases[0][:2] = 0, (rng.uniform(1, 2), -rng.uniform(1, 2))
        second[:2, 4] = rng.uniform(1, 2, 2)
        third[2] = 0
        second[3] = 0
        second[3, 2], first[4, 3] = rng.uniform(1, 2, 2)
    return weights, biases


def outputs(x, weights, biases):
    for w, b in zip(weights[:-1], biases[:-1], strict=True):
        x = np.maximum(x @ w + b, 0)
    return x @ weights[-1] + biases[-1]


def shrunk(student, weights, biases):
    """Return what a submission made of a perceptron, if its arrays fit together."""
    got = student.frozen.shrink_perceptron(weights, biases)
    right = isinstance(got, (tuple, list)) and len(got) == 2
    require(right, "expected the weights and the biases, two tuples of arrays")
    small, constants = got
    for part, what in ((small, "weights"), (constants, "biases")):
        fits = isinstance(part, (tuple, list)) and len(part) == len(weights)
        require(fits, f"expected {len(weights)} {what}, one for each layer")
    n_in = weights[0].shape[0]
    for i, (w, b) in enumerate(zip(small, constants, strict=True)):
        require(isinstance(w, np.ndarray) and w.ndim == 2, f"weights {i} are no matrix")
        array(w, (n_in, w.shape[1]), f"weights {i}")
        array(b, (w.shape[1],), f"biases {i}")
        n_in = w.shape[1]
    require(n_in == weights[-1].shape[1], "the outputs of the network must stay")
    return small, constants


def check_outputs(rng, network, small):
    x = rng.standard_normal((30, network[0][0].shape[0]))
    close(outputs(x, *small), outputs(x, *network), rtol=1e-9, atol=1e-11, what="the outputs")


@prop("14.3", "forward", points=3, name="the outputs stay the same")
def same_outputs(student, reference, rng, level):
    for density in (0.2, 0.4, 0.9):
        network = perceptron(rng, density)
        check_outputs(rng, network, shrunk(student, *network))


@prop("14.3", "forward", points=2, name="nothing dead is left")
def as_small_as_can_be(student, reference, rng, level):
    for density in (0.2, 0.4):
        network = perceptron(rng, density)
        small, biases = shrunk(student, *network)
        check_outputs(rng, network, (small, biases))
        for here, following in pairwise(small):
            for j in range(here.shape[1]):
                require(bool(here[:, j].any()), "a hidden unit without incoming weights is left")
                require(bool(following[j].any()), "a hidden unit without outgoing weights is left")


@prop("14.3", "forward", points=1, name="what lives stays")
def nothing_else_goes(student, reference, rng, level):
    network = perceptron(rng, 2.0, [4, 6, 5, 3])
    full = tuple(rng.standard_normal(w.shape) for w in network[0])
    small, biases = shrunk(student, full, network[1])
    close(small, full, atol=0, what="the weights of a network without zeros")
    close(biases, network[1], atol=0, what="the biases of a network without zeros")


@prop("14.3", "edge", points=2, name="one death leads to another, forwards and backwards")
def chain_of_deaths(student, reference, rng, level):
    """Unit 0 of each layer hangs on unit 0 of the one before alone."""
    sizes = [3, 4, 4, 4, 2]
    weights = [rng.standard_normal(shape) for shape in pairwise(sizes)]
    for w in weights[1:-1]:
        w[0, 1:] = w[1:, 0] = 0
    forwards = [w.copy() for w in weights]
    forwards[0][:, 0] = 0
    backwards = [w.copy() for w in weights]
    backwards[-1][0] = 0
    for start in (forwards, backwards):
        biases = tuple(rng.standard_normal(n) for n in sizes[1:])
        biases[0][0], biases[2][0] = -1, 10  # constants that relu holds back, and lets through
        network = tuple(start), biases
        small = shrunk(student, *network)
        found = [w.shape[1] for w in small[0]]
        require(
            found == [3, 3, 3, 2], f"layers of 4, 4, 4, 2 should shrink to 3, 3, 3, 2; got {found}"
        )
        check_outputs(rng, network, small)


@prop("14.3", "edge", points=1, name="a layer may lose all its units; inputs and outputs stay")
def empty_layers(student, reference, rng, level):
    weights = rng.standard_normal((3, 4)), np.zeros((4, 5)), rng.standard_normal((5, 2))
    biases = tuple(rng.standard_normal(n) for n in (4, 5, 2))
    biases[1][:2] = (
        rng.uniform(1, 2),
        -rng.uniform(1, 2),
    )  # relu lets one through, and holds one back
    network = weights, biases
    small = shrunk(student, *network)
    found = [w.shape for w in small[0]]
    require(found == [(3, 0), (0, 0), (0, 2)], f"no hidden unit should be left, got {found}")
    check_outputs(rng, network, small)
    unread = rng.standard_normal((4, 3))
    unread[1], unread[:, 2] = 0, 0
    small, _ = shrunk(student, (unread,), (rng.standard_normal(3),))
    close(small, (unread,), atol=0, what="a single layer, of which nothing is hidden")

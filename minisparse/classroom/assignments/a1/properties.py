"""What a solution of a1 must do: each part by itself, then all of them inside the engine."""

import numpy as np

from minisparse.classroom.properties import close, exact, gradient_holds, number, prop, require

SHAPES = ((), (3,), (2, 4))


def check_rule(student, rng, name, settings, forward, slopes, make):
    """Check a rule of elementwise inputs: by gradcheck, then exactly, with one cotangent and with two."""
    arrays = make((3,))
    gradient_holds(
        lambda *a: forward(*a), lambda g, *a: student.rule(name, settings, g, *a), *arrays
    )
    for shape in SHAPES:
        arrays = make(shape)
        for lead in ((), (2,)):
            g = rng.standard_normal(lead + shape)
            got = student.frozen.rule(name, settings, g, *arrays)
            for one, slope in zip(got, slopes(*arrays), strict=True):
                several = f" with {lead[0]} cotangents in front" if lead else ""
                exact(one, g * slope, f"{name}.backward for inputs of shape {shape}{several}")


# ---- 1.1 ----------------------------------------------------------------------------------------


def away_from_zero(rng, shape):
    return np.asarray(rng.uniform(0.5, 2, shape) * rng.choice([-1.0, 1.0], shape))


@prop("1.1", "gradient", points=2, name="a / b", function="Div")
def quotient(student, reference, rng, level):
    check_rule(
        *(student, rng, "Div", (), lambda a, b: a / b),
        lambda a, b: (1 / b, -a / b**2),
        lambda shape: (np.asarray(rng.standard_normal(shape)), away_from_zero(rng, shape)),
    )


@prop("1.1", "gradient", points=2, name="x^p", function="PowConstant")
def constant_power(student, reference, rng, level):
    for p in (3, 0.5, -2, 1):
        check_rule(
            *(student, rng, "PowConstant", (p,), lambda x, p=p: x**p),
            lambda x, p=p: (p * x ** (p - 1),),
            lambda shape: (np.asarray(rng.uniform(0.5, 2, shape)),),
        )


@prop("1.1", "edge", points=1, name="x^p at zero", function="PowConstant")
def power_at_zero(student, reference, rng, level):
    x, g = np.array([0.0, -rng.uniform(1, 2), rng.uniform(1, 2)]), rng.standard_normal(3)
    for p, slope in ((2, 2 * x), (1, np.ones(3)), (0, np.zeros(3))):
        (got,) = student.rule("PowConstant", (p,), g, x)
        close(got, g * slope, rtol=1e-12, atol=1e-14, what=f"the gradient of x^{p}, at 0 too")


@prop("1.1", "gradient", points=1, name="log x", function="Log")
def logarithm(student, reference, rng, level):
    check_rule(
        *(student, rng, "Log", (), np.log),
        lambda x: (1 / x,),
        lambda shape: (np.asarray(rng.uniform(0.5, 2, shape)),),
    )


@prop("1.1", "edge", points=1, name="float32 stays float32")
def in_float32(student, reference, rng, level):
    a, g = rng.uniform(0.5, 2, (2, 3)).astype(np.float32)
    quotients = student.rule("Div", (), g, a, a)
    close(quotients, (g / a, -g / a), what="Div.backward in float32")
    close(student.rule("PowConstant", (3,), g, a), (3 * g * a * a,), what="that of x^3")
    close(student.rule("Log", (), g, a), (g / a,), what="Log.backward in float32")


# ---- 1.2 ----------------------------------------------------------------------------------------


@prop("1.2", "gradient", points=3, name="both factors")
def factors(student, reference, rng, level):
    n, k, m = (int(s) for s in rng.permutation([2, 3, 4]))
    a, b = rng.standard_normal((n, k)), rng.standard_normal((k, m))
    gradient_holds(np.matmul, lambda g, a, b: student.rule("MatMul", (), g, a, b), a, b)
    g = rng.standard_normal((n, m))
    got = student.frozen.rule("MatMul", (), g, a, b)
    exact(got[0], np.einsum("im,km->ik", g, b), "the gradient of the left factor")
    exact(got[1], np.einsum("ik,im->km", a, g), "the gradient of the right factor")


@prop("1.2", "edge", points=1, name="square matrices, stacks, several cotangents")
def squares_and_stacks(student, reference, rng, level):
    n = int(rng.integers(2, 5))
    for stack, lead in (((), ()), ((2,), ()), ((), (3,)), ((2,), (3,))):
        a, b = rng.standard_normal((2, *stack, n, n))
        g = rng.standard_normal((*lead, *stack, n, n))
        got = student.rule("MatMul", (), g, a, b)
        exact(got[0], np.einsum("...im,...km->...ik", g, b), "the gradient of the left factor")
        exact(got[1], np.einsum("...ik,...im->...km", a, g), "the gradient of the right factor")


# ---- 1.3 ----------------------------------------------------------------------------------------


def summed_by_hand(g, shape, ndim):
    """Return g added up element by element: where x was repeated, all meet again."""
    lead = g.shape[: g.ndim - ndim]
    out = np.zeros(lead + shape)
    for place in np.ndindex(g.shape):
        own = place[g.ndim - len(shape) :] if shape else ()
        own = tuple(0 if n == 1 else i for i, n in zip(own, shape, strict=True))
        out[place[: len(lead)] + own] += g[place]
    return out


@prop("1.3", "forward", points=2, name="lacking axes and axes of length 1")
def undone(student, reference, rng, level):
    for shape in ((4,), (3, 1), (1, 4), (1, 1), (3, 4), (2, 1, 4), ()):
        g = rng.standard_normal((2, 3, 4))
        got = student.frozen.summed(g, shape, 3)
        close(got, summed_by_hand(g, shape, 3), rtol=1e-12, atol=1e-12, what=f"the sum to {shape}")


@prop("1.3", "gradient", points=1, name="it is the gradient of broadcasting")
def adjoint(student, reference, rng, level):
    for shape in ((1, 3), (3,), (2, 1)):
        gradient_holds(
            lambda x: np.broadcast_to(x, (4, 2, 3)).copy(),
            lambda g, x: student.summed(g, x.shape, 3),
            rng.standard_normal(shape),
        )


@prop(
    "1.3",
    "edge",
    points=1,
    name="axes of further cotangents stay; lengths of 1 that were not repeated",
)
def leading_axes(student, reference, rng, level):
    for shape in ((4,), (3, 1), (1, 4), ()):
        g = rng.standard_normal((2, 3, 4))
        got = student.summed(g, shape, 2)
        want = summed_by_hand(g, shape, 2)
        close(got, want, rtol=1e-12, atol=1e-12, what=f"the sums of 2 cotangents to {shape}")
    g = rng.standard_normal((1, 3, 1)).astype(np.float32)
    close(student.summed(g, (1, 3, 1), 3), g, atol=0, what="the sum to the shape that is there")
    close(student.summed(g, (3, 1), 3), g[0], atol=0, what="the sum over an axis of length 1")


# ---- 1.4 ----------------------------------------------------------------------------------------


def program(rng, size):
    """Return a graph of sums, in which some leaves want no gradient and some tensors lead nowhere."""
    leaves = [(None, True), (None, False), (None, True)]
    sums = ((rng.integers(max(0, k - 5), k), rng.integers(k)) for k in range(3, size))
    return leaves + [(int(i), int(j)) for i, j in sums]


def needs_gradient(steps):
    wants = []
    for i, j in steps:
        wants.append(bool(j) if i is None else wants[i] or wants[j])
    return wants


def check_order(student, steps):
    """Judge the order that a submission gives for a graph, place by place."""
    packed = np.array([(-1, int(j)) if i is None else (i, j) for i, j in steps])
    found = student.order(packed)
    wants, last = needs_gradient(steps), len(steps) - 1
    reached, users = {last}, {k: [] for k in range(len(steps))}
    for k in range(last, -1, -1):
        i, j = steps[k]
        if k in reached and i is not None:
            for x in {i, j}:
                if wants[x]:
                    reached.add(x)
                    users[x].append(k)
    right = isinstance(found, list) and all(type(k) is int for k in found)
    require(right, "_order should return a list of tensors of the graph")
    require(len(set(found)) == len(found), "a tensor appears more than once in the order")
    missing, more = len(reached - set(found)), len(set(found) - reached)
    require(not missing, f"{missing} of {len(reached)} tensors are missing from the order")
    require(not more, f"{more} tensors should not be in the order: no gradient is wanted for them")
    at = {k: place for place, k in enumerate(found)}
    for x in reached:
        late = [u for u in users[x] if at[u] > at[x]]
        require(not late, "a tensor comes before an operation that uses it has contributed")


@prop("1.4", "forward", points=3, name="after all uses, and nothing twice")
def after_all_uses(student, reference, rng, level):
    for size in (4, 8, 15, 40, 120):
        steps = program(rng, size)
        if needs_gradient(steps)[-1]:
            check_order(student, steps)
    # One input reaches the result directly, and through a long way.
    steps = [(None, True), (0, 0), (1, 1), (2, 1), (0, 3)]
    check_order(student, steps)


@prop("1.4", "edge", points=1, name="a result that is a leaf; the same input twice")
def small_graphs(student, reference, rng, level):
    unused = [(None, bool(b)) for b in rng.integers(0, 2, 12)]  # leaves that lead nowhere
    for steps in ([(0, 0)], [(0, 0), (1, 1)], []):
        moved = [(i + len(unused), j + len(unused)) for i, j in steps]
        check_order(student, [*unused, (None, True), *moved])


@prop("1.4", "edge", points=2, name="linear time: doublings, and chains too long for a recursion")
def linear(student, reference, rng, level):
    doublings = [(None, True), *((k, k) for k in range(60))]  # 2^60 ways
    check_order(student, doublings)
    # A long way, along which one of three leaves joins in each time, two of which want a gradient.
    chain = [(None, True), (None, False), (None, True)]
    chain += [(k - 1, int(j)) for k, j in enumerate(rng.integers(0, 3, 5_000), start=3)]
    check_order(student, chain)


def check_used_rules(student, rng):
    """Check by themselves the rules that the whole function needs.

    The engine runs where the student's file can reach it: alone, what it answers proves nothing.
    """
    a, b, g = rng.standard_normal(3), rng.uniform(1, 2, 3), rng.standard_normal(3)
    for name, settings, inputs, slopes in (
        ("Div", (), (a, b), (1 / b, -a / b**2)),
        ("PowConstant", (2,), (a,), (2 * a,)),
        ("Log", (), (b,), (1 / b,)),
    ):
        got = student.rule(name, settings, g, *inputs)
        for one, slope in zip(got, slopes, strict=True):
            exact(one, g * slope, f"{name}.backward")


@prop("1.4", "gradient", points=2, name="all parts together, in the engine")
def together(student, reference, rng, level):
    arrays = rng.standard_normal((3, 2)), rng.standard_normal((2, 4)), rng.standard_normal(4)
    arrays[0][:] += 2

    def f(x, w, b):
        h = (x @ w + b) ** 2 / (1 + b * b)
        return (np.log(h + 1.5) * h.sum(axis=0)).sum() / x.sum()

    value, got = student.gradients(*arrays)
    close(number(value, "the value"), f(*arrays), rtol=1e-9, what="the value")
    require(isinstance(got, tuple) and len(got) == 3, "expected three gradients")
    for k, (a, one) in enumerate(zip(arrays, got, strict=True)):
        want = np.zeros(a.shape)
        for place in np.ndindex(a.shape):  # f accepts complex numbers
            moved = [b.astype(complex) for b in arrays]
            moved[k][place] += 1e-30j
            want[place] = f(*moved).imag / 1e-30
        exact(one, want, f"the gradient of argument {k}")
    v, h = rng.standard_normal((3, 2)), 1e-4
    up, down = (student.gradients(arrays[0] + s * h * v, *arrays[1:])[1][0] for s in (1, -1))
    second = student.hessian_product(v, *arrays)
    scale = float(np.abs(up).max())
    close(
        second, (up - down) / (2 * h), rtol=1e-5, atol=1e-5 * scale, what="gradients of gradients"
    )
    check_used_rules(student, rng)  # last: who has written no rule yet is told of this exercise

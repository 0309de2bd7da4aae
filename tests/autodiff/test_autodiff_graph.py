"""The traversal: iterative, linear in the number of operations, and nothing kept for too long."""

import gc
import sys
import weakref
from collections import Counter

import numpy as np
import pytest

import minisparse.autodiff as ad
from minisparse.autodiff import GraphError, Op, Tensor, gradients


def leaf(value=1.0):
    return Tensor(np.float64(value), requires_grad=True)


class Steps(tuple):
    """The inputs of a tensor; counts how often a traversal looks at them."""

    count = 0

    def __iter__(self):
        Steps.count += len(self)
        return super().__iter__()


@pytest.fixture
def work(monkeypatch):
    """Count applied operations, backward calls and looks at inputs."""
    counts = Counter()
    call = Op.__call__

    def noting(self, *inputs):
        counts["applied"] += 1
        y = call(self, *inputs)
        if y.inputs:
            y.inputs = Steps(y.inputs)
        return y

    monkeypatch.setattr(Op, "__call__", noting)
    for cls in Op.__subclasses__():
        if cls.__module__.startswith("minisparse"):
            backward = cls.backward

            def counting(self, *args, backward=backward):
                counts["backward"] += 1
                return backward(self, *args)

            monkeypatch.setattr(cls, "backward", counting)
    Steps.count = 0
    return counts


def measure(work, build, differentiate):
    """Return (operations, backward calls, operations applied in the backward, inputs seen)."""
    work.clear()
    y = build()
    n = work["applied"]
    Steps.count = 0
    work.clear()
    differentiate(y)
    return n, work["backward"], work["applied"], Steps.count


def chain(x, n):
    y = x
    for _ in range(n):
        y = y * 1.0001
    return y


def doublings(x, n):
    y = x
    for _ in range(n):
        y = y + y
    return y


def diamonds(x, n):
    y = x
    for _ in range(n):
        y = y * 0.5 + y * 0.5
    return y


def fan_out(x, n):
    parts = [x * float(i) for i in range(n)]
    while len(parts) > 1:
        parts = [a + b for a, b in zip(parts[::2], parts[1::2], strict=True)]
    return parts[0]


def running_sum(x, n):
    y = x
    for _ in range(n):
        y = y + x
    return y


GRAPHS = {
    # name: (build, sizes, derivative of the larger)
    "chain": (chain, (200, 400), 1.0001**400),
    "doublings": (doublings, (20, 40), 2.0**40),
    "diamonds": (diamonds, (100, 200), 1.0),
    "fan-out": (fan_out, (256, 512), 511 * 512 / 2),
    "running sum": (running_sum, (200, 400), 401.0),
}


@pytest.mark.parametrize("through", ["backward", "gradients", "batched", "create_graph"])
@pytest.mark.parametrize("name", GRAPHS)
def test_work_grows_with_the_number_of_operations(name, through, work):
    build, sizes, derivative = GRAPHS[name]
    x = leaf()
    result = []

    def differentiate(y):
        if through == "backward":
            y.backward()
            result.append(x.grad)
        elif through == "gradients":
            result.extend(gradients(y, [x]))
        elif through == "batched":
            result.append(gradients(y, [x], [2.0, 1.0], batched=True)[0][1])
        else:
            result.extend(gradients(y, [x], create_graph=True))

    (n1, b1, a1, s1), (n2, b2, a2, s2) = (
        measure(work, lambda size=size: build(x, size), differentiate) for size in sizes
    )
    assert b1 <= n1 + 2  # one call for each operation
    assert b2 <= n2 + 2
    assert abs((n2 / n1) - 2) < 0.05, "the larger graph is twice the smaller"
    assert a2 <= 2.1 * a1 + 5
    assert s2 <= 2.1 * s1 + 5
    assert s2 <= 6 * 2 * n2  # every input is looked at a few times, not once per path
    if through != "backward":  # there the two derivatives add up
        np.testing.assert_allclose(result[-1].item(), derivative, rtol=1e-9)


def test_forty_doublings():
    x = leaf()
    y = doublings(x, 40)
    y.backward()
    assert x.grad.item() == 2.0**40


@pytest.mark.parametrize(
    ("build", "n", "derivative"),
    [
        (chain, 20_000, 1.0001**20_000),
        (diamonds, 10_000, 1.0),
        (running_sum, 10_000, 10_001.0),
        (fan_out, 2**13, (2**13 - 1) * 2**12),
    ],
)
def test_large_graphs_with_the_default_recursion_limit(build, n, derivative):
    assert sys.getrecursionlimit() <= 3000
    x = leaf()
    y = build(x, n)
    (g,) = gradients(y, [x], retain_graph=True)
    np.testing.assert_allclose(g.item(), derivative, rtol=1e-9)
    y.backward()
    np.testing.assert_allclose(x.grad.item(), derivative, rtol=1e-9)
    z = build(x, n)
    del y, z  # one graph that was used, and one that was not


def test_ten_thousand_uses_of_one_tensor():
    x = Tensor(np.ones(3), requires_grad=True)
    y = ad.stack([x * float(i) for i in range(10_000)]).sum(0)
    y.backward(np.array([1.0, 2.0, 3.0]))
    total = 9_999 * 10_000 / 2
    np.testing.assert_allclose(x.grad.numpy(), [total, 2 * total, 3 * total])


def test_a_deep_graph_of_gradients():
    x = leaf(1.0)
    (g,) = gradients(chain(x, 3_000) ** 3, [x], create_graph=True)
    (h,) = gradients(g, [x])
    np.testing.assert_allclose(h.item(), 6 * 1.0001**9_000, rtol=1e-9)


def test_the_second_use_is_complete_before_the_first_goes_on():
    """The order of a diamond with legs of different lengths, in both orders of the operands."""
    for swap in (False, True):
        x = leaf(0.3)
        h = ad.tanh(x)
        long = ad.exp(ad.exp(ad.exp(h)))
        y = h * long if swap else long * h
        (g,) = gradients(y, [x])
        e = 1e-6
        values = []
        for z in (0.3 - e, 0.3 + e):
            h = np.tanh(z)
            values.append(h * np.exp(np.exp(np.exp(h))))
        np.testing.assert_allclose(g.item(), (values[1] - values[0]) / (2 * e), rtol=1e-7)


# ---- what is kept -----------------------------------------------------------------------------


def everything(x):
    """Apply operations of every kind of saving."""
    y = ad.exp(x) * x + ad.sigmoid(x).reshape(3, 1).T[0]
    y = ad.softmax(y) + ad.log_softmax(y) + ad.relu(y) / 2 + y.max() + y.logsumexp()
    y = ad.batch_norm(ad.stack([y, x * y, y]), np.ones(3), np.ones(3))[0] @ np.ones((3, 2))
    image = y.reshape(1, 3, 2, 1)
    image = ad.conv2d(image, np.ones((2, 2, 1, 2)), padding=1)
    image = ad.avg_pool2d(ad.max_pool2d(image, 2), 1)
    return ad.dropout(image, 0.3, np.random.default_rng(0)).sum() + y[[0, 0]].sum()


@pytest.fixture(scope="module")
def compiled():
    """Use all kernels once: the compiler leaves cycles behind, which would hide ours."""
    x = Tensor(np.array([0.1, 0.4, -0.3]), requires_grad=True)
    (g,) = gradients(everything(x), [x], create_graph=True)
    (g * g).sum().backward()


@pytest.fixture
def no_gc(compiled):  # noqa: ARG001
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_gc")
@pytest.mark.parametrize("end", ["dropped", "backward", "gradients", "retained", "second order"])
def test_a_dropped_graph_is_freed_by_reference_counting(end):
    x = Tensor(np.array([0.1, 0.4, -0.3]), requires_grad=True)
    alive = []
    call = Op.__call__

    def noting(self, *inputs):
        y = call(self, *inputs)
        alive.append(weakref.ref(y))
        alive.append(weakref.ref(self))
        return y

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Op, "__call__", noting)
        y = everything(x)
        if end == "backward":
            y.backward()
        elif end == "gradients":
            gradients(y, [x])
        elif end == "retained":
            y.backward(retain_graph=True)
        elif end == "second order":
            (g,) = gradients(y, [x], create_graph=True)
            g = (g * g).sum()
            gradients(g, [x])
            del g
    x.grad = None
    del y
    assert len(alive) > 40
    assert sum(r() is not None for r in alive) == 0
    assert x.memory.held == 0


@pytest.mark.usefixtures("no_gc")
def test_a_leaf_does_not_keep_what_was_computed_from_it():
    x = leaf()
    y = ad.exp(x * x)
    y.backward()
    operation = weakref.ref(y)
    del y
    assert operation() is None
    assert x.memory.held_by is None


@pytest.mark.usefixtures("no_gc")
def test_the_backward_frees_as_it_goes():
    """After it the result alone is left: neither inputs, nor operations, nor saved arrays."""
    x = Tensor(np.ones(3), requires_grad=True)
    h = ad.exp(x)
    middle = weakref.ref(h)
    y = (h * 2).sum()
    del h
    assert middle() is not None
    y.backward()
    assert middle() is None
    assert y.inputs == ()
    assert y.item() == pytest.approx(6 * np.e)


@pytest.mark.usefixtures("no_gc")
def test_without_a_graph_nothing_is_kept():
    x = Tensor(np.ones(3), requires_grad=True)
    with ad.no_grad():
        h = ad.exp(x)
        y = h.reshape(3, 1) * 2
        d = h.detach()
    assert not y.requires_grad
    assert y.op is None
    watch = weakref.ref(h)
    del h
    assert watch() is None, "neither a product nor a detached tensor keeps it"
    assert d.shape == (3,)


@pytest.mark.usefixtures("no_gc")
def test_a_detached_tensor_does_not_keep_the_graph():
    x = Tensor(np.ones(3), requires_grad=True)
    h = ad.exp(x)
    y = h * 2
    kept = [y.detach(), y.numpy(), y.data]
    watch = weakref.ref(h)
    del h, y
    assert watch() is None
    assert len(kept) == 3


# ---- recording or not -------------------------------------------------------------------------


def test_recording_can_be_switched_off_and_on():
    x = leaf(2.0)
    with ad.no_grad():
        assert not ad.is_recording()
        a = x * x
        with ad.enable_grad():
            b = x * x
        assert not ad.is_recording()
    assert ad.is_recording()
    assert not a.requires_grad
    b.backward()
    assert x.grad.item() == 4
    with pytest.raises(ZeroDivisionError), ad.no_grad():
        raise ZeroDivisionError
    assert ad.is_recording()


def test_a_backward_inside_no_grad():
    x = leaf(2.0)
    y = x * x
    with ad.no_grad():
        y.backward()
        assert not ad.is_recording()
    assert x.grad.item() == 4
    assert not x.grad.requires_grad


def test_a_failing_backward_leaves_recording_as_it_was():
    class Wrong(Op):
        def forward(self, x):
            return x * 2

        def backward(self, *_):
            raise ZeroDivisionError

    x = leaf()
    y = Wrong()(x)
    with pytest.raises(ZeroDivisionError):
        y.backward()
    assert ad.is_recording()
    assert x.grad is None


def test_the_backward_of_a_backward_through_grad():
    x = leaf(2.0)
    (x**3).backward(create_graph=True)
    first = x.grad
    assert first.item() == 12
    x.grad = None
    first.backward()
    assert x.grad.item() == 12  # 6 x


def test_gradients_of_intermediate_tensors():
    x = leaf(2.0)
    h = x * x
    y = h * h + h
    gh, gx, gy = gradients(y, [h, x, y])
    assert (gh.item(), gx.item(), gy.item()) == (9, 36, 1)
    assert h.grad is None
    assert x.grad is None


def test_only_leaves_get_grad():
    x = leaf(2.0)
    h = x * x
    c = Tensor(3.0)
    (h * c).backward()
    assert h.grad is None
    assert c.grad is None
    assert x.grad.item() == 12


def test_the_backward_of_a_leaf_itself():
    x = leaf(2.0)
    x.backward()
    assert x.grad.item() == 1
    (g,) = gradients(x, [x], 5.0)
    assert g.item() == 5


def test_a_freed_graph_says_so_wherever_it_is_met():
    x = leaf(2.0)
    for again in (
        lambda y, z: y.backward(),  # noqa: ARG005
        lambda y, z: z.backward(),  # noqa: ARG005
        lambda y, z: gradients(z, [x]),  # noqa: ARG005  (reaches x also without h: half a result)
        lambda y, z: gradients(z, [x], allow_unused=True),  # noqa: ARG005
        lambda y, z: gradients(y, [x], allow_unused=True),  # noqa: ARG005
    ):
        h = x * x
        y, z = h * 3, h * x
        x.grad = None
        y.backward()
        with pytest.raises(GraphError, match="retain_graph=True"):
            again(y, z)
        np.testing.assert_allclose(x.grad.item(), 12)


def test_retain_graph():
    x = leaf(2.0)
    y = x**3
    for _ in range(3):
        y.backward(retain_graph=True)
    assert x.grad.item() == 36
    assert gradients(y, [x], retain_graph=True)[0].item() == 12
    assert gradients(y, [x], create_graph=True)[0].item() == 12  # implies it
    y.backward()

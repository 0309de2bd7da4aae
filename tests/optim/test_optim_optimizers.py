import math

import numpy as np
import pytest

from minisparse import nn
from minisparse.autodiff import Tensor
from minisparse.optim import SGD, Adam, AdamW


def rng(seed=0):
    return np.random.default_rng(seed)


def parameter(seed=0, shape=(4, 3), dtype=np.float64):
    return nn.Parameter(rng(seed).standard_normal(shape).astype(dtype), name="w")


def give_gradient(p, g):
    p.grad = Tensor(np.array(g, p.dtype))


GRADIENTS = [rng(100 + t).standard_normal((4, 3)) for t in range(6)]
RATES = [0.1, 0.1, 0.03, 0.03, 0.2, 0.2]  # the rate may change between steps


def run(optimizer, p):
    path = []
    for lr, g in zip(RATES, GRADIENTS, strict=True):
        optimizer.lr = lr
        give_gradient(p, g)
        optimizer.step()
        path.append(p.numpy())
    return path


# ---- SGD: the formulas, one scalar weight at a time -------------------------------------------


def sgd(w, gradients, momentum=0.0, nesterov=False, decay=0.0, decoupled=False):
    velocity = 0.0
    for lr, g in zip(RATES, gradients, strict=True):
        w_old = w
        d = g if decoupled else g + decay * w_old
        velocity = momentum * velocity + d
        move = d + momentum * velocity if nesterov else velocity
        w = w_old - lr * move - (lr * decay * w_old if decoupled else 0.0)
        yield w


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"momentum": 0.9},
        {"momentum": 0.9, "nesterov": True},
        {"weight_decay": 0.5},
        {"weight_decay": 0.5, "decoupled": True},
        {"momentum": 0.8, "weight_decay": 0.5},
        {"momentum": 0.8, "weight_decay": 0.5, "decoupled": True},
        {"momentum": 0.8, "nesterov": True, "weight_decay": 0.5, "decoupled": True},
    ],
)
def test_sgd_follows_its_formula(settings, dtype):
    p = parameter(dtype=dtype)
    start = p.numpy().astype(np.float64)
    path = run(SGD([("w", p)], lr=1.0, **settings), p)
    formula = {"decay" if k == "weight_decay" else k: v for k, v in settings.items()}
    for i in np.ndindex(4, 3):
        expected = list(sgd(start[i], [g[i] for g in GRADIENTS], **formula))
        rtol = 1e-12 if dtype == np.float64 else 2e-5
        np.testing.assert_allclose([w[i] for w in path], expected, rtol=rtol, atol=rtol)
    assert p.dtype == dtype


def test_plain_sgd_on_a_parabola_is_a_geometric_sequence():
    p = nn.Parameter(np.array([3.0]))
    optimizer = SGD([("w", p)], lr=0.1)
    for t in range(1, 8):
        p.grad = None
        (p * p).sum().backward()  # gradient 2 w: w <- 0.8 w
        optimizer.step()
        assert math.isclose(p.item(), 3 * 0.8**t, rel_tol=1e-12)


def test_coupled_and_decoupled_decay_differ_with_momentum_only():
    for momentum in (0.0, 0.9):
        ends = []
        for decoupled in (False, True):
            p = parameter()
            optimizer = SGD([p], 0.1, momentum, weight_decay=0.3, decoupled=decoupled)
            ends.append(run(optimizer, p)[-1])
        assert np.allclose(*ends, rtol=1e-12) == (momentum == 0)


def test_decay_alone_shrinks_by_a_constant_factor():
    p = nn.Parameter(np.array([2.0]))
    optimizer = SGD([p], lr=0.1, weight_decay=0.5, decoupled=True)
    for _ in range(3):
        give_gradient(p, [0.0])
        optimizer.step()
    assert math.isclose(p.item(), 2 * 0.95**3, rel_tol=1e-12)


# ---- Adam -------------------------------------------------------------------------------------


def adam(w, gradients, beta1=0.9, beta2=0.999, eps=1e-8, decay=0.0, decoupled=False):
    for t in range(1, len(gradients) + 1):
        lr, g = RATES[t - 1], gradients[t - 1]
        if decoupled:
            w -= lr * decay * w
        # running means as the weighted sums that they are; the coupled decay is in `seen`
        if t == 1:
            seen = []
        seen.append(g if decoupled else g + decay * w)
        m = sum((1 - beta1) * beta1 ** (t - 1 - i) * d for i, d in enumerate(seen))
        v = sum((1 - beta2) * beta2 ** (t - 1 - i) * d**2 for i, d in enumerate(seen))
        w -= lr * (m / (1 - beta1**t)) / (math.sqrt(v / (1 - beta2**t)) + eps)
        yield w


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", [Adam, AdamW])
@pytest.mark.parametrize(
    "settings",
    [{}, {"betas": (0.8, 0.95), "eps": 1e-3}, {"weight_decay": 0.3}, {"betas": (0.0, 0.0)}],
)
def test_adam_follows_its_formula(kind, settings, dtype):
    p = parameter(dtype=dtype)
    start = p.numpy().astype(np.float64)
    path = run(kind([("w", p)], lr=1.0, **settings), p)
    formula = {"decoupled": kind is AdamW, "decay": settings.get("weight_decay", 0.0)}
    if "betas" in settings:
        formula["beta1"], formula["beta2"] = settings["betas"]
    formula["eps"] = settings.get("eps", 1e-8)
    for i in np.ndindex(4, 3):
        expected = list(adam(start[i], [g[i] for g in GRADIENTS], **formula))
        rtol = 1e-11 if dtype == np.float64 else 2e-5
        np.testing.assert_allclose([w[i] for w in path], expected, rtol=rtol, atol=rtol)


def test_the_first_step_of_adam_has_the_length_of_the_learning_rate():
    for scale in (1e-4, 1.0, 1e4):
        p = nn.Parameter(np.zeros(2))
        optimizer = Adam([p], lr=0.01)
        give_gradient(p, [scale, -scale])
        optimizer.step()
        np.testing.assert_allclose(p.numpy(), [-0.01, 0.01], rtol=2e-4)


# ---- what optimizers share --------------------------------------------------------------------

OPTIMIZERS = {
    "plain": lambda p: SGD(p, 0.1),
    "momentum": lambda p: SGD(p, 0.1, 0.9),
    "nesterov": lambda p: SGD(p, 0.1, 0.9, nesterov=True),
    "adam": lambda p: Adam(p, 0.1),
    "adamw": lambda p: AdamW(p, 0.1, weight_decay=0.1),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_state_continues_where_it_was(name):
    def steps(optimizer, p, gradients):
        for g in gradients:
            give_gradient(p, g)
            optimizer.step()

    whole, halves = parameter(), parameter()
    optimizer = OPTIMIZERS[name]([whole])
    steps(optimizer, whole, GRADIENTS)

    first = OPTIMIZERS[name]([halves])
    steps(first, halves, GRADIENTS[:3])
    first.lr = 0.05
    state, kept = first.state_dict(), halves.numpy()
    first.step()  # what was saved is a copy
    halves.data[...] = kept
    second = OPTIMIZERS[name]([halves])
    second.load_state_dict(state)
    assert second.lr == 0.05
    for value in state.values():
        if isinstance(value, np.ndarray):
            value += 100  # what was loaded is one, too
    second.lr = 0.1
    steps(second, halves, GRADIENTS[3:])
    np.testing.assert_array_equal(halves.numpy(), whole.numpy())
    if name != "plain":
        other = parameter()
        steps(OPTIMIZERS[name]([other]), other, GRADIENTS[3:])
        assert not np.array_equal(other.numpy(), whole.numpy()), "the state matters"


def test_a_state_that_does_not_fit_changes_nothing():
    p = parameter()
    optimizer = Adam([p], 0.1)
    give_gradient(p, GRADIENTS[0])
    optimizer.step()
    before = optimizer.state_dict()
    with pytest.raises(KeyError, match=r"Adam with 1 parameters: \['m.0', 'v.0', 'velocity.0'\]"):
        optimizer.load_state_dict(SGD([p], 0.2, 0.9).state_dict())
    with pytest.raises(ValueError, match=r"v.0 is \(3,\), expected \(4, 3\)"):
        optimizer.load_state_dict(
            {**before, "lr": 7.0, "m.0": before["m.0"] + 1, "v.0": np.ones(3)}
        )
    after = optimizer.state_dict()
    assert after["lr"] == 0.1
    np.testing.assert_array_equal(after["m.0"], before["m.0"])


@pytest.mark.parametrize("name", ["momentum", "nesterov", "adam", "adamw"])
def test_momentum_moves_a_pruned_weight_unless_its_state_is_reset(name):
    pruned = np.zeros((4, 3), bool)
    pruned[1, 2] = pruned[3, 0] = True
    moved = {}
    for reset in (False, True):
        p, bystander = parameter(), parameter(1)
        optimizer = OPTIMIZERS[name]([("w", p), ("u", bystander)])
        for t in range(2):
            give_gradient(p, GRADIENTS[t])
            give_gradient(bystander, GRADIENTS[t])
            optimizer.step()
        p.data[pruned] = 0
        if reset:
            optimizer.reset_state(p, pruned)
            for slot in optimizer.slots:
                assert (optimizer.state[slot][0][pruned] == 0).all(), slot
        kept = p.numpy()
        for t in range(2, 4):
            give_gradient(p, np.where(pruned, 0, GRADIENTS[t]))
            give_gradient(bystander, GRADIENTS[t])
            optimizer.step()
        moved[reset] = p.numpy(), bystander.numpy()
        assert ((p.numpy() != kept) | pruned).all(), "the others train on"
    assert (moved[False][0][pruned] != 0).all(), "old speed revives pruned weights"
    assert (moved[True][0][pruned] == 0).all()
    np.testing.assert_array_equal(moved[True][0][~pruned], moved[False][0][~pruned])
    np.testing.assert_array_equal(moved[True][1], moved[False][1], "another parameter")


def test_reset_state_errors():
    p = parameter()
    optimizer = SGD([p], 0.1, 0.9)
    with pytest.raises(ValueError, match="'w' does not belong to this optimizer"):
        optimizer.reset_state(parameter(), np.zeros((4, 3), bool))
    for where in (np.ones((4, 3), int), np.ones(4, bool), np.ones((3, 4), bool)):
        with pytest.raises(ValueError, match=r"shape \(4, 3\) and needs a bool array"):
            optimizer.reset_state(p, where)


def test_a_parameter_without_gradient_stays():
    p, q = parameter(), parameter(1)
    optimizer = Adam([p, q], 0.1, weight_decay=0.1)
    before = q.numpy()
    give_gradient(p, GRADIENTS[0])
    optimizer.step()
    np.testing.assert_array_equal(q.numpy(), before)
    optimizer.zero_grad()
    assert p.grad is None
    moved = p.numpy()
    optimizer.step()
    np.testing.assert_array_equal(p.numpy(), moved)


def test_parameters_of_a_module_in_the_order_of_their_definition():
    model = nn.LeNet5(rng=rng())
    assert [n for n, _ in SGD(model, 0.1).params] == [n for n, _ in model.named_parameters()]
    assert [p for _, p in SGD(iter(model.parameters()), 0.1).params] == model.parameters()


def test_a_step_after_the_forward_is_noticed_by_the_backward():
    p = nn.Parameter(np.array([2.0]))
    optimizer = SGD([p], 0.1)
    (p * p).sum().backward()
    late = (p * p).sum()
    optimizer.step()
    with pytest.raises(RuntimeError, match="written to"):
        late.backward()


def test_bad_settings():
    p = parameter()
    for bad in (-0.1, math.nan, math.inf):
        with pytest.raises(ValueError, match="learning rate is a finite number >= 0"):
            SGD([p], bad)
        with pytest.raises(ValueError, match="weight_decay is a finite number >= 0"):
            Adam([p], 0.1, weight_decay=bad)
    for bad in (-0.1, 1.0, math.nan):
        with pytest.raises(ValueError, match=r"momentum lies in \[0, 1\)"):
            SGD([p], 0.1, momentum=bad)
        with pytest.raises(ValueError, match=r"betas lie in \[0, 1\)"):
            Adam([p], 0.1, betas=(0.9, bad))
    with pytest.raises(ValueError, match="nesterov needs momentum"):
        SGD([p], 0.1, nesterov=True)
    for bad in (0.0, math.nan):
        with pytest.raises(ValueError, match="eps > 0"):
            Adam([p], 0.1, eps=bad)
    with pytest.raises(ValueError, match="no parameters"):
        SGD([], 0.1)
    with pytest.raises(TypeError, match="parameter 1 is a ndarray, expected a Parameter"):
        SGD([p, np.zeros(3)], 0.1)
    with pytest.raises(ValueError, match=r"parameter 1 \('w'\) is there twice"):
        SGD([("a", p), ("b", p)], 0.1)
    with pytest.raises(TypeError, match="a set has no order"):
        SGD({p, parameter(1)}, 0.1)


@pytest.mark.parametrize("gradient", [np.ones((3, 2)), 1.0, [[1.0, 1.0]] * 3], ids=type)
def test_a_gradient_that_is_no_tensor_is_told(gradient):
    model = nn.Linear(3, 2, rng=np.random.default_rng(0))
    model.weight.grad = gradient
    with pytest.raises(TypeError, match=r"that of 'weight' is a .*: assign Tensor\(array\)"):
        SGD(model, 0.1).step()

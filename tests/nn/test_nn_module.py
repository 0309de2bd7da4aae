import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest

from minisparse import nn
from minisparse.autodiff import Tensor, relu


def rng(seed=0):
    return np.random.default_rng(seed)


class Net(nn.Module):
    def __init__(self, seed=0):
        generator = rng(seed)
        self.zeta = nn.Linear(3, 4, rng=generator)
        self.norm = nn.BatchNorm1d(4)
        self.scale = nn.Parameter([2.0])
        self.alpha = nn.Linear(4, 2, bias=False, rng=generator)
        self.drop = nn.Dropout(0.5, rng=generator)

    def forward(self, x):
        return self.alpha(self.drop(self.norm(self.zeta(x)))) * self.scale


NAMES = ["zeta.weight", "zeta.bias", "norm.weight", "norm.bias", "scale", "alpha.weight"]
BUFFERS = ["norm.running_mean", "norm.running_var"]


# ---- what there is ----------------------------------------------------------------------------


def test_parameters_come_in_the_order_of_definition():
    model = Net()
    assert [n for n, _ in model.named_parameters()] == NAMES
    assert [id(p) for p in model.parameters()] == [id(p) for _, p in model.named_parameters()]
    assert [n for n, _ in model.named_modules()] == ["", "zeta", "norm", "alpha", "drop"]
    assert list(model.modules())[3] is model.alpha


def test_the_order_is_the_same_in_every_process():
    program = (
        "import numpy as np; from minisparse.nn import LeNet5;"
        "print([n for n, _ in LeNet5(rng=np.random.default_rng(0)).named_parameters()])"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(p for p in sys.path if p)},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    layers = ["conv1", "conv2", "fc1", "fc2"]
    assert printed == {f"{[f'{n}.{k}' for n in layers for k in ('weight', 'bias')]}\n".encode()}


def test_a_parameter_owns_its_values():
    mine = np.zeros((2, 3), np.float32)
    p = nn.Parameter(mine)
    mine += 1
    assert (p.numpy() == 0).all()
    assert p.requires_grad
    assert nn.Parameter([1, 2]).dtype == np.float32
    assert nn.Parameter(np.zeros(2)).dtype == np.float64
    assert nn.Parameter(np.zeros((3, 2)).T).array.flags.c_contiguous
    with pytest.raises(TypeError, match="Tensor already"):
        nn.Parameter(Tensor([1.0]))
    with pytest.raises(TypeError, match="floating-point"):
        nn.Parameter(np.arange(3))


def test_a_shared_parameter_is_one_parameter():
    class Tied(nn.Module):
        def __init__(self):
            self.encoder = nn.Linear(4, 4, bias=False, rng=rng())
            self.decoder = nn.Linear(4, 4, bias=False, rng=rng(1))
            self.decoder.weight = self.encoder.weight

        def forward(self, x):
            return self.decoder(self.encoder(x))

    model = Tied()
    assert [n for n, _ in model.named_parameters()] == ["encoder.weight"]
    assert nn.num_parameters(model) == 16
    assert list(model.state_dict()) == ["encoder.weight"]
    model(np.eye(4, dtype=np.float32)).sum().backward()
    w = model.encoder.weight.numpy()
    ones = np.ones((4, 4))
    np.testing.assert_allclose(
        model.encoder.weight.grad.numpy(), ones @ w.T + w.T @ ones, rtol=1e-5, err_msg="both uses"
    )
    again = Tied()
    again.load_state_dict(model.state_dict())
    np.testing.assert_array_equal(again.decoder.weight.numpy(), w)


def test_a_shared_module_is_listed_under_its_first_name():
    class Twice(nn.Module):
        def __init__(self):
            self.first = nn.Linear(3, 3, rng=rng())
            self.second = self.first

        def forward(self, x):
            return self.second(x)

    model = Twice()
    with nn.record_layers(model) as layers:
        model(np.zeros((1, 3), np.float32))
    assert [r.name for r in layers] == ["first"]
    assert [n for n, _ in model.named_parameters()] == ["first.weight", "first.bias"]


# ---- state ------------------------------------------------------------------------------------


def test_the_state_goes_from_one_model_to_another():
    one, two = Net(0), Net(1)
    one(rng(2).standard_normal((8, 3)).astype(np.float32))  # moves the running statistics
    state = one.state_dict()
    assert list(state) == NAMES + BUFFERS
    assert not np.array_equal(state["norm.running_mean"], np.zeros(4))
    two.load_state_dict(state)
    x = rng(3).standard_normal((5, 3)).astype(np.float32)
    np.testing.assert_array_equal(two.eval()(x).numpy(), one.eval()(x).numpy())


def test_the_state_is_a_copy_both_ways():
    model = Net()
    state = model.state_dict()
    for array in state.values():
        array += 1
    fresh = Net()
    for name, array in fresh.state_dict().items():
        np.testing.assert_array_equal(model.state_dict()[name], array)
    model.load_state_dict(state)
    for array in state.values():
        array += 1
    for name, array in fresh.state_dict().items():
        np.testing.assert_array_equal(model.state_dict()[name], array + 1, err_msg=name)


@pytest.mark.parametrize("name", ["alpha.weight", "norm.running_var"])
def test_a_state_that_does_not_fit_changes_nothing(name):
    model = Net()
    before = model.state_dict()
    other = {k: v + 1 for k, v in before.items()}
    missing = {k: v for k, v in other.items() if k != name}
    for state, error, message in (
        (missing, KeyError, rf"missing \['{name}'\], unknown nothing"),
        ({**other, "gamma": other[name]}, KeyError, r"missing nothing, unknown \['gamma'\]"),
        ({**missing, "beta.weight": other[name]}, KeyError, r"unknown \['beta.weight'\]"),
        ({**other, name: other[name][:1]}, ValueError, rf"{name} is \(1,.*expected \("),
    ):
        with pytest.raises(error, match=message):
            model.load_state_dict(state)
        for key, value in model.state_dict().items():
            np.testing.assert_array_equal(value, before[key])


def test_loading_counts_as_a_write():
    model = nn.Linear(2, 2, rng=rng())
    y = model(Tensor(np.ones((1, 2), np.float32), requires_grad=True)).sum()
    model.load_state_dict(model.state_dict())
    with pytest.raises(RuntimeError, match="written to"):
        y.backward()


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_a_duplicate_is_independent_and_works(duplicate):
    model = Net()
    assert model.zeta.weight.data.shape == (3, 4)  # hands out the array that users write to
    model.scale.requires_grad = False
    twin = duplicate(duplicate(model))
    assert [n for n, _ in twin.named_parameters()] == NAMES
    assert twin.zeta.weight.name == "weight"
    assert not twin.scale.requires_grad
    before = model.state_dict()
    for p in twin.parameters():
        p.data[...] = 3.0
        assert (p.numpy() == 3).all(), "what is written to .data is what the forward reads"
    twin.norm.running_mean += 1
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    x = np.ones((1, 3), np.float32)
    expected = (3 * 3 + 3 - 1) / np.sqrt(1 + 1e-5) * 3 + 3
    np.testing.assert_allclose(twin.eval()(x).numpy(), [[4 * 3 * expected * 3] * 2], rtol=1e-6)
    with pytest.raises(AttributeError, match="zeta"):
        twin.zet = 1


# ---- attributes -------------------------------------------------------------------------------


def test_a_typo_is_refused_with_a_suggestion():
    model = Net()
    with pytest.raises(AttributeError, match="Net has no attribute 'zetta'; did you mean 'zeta'"):
        model.zetta = nn.Linear(3, 4, rng=rng())
    with pytest.raises(AttributeError, match="did you mean 'weight'"):
        model.zeta.wieght = nn.Parameter([1.0])
    with pytest.raises(AttributeError, match=r"it has \['training', 'zeta'"):
        model.quux = 1
    with pytest.raises(AttributeError, match="no attribute 'eval'"):
        model.eval = True  # where model.eval() was meant
    assert not hasattr(model, "quux")


def test_a_parameter_is_replaced_by_a_parameter_only():
    layer = nn.Linear(2, 2, rng=rng())
    for value in (np.zeros((2, 2)), Tensor([1.0]), None):
        with pytest.raises(TypeError, match=r"'weight' is a Parameter.*\.weight\.data = array"):
            layer.weight = value
    new = nn.Parameter(np.zeros((2, 2)))
    layer.weight = new
    assert layer.parameters()[0] is new


def test_modules_in_containers_would_be_lost_and_are_refused():
    for container in (
        [nn.ReLU(), nn.Linear(2, 2, rng=rng())],
        (nn.Parameter([1.0]),),
        {"a": nn.ReLU()},
    ):

        class Lost(nn.Module):
            def __init__(self, parts):
                self.sizes = [1, 2]  # plain settings are fine
                self.parts = parts

        with pytest.raises(TypeError, match=r"'parts' would be found.*Sequential"):
            Lost(container)


def test_a_property_of_a_subclass_works():
    class Scaled(nn.Module):
        def __init__(self):
            self.factor = 3.0

        @property
        def factor(self):
            return self._log

        @factor.setter
        def factor(self, value):
            self._log = 2 * value

    assert Scaled().factor == 6


# ---- modes and dtypes -------------------------------------------------------------------------


def test_train_and_eval_reach_every_child():
    model = nn.Sequential(Net(), nn.Sequential(nn.Dropout(0.5, rng=rng())))
    assert model.eval() is model
    assert [m.training for m in model.modules()] == [False] * 8
    assert model.train() is model
    assert all(m.training for m in model.modules())


def test_zero_grad_forgets_gradients():
    model = nn.Linear(2, 1, rng=rng())
    model(np.ones((1, 2), np.float32)).sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    model.zero_grad()
    assert all(p.grad is None for p in model.parameters())


def test_conversion_to_float64_and_back():
    class Counting(Net):
        def __init__(self):
            super().__init__()
            self.register_buffer("seen", np.zeros(2, np.int64))

    model = Counting()
    before = model.state_dict()
    assert model.to(np.float64) is model
    after = model.state_dict()
    for name, array in before.items():
        assert after[name].dtype == (np.int64 if name == "seen" else np.float64)
        np.testing.assert_array_equal(after[name], array)
    x = rng().standard_normal((6, 3))
    y = model(x)
    assert y.dtype == np.float64
    y.sum().backward()
    assert all(p.grad.dtype == np.float64 for p in model.parameters())
    model.zeta.weight.data[...] = 1.0
    assert (model.zeta.weight.numpy() == 1).all()
    model.to(np.float32)
    assert all(p.dtype == np.float32 and p.grad is None for p in model.parameters())
    for dtype in (np.int64, "bool"):
        with pytest.raises(TypeError, match="floating-point"):
            model.to(dtype)


# ---- Sequential -------------------------------------------------------------------------------


def test_sequential_is_composition():
    first, second = nn.Linear(3, 5, rng=rng(0)), nn.Linear(5, 2, rng=rng(1))
    model = nn.Sequential(first, nn.ReLU(), second)
    x = rng(2).standard_normal((4, 3)).astype(np.float32)
    hidden = np.maximum(x @ first.weight.numpy(), 0)
    np.testing.assert_allclose(model(x).numpy(), hidden @ second.weight.numpy(), rtol=1e-5)
    assert [n for n, _ in model.named_parameters()] == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert len(model) == 3
    assert model[0] is first
    assert model[-1] is second
    assert [type(m) for m in model] == [nn.Linear, nn.ReLU, nn.Linear]
    with pytest.raises(TypeError, match="part 1 of a Sequential is <function relu"):
        nn.Sequential(first, relu)


def test_repr_shows_the_tree():
    assert repr(nn.Sequential(nn.Linear(3, 5, rng=rng()), nn.ReLU())) == (
        "Sequential(\n  0: Linear(3, 5, bias=True)\n  1: ReLU()\n)"
    )
    model = nn.Sequential(
        nn.Conv2d(1, 2, 3, padding=1, rng=rng()), nn.MaxPool2d(), nn.Dropout(0.5, rng=rng()),
        nn.BatchNorm2d(2),
    )  # fmt: skip
    assert repr(model).splitlines()[1:-1] == [
        "  0: Conv2d(1, 2, kernel=(3, 3), stride=(1, 1), padding=(1, 1))",
        "  1: MaxPool2d((2, 2), stride=(2, 2), padding=(0, 0))",
        "  2: Dropout(p=0.5)",
        "  3: BatchNorm2d(2)",
    ]


def test_a_module_without_forward_says_so():
    with pytest.raises(NotImplementedError, match="Module has no forward"):
        nn.Module()(np.zeros(1))


# ---- as people write them ---------------------------------------------------------------------


class Two(nn.Module):
    """Returns a layer's result and more, in a container of the kind it is told."""

    def __init__(self, pack):
        self.fc = nn.Linear(3, 2, rng=rng())
        self.pack = pack

    def forward(self, x):
        return self.pack(self.fc(x))


@pytest.mark.parametrize(
    ("pack", "unpack"),
    [
        (lambda y: (y, 2.0 * y), lambda out: out[0] + out[1]),
        (lambda y: [y, None, 2.0 * y], lambda out: out[0] + out[2]),
        (
            lambda y: {"one": y, "more": {"two": 2.0 * y}},
            lambda out: out["one"] + out["more"]["two"],
        ),
        (lambda y: (t for t in (y, 2.0 * y)), sum),
        (lambda y: (y, "text"), lambda out: 3.0 * out[0]),
    ],
    ids=["tuple", "list", "dict", "generator", "text"],
)
def test_a_part_may_return_several_things_also_while_it_is_watched(pack, unpack):
    class Net(nn.Module):
        def __init__(self):
            self.two = Two(pack)

        def forward(self, x):
            return unpack(self.two(x))

    model, x = Net(), np.ones((1, 3), np.float32)
    plain = model(x)
    with nn.record_layers(model) as layers:
        watched = model(x)
    assert [r.name for r in layers] == ["two.fc"]
    np.testing.assert_array_equal(layers[0].input.numpy(), x)
    np.testing.assert_allclose(watched.numpy(), 3 * layers[0].output.numpy(), rtol=1e-6)
    np.testing.assert_allclose(plain.numpy(), watched.numpy(), rtol=1e-6)
    watched.sum().backward()
    np.testing.assert_allclose(model.two.fc.bias.grad.numpy(), [3, 3])


def test_a_layer_that_returns_several_things_is_named_where_it_is_watched():
    class Pair(nn.Linear):
        def forward(self, x):
            y = super().forward(x)
            return y, y

    model = nn.Sequential(Pair(3, 2, rng=rng()))
    x = np.ones((1, 3), np.float32)
    assert len(model(x)) == 2
    with pytest.raises(TypeError, match="layer '0', a Pair, returned a tuple"):  # noqa: SIM117
        with nn.record_layers(model):
            model(x)


class Gate(nn.Module):
    """Has what `forward` may have: an optional tensor, a setting, anything else."""

    def forward(self, x, mask=None, *, power=1, names=(), parts=None):
        self.seen = mask, power, names, parts
        y = x if mask is None else x * mask
        return y**power

    def __init__(self):
        self.seen = None


def test_arguments_come_by_name_too_and_none_stays_none():
    gate, x = Gate(), np.full((1, 2), 3, np.float32)
    for y in (gate(x), gate(x=x), gate(x, None), gate(x, mask=None), gate(mask=None, x=x)):
        assert y.numpy().tolist() == [[3, 3]]
        assert gate.seen[0] is None
    for y in (
        gate(x, x),
        gate(x, mask=x),
        gate(mask=x, x=x),
        gate(x, [[3, 3]]),
        gate(x=x, power=2),
    ):
        assert y.numpy().tolist() == [[9, 9]]
    assert gate.seen[1] == 2
    assert type(gate.seen[1]) is int
    gate(x, mask=x)
    assert isinstance(gate.seen[0], Tensor)


def test_what_holds_tensors_or_no_numbers_is_handed_on():
    gate, x, t = Gate(), np.ones((1, 2), np.float32), Tensor([1.0], requires_grad=True)
    for parts in ([t, t], (t, None), {"a": t}, "text", iter([1])):
        gate(x, parts=parts)
        assert gate.seen[3] is parts
    gate(x, names=("a", "b"), parts=[t])
    assert gate.seen[2] == ("a", "b")

    class Apart(nn.Module):
        def forward(self, pair):
            a, b = pair
            return (a * a).sum() + (b * b).sum()

    Apart()((t, 2.0 * t)).backward()
    np.testing.assert_allclose(t.grad.numpy(), [10])  # the graph goes through the tuple
    ragged = np.ones((1, 2)), np.ones((1, 3))
    assert Apart()(ragged) == 5


def test_a_layer_called_by_name_is_recorded():
    layer, x = nn.Linear(3, 2, rng=rng()), np.ones((1, 3), np.float32)
    with nn.record_layers(layer) as layers:
        y = layer(x=x)
    assert layers[0].output is y
    np.testing.assert_array_equal(layers[0].input.numpy(), x)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Linear(3, 2, rng=rng()),
        nn.Conv2d(1, 2, 3, rng=rng()),
        nn.BatchNorm1d(3),
        nn.ReLU(),
        nn.Flatten(),
        nn.MaxPool2d(2),
        nn.Sequential(nn.Linear(3, 2, rng=rng())),
        nn.LeNet300(rng=rng()),
    ],
    ids=lambda layer: type(layer).__name__,
)
@pytest.mark.parametrize("wrong", [None, "text", {"x": 1}, object()], ids=type)
def test_a_layer_says_what_it_was_given_instead_of_numbers(layer, wrong):
    with pytest.raises(TypeError, match=f"real numbers, got {type(wrong).__name__}"):
        layer(wrong)


def test_what_nobody_would_find_is_told_when_the_parameters_are_asked_for():
    class Late(nn.Module):
        def __init__(self):
            self.first = nn.Linear(2, 2, rng=rng())
            self.more = []
            self.by_name = {}
            self.nested = {"blocks": []}

        def forward(self, x):
            return self.first(x)

    hidden = nn.Linear(2, 2, rng=rng())
    for hide in (
        lambda model: model.more.append(hidden),
        lambda model: model.by_name.update(a=hidden),
        lambda model: model.nested["blocks"].append((hidden, 1)),
        lambda model: model.more.append(hidden.weight),
    ):
        model = Late()
        assert len(model.parameters()) == 2
        hide(model)
        outer = nn.Sequential(model)
        for ask in (model.parameters, model.state_dict, outer.parameters, outer.zero_grad):
            with pytest.raises(TypeError, match=r"nothing inside the .* would be found"):
                ask()
    model = Late()
    model.more.extend([model.first, model.first.weight])  # found elsewhere
    assert len(model.parameters()) == 2


def test_a_list_of_parts_gets_a_hint():
    with pytest.raises(TypeError, match=r"write Sequential\(\*modules\)"):
        nn.Sequential([nn.ReLU()])
    with pytest.raises(TypeError, match=r"write Sequential\(\*modules\)"):
        nn.Sequential(nn.ReLU() for _ in range(2))

"""The masks of every pruning method: the small and the sparse models compute what is left."""

import numpy as np
import pytest

from minisparse.autodiff import no_grad
from minisparse.data import Split
from minisparse.nn import LeNet5, LeNet300
from minisparse.optim import SGD, Adam
from minisparse.prune.l0 import L0Method, add_gates, gated_layers, harden
from minisparse.prune.large_weights import LargeWeightPruning
from minisparse.prune.lobster import LobsterPruning
from minisparse.prune.magnitude import HanPruning, MagnitudePruning
from minisparse.prune.schedule import one_shot
from minisparse.prune.sensitivity import SensitivityPruning
from minisparse.prune.serene import SerenePruning
from minisparse.prune.stochastic import StochasticPruning
from minisparse.sparse import shrink, sparsify
from minisparse.train import train

RNG = np.random.default_rng(3)
DATA = Split(
    RNG.integers(0, 256, (60, 28, 28, 1), dtype=np.uint8), RNG.integers(0, 10, 60, dtype=np.int64)
)


def small_lenet300(rng):
    return LeNet300(rng=rng, widths=(30, 20))


METHODS = {
    "magnitude": lambda: MagnitudePruning(one_shot(0.97)),
    "magnitude of units": lambda: MagnitudePruning(
        one_shot(0.5), granularity="unit", names=["fc1.weight", "fc2.weight"]
    ),
    "blocks": lambda: MagnitudePruning(
        one_shot(0.9), granularity=(1, 5), names=["fc1.weight", "fc2.weight"]
    ),
    "han": lambda: HanPruning(1.0, [0, 1]),
    "sensitivity": lambda: SensitivityPruning(1e-3, 0.08),
    "lobster": lambda: LobsterPruning(1e-3, 0.08),
    "serene": lambda: SerenePruning(1e-3, 0.08),
    "stochastic": lambda: StochasticPruning(0.05),
    "large weights": lambda: LargeWeightPruning(0.9, [0], DATA),
    "large units": lambda: LargeWeightPruning(0.6, [0], DATA, granularity="unit"),
}


def outputs(model, x):
    with no_grad():
        return model.eval()(x).numpy()


def check(model, masks, optimizer=None):
    """Compare the small and the sparse models with the model, whose weights are masked."""
    x = np.random.default_rng(1).random((7, 28, 28, 1), np.float32)
    expected = outputs(model, x)
    small, report = shrink(model, masks, optimizer)
    forms = {"small": small, "small, csr": sparsify(small, report.mask, "csr")}
    forms |= {f: sparsify(model, masks, f) for f in ("csr", "blocked")}
    for name, form in forms.items():
        scale = np.abs(expected).max()
        np.testing.assert_allclose(
            outputs(form, x), expected, rtol=1e-3, atol=1e-5 * scale, err_msg=name
        )
    return small, report


@pytest.mark.parametrize("name", METHODS)
def test_lenet300(name):
    rng = np.random.default_rng(0)
    model = small_lenet300(rng)
    optimizer = SGD(model, 0.05, momentum=0.9)
    method = METHODS[name]()
    train(
        model, DATA, optimizer, epochs=2, rng=rng, batch_size=20, methods=[method], progress=False
    )
    masks = method.mask()
    assert 0 < masks.density < 0.9
    model.eval()
    small, report = check(model, masks, optimizer)
    if "units" in name:
        assert report.removed
    # the small model goes on training
    small.train()
    train(small, DATA, optimizer, epochs=1, rng=rng, batch_size=20, progress=False)
    assert all(np.isfinite(p.numpy()).all() for p in small.parameters())


def test_filters_of_lenet5():
    rng = np.random.default_rng(0)
    model = LeNet5(rng=rng)
    method = LargeWeightPruning(0.7, [0], DATA, granularity="unit")
    train(
        model, DATA, SGD(model, 0.01), epochs=1, rng=rng, batch_size=30, methods=[method],
        progress=False,
    )  # fmt: skip
    small, report = check(model, method.mask())
    assert small.conv1.weight.shape[-1] == 20 - report.removed["conv1"].size < 20
    assert small.fc1.weight.shape[0] == 16 * small.conv2.weight.shape[-1]


@pytest.mark.parametrize("make", [small_lenet300, lambda rng: LeNet5(rng=rng)], ids=["300", "5"])
def test_l0_after_harden(make):
    rng = np.random.default_rng(0)
    model = make(rng)
    names = [n.partition(".")[0] for n, p in model.named_parameters() if p.ndim > 1]
    add_gates(model, dict.fromkeys(names, 0.5), rng)
    for i, (_, gates) in enumerate(gated_layers(model).values()):
        with gates.log_alpha.writing() as a:  # some shut, some open, some in between
            a[...] = rng.normal(0.5, 3.0, a.shape)
            a[: 2 + i] = -5.0
    optimizer = Adam(model, 1e-3)
    train(
        model, DATA, optimizer, epochs=1, rng=rng, batch_size=30,
        methods=[L0Method(0.1, len(DATA))], progress=False,
    )  # fmt: skip
    model.eval()
    x = np.random.default_rng(1).random((7, 28, 28, 1), np.float32)
    plain, masks = harden(model)
    np.testing.assert_allclose(outputs(plain, x), outputs(model, x), rtol=1e-4, atol=1e-5)
    small, report = check(plain, masks)
    assert sum(p.size for p in small.parameters()) < sum(p.size for p in plain.parameters())
    closed = {name: int((~g.open()).sum()) for name, (_, g) in gated_layers(model).items()}
    if "fc3" in closed:  # the gates of the inputs of fc2 and fc3 are those of the units before
        assert report.removed["fc1"].size >= closed["fc2"] > 0
        assert report.removed["fc2"].size >= closed["fc3"] > 0
        dropped = shrink(plain, masks, inputs=True)[1]
        assert dropped.inputs.size == 784 - closed["fc1"]
    else:
        assert report.removed["conv1"].size >= closed["conv1"] > 0

"""Growth and methods: counts, agreement of everybody, what is built, and what is said of it."""

import math
from dataclasses import replace

import numpy as np
import pytest

from minisparse import cli, kernels
from minisparse.bench import command, growth, machine, running
from minisparse.bench.agreement import disagreement
from minisparse.bench.cases import CASES, Task
from minisparse.bench.figure import draw
from minisparse.bench.figure_growth import best_ratios, draw_growth
from minisparse.bench.growth import Variant
from minisparse.bench.machine import sentence
from minisparse.bench.measure import Turns, row
from minisparse.bench.methods import COSTS
from minisparse.bench.peers import builder, is_installed, pruning
from minisparse.bench.process import environment_for
from minisparse.bench.report import text
from minisparse.bench.running import Result
from minisparse.machine import RESTRICTING
from minisparse.threads import blas_kernel

SMALL = (
    Variant("conv", "small", [("conv", 3, 2, 5, True)], (6, 6, 2), 3),
    Variant("conv", "not padded", [("conv", 5, 1, 4, False)], (9, 9, 1), 3),
    Variant("batchnorm", "small", [("norm", 3)], (4, 4, 3), 5),
    Variant("relu", "small", [("relu",)], (4, 4, 3), 5),
    growth._perceptron(7, 6, 5, 10, batch=4, name="small"),
    Variant(
        "resnet20",
        "small",
        [
            *(("conv", 3, 3, 4, True), ("norm", 4), ("relu",), ("pool",)),
            ("sum", [("conv", 3, 4, 6, True), ("norm", 6)], [("conv", 1, 4, 6, True)]),
            *(("sum", [("relu",)], []), ("mean", 4), ("flatten",), ("linear", 6, 10)),
        ],
        (8, 8, 3),
        6,
        training=True,
    ),
)


@pytest.fixture
def definitions():
    """Compute with the definitions: nothing is compiled for nets that nothing else has."""
    kernels.use("numpy")
    yield
    kernels.use()


@pytest.mark.usefixtures("definitions")
@pytest.mark.parametrize("variant", SMALL, ids=lambda v: f"{v.case}, {v.name}")
def test_everybody_computes_the_same(variant, monkeypatch):
    monkeypatch.setattr(growth, "VARIANTS", SMALL)
    task = Task(variant.case, variant.batch, variant=variant.name, training=variant.training)
    ours = builder("ours")(task).digest()
    assert ours
    for peer in CASES[variant.case].peers:
        if peer == "torch-compile" or not is_installed(peer):
            continue
        job = builder(peer)(task)
        job.call()
        job.reset()
        assert disagreement(ours, job.digest()) is None, peer


WINDOWS = [
    *((n, k, True) for n in (1, 2, 3, 4, 9) for k in (1, 3, 5)),
    *((n, k, False) for n in (1, 2, 3, 4, 9) for k in (1, 3, 5) if k <= n),
]


@pytest.mark.parametrize(("size", "kernel", "same"), WINDOWS)
def test_only_what_lies_within_the_image_is_multiplied(size, kernel, same):
    padding = kernel // 2 * same
    places = range(size + 2 * padding - kernel + 1)
    inside = [(i, k) for i in places for k in range(kernel) if 0 <= i + k - padding < size]
    assert growth.taps(size, kernel, same) == len(inside)
    layer = ("conv", kernel, 2, 5, same)
    done, shape = growth.follow([layer], (size, 9, 2))
    assert done == len(inside) * growth.taps(9, kernel, same) * 2 * 5
    assert shape == (len(places), 9 if same else 10 - kernel, 5)


def test_multiply_adds_are_those_of_the_papers_which_count_the_padding(monkeypatch):
    monkeypatch.setattr(growth, "taps", lambda n, k, same: k * (n if same else n - k + 1))
    vgg, resnet = growth.find("vgg16", "32x32x3"), growth.find("resnet20", "32x32x3")
    of_vgg = growth.follow(vgg.layers, vgg.shape)
    assert of_vgg[1] == (10,)
    assert of_vgg[0] == pytest.approx(313e6, rel=0.01)
    of_resnet = growth.follow(resnet.layers, resnet.shape)
    assert of_resnet[1] == (10,)
    assert of_resnet[0] == pytest.approx(41e6, rel=0.02)


def test_shapes_of_weights_are_those_of_the_layers():
    for variant in growth.VARIANTS:
        made = growth.weights(variant)
        assert all(a.dtype == np.float32 for a in made.values())
        counted = sum(a.size for name, a in made.items() if a.ndim > 1 and name.endswith("weight"))
        assert (counted > 0) == (growth.multiply_adds(variant) > 0)
        assert (growth.bytes_moved(variant) > 0) != (growth.multiply_adds(variant) > 0)


def test_growing_cases_have_the_sizes_that_were_agreed_upon():
    names = {case: [v.name for v in growth.variants(case)] for case in CASES}
    assert len(names["conv"]) == 7
    assert len(names["mlp"]) == 7
    for case in ("conv", "batchnorm", "relu", "mlp", "vgg16", "resnet20"):
        assert [t.variant for t in CASES[case].tasks()] == names[case]


def test_digits_are_mostly_black_and_so_have_no_share_of_the_peak():
    (digits,) = (v for v in growth.VARIANTS if v.digits)
    x, labels = growth.inputs(digits)
    assert x.shape == (100, 784)
    assert x.dtype == np.float32
    assert 0.15 < np.mean(x != 0) < 0.25
    assert set(labels) == set(range(10))
    assert running._work({"case": "mlp", "variant": digits.name}) == (0, 0)


# ---- methods ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("definitions")
@pytest.mark.parametrize("name", [name for name, cost in COSTS.items() if not cost.once])
def test_every_method_of_the_table_takes_steps(name):
    job = pruning.job(Task("methods", 100, "lenet300", training=True, variant=name))
    job.call()
    job.call()
    assert job.digest() == {}


@pytest.mark.usefixtures("definitions")
@pytest.mark.parametrize("name", ["magnitude", "SNIP", "Wanda, 1,000 images"])
def test_what_acts_once_can_act_again(name):
    job = pruning.job(Task("methods", 100, "lenet300", variant=name))
    job.call()
    job.call()


def test_the_methods_are_measured_on_the_nets_that_were_agreed_upon():
    tasks = [*CASES["methods"].tasks()]
    assert len(tasks) == len(set(tasks)) == sum(len(cost.nets) for cost in COSTS.values())
    for net in ("lenet300", "lenet5"):
        found = {task.variant for task in tasks if task.net == net}
        assert found >= {"sensitivity, unspecific", "sensitivity, specific"}
        assert found >= {"hard concrete gates", "stochastic zeroing"}
    assert {t.variant for t in tasks if not t.training} >= {"SynFlow, 100 rounds", "SNIP"}


def test_a_dense_step_is_the_unit():
    task = Task("methods", 100, "lenet300", training=True, variant="L1")
    dense = Turns([100.0], [False])
    found = row(task, 1, "dense", dense, Turns([130.0], [False]))
    assert found["dense_steps"] == pytest.approx(1.3)
    found = row(replace(task, training=False), 1, "dense", dense, Turns([4e5], [False]))
    assert found["seconds"] == pytest.approx(0.4)
    assert "dense_steps" not in found


# ---- what is said -------------------------------------------------------------------------------


def rows():
    def made(case, variant, peer, theirs, ours, **more):
        return {
            "case": case, "variant": variant, "batch": 100, "threads": 1, "peer": peer,
            "peer_us": theirs, "ours_us": ours, "ratio": theirs / ours, "rounds": 3,
            "busy_rounds": 0, "spread": {"peer_us": [theirs] * 2, "ours_us": [ours] * 2}, **more,
        }  # fmt: skip

    first = growth.variants("conv")[0].name
    return [
        made("conv", first, "torch-eager", 300.0, 100.0, share_of_peak=0.5),
        made("conv", first, "torch-eager-channels-last", 150.0, 100.0, share_of_peak=0.5),
        made("relu", "6.5 M numbers", "torch-eager", 50.0, 100.0, share_of_bandwidth=0.25),
        made("methods", "L1", "dense", 100.0, 130.0, net="lenet300", dense_steps=1.3),
        made("methods", "SNIP", "dense", 100.0, 4e4, net="lenet300", seconds=0.04),
    ]


def result():
    found = Result(rows=rows())
    found.machine["notes"] = []
    return found


def test_the_fastest_peer_counts():
    found = best_ratios(rows(), threads=1)
    assert found.keys() == {"conv", "relu"}
    [(size, name, ratio)] = found["conv"]
    assert ratio == 1.5
    assert size == growth.multiply_adds(growth.find("conv", name))
    assert not best_ratios(rows(), threads=2)


def test_the_picture(tmp_path):
    assert draw_growth(result(), tmp_path / "growth.png")
    assert (tmp_path / "growth.png").stat().st_size > 1000
    for nothing in (draw, draw_growth):
        assert not nothing(Result(rows=rows()[-1:]), tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()


def test_the_tables():
    told = text(result())
    first = growth.variants("conv")[0].name
    assert f"best PyTorch at {first}, batch 100, threads 1: torch-eager-channels-last" in told
    assert f"{first}, threads 1: 50 % of the multiply-adds" in told
    assert "25 % of the bytes that one thread can copy" in told
    [line] = [line for line in told.splitlines() if "L1 " in line]
    assert line.split()[0] == "L1"
    assert line.split()[-1] == "1.30"
    [line] = [line for line in told.splitlines() if "SNIP " in line]
    assert line.split()[-1] == "0.040"


def test_peers_are_not_restricted_by_variables(monkeypatch):
    for name in RESTRICTING:
        monkeypatch.setenv(name, "Haswell")
    assert not {*RESTRICTING} & {*environment_for(2)}
    found = machine.describe()
    assert found["unset"] == dict.fromkeys(RESTRICTING, "Haswell")
    assert not {*RESTRICTING} & {*found["variables"]}
    assert "not for the processes that were timed: OPENBLAS_CORETYPE=Haswell" in sentence(found)


def test_the_kernels_of_peers_are_told(monkeypatch):
    assert blas_kernel() is None or blas_kernel().isalnum()
    monkeypatch.setattr(machine, "blas_kernel", lambda: "Zen")
    assert machine.describe_worker("numpy")["kernels"] == "OpenBLAS's for Zen"
    assert machine.describe_worker("dense")["kernels"] is None
    kernels = {"numpy": "OpenBLAS's for Zen", "torch-eager": "A", "torch-compile": "A"}
    told = sentence({**machine.describe(), "kernels": kernels})
    assert "kernels of numpy: OpenBLAS's for Zen" in told
    assert "kernels of torch-eager, torch-compile: A" in told


def test_without_numba_it_says_what_to_do(monkeypatch, capsys):
    monkeypatch.delenv("MINISPARSE_KERNELS", raising=False)
    assert command.without_kernels() is None
    monkeypatch.setattr(command, "find_spec", lambda _: None)
    told = command.without_kernels()
    assert 'pip install "numba"' in told
    assert "MINISPARSE_KERNELS=numpy minisparse bench" in told
    assert cli.main(["bench", "relu"]) == 1
    assert told in capsys.readouterr().err
    monkeypatch.setenv("MINISPARSE_KERNELS", "numpy")
    assert "several times slower" in command.without_kernels()


def test_the_bandwidth_is_a_number():
    from minisparse.bench.peak import bytes_per_second

    assert math.isfinite(bytes_per_second())

"""Growth and methods: counts, agreement of everybody, what is built, and what is said of it."""

import math
import os

import numpy as np
import pytest

from minisparse.bench import command, growth
from minisparse.bench.agreement import disagreement
from minisparse.bench.cases import CASES, Task
from minisparse.bench.figure_growth import best_ratios, draw_growth
from minisparse.bench.growth import Variant
from minisparse.bench.peers import builder, is_installed, pruning
from minisparse.bench.process import environment_for
from minisparse.bench.report import text
from minisparse.bench.running import Result
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


def test_multiply_adds_are_those_of_the_papers():
    vgg, resnet = growth.find("vgg16", "32x32x3"), growth.find("resnet20", "32x32x3")
    of_vgg = growth._follow(vgg.layers, vgg.shape)
    assert of_vgg[1] == (10,)
    assert of_vgg[0] == pytest.approx(313e6, rel=0.01)
    of_resnet = growth._follow(resnet.layers, resnet.shape)
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
    assert len(names["mlp"]) == 6
    for case in ("conv", "batchnorm", "relu", "mlp", "vgg16", "resnet20"):
        assert [t.variant for t in CASES[case].tasks()] == names[case]


# ---- methods ------------------------------------------------------------------------------------


def test_every_method_of_the_table_can_be_built_and_takes_a_step():
    for task in CASES["methods"].tasks():
        if task.net == "lenet300" and "once" not in task.variant:
            job = pruning.job(task)
            job.call()
            assert job.digest() == {}


@pytest.mark.parametrize("name", ["once: magnitude", "once: SNIP", "once: Wanda, 1,000 images"])
def test_what_acts_once_can_act_again(name):
    job = pruning.job(Task("methods", 100, "lenet300", training=True, variant=name))
    job.call()
    job.call()


# ---- what is said -------------------------------------------------------------------------------


def rows():
    def row(case, variant, peer, theirs, ours, **more):
        return {
            "case": case, "variant": variant, "batch": 100, "threads": 1, "peer": peer,
            "peer_us": theirs, "ours_us": ours, "ratio": theirs / ours, "rounds": 3,
            "busy_rounds": 0, "spread": {"peer_us": [theirs] * 2, "ours_us": [ours] * 2}, **more,
        }  # fmt: skip

    first = growth.variants("conv")[0].name
    return [
        row("conv", first, "torch-eager", 300.0, 100.0, share_of_peak=0.5),
        row("conv", first, "torch-eager-channels-last", 150.0, 100.0, share_of_peak=0.5),
        row("relu", "6.5 M numbers", "torch-eager", 50.0, 100.0, share_of_bandwidth=0.25),
        row("methods", "L1", "dense", 100.0, 130.0, net="lenet300", dense_steps=1.3),
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
    assert not draw_growth(Result(rows=rows()[-1:]), tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()


def test_the_tables():
    told = text(result())
    first = growth.variants("conv")[0].name
    assert f"best PyTorch at {first}, batch 100, threads 1: torch-eager-channels-last" in told
    assert f"{first}, threads 1: 50 % of the multiply-adds" in told
    assert "25 % of the copied bytes" in told
    [line] = [line for line in told.splitlines() if "L1 " in line]
    assert line.split()[0] == "L1"
    assert line.split()[-1] == "1.30"


def test_peers_are_not_restricted_by_variables(monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    assert "OPENBLAS_CORETYPE" not in environment_for(2)
    assert os.environ["OPENBLAS_CORETYPE"] == "Haswell"


def test_the_kernel_of_the_blas_has_a_name():
    assert blas_kernel() is None or blas_kernel().isalnum()


def test_without_numba_it_says_what_to_do(monkeypatch, capsys):
    monkeypatch.delenv("MINISPARSE_KERNELS", raising=False)
    assert command.without_kernels() is None
    monkeypatch.setattr(command, "find_spec", lambda _: None)
    told = command.without_kernels()
    assert 'pip install "numba"' in told
    assert "MINISPARSE_KERNELS=numpy minisparse bench" in told
    from minisparse import cli

    assert cli.main(["bench", "relu"]) == 1
    assert told in capsys.readouterr().err
    monkeypatch.setenv("MINISPARSE_KERNELS", "numpy")
    assert "several times slower" in command.without_kernels()


def test_the_bandwidth_is_a_number():
    from minisparse.bench.peak import bytes_per_second

    assert math.isfinite(bytes_per_second())

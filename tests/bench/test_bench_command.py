"""The command: what is measured, what is said, exit codes, files; workers are fakes."""

import json

import pytest
from fake_workers import DIGEST, FakeNeighbours, FakeWorker

from minisparse import cli
from minisparse.bench import command, peers, report, running
from minisparse.bench.cases import CASES
from minisparse.bench.process import WorkerError
from minisparse.bench.running import Bench, Plan

KEYS = {"case", "batch", "threads", "peer", "peer_us", "ours_us", "ratio"}


@pytest.fixture
def bench(monkeypatch):
    """Replace workers by fakes: peers need 30 us, we 10; `odd` are the exceptions."""
    started = []
    odd = {}
    missing = set()

    def start(name, threads):
        started.append((name, threads))
        us = 10.0 if name == "ours" else 30.0
        return FakeWorker(name, [us] * 10_000, **odd.get(name, {}))

    def make(plan, say=lambda line: None):  # noqa: ARG005
        made = Bench(plan, say, start, FakeNeighbours(), lambda name: name not in missing)
        made.result.machine["cores"] = 2
        return made

    monkeypatch.setattr(command, "Bench", make)
    monkeypatch.setattr("minisparse.bench.startup.cold_and_warm", lambda net, n: (12.0, 0.5))  # noqa: ARG005
    make.started, make.odd, make.missing = started, odd, missing
    return make


def test_json_is_what_other_programs_read(bench, capsys):
    assert cli.main(["bench", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told.keys() == {"rows", "machine"}
    assert {row["case"] for row in told["rows"]} == set(CASES)
    for row in told["rows"]:
        assert row.keys() >= KEYS
        assert row["ratio"] == 3.0
    found = {(r["batch"], r["threads"]) for r in told["rows"] if r["case"] == "lenet5-infer"}
    assert found == {(b, t) for b in (1, 100, 1000) for t in (1, 2)}
    sparse = {r["sparsity"] for r in told["rows"] if r["case"] == "sparse-csr"}
    assert sparse == {0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99}
    assert {r["threads"] for r in told["rows"] if r["case"] == "op-overhead"} == {1}
    assert told["machine"]["startup"]["lenet5"] == {"cold_s": 12.0, "warm_s": 0.5}
    train = next(r for r in told["rows"] if r["case"] == "lenet300-train" and r["threads"] == 2)
    # 563,400 multiply-adds of each image in 10 us, of 2 x 1e11 a second
    assert train["share_of_peak"] == pytest.approx(100 * 563_400 / 10e-6 / 2e11)
    assert bench.started.count(("ours", 1)) == bench.started.count(("ours", 2)) == 1


def test_names_are_those_that_the_goals_use():
    assert list(CASES) == [
        *("lenet300-train", "lenet300-infer", "lenet5-train", "lenet5-infer"),
        *("op-overhead", "sparse-csr", "shrunk"),
        *("conv", "batchnorm", "relu", "mlp", "vgg16", "resnet20", "methods"),
    ]
    assert set(peers.PEERS) == {
        *("ours", "dense", "dense-compiled", "numpy", "scipy-csr", "autograd", "mygrad", "jax"),
        *("torch-eager", "torch-eager-channels-last", "torch-compile", "torch-csr"),
    }
    assert all(set(case.peers) <= set(peers.PEERS) for case in CASES.values())


def test_options_choose(bench, capsys):
    line = "bench lenet300-infer --threads 2 --batch 7,100 --peers numpy,jax --json"
    assert cli.main(line.split()) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert {(r["peer"], r["batch"], r["threads"]) for r in rows} == {
        (p, b, 2) for p in ("numpy", "jax") for b in (7, 100)
    }
    assert {name for name, _ in bench.started} == {"ours", "numpy", "jax"}


@pytest.mark.usefixtures("bench")
def test_the_quick_run_leaves_out_what_is_slow(capsys):
    assert cli.main(["bench", "--quick", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert "torch-compile" not in {r["peer"] for r in told["rows"]}
    assert {CASES[r["case"]].kind for r in told["rows"]} == {"net"}
    assert {r["batch"] for r in told["rows"] if r["case"] == "lenet5-infer"} == {100}
    assert {r["threads"] for r in told["rows"]} == {1}
    assert "startup" not in told["machine"]
    assert {r["rounds"] for r in told["rows"]} == {3}


@pytest.mark.usefixtures("bench")
def test_the_tables(capsys):
    line = "bench lenet300-train op-overhead --peers torch-eager,torch-compile"
    assert cli.main(line.split()) == 0
    out = capsys.readouterr().out
    assert "lenet300-train: LeNet-300-100, a training step" in out
    assert "torch-compile    100        2      30.0" in out
    assert "best PyTorch at batch 100, threads 2: torch-eager, ratio 3.00" in out
    assert "share of the multiply-adds that the CPU can do" in out
    assert "12.0 s with nothing compiled, 0.50 s with all compiled" in out
    assert "chain of 100, each" in out
    assert "torch-eager: SGD(fused=True); torch-compile: SGD(fused=True)" in out


def test_missing_peers_are_named_and_the_rest_is_measured(bench, capsys):
    bench.missing |= {"torch-eager", "torch-compile", "jax"}
    assert cli.main(["bench", "lenet300-train"]) == 0
    said = capsys.readouterr()
    expected = (
        "not installed: torch-eager, torch-compile, jax. To install them: "
        'pip install "minisparse[peers]"'
    )
    assert expected in said.err
    assert expected in said.out
    assert "numpy" in said.out


def test_without_any_peer_there_is_nothing_to_compare(bench, capsys):
    bench.missing |= {"jax"}
    assert cli.main(["bench", "lenet300-train", "--peers", "jax"]) == 2
    assert "none of the peers asked for is installed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("trouble", "message"),
    [
        ({"prepare": "ImportError: libjax"}, "ImportError: libjax"),
        ({"digest": {**DIGEST, "logits": [0.0, -3.0]}}, "refused: its logits differs"),
    ],
)
def test_a_peer_that_fails_is_one_line_and_exit_code_1(bench, capsys, trouble, message):
    bench.odd["jax"] = trouble
    assert cli.main(["bench", "lenet300-train", "--threads", "1"]) == 1
    said = capsys.readouterr()
    (line,) = [line for line in said.err.splitlines() if message in line]
    assert line.startswith("jax: no result for lenet300-train, batch 100: ")
    assert line in said.out
    table = said.out.partition("To know:")[0]
    assert "jax" not in table.partition("best PyTorch")[0]
    assert "numpy" in table


def test_a_worker_that_failed_is_started_anew_for_the_next_task(bench, capsys):
    bench.odd["numpy"] = {"prepare": "it died"}
    assert cli.main(["bench", "lenet300-infer", "--threads", "1", "--peers", "numpy"]) == 1
    assert bench.started.count(("numpy", 1)) == 3  # batches 1, 100, 1000
    assert capsys.readouterr().err.count("it died") == 3


def test_if_we_fail_it_is_an_error(bench, capsys):
    bench.odd["ours"] = {"prepare": "ValueError: no kernels"}
    assert cli.main(["bench", "lenet5-train"]) == 2
    assert "minisparse itself failed at lenet5-train, batch 100" in capsys.readouterr().err


def test_workers_are_closed_even_then():
    workers = []

    def start(name, threads):  # noqa: ARG001
        workers.append(FakeWorker(name, ["gone"]))
        return workers[-1]

    plan = Plan(("lenet300-train",), threads=(1,), peers=("numpy",))
    made = Bench(plan, lambda line: None, start, FakeNeighbours(), lambda name: True)  # noqa: ARG005
    with pytest.raises(WorkerError):
        made.run()
    assert len(workers) == 2
    assert all(worker.closed for worker in workers)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("lenet300", "no case of the benchmark is called 'lenet300'. Did you mean lenet300-train?"),
        ("--peers tensorflow", "no peer of the benchmark is called 'tensorflow'. There are: "),
        ("--peers jx", "Did you mean jax?"),
        ("op-overhead --peers jax", "jax is no peer of op-overhead. Peers there: torch-eager"),
    ],
)
def test_names_that_cannot_be(arguments, message, capsys):
    assert cli.main(["bench", *arguments.split()]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", ["--threads 0", "--threads 1,x", "--rounds -1", "--seconds 0", "--batch 1.5"]
)
def test_numbers_that_cannot_be(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(["bench", *arguments.split()])
    assert caught.value.code == 2
    assert "expected" in capsys.readouterr().err


@pytest.mark.usefixtures("bench")
def test_files(tmp_path, capsys):
    folder = tmp_path / "new"
    figure = tmp_path / "figures" / "ratios.png"
    line = f"bench lenet300-infer sparse-csr op-overhead --out {folder} --figure {figure}"
    assert cli.main(line.split()) == 0
    told = json.loads((folder / "bench.json").read_text())
    assert len(told["rows"]) > 10
    assert (folder / "bench.txt").read_text() == capsys.readouterr().out
    for png in (folder / "bench.png", figure):
        assert png.read_bytes().startswith(b"\x89PNG")


def row(sparsity, ratio):
    return {
        "case": "sparse-csr",
        "batch": 100,
        "threads": 1,
        "peer": "dense",
        "peer_us": 10 * ratio,
        "ours_us": 10.0,
        "ratio": ratio,
        "sparsity": sparsity,
        "spread": {"peer_us": [1, 2], "ours_us": [1, 2]},
        "rounds": 5,
        "busy_rounds": 1,
    }


def test_break_even_is_told_from_measurements():
    ratios = {0.5: 0.6, 0.6: 0.8, 0.7: 1.2, 0.8: 2.0}
    result = running.Result(rows=[row(*each) for each in ratios.items()])
    result.machine.update(notes=[], measured_for_s=90.0)
    told = report.text(result)
    assert "break-even with our own dense, batch 100, threads 1: 65 % sparse" in told
    assert "busy in 1 of 5 rounds" in told
    assert "1.5 minutes" in told


def test_there_is_no_break_even_outside_of_what_was_measured():
    assert report.break_even([(0.5, 1.2), (0.7, 2.0)]) is None
    assert report.break_even([(0.5, 0.2), (0.7, 0.9)]) is None

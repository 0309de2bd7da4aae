import statistics

import pytest
from fake_workers import DIGEST, FakeNeighbours, FakeWorker

from minisparse.bench import measure
from minisparse.bench.cases import Task
from minisparse.bench.measure import Settings

TASK = Task("lenet300-train", 100, "lenet300", training=True)


def run(workers, rounds=3, neighbours=None, seconds=0.1, task=TASK):
    neighbours = neighbours or FakeNeighbours()
    return measure.measure(task, 2, workers, Settings(rounds, seconds), neighbours)


def test_all_take_turns_in_every_round():
    log = []
    workers = {n: FakeWorker(n, [1.0] * 3, log) for n in ("ours", "a", "b")}
    run(workers, rounds=3, neighbours=FakeNeighbours(log=log))
    one_round = [("everybody", "wait"), ("ours", "time"), ("a", "time"), ("b", "time")]
    assert log == [(n, "prepare") for n in ("ours", "a", "b")] + 3 * one_round


def test_ours_is_prepared_first_whatever_the_order():
    log = []
    run({n: FakeWorker(n, [1.0], log) for n in ("a", "ours")}, rounds=1)
    assert log[0] == ("ours", "prepare")


def test_a_row_holds_medians_ratio_and_quartiles():
    theirs, ours = [50.0, 90.0, 40.0, 60.0, 1000.0], [30.0, 10.0, 20.0, 25.0, 15.0]
    (row,) = run({"ours": FakeWorker("ours", ours), "a": FakeWorker("a", theirs)}, 5).rows
    assert row["peer_us"] == statistics.median(theirs) == 60.0
    assert row["ours_us"] == 20.0
    assert row["ratio"] == 3.0
    assert row["spread"] == {"peer_us": [50.0, 90.0], "ours_us": [15.0, 25.0]}
    assert (row["case"], row["batch"], row["threads"], row["peer"]) == (
        "lenet300-train",
        100,
        2,
        "a",
    )
    assert (row["rounds"], row["busy_rounds"]) == (5, 0)


def test_a_peer_that_computes_something_else_is_refused_and_never_timed():
    log = []
    lying = FakeWorker("a", [1.0] * 3, log, digest={**DIGEST, "loss": [2.0, 1.4]})
    outcome = run({"ours": FakeWorker("ours", [2.0] * 3), "a": lying})
    assert outcome.rows == []
    assert outcome.failed == {
        "a": "refused: its loss differs from ours by 5 % (allowed: 0.1 %)",
    }
    assert ("a", "time") not in log


@pytest.mark.parametrize(
    ("digest", "reason"),
    [
        ({"loss": [2.0, 1.5]}, "it does not tell its logits"),
        ({**DIGEST, "logits": [0.1, -3.0, 0.0]}, "its logits are 3 numbers, ours 2"),
        ({**DIGEST, "logits": [float("nan"), -3.0]}, "its logits differs from ours by nan %"),
        ({**DIGEST, "logits": [0.1 + 3.1e-3, -3.0]}, "its logits differs from ours by 0.1 %"),
    ],
)
def test_what_counts_as_something_else(digest, reason):
    outcome = run(
        {"ours": FakeWorker("ours", [2.0]), "a": FakeWorker("a", [1.0], digest=digest)}, 1
    )
    assert outcome.failed["a"].startswith(f"refused: {reason}")


def test_rounding_is_no_disagreement():
    close = {"loss": [2.0001, 1.4999], "logits": [0.1 + 2.9e-3, -3.0]}  # 1e-3 of the largest
    outcome = run({"ours": FakeWorker("ours", [2.0]), "a": FakeWorker("a", [1.0], digest=close)}, 1)
    assert not outcome.failed
    assert len(outcome.rows) == 1


def test_a_peer_that_cannot_start_does_not_stop_the_others():
    workers = {
        "ours": FakeWorker("ours", [2.0] * 3),
        "a": FakeWorker("a", [], prepare="ImportError: no a"),
        "b": FakeWorker("b", [4.0] * 3),
    }
    outcome = run(workers)
    assert outcome.failed == {"a": "ImportError: no a"}
    assert [(r["peer"], r["ratio"]) for r in outcome.rows] == [("b", 2.0)]


def test_a_peer_that_dies_in_the_second_round_has_no_row():
    log = []
    workers = {
        "ours": FakeWorker("ours", [2.0] * 3, log),
        "a": FakeWorker("a", [4.0, "its process ended"], log),
        "b": FakeWorker("b", [6.0] * 3, log),
    }
    outcome = run(workers)
    assert outcome.failed == {"a": "its process ended"}
    assert [r["peer"] for r in outcome.rows] == ["b"]
    assert log.count(("a", "time")) == 2
    assert log.count(("b", "time")) == 3


@pytest.mark.parametrize(
    "ours",
    [FakeWorker("ours", [], prepare="no kernels"), FakeWorker("ours", ["no kernels"])],
    ids=["at the start", "later"],
)
def test_if_we_fail_there_are_no_rows(ours):
    outcome = run({"ours": ours, "a": FakeWorker("a", [1.0] * 3)}, rounds=1)
    assert outcome.failed == {"ours": "no kernels"}
    assert outcome.rows == []


def test_busy_rounds_do_not_count_if_half_were_quiet():
    shares = [0, 0, 0.5, 0.5, 0, 0, 0, 0.13]  # ours, a, ours, a, ...
    workers = {"ours": FakeWorker("ours", [1, 9, 2, 3]), "a": FakeWorker("a", [10, 90, 20, 70])}
    (row,) = run(workers, 4, FakeNeighbours(shares)).rows
    assert row["ours_us"] == 2  # of 1, 2, 3
    assert row["peer_us"] == 15  # of 10, 20
    assert row["busy_rounds"] == 2


def test_all_rounds_count_if_most_were_busy():
    shares = [0, 0.5, 0, 0.5, 0, 0]
    workers = {"ours": FakeWorker("ours", [1, 1, 1]), "a": FakeWorker("a", [10, 30, 20])}
    (row,) = run(workers, 3, FakeNeighbours(shares)).rows
    assert row["peer_us"] == 20
    assert row["busy_rounds"] == 2


def test_a_very_slow_peer_leaves_after_two_rounds():
    log = []
    second = 1e6
    workers = {
        "ours": FakeWorker("ours", [10.0] * 5, log),
        "slow": FakeWorker("slow", [second] * 5, log),
    }
    (row,) = run(workers, rounds=5, seconds=0.1).rows
    assert log.count(("slow", "time")) == 2
    assert log.count(("ours", "time")) == 5
    assert row["rounds"] == 2
    assert row["ratio"] == second / 10


def test_what_distinguishes_rows_is_in_them():
    workers = {"ours": FakeWorker("ours", [1.0]), "dense": FakeWorker("dense", [2.0])}
    task = Task("sparse-csr", 1, "lenet300", sparsity=0.95)
    assert run(workers, 1, task=task).rows[0]["sparsity"] == 0.95
    workers = {"ours": FakeWorker("ours", [1.0]), "a": FakeWorker("a", [2.0])}
    task = Task("op-overhead", 1, chain=100)
    assert run(workers, 1, task=task).rows[0]["variant"] == "chain of 100, each"

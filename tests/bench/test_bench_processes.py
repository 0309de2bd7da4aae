"""Workers as processes: those of the package, once, and some that misbehave."""

import io
import json
import os
import sys

import pytest
from fake_workers import FakeNeighbours

from minisparse.bench import process
from minisparse.bench.cases import Task
from minisparse.bench.measure import Settings, measure
from minisparse.bench.process import WorkerError, WorkerProcess
from minisparse.bench.worker import Worker, serve

TASK = Task("lenet300-train", 2, "lenet300", training=True)


def program(text, **options):
    return WorkerProcess("a", 1, [sys.executable, "-c", text], **options)


def test_our_worker_and_numpys_really_measured():
    with WorkerProcess("ours", 1) as ours, WorkerProcess("numpy", 1) as by_hand:
        workers = {"ours": ours, "numpy": by_hand}
        outcome = measure(TASK, 1, workers, Settings(2, 0.001), FakeNeighbours())
        told = ours.ask(do="describe")
    assert outcome.failed == {}
    (row,) = outcome.rows
    assert (row["peer"], row["batch"], row["rounds"]) == ("numpy", 2, 2)
    assert row["ratio"] == row["peer_us"] / row["ours_us"] > 0
    assert outcome.first_calls.keys() == {"ours", "numpy"}
    assert told["vector_bits"] in (0, 256, 512)


def test_a_failed_request_is_told_and_the_next_one_answered():
    with WorkerProcess("numpy", 1) as worker:
        with pytest.raises(WorkerError, match="KeyError: 'resnet'"):
            worker.ask(do="prepare", task=Task("x", 1, "resnet").as_json())
        assert worker.ask(do="describe")["versions"]["numpy"]


def test_a_worker_that_dies_says_its_last_words():
    text = "import sys; sys.exit('out of memory')"
    with program(text) as worker, pytest.raises(WorkerError) as caught:
        worker.ask(do="describe")
    assert str(caught.value) == "its process ended with exit status 1: out of memory"


def test_a_worker_that_says_nothing_is_ended():
    with (
        program("import time; time.sleep(60)", patience=0.3) as worker,
        pytest.raises(WorkerError, match=r"no answer in 0\.3 s"),
    ):
        worker.ask(do="describe")


def test_a_worker_that_prints_is_told_from_one_that_answers():
    with (
        program("print('loading...')") as worker,
        pytest.raises(WorkerError, match=r"it answered 'loading\.\.\.'"),
    ):
        worker.ask(do="describe")


def test_what_a_framework_prints_is_no_answer():
    text = (
        "from minisparse.bench import worker\n"
        "class Chatty(worker.Worker):\n"
        "    def answer(self, request):\n"
        "        print('hello')\n"
        "        return {'done': request['do']}\n"
        "worker.Worker = Chatty\n"
        "worker.main(['a'])\n"
    )
    with program(text) as worker:
        assert worker.ask(do="this") == {"done": "this"}


def test_threads_are_fixed_before_anything_is_imported():
    text = (
        "import json, os, sys\n"
        "for line in sys.stdin: print(json.dumps(dict(os.environ)), flush=True)"
    )
    with program(text) as worker:
        variables = worker.ask(do="tell")
    names = ("OMP", "OPENBLAS", "MKL", "NUMBA")
    assert {variables[f"{name}_NUM_THREADS"] for name in names} == {"1"}
    assert "--xla_cpu_multi_thread_eigen=false" in variables["XLA_FLAGS"]
    assert process.environment_for(2)["NUMBA_NUM_THREADS"] == "2"


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="the system has no affinity")
def test_fewer_threads_than_cores_stay_on_cores_of_their_own():
    cores = os.sched_getaffinity(0)
    assert process.cores_for(len(cores)) == []
    chosen = process.cores_for(1)
    assert len(chosen) == (1 if len(cores) > 1 else 0)
    assert process.cores_for(1) == chosen  # the same for all workers
    assert cores.issuperset(chosen)


def test_the_protocol_is_lines_of_json():
    answers = io.StringIO()
    serve(Worker("numpy"), io.StringIO('{"do": "dance"}\n{"do": "time", "seconds": 1}\n'), answers)
    first, second = map(json.loads, answers.getvalue().splitlines())
    assert first == {"error": "KeyError: 'dance'"}
    assert "AttributeError" in second["error"]  # nothing was prepared

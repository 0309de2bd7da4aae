"""Runs on a Dask cluster: a real scheduler and real workers, on this machine."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from fake_experiments import Fake, Logged, make

import minisparse
from minisparse.experiments import cluster, jobs, runner
from minisparse.experiments.cluster import ClusterError, on_cluster
from minisparse.experiments.experiment import Row
from minisparse.experiments.jobs import Job
from minisparse.experiments.parallel import RunError
from minisparse.experiments.store import Store
from minisparse.progress import PlanProgress

distributed = pytest.importorskip("distributed")
psutil = pytest.importorskip("psutil")  # comes with it

TESTS = Path(__file__).parent


class Cluster:
    """A scheduler and workers, each a process of its own that can be killed."""

    def __init__(self, folder):
        self.folder, self.processes = folder, []
        self.file = folder / "scheduler.json"
        self.start("scheduler", "--port", "0", "--host", "127.0.0.1")
        wait_for(lambda: self.file.exists() and self.file.read_text().strip().endswith("}"))
        self.address = json.loads(self.file.read_text())["address"]

    def start(self, kind, *arguments, package=TESTS.parents[1]):
        home = self.folder / f"{kind}{len(self.processes)}"  # no worker sees the caller's folder
        home.mkdir()
        variables = {
            "PYTHONPATH": os.pathsep.join([str(TESTS), str(package)]),
            "MINISPARSE_THREADS": "1",
            "TMPDIR": str(home),
        }
        with (home / "log").open("w") as log:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", f"distributed.cli.dask_{kind}", *arguments),
                    *("--scheduler-file", str(self.file), "--no-dashboard"),
                ],
                env={**os.environ, **variables},
                cwd=home,
                stdout=log,
                stderr=log,
            )
        self.processes.append(process)
        return process

    def worker(self, name, **settings):
        return self.start("worker", "--no-nanny", "--nthreads", "1", "--name", name, **settings)

    def worker_of_another_version(self):
        """Start a worker that has a package of its own, one line longer than this one."""
        package, here = self.folder / "package", Path(minisparse.__file__).parent
        ignored = shutil.ignore_patterns("__pycache__", "*.gz", "*.npz")
        shutil.copytree(here, package / "minisparse", ignore=ignored)
        with (package / "minisparse" / "progress.py").open("a") as file:
            file.write("# another line\n")
        self.worker("old", package=package)

    def end(self):
        for process in self.processes:
            process.kill()
            process.wait()


def wait_for(condition, seconds=600):
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "waited in vain"
        time.sleep(0.02)


@pytest.fixture
def dask(tmp_path):
    folder = tmp_path / "cluster"
    folder.mkdir()
    made = Cluster(folder)
    yield made
    made.end()


@pytest.fixture
def plan(tmp_path):
    """Jobs whose steps are written down, a store, and a way to do them."""

    class Plan:
        log = tmp_path / "log"
        store = Store(tmp_path / "out" / "runs", print)
        recipe = Logged(steps=12, pause=0.1, log=str(log))

        def jobs(self, count):
            return [Job(self.recipe, seed, "some", f"seed {seed}", 1.0) for seed in range(count)]

        def do(self, count, address, **settings):
            return on_cluster(self.jobs(count), self.store, PlanProgress(), address, **settings)

        def steps(self):
            """How often each step of each seed was taken."""
            lines = self.log.read_text().split("\n") if self.log.exists() else []
            return Counter(tuple(map(int, line.split()[:2])) for line in lines if line)

        def took(self, seed):
            """The processes that took steps of a seed."""
            return {
                line.split()[2]
                for line in self.log.read_text().split("\n")
                if line[:1] == f"{seed}"
            }

    return Plan()


def records(folder):
    found = {}
    for path in sorted(folder.glob("*.json")):
        record = json.loads(path.read_text())
        for other in ("wall_time_s", "environment"):
            del record[other]
        found[path.name] = record
    return found


def test_the_same_files_as_without_a_cluster(here):
    rows = {"a": Row(Fake(steps=2)), "b": Row(Fake(error=2.0))}
    experiment = make("some", here / "entry.py", rows, {"rows": {}}, seeds=2)
    found = {}
    for name, settings in (("here", {}), ("there", {"cluster": "local", "at_once": 2})):
        (found[name],) = runner.reproduce(
            [experiment], out=here / name, display=PlanProgress(), **settings
        )
    assert records(here / "here" / "runs") == records(here / "there" / "runs")
    assert len(records(here / "there" / "runs")) == 4
    for mine, other in zip(found["here"]["rows"], found["there"]["rows"], strict=True):
        for ours in (mine["ours"], other["ours"]):
            del ours["wall_time_s"]
        assert mine == other
    names = {path.name for path in (here / "there" / "some").iterdir()}
    assert names == {"results.json", "table.csv", "table.md", "figure.png"}


def test_a_run_travels_in_slices_and_no_step_is_taken_twice(dask, plan, capsys):
    """The workers see no file of the caller but the log: the state goes there and back."""
    for name in ("ada", "bob"):
        dask.worker(name)
    done = list(plan.do(3, dask.address, seconds=0.4))
    assert sorted(job.seed for job, _ in done) == [0, 1, 2]
    assert plan.steps() == {(seed, step): 1 for seed in range(3) for step in range(12)}
    for job, run in done:
        assert run.outcome.extra["first"] > 0  # the last slice began in the middle
        assert len(plan.took(job.seed)) > 1
        assert run.resumed is False  # nothing was there before this call
        assert run.wall_time_s > 12 * 0.1
    assert list(plan.store.folder.glob("*.ckpt*")) == []
    shown = capsys.readouterr().out
    for job, _ in done:
        assert f"ada: {job}" in shown or f"bob: {job}" in shown


def test_a_worker_that_is_killed_loses_nothing_and_nothing_runs_twice(dask, plan, tmp_path, capsys):
    """The one that is killed is in the middle of the last run, which waits for that."""
    workers = {name: dask.worker(name) for name in ("ada", "bob")}
    gate = tmp_path / "gate"
    last = Job(replace(plan.recipe, gate=str(gate)), 4, "some", "seed 4", 1.0)
    doing = [*plan.jobs(4), last]
    files = [f"{job.recipe.key(job.seed)}.json" for job in doing]
    killed, done_before = [], []

    def kill():
        try:
            wait_for(lambda: len(plan.steps()) > 18 and plan.took(4))
            (run,) = plan.took(4)
            above = {process.pid for process in psutil.Process(int(run)).parents()}
            killed.extend(name for name, worker in workers.items() if worker.pid in above)
            done_before.extend(path.name for path in plan.store.folder.glob("*.json"))
            for name in killed:
                workers[name].send_signal(signal.SIGKILL)
        finally:  # or the last run would wait for ever
            gate.touch()

    killer = threading.Thread(target=kill)
    killer.start()
    runs = on_cluster(doing, plan.store, PlanProgress(), dask.address, seconds=0.5)
    done = [job.seed for job, _ in runs]
    killer.join()
    (name,) = killed
    assert workers[name].wait() == -signal.SIGKILL
    assert sorted(done) == [0, 1, 2, 3, 4]
    assert len(done_before) < 5
    steps = plan.steps()
    assert set(steps) == {(seed, step) for seed in range(5) for step in range(12)}
    # What the killed worker was at is done again by the other, and slices that it had not handed
    # over yet; of runs that were finished, nothing.
    again = {seed for (seed, _), times in steps.items() if times > 1}
    assert 4 in again
    shown = capsys.readouterr().out
    assert {f"worker {name}: some: seed {seed}" in shown for seed in again} == {True}
    assert not {files[seed] for seed in again} & set(done_before)
    assert max(steps.values()) == 2
    assert sorted(records(plan.store.folder)) == sorted(files)


def test_what_was_done_on_a_cluster_goes_on_without_it(dask, plan):
    for name in ("ada", "bob"):
        dask.worker(name)
    long = Job(plan.recipe, 9, "some", "long", 1.0)
    short = [Job(replace(plan.recipe, steps=2), seed, "some", f"{seed}", 1.0) for seed in range(8)]
    checkpoint = plan.store.checkpoint(plan.recipe.key(9))
    do = on_cluster([long, *short], plan.store, PlanProgress(), dask.address, seconds=0.3)
    with closing(do) as runs:
        for job, _ in runs:
            assert job is not long
            if checkpoint.exists():
                break
    first = int(checkpoint.read_text())
    assert 0 < first < 12
    run = jobs.run_job(long, plan.store, lambda *_: None, force=False)
    assert run.resumed is True
    assert run.outcome.extra["first"] == first


def test_nobody_at_the_address(plan, monkeypatch):
    monkeypatch.setattr(cluster, "_PATIENCE", 1.0)
    with pytest.raises(ClusterError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:1 "):
        list(plan.do(1, "tcp://127.0.0.1:1"))
    with pytest.raises(ClusterError, match="no Dask scheduler answers at gopher://here"):
        list(plan.do(1, "gopher://here"))


def test_a_machine_that_stalls(dask, plan, monkeypatch):
    tries, client = [], distributed.Client

    def slow(*arguments, **settings):
        tries.append(arguments)
        assert len(tries) == 3, "the thread of the event loop did not start within ten seconds"
        return client(*arguments, **settings)

    monkeypatch.setattr(distributed, "Client", slow)
    dask.worker("ada")
    assert len(list(plan.do(1, dask.address))) == 1
    tries.clear()
    monkeypatch.setattr(cluster, "_TRIES", 2)
    with pytest.raises(AssertionError, match="did not start"):
        list(plan.do(1, dask.address))


def test_a_worker_of_another_version(dask, plan):
    dask.worker_of_another_version()
    with cluster._client(dask.address, 1) as client:
        client.wait_for_workers(1, timeout=600)
    with pytest.raises(ClusterError, match=r"has another minisparse, .*; here it is .*Install"):
        list(plan.do(1, dask.address))
    assert not plan.steps()


def test_a_worker_of_another_version_that_comes_later(dask, plan, monkeypatch):
    monkeypatch.setattr(cluster, "_require_equal_workers", lambda _: None)  # none was there
    dask.worker_of_another_version()
    with pytest.raises(ClusterError, match=r"a worker has another minisparse, .*than the caller"):
        list(plan.do(1, dask.address))
    assert not plan.steps()


def test_a_worker_without_the_package():
    class Client:
        def run(self, function, on_error):  # noqa: ARG002
            return {"tcp://far": ModuleNotFoundError("No module named 'minisparse'")}

    with pytest.raises(ClusterError, match=r"tcp://far cannot do runs of minisparse .*No module"):
        cluster._require_equal_workers(Client())


def test_a_run_that_fails_says_why(dask, plan):
    dask.worker("ada")
    plan.recipe = Logged(crash="the network is on fire", log=str(plan.log))
    with pytest.raises(RunError, match="the network is on fire"):
        list(plan.do(2, dask.address))


def test_a_scheduler_that_goes_away(dask, plan):
    dask.worker("ada")
    runs = plan.do(4, dask.address, seconds=0.3)
    next(runs)
    dask.processes[0].kill()
    with pytest.raises(ClusterError, match="What is finished is kept"):
        list(runs)
    assert len(records(plan.store.folder)) >= 1


def test_times_are_not_measured_on_a_cluster(here):
    experiment = make("timed", here / "entry.py", {"a": Row(Fake())}, {"rows": {}}, alone=True)
    with pytest.raises(ValueError, match="timed measures time on this machine"):
        runner.reproduce([experiment], out=here, display=PlanProgress(), cluster="local")


def test_without_the_extra_it_says_what_to_install(plan, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ClusterError, match=r"install minisparse\[cluster\]"):
        list(plan.do(1, "local"))


def test_the_fingerprint_is_of_the_source():
    assert cluster.fingerprint() == cluster.fingerprint()
    assert cluster.fingerprint().startswith(minisparse.__version__)

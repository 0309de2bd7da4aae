"""Runs in processes of their own: the same results, and nothing left running or lost."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

import minisparse
from minisparse import threads
from minisparse.experiments import parallel
from minisparse.experiments.parallel import RunError, in_parallel
from minisparse.experiments.recipes.dense import Dense


@dataclass(frozen=True)
class Job:
    """What `work` is told."""

    name: str
    folder: Path
    minutes: float = 1.0
    do: str = ""

    def __str__(self):
        return self.name


def work(job, progress):
    """Do what the job says, and write what was seen of the process."""
    seen = job.folder / job.name
    progress(0.5, f"{job.name} begins")
    if job.do == "fail":
        raise ValueError("it cannot be done")
    if job.do == "bug":
        raise KeyError("a bug")
    if job.do == "vanish":
        os._exit(7)
    if job.do == "wait":
        try:
            (job.folder / f"{job.name}.waits").touch()
            time.sleep(600)
        except KeyboardInterrupt:
            (job.folder / f"{job.name}.saved").touch()
            raise
    names = (threads.VARIABLE, "NUMBA_NUM_THREADS")
    seen.write_text(f"{os.getpid()} {' '.join(os.environ[name] for name in names)}")


def ignore(*_):
    pass


def test_every_job_is_done_in_a_process_of_its_own(tmp_path):
    jobs = [Job(f"job{i}", tmp_path, minutes=1.0 + i) for i in range(3)]
    told, before = [], os.environ.get(threads.VARIABLE)
    done = list(in_parallel(work, jobs, 2, progress=lambda *what: told.append(what)))
    assert sorted(map(str, done)) == ["job0", "job1", "job2"]
    seen = [(tmp_path / job.name).read_text().split() for job in jobs]
    pids = {int(pid) for pid, *_ in seen}
    assert len(pids) == 3
    assert os.getpid() not in pids
    share = str(max(1, threads.get_num_threads() // 2))
    assert all(rest == [share, share] for _, *rest in seen)
    assert {note for *_, note in told} == {f"job{i} begins" for i in range(3)}
    assert all(0 < minutes < 6 for minutes, *_ in told)
    assert os.environ.get(threads.VARIABLE) == before


def test_a_failure_stops_the_others_with_their_state_saved(tmp_path):
    jobs = [Job("waits", tmp_path, do="wait"), Job("fails", tmp_path, do="fail")]
    with pytest.raises(RunError, match=r"^it cannot be done$") as caught:
        list(in_parallel(until_the_other_waits, jobs, 2, progress=ignore))
    assert "ValueError: it cannot be done" in str(caught.value.__cause__)
    assert (tmp_path / "waits.saved").exists()


def until_the_other_waits(job, progress):
    while job.do != "wait" and not list(job.folder.glob("*.waits")):
        time.sleep(0.01)
    work(job, progress)


def test_a_bug_shows_its_traceback(tmp_path):
    with pytest.raises(RunError, match=r"(?s)Traceback.*in work.*KeyError: 'a bug'"):
        list(in_parallel(work, [Job("bug", tmp_path, do="bug")], 1, progress=ignore))


def test_a_process_that_vanishes_is_an_error(tmp_path):
    jobs = [Job("vanishes", tmp_path, do="vanish")]
    with pytest.raises(RunError, match=r"vanishes: its process ended without a word \(exit code 7"):
        list(in_parallel(work, jobs, 1, progress=ignore))


PARENT = """
import sys
from pathlib import Path
from minisparse.experiments.parallel import in_parallel
from test_parallel import Job, ignore, work
if __name__ == "__main__":
    folder = Path(sys.argv[1])
    jobs = [Job("one", folder, do="wait"), Job("two", folder, do="wait")]
    list(in_parallel(work, jobs, 2, progress=ignore))
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_outlives_the_command(tmp_path, number):
    (tmp_path / "parent.py").write_text(PARENT)
    paths = [Path(minisparse.__file__).parents[1], Path(__file__).parent]
    parent = subprocess.Popen(
        [sys.executable, tmp_path / "parent.py", tmp_path],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))},
        stderr=subprocess.DEVNULL,
    )
    wait_for(lambda: len(list(tmp_path.glob("*.waits"))) == 2, parent)
    parent.send_signal(number)
    parent.wait(600)
    wait_for(lambda: len(list(tmp_path.glob("*.saved"))) == 2)


def wait_for(condition, process=None):
    end = time.monotonic() + 600
    while not condition():
        assert time.monotonic() < end
        assert process is None or process.poll() is None
        time.sleep(0.02)


def test_a_process_whose_parent_is_gone_at_once_ends_in_silence(tmp_path, capfd):
    jobs = [Job(f"job{i}", tmp_path, do="wait") for i in range(4)]
    running = [parallel._start(work, job, 1) for job in jobs]
    parallel._stop(running)  # before they have begun
    assert capfd.readouterr().err == ""
    assert [one.process.exitcode for one in running] == [130] * 4


def test_an_interrupt_waits_until_the_run_has_begun(tmp_path, capfd):
    running = parallel._start(work, Job("waits", tmp_path, do="wait"), 1)
    os.kill(running.process.pid, signal.SIGINT)  # while it loads what it needs
    running.process.join(600)
    parallel._stop([running])
    assert capfd.readouterr().err == ""
    assert running.process.exitcode == 130


@pytest.mark.slow
def test_the_same_bits_as_in_turn(tmp_path):
    recipe = replace(Dense().quick(), images=300)
    alone = [run_alone(recipe, seed, tmp_path) for seed in range(2)]
    list(in_parallel(train, [Run(recipe, seed, tmp_path) for seed in range(2)], 2, progress=ignore))
    together = [(tmp_path / f"{seed}.txt").read_text() for seed in range(2)]
    assert together == alone


@dataclass(frozen=True)
class Run:
    """A recipe and a seed."""

    recipe: Dense
    seed: int
    folder: Path
    minutes: float = 1.0


def train(run, progress):
    file = run.folder / f"{run.seed}.npz"
    outcome = run.recipe.run(run.seed, checkpoint=file, progress=progress)
    (run.folder / f"{run.seed}.txt").write_text(f"{outcome.error} {outcome.loss!r}")


def run_alone(recipe, seed, folder):
    """Train in a process of its own, on as many threads."""
    share = max(1, threads.get_num_threads() // 2)
    code = (
        "from pathlib import Path; from test_parallel import *;"
        f"train(Run(Dense(**{recipe.__dict__}), {seed}, Path({str(folder)!r})), ignore)"
    )
    paths = [Path(minisparse.__file__).parents[1], Path(__file__).parent]
    variables = {"PYTHONPATH": os.pathsep.join(map(str, paths)), threads.VARIABLE: str(share)}
    subprocess.run([sys.executable, "-c", code], env={**os.environ, **variables}, check=True)
    file = folder / f"{seed}.txt"
    text = file.read_text()
    file.unlink()
    return text

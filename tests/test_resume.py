"""A run that is killed and started again ends with the bits of one that never was: real processes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import minisparse
from minisparse.checkpoint import load
from minisparse.data import load as load_data

SCRIPT = Path(__file__).with_name("resumable.py")
ENVIRONMENT = {
    **os.environ,
    "MINISPARSE_KERNELS": "numpy",  # no compiler: the processes start in a fraction of a second
    "OPENBLAS_NUM_THREADS": "1",
    "PYTHONPATH": str(Path(minisparse.__file__).parents[1]),
}
STEPS = 4 * 63  # epochs times ceil(440 / 7)


def start(folder, *arguments):
    return subprocess.Popen(
        [sys.executable, SCRIPT, folder, *arguments],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run(folder, *arguments):
    process = start(folder, *arguments)
    output, _ = process.communicate(timeout=300)
    return process.returncode, output


def wait_for_another(file, process):
    """Wait until the file is replaced (each replacement is another inode) or the process ends."""

    def identity():
        return (file.stat().st_ino, file.stat().st_mtime_ns) if file.exists() else None

    before = identity()
    while identity() == before and process.poll() is None:
        time.sleep(0.001)


def result(folder):
    with np.load(folder / "result.npz") as file:
        return {name: (file[name].dtype, file[name].tobytes()) for name in file.files}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    train = load_data("mnist").train
    path = tmp_path_factory.mktemp("data") / "data.npz"
    np.savez(path, images=train.images[:500], labels=train.labels[:500])
    return path


@pytest.fixture
def folder(tmp_path, data):
    (tmp_path / "data.npz").symlink_to(data)
    return tmp_path


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, data):
    """The result of a run that nobody kills, and that writes no checkpoint inside an epoch."""
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "data.npz").symlink_to(data)
    code, output = run(folder, "--seconds", "1000")
    assert code == 0, output
    return result(folder)


def test_the_undisturbed_run_is_worth_comparing_with(undisturbed):
    rest = json.loads(undisturbed["rest"][1].decode("utf-32"))
    assert rest["step"] == STEPS
    assert [line["epoch"] for line in rest["history"]] == [1, 2, 3, 4]
    assert rest["history"][-1]["train_error"] < rest["history"][0]["train_error"]
    assert rest["history"][-1]["drops"] == STEPS // 5 * 3
    names = set(undisturbed)
    assert {"model 1.weight", "model 2.running_var", "optimizer velocity.0"} < names
    assert {"average sum.0", "average steps", "method kept"} < names


@pytest.mark.parametrize(
    "kill",
    [
        "before_loss:40",  # in the first epoch
        "after_backward:100",  # in the second
        "after_step:63",  # the last step of an epoch
        "after_epoch:2",
        "after_epoch:4",
        "half_written:1",  # the very first checkpoint
        "half_written:3",
        "before_replace:4",
        "after_replace:3",
    ],
)
def test_killed_at_a_chosen_moment(kill, folder, undisturbed):
    code, output = run(folder, "--kill", kill)
    assert code == -signal.SIGKILL, output
    assert not (folder / "result.npz").exists()
    code, output = run(folder)
    assert code == 0, output
    assert ("resumed" in output) == (kill != "half_written:1")
    assert result(folder) == undisturbed


@pytest.mark.slow
@pytest.mark.parametrize("slow_writes", [False, True])
def test_killed_again_and_again_at_random_moments(slow_writes, folder, undisturbed):
    """With slow writes nearly every kill falls into the writing of a checkpoint."""
    rng = np.random.default_rng()  # other moments each time: the result may not depend on them
    options = ["--seconds", "0.03", *["--slow-writes"] * slow_writes]
    file, steps = folder / "run.npz", [0]
    for _ in range(6):
        process = start(folder, *options)
        for _ in range(rng.integers(2, 5)):
            wait_for_another(file, process)
        time.sleep(rng.uniform(0, 0.03))
        process.kill()
        output, _ = process.communicate()
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL, output
        steps.append(load(file)["run"]["step"])  # readable whatever happened
    assert steps == sorted(steps)
    assert 0 < steps[1] < STEPS, "no kill came in the middle: the test shows nothing"
    code, output = run(folder, *options)
    assert code == 0, output
    assert result(folder) == undisturbed


@pytest.mark.parametrize("name", ["INT", "TERM"])
def test_a_signal_takes_effect_after_the_step_with_a_checkpoint(name, folder, undisturbed):
    code, output = run(folder, "--seconds", "1000", "--kill", "before_loss:90", "--signal", name)
    assert code == -getattr(signal, f"SIG{name}"), output
    assert ("KeyboardInterrupt" in output) == (name == "INT")
    assert load(folder / "run.npz")["run"]["step"] == 90  # of this very step
    code, output = run(folder, "--seconds", "1000")
    assert (code, f"resumed at step 90 of {STEPS}" in output) == (0, True), output
    assert result(folder) == undisturbed


def test_a_completed_run_does_not_run_again(folder, undisturbed):
    assert run(folder)[0] == 0
    (folder / "result.npz").unlink()
    before = (folder / "run.npz").read_bytes()
    code, output = run(folder, "--kill", "before_loss:1")  # would die in its first step
    assert code == 0, output
    assert (folder / "run.npz").read_bytes() == before
    assert result(folder) == undisturbed

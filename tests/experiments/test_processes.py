"""The command line as a process: interrupts, kills, full disks, terminals."""

import json
import os
import pty
import signal
import subprocess
import sys
import time

import fake_experiments
import pytest


@pytest.fixture
def start(tmp_path):
    """Start the command line with the fake catalogue in an empty folder."""
    homes = tmp_path / "entries"
    homes.mkdir()
    (tmp_path / "here").mkdir()

    def start(*arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **variables):
        return subprocess.Popen(
            [sys.executable, fake_experiments.__file__, *arguments],
            env={
                **os.environ,
                "FAKE_HOME": str(homes),
                "PYTHONDONTWRITEBYTECODE": "1",
                **variables,
            },
            cwd=tmp_path / "here",
            stdout=stdout,
            stderr=stderr,
            text=True,
        )

    return start


@pytest.fixture
def out(tmp_path):
    return tmp_path / "here" / "minisparse-results"


def finish(process):
    stdout, stderr = process.communicate(timeout=600)
    return process.returncode, stdout, stderr


def wait_for(condition):
    limit = time.monotonic() + 600
    while not condition():
        assert time.monotonic() < limit, "waited in vain"
        time.sleep(0.02)


def contents(folder, pattern):
    return {path: path.read_bytes() for path in folder.rglob(pattern)}


def test_from_start_to_end(start, out):
    code, stdout, stderr = finish(start("reproduce"))
    assert (code, stderr) == (0, "")
    lines = stdout.splitlines()
    assert lines[0].startswith("2 runs to do, about 3 minutes on 2 cores")
    # The runs go side by side, and a busy machine may finish the slow one first.
    assert [line[:6] for line in lines[2:4]] == ["[1/2] ", "[2/2] "]
    finished = {line[6:].split(" %")[0] for line in lines[2:4]}
    assert finished == {
        "headline: at once, seed 0: error 1.50",
        "headline: slow, seed 0: error 1.70",
    }
    assert "verdict" in lines[6]
    assert "at once" in lines[7]
    assert lines[7].endswith("reproduced")
    assert lines[-2:] == [
        "Figure: minisparse-results/headline/figure.png",
        "2 rows were found.",
    ]
    assert (out / "headline" / "figure.png").exists()


def test_a_row_that_fails_makes_the_exit_code_1_and_nothing_else_does(start):
    code, stdout, _ = finish(start("reproduce", "fails"))
    assert code == 1
    assert stdout.endswith("FAILS: fails: row\n")
    code, stdout, _ = finish(start("reproduce", "fails", "--quick"))
    assert code == 0
    assert "quick run: not compared" in stdout
    code, stdout, _ = finish(start("reproduce", "fails", "headline"))
    assert code == 1
    assert "2 rows were found" in stdout  # the others are done all the same


def test_interrupted_and_started_again(start, out):
    process = start("reproduce", FAKE_PAUSE="0.05", FAKE_HOLD="yes")
    key = fake_experiments.slow_recipe(0.05).key(0)
    checkpoint = out / "runs" / f"{key}.ckpt.npz"
    while not process.stdout.readline().startswith("[1/2]"):  # the other run is done, and counted
        assert process.poll() is None
    wait_for(lambda: checkpoint.exists() and checkpoint.read_text() == "3")
    process.send_signal(signal.SIGINT)
    code, stdout, stderr = finish(process)
    assert code == 130
    assert "Traceback" not in stdout + stderr
    assert "interrupted. 1 of 2 runs done in this call" in stderr
    finished = contents(out, "*.json")
    assert len(finished) == 1
    reached = int(checkpoint.read_text())
    assert reached == 3

    # The pause is part of the settings that name the run.
    code, stdout, _ = finish(start("reproduce", FAKE_PAUSE="0.05"))
    assert code == 0
    assert "1 run to do" in stdout
    assert "1 of 2 runs finished" in stdout
    assert not checkpoint.exists()
    after = contents(out, "runs/*.json")
    assert after.items() >= finished.items()
    record = json.loads(after[out / "runs" / f"{key}.json"])
    assert record["extra"]["first"] == reached
    assert record["resumed"] is True


def test_killed_while_writing_a_run(start, out):
    code, _, _ = finish(start("reproduce", "fails"))
    before = contents(out, "fails/*") | contents(out, "runs/*.json")
    code, _, _ = finish(start("reproduce", "--quick", "--out", str(out), FAKE_KILL="in the write"))
    assert code == -signal.SIGKILL
    assert before.items() <= contents(out, "*.*").items()
    code, _, stderr = finish(start("reproduce", "--out", str(out)))
    assert (code, stderr) == (0, "")
    for text in contents(out, "*.json").values():
        json.loads(text)


def test_a_full_disk(start, out):
    code, _, _ = finish(start("reproduce", "fails"))
    before = contents(out, "*.*")
    code, _, stderr = finish(start("reproduce", "--seeds", "2", FAKE_LIMIT="500"))
    assert code == 2
    assert "Traceback" not in stderr
    assert "minisparse: error: cannot write minisparse-results/runs/" in stderr
    assert "What was finished before is unchanged" in stderr
    assert before.items() <= contents(out, "*.*").items()
    assert not [*out.glob("runs/.*")]


def test_a_bar_on_a_terminal_and_lines_in_a_file(start):
    reader, terminal = pty.openpty()
    process = start("reproduce", stderr=terminal, FAKE_PAUSE="0.02")
    os.close(terminal)
    shown = b""
    while True:
        try:
            part = os.read(reader, 4096)
        except OSError:  # how Linux says that nobody writes any more
            break
        if not part:
            break
        shown += part
    os.close(reader)
    stdout = process.stdout.read()
    process.stdout.close()
    assert process.wait(timeout=600) == 0
    assert b"%|" in shown
    assert b"slow, seed 0, step" in shown
    assert "\r" not in stdout
    assert "[2/2]" in stdout


def test_a_reader_that_stops_early_is_no_error(start):
    process = start("list")
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(timeout=600) == 0

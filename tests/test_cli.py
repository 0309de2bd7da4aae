import json
import os
import subprocess
import sys
import time
import types

import pytest

from minisparse import __version__, cli, data
from minisparse.checkpoint import CheckpointError
from minisparse.experiments import catalogue, listing


def minisparse(*arguments, **variables):
    return subprocess.run(
        [sys.executable, "-m", "minisparse", *arguments],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


@pytest.fixture
def command(monkeypatch):
    """Replace `minisparse list` by a function of the parsed arguments."""

    def replace(run):
        module = types.ModuleType("fake_command")
        module.add_arguments = lambda parser: parser.add_argument("--number", type=int)
        module.run = run
        monkeypatch.setitem(sys.modules, "fake_command", module)
        monkeypatch.setitem(cli._COMMANDS, "list", ("fake_command", "a fake"))

    return replace


def raises(error):
    def run(args):  # noqa: ARG001
        raise error

    return run


def test_help_is_quick():
    times = []
    for _ in range(4):
        start = time.perf_counter()
        done = minisparse("--help")
        times.append(time.perf_counter() - start)
    print(f"minisparse --help: {min(times):.3f} s, the best of {len(times)}")
    assert all(name in done.stdout for name in cli._COMMANDS)
    assert min(times) < 0.6  # 0.3 s on a machine that does nothing else


@pytest.mark.parametrize("arguments", ["--help", "list", "list --json", "reproduce --help"])
def test_nothing_slow_is_imported_for(arguments):
    code = (
        "import sys; from minisparse import cli\n"
        f"try: cli.main({arguments.split()!r})\n"
        "except SystemExit: pass\n"
        "print('LOADED', *sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.rpartition("LOADED")[2].split())
    assert "minisparse.cli" in loaded
    assert not loaded & {"numba", "matplotlib", "tqdm", "pooch"}
    assert "numpy" not in loaded or "list" in arguments


def test_version():
    assert minisparse("--version").stdout == f"minisparse {__version__}\n"


def test_no_command_shows_the_help(capsys):
    assert cli.main([]) == 2
    assert "reproduce" in capsys.readouterr().out


def test_an_unknown_command_is_an_error():
    done = minisparse("reprodce")
    assert done.returncode == 2
    assert "invalid choice: 'reprodce'" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_id_is_suggested():
    done = minisparse("reproduce", "hedline")
    assert done.returncode == 2
    assert "no experiment is called 'hedline'. Did you mean headline" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_exit_code_is_that_of_the_command(command):
    command(lambda args: args.number)
    assert cli.main(["list", "--number", "3"]) == 3
    assert cli.main(["--traceback", "list", "--number", "0"]) == 0


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "many", ""])
def test_a_number_of_seeds_that_cannot_be(text, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(["reproduce", "--seeds", text])
    assert caught.value.code == 2
    assert f"expected a whole number, at least 1, got {text!r}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        (catalogue.UnknownExperimentError("what was wrong"), False),
        (data.MissingDataError("what was wrong"), False),
        (CheckpointError("what was wrong"), False),
        (ValueError("what was wrong"), True),
        (OSError("what was wrong"), True),
    ],
)
def test_what_is_meant_for_people_comes_without_a_traceback(command, capsys, error, hint):
    error.add_note("in the run a, seed 0")
    command(raises(error))
    assert cli.main(["list"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("minisparse: error: ")
    assert lines[0].endswith("what was wrong")
    assert lines[1] == "  in the run a, seed 0"
    assert ("--traceback" in lines[-1]) == hint


def test_a_traceback_when_asked_for(command, monkeypatch):
    command(raises(ValueError("what was wrong")))
    for arguments in (["--traceback", "list"], ["list", "--traceback"]):
        with pytest.raises(ValueError, match="what was wrong"):
            cli.main(arguments)
    monkeypatch.setenv("MINISPARSE_TRACEBACK", "1")
    with pytest.raises(ValueError, match="what was wrong"):
        cli.main(["list"])


def test_a_bug_keeps_its_traceback(command):
    command(raises(ZeroDivisionError("a bug")))
    with pytest.raises(ZeroDivisionError):
        cli.main(["list"])


def test_an_interrupt_is_a_clear_line(command, capsys):
    command(raises(KeyboardInterrupt("2 of 3 runs are finished.")))
    assert cli.main(["list"]) == 130
    assert capsys.readouterr().err == "\nminisparse: interrupted. 2 of 3 runs are finished.\n"


def test_list_json_gives_the_ids(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(listing, "committed_results", lambda: None)
    assert cli.main(["list", "--json"]) == 0
    entries = json.loads(capsys.readouterr().out)
    assert [entry["id"] for entry in entries] == [*catalogue.names()]
    for entry in entries:
        assert entry["minutes"] > 0
        assert entry["paper"]
        assert entry["where"]
        assert (entry["status"], entry["status_from"]) == ("never run", None)


def test_list_shows_ids_papers_and_minutes(capsys):
    assert cli.main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "minutes" in lines[0]
    for id, line in zip(catalogue.names(), lines[1:], strict=False):
        experiment = catalogue.find(id)
        assert line.startswith(id)
        assert f"{experiment.paper}, {experiment.where}" in line


def results(*verdicts, quick=False, seeds=(0,)):
    return json.dumps(
        {
            "id": "headline",
            "settings": {"quick": quick},
            "rows": [{"verdict": verdict, "ours": {"n_seeds": len(seeds)}} for verdict in verdicts],
        }
    )


def test_the_last_status_and_where_it_is_from(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    committed, out = tmp_path / "committed", tmp_path / "out"
    monkeypatch.setattr(listing, "committed_results", lambda: committed)

    def write(folder, text):
        (folder / "headline").mkdir(parents=True, exist_ok=True)
        (folder / "headline" / "results.json").write_text(text)

    assert listing.last_status("headline", out) == ("never run", None)
    write(listing.QUICK_OUT, results("quick run: not compared", quick=True))
    assert listing.last_status("headline", out) == ("quick run", str(listing.QUICK_OUT))
    write(committed, results("reproduced", "reached", "reproduced", seeds=(0, 1, 2)))
    assert listing.last_status("headline", out) == (
        "2 reproduced, 1 reached (3 seeds)",
        str(committed),
    )
    write(out, results("reproduced", "FAILS"))
    assert listing.last_status("headline", out) == ("1 reproduced, 1 FAILS (1 seed)", str(out))
    for text in ("", "[]", "{}", results("reproduced")[:-5]):
        write(out, text)
        assert listing.last_status("headline", out) == ("unreadable results.json", str(out))


def test_data_says_what_is_there_and_what_is_not(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("MINISPARSE_DATA", str(tmp_path))
    (tmp_path / "fashion-mnist").mkdir()
    (tmp_path / "fashion-mnist" / "train-labels-idx1-ubyte").write_bytes(b"no")
    assert cli.main(["data"]) == 0
    mnist, fashion, cifar = capsys.readouterr().out.split("\n\n")
    assert "mnist: MNIST, valid" in mnist
    assert mnist.count("  valid ") == 4
    assert "fashion-mnist: Fashion-MNIST, not available" in fashion
    assert f"looked for in: {tmp_path / 'fashion-mnist'}" in fashion
    assert "damaged  train-labels-idx1-ubyte" in fashion
    assert "missing  train-images-idx3-ubyte" in fashion
    assert "cifar-10" in cifar
    assert "https://" in cifar


def test_data_of_one_name(capsys):
    assert cli.main(["data", "mnist"]) == 0
    assert "cifar" not in capsys.readouterr().out
    assert cli.main(["data", "mnst"]) == 2
    assert 'Did you mean "mnist"?' in capsys.readouterr().err

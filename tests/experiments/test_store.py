import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest
from fake_experiments import Fake

from minisparse.experiments.environment import cpu_name, environment, git_state
from minisparse.experiments.recipe import Outcome
from minisparse.experiments.store import ResultsError, Store, to_json, write_atomically


@pytest.fixture
def warnings():
    return []


@pytest.fixture
def store(tmp_path, warnings):
    return Store(tmp_path / "runs", warnings.append)


def save(store, recipe=None, seed=0):
    recipe = recipe or Fake(points=("a", "b"))
    outcome = recipe.run(seed, checkpoint=store.checkpoint("x"), progress=lambda *_: None)
    return store.save(recipe, seed, outcome, {"cpu": "abacus"}, 12.345, resumed=False)


@pytest.fixture(autouse=True)
def folder(tmp_path):
    (tmp_path / "runs").mkdir()


def test_a_run_comes_back_as_it_was(store, warnings):
    recipe = Fake(error=2.5)
    run = save(store, recipe, seed=4)
    assert store.load(recipe, 4) == run
    assert run.outcome == recipe.run(4, checkpoint=store.checkpoint("y"), progress=lambda *_: None)
    assert store.load(recipe, 5) is None
    assert store.load(Fake(), 4) is None
    assert warnings == []


def test_a_run_stores_all_that_identifies_it(store):
    recipe = Fake(error=2.5)
    save(store, recipe, seed=4)
    record = json.loads(store.path(recipe.key(4)).read_text())
    assert record["settings"] == recipe.settings()
    assert record["seed"] == 4
    assert record["key"] == recipe.key(4) == store.path(recipe.key(4)).stem
    assert record["history"] == [{"epoch": 1, "error": 2.5}]
    assert record["wall_time_s"] == 12.35
    assert record["environment"] == {"cpu": "abacus"}
    assert record["compression_weights"] == 10.0
    assert [p.name for p in store.folder.iterdir() if p.suffix == ".json"] == [
        f"{recipe.key(4)}.json"
    ]


def test_the_environment_says_what_bits_depend_on():
    environment()["versions"]["numpy"] = "0.0"  # whoever changes it changes a copy
    found = environment()
    assert found["versions"]["numpy"] == np.__version__
    assert found["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["cpu"] == cpu_name() != ""
    assert 1 <= found["cores"] <= os.cpu_count()
    assert found["threads"]["blas"] is None or found["threads"]["blas"] >= 1
    json.loads(to_json(found))


def test_the_threads_of_the_linear_algebra_are_those_in_use():
    code = "from minisparse.experiments.environment import environment as e; print(e()['threads'])"
    variables = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", f"import numba; {code}"],
        env=variables,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() in ("{'blas': 1, 'numba': 1}", "{'blas': None, 'numba': 1}")


def test_git_state_is_that_of_the_checkout(tmp_path):
    def git(*arguments):
        identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(
            ["git", "-C", tmp_path, *identity, *arguments], check=True, capture_output=True
        )

    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").touch()
    assert git_state(package) is None  # no checkout
    git("init")
    (tmp_path / "other.txt").touch()
    git("add", "other.txt")
    git("commit", "-m", "first")
    assert git_state(package) is None  # a checkout that this package is no part of
    git("add", "package")
    git("commit", "-m", "second")
    state = git_state(package)
    assert len(state["commit"]) == 40
    assert state["dirty"] is False
    (tmp_path / "other.txt").write_text("results that were written meanwhile")
    assert git_state(package) == state
    (package / "__init__.py").write_text("x = 1")
    assert git_state(package) == {**state, "dirty": True}


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('"wall_time_s"', "", "Expecting property name"),
        ('"format": 1', '"format": 2', 'no "format": 1'),
        ('"loss": 0.25', '"loss": NaN', "diverged"),
        ('"kept": 90', '"kept": 91', "other settings: kept"),
        ('"seed": 0', '"seed": 1', "another key or seed"),
        ('"total"', '"totally"', "no 'total'"),
        ('"pause"', '"paws"', "one that is no more"),
        ("{", "[", "Expecting"),
    ],
)
def test_a_damaged_or_foreign_file_is_not_used_and_said_to_be(store, warnings, old, new, reason):
    recipe = Fake()
    save(store, recipe)
    path = store.path(recipe.key(0))
    path.write_text(path.read_text().replace(old, new))
    assert store.load(recipe, 0) is None
    (warning,) = warnings
    assert str(path) in warning
    assert reason in warning
    assert "done again" in warning


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_truncated_file_is_not_used_and_said_to_be(store, warnings, share):
    recipe = Fake()
    save(store, recipe)
    path = store.path(recipe.key(0))
    text = path.read_text()
    path.write_text(text[: int(share * len(text))])
    assert store.load(recipe, 0) is None
    assert "done again" in warnings[0]


def test_a_run_with_another_default_is_not_used(store, warnings):
    save(store, Fake())

    @dataclass(frozen=True)
    class Later(Fake):
        kept: int = 80

    Later.__name__ = "Fake"
    assert Later().key(0) == Fake().key(0)
    assert store.load(Later(), 0) is None
    assert "other settings: kept" in warnings[0]


def test_a_run_from_before_a_setting_existed_is_used(store, warnings):
    run = save(store, Fake())

    @dataclass(frozen=True)
    class Later(Fake):
        younger: float = 0.5

    Later.__name__ = "Fake"
    assert store.load(Later(), 0) == run
    assert store.load(Later(younger=0.6), 0) is None
    assert warnings == []


def test_numpy_values_and_nan_become_standard_json():
    value = {"a": np.float32(0.5), "b": np.arange(2), "c": (float("nan"), np.inf), 3: np.int64(7)}
    assert json.loads(to_json(value)) == {"a": 0.5, "b": [0, 1], "c": [None, None], "3": 7}


@pytest.mark.parametrize("instant", ["fsync", "replace"])
def test_a_process_killed_in_the_write_leaves_the_old_content(tmp_path, instant):
    path = tmp_path / "file.json"
    path.write_text("old")
    code = (
        "import os, signal, sys, pathlib; from minisparse.experiments.store import *\n"
        f"os.{instant} = lambda *a: os.kill(os.getpid(), signal.SIGKILL)\n"
        "write_atomically(pathlib.Path(sys.argv[1]), 'new' * 100000)"
    )
    done = subprocess.run([sys.executable, "-c", code, path], check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_text() == "old"
    write_atomically(path, "newer")
    assert path.read_text() == "newer"


def test_a_write_that_fails_says_so_and_leaves_nothing(tmp_path, monkeypatch):
    path = tmp_path / "file.json"
    path.write_text("old")

    def full(descriptor):  # noqa: ARG001
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ResultsError, match=r"cannot write .*file.json: No space left on device"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["file.json"]


def test_an_interrupted_write_leaves_nothing(tmp_path, monkeypatch):
    def interrupted(descriptor):  # noqa: ARG001
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "file.json", "new")
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == []


def test_outcomes_with_points_keep_their_own_counts(store):
    run = save(store)
    assert run.outcome.points["b"].kept["fc1.weight"] == run.outcome.kept["fc1.weight"] + 2
    assert isinstance(run.outcome.points["a"], Outcome)


@pytest.mark.parametrize("what", ["a folder", "bytes", "deep", "a list of points", "counts in a list"])
def test_a_file_of_any_content_is_done_again(store, warnings, what):
    recipe = Fake(points=("a",))
    save(store, recipe)
    path = store.path(recipe.key(0))
    record = json.loads(path.read_text())
    if what == "a folder":
        path.unlink()
        path.mkdir()
    elif what == "bytes":
        path.write_bytes(b"\xff\xfe" + path.read_bytes())
    elif what == "deep":
        path.write_text("[" * 100_000)
    else:
        changed = {"points": ["a"]} if what == "a list of points" else {"kept": [1, 2]}
        path.write_text(json.dumps(record | changed))
    assert store.load(recipe, 0) is None
    assert "not the result of this run" in warnings[0]

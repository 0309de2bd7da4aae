"""The names that modules had before are still found."""

import importlib
import subprocess
import sys

import pytest

from minisparse import moved
from minisparse.classroom.walls import limits


@pytest.mark.parametrize("old", moved.NOW)
def test_an_old_name_is_the_module_of_today(old, monkeypatch):
    monkeypatch.delitem(sys.modules, old, raising=False)
    with pytest.warns(DeprecationWarning, match=rf"{old} is now {moved.NOW[old]}"):
        found = importlib.import_module(old)
    assert found is importlib.import_module(moved.NOW[old])


def test_both_ways_to_import_it():
    program = (
        "from minisparse.classroom import patience\n"
        "from minisparse.classroom.patience import Limits\n"
        "print(patience.__name__, Limits().call)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [limits.__name__, "10.0"]


def test_other_names_are_not_there():
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("minisparse.classroom.no_such_room")

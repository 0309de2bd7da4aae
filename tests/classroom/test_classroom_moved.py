"""The names that modules had before they stood in rooms."""

import importlib
import subprocess
import sys

import pytest

from minisparse.classroom import moved
from minisparse.classroom.walls import limits


@pytest.mark.parametrize("old", moved.NOW)
def test_an_old_name_is_the_module_of_today(old, monkeypatch):
    monkeypatch.delitem(sys.modules, f"{moved.PACKAGE}.{old}", raising=False)
    with pytest.warns(DeprecationWarning, match=rf"{old} is now minisparse\.classroom\."):
        found = importlib.import_module(f"{moved.PACKAGE}.{old}")
    assert found is importlib.import_module(f"{moved.PACKAGE}.{moved.NOW[old]}")


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

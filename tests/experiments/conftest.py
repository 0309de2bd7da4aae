import sys

import pytest
from fake_experiments import install, make

from minisparse.experiments import catalogue


@pytest.fixture
def publish(tmp_path, monkeypatch):
    """Make experiments the whole catalogue: publish(id, rows, comparison, ...) adds one."""
    monkeypatch.setattr(catalogue, "MODULES", {})
    monkeypatch.setattr(sys, "modules", sys.modules.copy())
    known = []

    def add(id, rows, comparison=None, **settings):
        home = tmp_path / "entries" / "entry.py"
        home.parent.mkdir(exist_ok=True)
        known.append(make(id, home, rows, comparison or {"rows": {}}, **settings))
        install(*known)
        return known[-1]

    return add


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Work in an empty folder."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder

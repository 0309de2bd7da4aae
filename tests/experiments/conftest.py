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


@pytest.fixture
def run(tmp_path):
    """Do a recipe's run, and see that it tells how far it is and leaves nothing behind."""

    def run(recipe, seed=0, progress=None):
        told = []

        def tell(fraction, note):
            told.append(fraction)
            if progress is not None:
                progress(fraction, note)

        done = recipe.run(seed, checkpoint=tmp_path / "state.npz", progress=tell)
        assert told == sorted(told)
        assert told[-1] == pytest.approx(1)
        assert not list(tmp_path.iterdir())  # nothing is left of a finished run
        return done

    return run

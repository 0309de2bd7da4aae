import re
import subprocess
import sys
from pathlib import Path

import pytest

import minisparse


def modules_after(statement):
    """Names of the modules that a fresh interpreter has loaded after `statement`."""
    code = f"{statement}; import sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=600
    )
    return set(done.stdout.split())


def test_import_loads_nothing_slow():
    loaded = modules_after("import minisparse")
    assert "minisparse" in loaded
    slow = {"numpy", "numba", "matplotlib", "pooch", "tqdm", "cupy"}
    assert not loaded & slow


def test_data_loads_the_download_machinery_only_for_downloads():
    loaded = modules_after("from minisparse import data; data.describe('mnist')")
    assert "minisparse.data.files" in loaded
    assert not loaded & {"numba", "matplotlib", "pooch", "requests", "tqdm"}


@pytest.mark.parametrize("name", minisparse.__all__)
def test_every_public_name_is_there(name):
    assert getattr(minisparse, name) is not None
    assert name in dir(minisparse)


@pytest.mark.parametrize("name", sorted(minisparse._SUBMODULES))
def test_every_submodule_is_reachable(name):
    assert getattr(minisparse, name).__name__ == f"minisparse.{name}"
    assert name in dir(minisparse)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'minisparse' has no attribute 'Tensr'"):
        _ = minisparse.Tensr


def test_the_citation_names_this_version():
    citation = Path(__file__).parents[1] / "CITATION.cff"
    (version,) = re.findall(r"^version: (\S+)$", citation.read_text(), flags=re.MULTILINE)
    assert version == minisparse.__version__

"""The list of methods is made of the code, so that it cannot go stale; what it says is there."""

import json
import sys
from pathlib import Path

import pytest

from minisparse import cli, methods
from minisparse.prune.about import FAMILIES, STATUSES, About, Figure

ROOT = Path(__file__).parents[1]
ENTRIES = {entry["id"]: entry for entry in methods.as_data()}
KEYS = {"id", "family", "year", "paper", "module", "line", "test", "chapter", "published"}

sys.path.insert(0, str(ROOT / "tests" / "prune"))


def test_ids_are_unique_and_plain():
    ids = [f.about.id for f in methods.find_all()]
    assert len(ids) == len(set(ids))
    assert all(set(id) <= set("abcdefghijklmnopqrstuvwxyz0123456789-") for id in ids)


@pytest.mark.parametrize("id", ENTRIES)
def test_what_an_entry_names_is_there(id):
    entry = ENTRIES[id]
    assert entry.keys() >= KEYS
    assert entry["family"] in FAMILIES
    assert 1985 <= entry["year"] <= 2026
    source = (ROOT / entry["file"]).read_text(encoding="utf-8").splitlines()
    assert entry["formula"].rpartition(".")[2] in source[entry["line"] - 1]
    test = ROOT / entry["test"]
    assert test.exists()
    assert Path(entry["file"]).stem in test.read_text(encoding="utf-8")
    if entry["chapter"]:
        page = (ROOT / entry["chapter"]).read_text(encoding="utf-8")
        assert entry["module"].rpartition(".")[2] in page or entry["code"] in page


@pytest.mark.parametrize("id", ENTRIES)
def test_a_formula_says_where_it_comes_from(id):
    found = next(f for f in methods.find_all() if f.about.id == id)
    assert found.formula.__doc__
    assert found.module.__doc__
    assert hasattr(found.module, found.about.code)


def test_published_figures_say_how_sure_they_are():
    for entry in ENTRIES.values():
        for figure in entry["published"]:
            assert figure["status"] in STATUSES
            assert (figure["status"] == "quoted") == ("quoted_by" in figure)
            assert figure["source"]
            assert ("architecture" in figure) != ("kept_percent" in figure)
            assert 0 < figure["error_percent"] < 10
    with pytest.raises(ValueError, match="status"):
        Figure("LeNet-5", 1.0, 5.0, "quoted", "somewhere")
    with pytest.raises(ValueError, match="family"):
        About("a", "A", "unheard of", 2000, "", "", "", "", "")


def test_every_method_goes_through_the_contract():
    from every_method import METHODS, Case

    listed = {f.about.id for f in methods.find_all() if _is_a_hook(f)}
    assert listed - {key.split(",")[0] for key in METHODS} == set(), "add a line to METHODS"
    assert all(isinstance(case, Case) for case in METHODS.values())


def _is_a_hook(found):
    from minisparse.prune.method import Method

    code = getattr(found.module, found.about.code)
    return isinstance(code, type) and issubclass(code, Method)


def test_the_command_lists_shows_and_speaks_json(capsys):
    assert cli.main(["methods"]) == 0
    listed = capsys.readouterr().out
    assert all(id in listed for id in ENTRIES)
    assert cli.main(["methods", "snip"]) == 0
    page = capsys.readouterr().out
    assert "s = |w dL/dw| / sum |w dL/dw|" in page
    assert f"minisparse/prune/snip.py:{ENTRIES['snip']['line']}" in page
    assert "1.6 %" in page
    assert cli.main(["methods", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == list(ENTRIES.values())
    assert cli.main(["methods", "l0", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [ENTRIES["l0"]]


def test_an_unknown_name_gets_a_suggestion(capsys):
    assert cli.main(["methods", "snap"]) == 2
    assert "did you mean snip" in capsys.readouterr().err

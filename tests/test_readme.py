"""What the README shows is what its reader gets."""

import doctest
import json
import re
from pathlib import Path

from minisparse.experiments import tables

README = Path(__file__).parents[1] / "README.md"


def test_the_examples_print_what_the_readme_says():
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE | doctest.IGNORE_EXCEPTION_DETAIL
    result = doctest.testfile(str(README), module_relative=False, optionflags=flags)
    assert result.attempted > 10
    assert result.failed == 0


def test_every_path_named_in_the_readme_exists():
    named = re.findall(r"`(?:minisparse/|tutorials/|tests/)[\w/.]*`", README.read_text())
    missing = [p for p in named if not (README.parent / p.strip("`")).exists()]
    assert named
    assert not missing


def test_the_results_in_the_readme_are_the_committed_ones():
    file = README.parent / "tutorials" / "results" / "sensitivity-table1" / "results.json"
    rows = json.loads(file.read_text())["rows"]
    shown = re.findall(r"^\| (?:dense|sensitivity).*$", README.read_text(), re.MULTILINE)
    assert len(shown) == len(rows)
    for row in rows:
        published, ours = row["published"], row["ours"]
        at = "" if row["name"] == "dense" else f" at {published['compression']:g}x"
        mine = f"{ours['error_mean']:.2f} ± {ours['error_sd']:.2f} %"
        if at:
            mine += f" at {tables.ratio_text(ours['compression_mean'])}"
        assert any(f"| {published['error']:.2f} %{at} | {mine} |" in line for line in shown), mine


def test_every_link_to_a_file_resolves():
    links = re.findall(r"\]\((?!https?:)([^)]+)\)", README.read_text())
    assert links
    assert [link for link in links if not (README.parent / link).exists()] == []

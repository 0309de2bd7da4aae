"""What the README shows is what its reader gets."""

import doctest
import re
from pathlib import Path

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

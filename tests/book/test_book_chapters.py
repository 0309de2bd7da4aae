"""Every chapter runs from the shell, with warnings as errors."""

import os
import subprocess
import sys

import pytest

from minisparse.book.chapters import chapters

pytestmark = pytest.mark.long  # `minisparse book --check` runs them too, and whole


@pytest.mark.parametrize("chapter", chapters(), ids=lambda c: c.name)
def test_a_quick_run(chapter, tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "error", str(chapter.path)],
        env={**os.environ, "MINISPARSE_BOOK_QUICK": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout
    assert not any(tmp_path.iterdir())

"""Commands as they are typed into a terminal, with what they print."""

from __future__ import annotations

import atexit
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Mapping
from pathlib import Path

_WIDTH = 96


class Terminal:
    """A terminal in an empty folder, which is removed when the chapter ends.

    Attributes
    ----------
    folder : Path
        Where commands are run.
    code : int
        The exit code of the last command.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp()).resolve()
        self.code = 0
        atexit.register(shutil.rmtree, self.folder, ignore_errors=True)

    def run(
        self,
        command: str,
        *,
        at: str = ".",
        lines: slice = slice(None),
        hide: Mapping[str, str] | None = None,
    ) -> None:
        """Print a command and what it prints, messages of errors too; not the display of progress.

        Parameters
        ----------
        command : str
            ``minisparse ...`` or ``python ...``: those of this Python.
        at : str
            The folder, below `folder`.
        lines : slice
            Which lines of the output to print; what is left out is marked by dots.
        hide : mapping, optional
            Regular expression -> text in the place of what would differ the next time.
        """
        program, *arguments = shlex.split(command)
        if program not in ("minisparse", "python"):
            raise ValueError(f"a command begins with minisparse or python, got {command!r}")
        prefix = [sys.executable, *(["-m", "minisparse"] if program == "minisparse" else [])]
        done = subprocess.run(
            [*prefix, *arguments],
            cwd=self.folder / at,
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        self.code = done.returncode
        said = done.stdout + (done.stderr if self.code == 2 else "")
        for pattern, instead in (hide or {}).items():
            said = re.sub(pattern, instead, said)
        shown = said.splitlines()
        chosen = range(len(shown))[lines]
        print(f"$ {command}")
        for i in chosen:
            if i == chosen[0] and i > 0:
                print("...")
            print(_wrapped(shown[i]))
        if chosen and chosen[-1] + 1 < len(shown):
            print("...")


def _wrapped(line: str) -> str:
    """Break a long line, so that a page need not be scrolled sideways."""
    if len(line) <= _WIDTH:
        return line
    indent = line[: len(line) - len(line.lstrip())]
    return textwrap.fill(line.strip(), _WIDTH, initial_indent=indent, subsequent_indent=indent)


__all__ = ["Terminal"]

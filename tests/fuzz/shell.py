"""What people type: command lines, a word of which is wrong."""

import contextlib
import os
import tempfile

from minisparse import cli

_MINE = '''import numpy as np
def square(x):
    return x * x
def square_backward(g, x):
    return 2 * g * x
'''

# No line trains, and none starts a process.
LINES = [
    ["list"], ["list", "--json"], ["list", "--out", "."],
    ["methods"], ["methods", "snip"], ["methods", "l0", "--json"],
    ["data"], ["data", "mnist"], ["data", "fashion-mnist", "cifar-10"],
    ["gradcheck", "mine.py:square"], ["gradcheck", "mine.py:square", "--shape", "3,2", "--seed", "1"],
    ["gradcheck", "tanh", "--order", "2", "--dtype", "float32"], ["gradcheck", "tanh", "--json"],
    ["gradcheck", "mine.py:square", "--figure", "mine.png"],
    ["gradcheck", "minisparse.prune.snip.saliency"],
    ["classroom", "list"], ["classroom", "list", "--json"], ["classroom", "new", "a5", "--out", "work"],
    ["reproduce", "no-such", "--seeds", "1"], ["reproduce", "headline", "--jobs", "none"],
    ["bench", "no-such", "--threads", "1", "--batch", "1"], ["bench", "shrunk", "--peers", "none"],
    ["reproduce", "no-such", "--cluster", "tcp://127.0.0.1:1", "--jobs", "2", "--quick"],
    ["reproduce", "no-such", "--cluster", "local", "--threads", "1", "--force"],
    ["bench", "no-such", "--rounds", "1", "--seconds", "0.1", "--json", "--figure", "bench.png"],
    ["methods", "no-such"], ["methods", "--json"],
    ["book", "no-such"], ["book", "--check", "no-such"],
    ["classroom", "grade", "a9", "nowhere", "--out", "results"], ["classroom", "check", "nowhere"],
    ["--version"], ["--help"], ["gradcheck", "--help"],
]  # fmt: skip
# Without these a line runs for minutes, and rightly so.
_LONG = ("reproduce", "bench", "book", "selftest", "grade", "check")

_WORDS = [
    "", " ", "-", "--", "-1", "0", "1e400", "9" * 40, "nan", "text", "--out", "--json", "--seed", "/",
    "..", "/dev/null", "/proc/self/mem", "mine.py", "mine.py:", ":", ":square", "mine.py:nothing",
    "mine.py:square:x", "os", "os.path", "numpy.sin", "minisparse.nothing", "é", "\udcff", "a\nb", "a/b",
    "%s", "{}", "'", "\\", "~", "a1", "A5", "snip ", "x" * 5000, "--shape", "1,", ",", "-3", "10" * 12,
]  # fmt: skip


def spoilt(line, rng):
    """Return the line with a word changed, gone, added, or out of place."""
    line = list(line)
    at, word = int(rng.integers(len(line))), _WORDS[rng.integers(len(_WORDS))]
    mine = line[at]
    changes = [
        [*line[:at], word, *line[at + 1 :]], [*line[:at], *line[at + 1 :]], [*line[: at + 1], word, *line[at + 1 :]],
        [*line, word], [*line[:at], mine[:-1], *line[at + 1 :]], [*line[:at], mine.upper(), *line[at + 1 :]],
        [*line[:at], mine + word, *line[at + 1 :]], [*line, mine],
    ]  # fmt: skip
    return changes[rng.integers(len(changes))]


def call(line):
    """Run a command line in an empty folder; what it says about bad input is an exit code."""
    if {*_LONG} & {*line}:  # only with a name that there is not, and as a name
        if {"headline", "shrunk"} & {*line} or not {"no-such", "nowhere", "none"} & {*line}:
            return
        if {"reproduce", "bench"} & {*line} and "--out" in line:
            return
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        with open("mine.py", "w", encoding="utf-8") as file:
            file.write(_MINE)
        before = dict(os.environ)
        try:
            code = cli.main(line)
        except SystemExit as end:  # argparse
            code = end.code or 0
        finally:
            os.environ.clear()
            os.environ.update(before)
        if code not in (0, 1, 2):
            raise AssertionError(f"exit code {code}")
